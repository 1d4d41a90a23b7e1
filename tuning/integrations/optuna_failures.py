"""Tracebacks of failed trials of Optuna."""

import logging
import re
import traceback


class TrialFailures(logging.Handler):
    """Keeps the tracebacks of failed trials, which Optuna gives only to its log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._texts: dict[int, str] = {}
        logging.getLogger("optuna").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps the traceback of a record about a failed trial."""
        match = re.match(r"Trial (\d+) failed", record.getMessage())
        if match and record.exc_info and record.exc_info[0] is not None:
            self._texts[int(match[1])] = "".join(traceback.format_exception(*record.exc_info))

    def take(self, number: int) -> str:
        """Returns the traceback of a trial once; empty if there is none."""
        return self._texts.pop(number, "")

    def take_all(self) -> dict[int, str]:
        """Returns all tracebacks that were not taken, by number of the trial."""
        texts, self._texts = self._texts, {}
        return texts
