"""Makers of small valid objects; each argument that a test does not name has a sane value."""

from collections.abc import Mapping, Sequence
from typing import Any

from tuning.core.trial import (
    Failure,
    FailureKind,
    Measurement,
    Phase,
    Trial,
    TrialResult,
    TrialState,
)


def make_trial(name: str = "random-000", **changes: Any) -> Trial:
    """Returns a trial; ``changes`` are its fields."""
    values: dict[str, Any] = {
        "number": 0,
        "params": {"units": 2, "rate": 0.0, "batch_size": 16},
        "phase": Phase.SEARCH,
        "searcher": "random",
        "seed": 7,
        "epochs": 2,
    }
    return Trial(name=name, **{**values, **changes})


def make_measurement(step: int = 1, value: float = 0.5, **metrics: float) -> Measurement:
    """Returns the metrics of an epoch, with ``value`` as ``val_accuracy``."""
    known = {"loss": 0.6, "accuracy": 0.6, "val_loss": 0.7, "val_accuracy": value}
    return Measurement(
        step=step, metrics={**known, "epoch_seconds": 1.0, **metrics}, elapsed_s=float(step)
    )


def make_result(
    values: Sequence[float] = (0.5, 0.6),
    state: TrialState = TrialState.COMPLETED,
    artifacts: Mapping[str, str] | None = None,
) -> TrialResult:
    """Returns a result with an epoch for each value of ``val_accuracy``."""
    measurements = tuple(make_measurement(step, v) for step, v in enumerate(values, start=1))
    best = max(values, default=None)
    failure = None
    if state is TrialState.FAILED:
        failure = Failure(kind=FailureKind.ERROR, message="it broke", traceback="where it broke")
    return TrialResult(
        state=state,
        value=best,
        best_step=None if best is None else list(values).index(best) + 1,
        measurements=measurements,
        duration_s=float(len(values)),
        failure=failure,
        artifacts=artifacts or {},
        facts={"parameter_count": 11.0},
    )
