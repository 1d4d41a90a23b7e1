"""The exceptions of the library, and the exit codes that the command line returns for them."""

import re

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_BAD_INPUT = 2
EXIT_REFUSED = 3
EXIT_INTERRUPTED = 130


def redact(text: str) -> str:
    """Hides the user name and the password in every address of a message."""
    return re.sub(r"(?<=://)[^\s?#]*@", "***@", text)


class TuningError(Exception):
    """Base class of the library's errors; users see its message without a traceback."""

    exit_code = EXIT_ERROR


class BadInputError(TuningError):
    """A parameter, a study file, a data set or a model cannot be used.

    Most checks run before any training. A worker that refuses the task or its model reports this
    error later.
    """

    exit_code = EXIT_BAD_INPUT


class PromotionRefusedError(TuningError):
    """The gate refused the promotion; no alias was changed."""

    exit_code = EXIT_REFUSED


class InterruptedStudyError(TuningError):
    """The user stopped the study; the trials that ended before the stop are in MLflow."""

    exit_code = EXIT_INTERRUPTED


class StudyFailedError(TuningError):
    """Training cannot continue, for example after a fatal or too many other failures."""


class InfeasibleError(TuningError):
    """A task's ``build`` raises this error if the hyperparameters cannot make a model.

    The trial fails without a retry, and the searcher learns of the failure.
    """


class FatalTrialError(TuningError):
    """A task raises this error if no further trial can succeed; the whole study then stops."""
