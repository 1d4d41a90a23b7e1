"""A live view of a study in a notebook: a table below the cell that changes in place."""

import html
import io
import time
from typing import Any

from rich.console import Console

from tuning.core.trial import Measurement, Trial, TrialResult
from tuning.workflow.progress.live import LiveProgress
from tuning.workflow.progress.status import Status

# Seconds between two drawings; each one is a message to the browser.
REFRESH_SECONDS = 0.5
WIDTH = 100


class NotebookProgress(LiveProgress):
    """Draws the status below the cell that runs the study; only messages are printed.

    Args:
        status: Status of the study.
    """

    def __init__(self, status: Status) -> None:
        super().__init__(status, Console(file=io.StringIO(), width=WIDTH, force_jupyter=False))
        self._display: Any = None
        self._drawn_s = 0.0

    def phase(self, title: str, expected: int, done: int = 0) -> None:
        """Begins a phase and starts to draw."""
        self.status.phase(expected, done)
        self.say(title)
        if self._display is None:
            from IPython.display import display

            self._display = display(_Page(self._text()), display_id=True)

    def close(self) -> None:
        """Draws the end."""
        if self._display is not None:
            self._display.update(_Page(self._text()))
            self._display = None

    def trial_started(self, trial: Trial) -> None:
        """Draws that the trial runs."""
        super().trial_started(trial)
        self._refresh()

    def measured(self, trial: Trial, measurement: Measurement) -> None:
        """Draws the epoch."""
        self.status.measured(trial, measurement)
        self._refresh()

    def trial_finished(self, trial: Trial, result: TrialResult) -> None:
        """Draws that the trial has ended; prints why it has failed."""
        self.status.finished(trial, result)
        if result.failure is not None:
            self.say(f"{trial.name} failed: {result.failure.message.splitlines()[0]}")
        self._refresh()

    def _refresh(self) -> None:
        now = time.monotonic()
        if self._display is not None and now - self._drawn_s >= REFRESH_SECONDS:
            self._drawn_s = now
            self._display.update(_Page(self._text()))

    def _text(self) -> str:
        console = Console(
            file=io.StringIO(), width=WIDTH, record=True, force_terminal=False, force_jupyter=False
        )
        console.print(self.draw())
        return console.export_text()

    def _print(self, text: str) -> None:
        print(text, flush=True)


class _Page:
    """A text that a notebook shows with equal widths."""

    def __init__(self, text: str) -> None:
        self._text = text

    def _repr_html_(self) -> str:
        return f'<pre style="line-height:1.2">{html.escape(self._text)}</pre>'

    def __repr__(self) -> str:
        return self._text
