"""The exceptions of the library, and the exit codes that the command line gives them."""

import re

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_BAD_INPUT = 2
EXIT_REFUSED = 3
EXIT_INTERRUPTED = 130


def redact(text: str) -> str:
    """Hides the user and password of every address in a message."""
    return re.sub(r"(?<=://)[^\s?#]*@", "***@", text)


class TuningError(Exception):
    """Base of every error that the library raises on purpose; its message is shown as it is."""

    exit_code = EXIT_ERROR


class BadInputError(TuningError):
    """A parameter, a study file or a data set is not usable; nothing was started."""

    exit_code = EXIT_BAD_INPUT


class PromotionRefusedError(TuningError):
    """The gate refused to promote; no alias was changed."""

    exit_code = EXIT_REFUSED


class InterruptedStudyError(TuningError):
    """The user stopped the study; what had been finished by then is in MLflow."""

    exit_code = EXIT_INTERRUPTED


class StudyFailedError(TuningError):
    """Training cannot succeed: a fatal failure, or one failure after the other."""


class InfeasibleError(TuningError):
    """Raised by a task's ``build``: these hyperparameters cannot make a model.

    The trial fails without a retry, and the searcher learns of it.
    """


class FatalTrialError(TuningError):
    """Raised by a task: no further trial can succeed, so the whole study stops."""
