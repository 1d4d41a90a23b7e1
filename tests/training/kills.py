"""Trainings that die at a chosen epoch, and the curves by which they are compared."""

from collections.abc import Callable
from typing import Any

from tuning.core.trial import CONTINUE, Decision, Measurement


class Killed(BaseException):
    """Ends a training as SIGKILL would: nothing of it is cleaned up."""


def killed_at(step: int) -> Callable[[Measurement], Decision]:
    """Returns a report that ends the training at an epoch."""

    def report(measurement: Measurement) -> Decision:
        if measurement.step == step:
            raise Killed
        return CONTINUE

    return report


def curve(result: Any, metric: str = "loss") -> list[float]:
    """Returns the values of a metric by epoch."""
    return [measurement.metrics[metric] for measurement in result.measurements]
