"""Printed progress of a study: lines for users, JSON for programs, or only the outcome."""

import contextlib
import json
import math
import sys
from collections.abc import Mapping
from typing import Any, Literal, TextIO

from tuning.core.trial import Measurement, Trial, TrialResult
from tuning.workflow.progress.status import Status, ending

STATUS_SECONDS = 30.0

Output = Literal["auto", "quiet", "json"]


class Progress:
    """A TrialListener that prints each finished trial and, at intervals, the running trials.

    A closed terminal does not end the study: errors of the output are ignored.

    Args:
        status: Status of the study.
        stream: Stream to print to; the present standard output if None.
    """

    def __init__(self, status: Status, stream: TextIO | None = None) -> None:
        self.status = status
        self._stream = stream or sys.stdout
        self._printed_s = 0.0

    def phase(self, title: str, expected: int, done: int = 0) -> None:
        """Begins a phase of ``expected`` trials, ``done`` of which have already ended."""
        self.status.phase(expected, done)
        self._printed_s = 0.0
        self.say(f"\n{title}")

    def say(self, text: str) -> None:
        """Prints a message."""
        self._print(text)

    def conclude(self, text: str) -> None:
        """Prints the outcome, also in quiet mode."""
        self._print(text)

    def close(self) -> None:
        """Ends a live view. Lines can still be printed afterwards."""

    def trial_started(self, trial: Trial) -> None:
        """Notes that the trial runs."""
        self.status.started(trial)

    def measured(self, trial: Trial, measurement: Measurement) -> None:
        """Prints the running trials if nothing was printed for ``STATUS_SECONDS``."""
        self.status.measured(trial, measurement)
        if self.status.elapsed_s - self._printed_s >= STATUS_SECONDS:
            running = (
                f"{r.name} epoch {r.epoch}/{r.epochs}" for r in self.status.running.values()
            )
            self._line(f"  …  running: {', '.join(running)}")

    def trial_finished(self, trial: Trial, result: TrialResult) -> None:
        """Prints how the trial ended."""
        status = self.status
        mark = "  best so far" if status.finished(trial, result) else ""
        value = "–" if result.value is None else f"{result.value:.4f}"
        end = f"{trial.name:<32} {ending(result):<12} {status.objective.metric} {value}"
        self._line(f"  {status.ended:>3}/{status.expected}  {end}{self._times()}{mark}")
        if result.failure is not None:
            self._line(f"         {result.failure.message.splitlines()[0]}")

    def _times(self) -> str:
        return f"  {self.status.times()}"

    def _line(self, text: str) -> None:
        self._printed_s = self.status.elapsed_s
        self.say(text)

    def _print(self, text: str) -> None:
        with contextlib.suppress(OSError):
            print(text, file=self._stream, flush=True)


class QuietProgress(Progress):
    """Prints only the outcome."""

    def say(self, text: str) -> None:
        """Prints nothing."""


class JsonProgress(Progress):
    """Prints one JSON object per line for each event; the field ``event`` names the event."""

    def phase(self, title: str, expected: int, done: int = 0) -> None:
        """Prints ``phase``: its title, and the numbers of expected and ended trials."""
        self.status.phase(expected, done)
        self.event("phase", title=title, expected=expected, done=done)

    def say(self, text: str) -> None:
        """Prints ``message``: a text."""
        self.event("message", text=text.strip())

    def conclude(self, text: str) -> None:
        """Prints nothing: the command prints the outcome as a separate event."""

    def trial_started(self, trial: Trial) -> None:
        """Prints ``trial_started``: the trial, its phase, its searcher and its configuration."""
        self.status.started(trial)
        self.event(
            "trial_started",
            trial=trial.name,
            phase=trial.phase.value,
            searcher=trial.searcher,
            attempt=trial.attempt,
            seed=trial.seed,
            epochs=trial.epochs,
            params=dict(trial.params),
        )

    def measured(self, trial: Trial, measurement: Measurement) -> None:
        """Prints ``epoch``: the metrics of one epoch."""
        self.status.measured(trial, measurement)
        self.event(
            "epoch", trial=trial.name, step=measurement.step, metrics=_finite(measurement.metrics)
        )

    def trial_finished(self, trial: Trial, result: TrialResult) -> None:
        """Prints ``trial_finished``: how the trial ended, and the estimated remaining time."""
        best = self.status.finished(trial, result)
        self.event(
            "trial_finished",
            trial=trial.name,
            state=result.state.value,
            value=result.value,
            best_step=result.best_step,
            seconds=round(result.duration_s, 3),
            reason=result.failure.message if result.failure else result.stop_reason,
            reused_from=result.reused_from,
            best_so_far=best,
            ended=self.status.ended,
            expected=self.status.expected,
            left_seconds=self.status.left_s,
        )

    def event(self, event: str, **content: Any) -> None:
        """Prints an event."""
        self._print(json.dumps({"event": event, **content}, ensure_ascii=False))


def _finite(metrics: Mapping[str, float]) -> dict[str, float | None]:
    # JSON has neither NaN nor infinity.
    return {key: value if math.isfinite(value) else None for key, value in metrics.items()}
