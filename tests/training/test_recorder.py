"""What the recorder makes of Keras's metrics, and when a training counts as diverged."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tuning.core.errors import FatalTrialError
from tuning.core.trial import CONTINUE, Decision, Measurement
from tuning.study.sections import Objective
from tuning.training.checkpoint import Checkpointer, TrainingProgress
from tuning.training.recorder import EpochRecorder, numbers_of


class NoCheckpoints(Checkpointer):
    def write(self, model: Any, progress: TrainingProgress, *, force: bool = False) -> None:
        pass


def make_recorder(seen: list[Measurement], epochs: int = 5, **options: Any) -> EpochRecorder:
    def report(measurement: Measurement) -> Decision:
        seen.append(measurement)
        return CONTINUE

    model: Any = SimpleNamespace(stop_training=False, get_weights=lambda: [len(seen)])
    return EpochRecorder(
        model,
        Objective(metric="val_loss"),
        report,
        TrainingProgress(),
        NoCheckpoints(Path("none")),
        epochs,
        options.get("patience", epochs),
    )


def end_epochs(recorder: EpochRecorder, *logs: dict[str, Any]) -> None:
    for epoch, log in enumerate(logs):
        recorder._begin_epoch(epoch)
        recorder._end_epoch(epoch, log)


def test_a_metric_of_several_values_becomes_several_metrics() -> None:
    logs = {"loss": np.float32(0.5), "f1_score": np.array([0.25, 0.75]), "one": np.array([0.5])}
    assert numbers_of(logs) == {"loss": 0.5, "f1_score_0": 0.25, "f1_score_1": 0.75, "one": 0.5}


def test_another_metric_that_is_not_finite_is_only_left_out() -> None:
    seen: list[Measurement] = []
    recorder = make_recorder(seen)
    end_epochs(
        recorder,
        {"loss": 1.0, "val_loss": 2.0, "val_f1": np.nan, "val_loss_2": np.inf},
        {"loss": 0.5, "val_loss": 1.0, "val_f1": 0.5},
    )
    assert not recorder.diverged
    assert [set(m.metrics) - {"epoch_seconds"} for m in seen] == [
        {"loss", "val_loss"},
        {"loss", "val_loss", "val_f1"},
    ]


@pytest.mark.parametrize("name", ["loss", "val_loss"])
def test_a_loss_or_an_objective_that_is_not_finite_is_divergence(name: str) -> None:
    seen: list[Measurement] = []
    recorder = make_recorder(seen)
    end_epochs(recorder, {"loss": 1.0, "val_loss": 2.0, name: np.nan})
    assert recorder.diverged == f"diverged: {name} is nan at epoch 1"
    assert recorder.model.stop_training
    assert not seen


def test_an_objective_that_is_not_reported_names_those_that_are() -> None:
    recorder = make_recorder([])
    with pytest.raises(FatalTrialError, match=r"'val_loss' is not among .*: accuracy, loss"):
        end_epochs(recorder, {"loss": 1.0, "accuracy": 0.5})


def test_epochs_are_counted_by_the_recorder_and_end_the_training() -> None:
    seen: list[Measurement] = []
    recorder = make_recorder(seen, epochs=3)
    log = {"loss": 1.0, "val_loss": 2.0}
    end_epochs(recorder, log, log)
    end_epochs(recorder, log)  # a loop of the task's own begins at 0 again
    assert [m.step for m in seen] == [1, 2, 3]
    assert recorder.model.stop_training


def test_the_first_of_equal_epochs_is_the_best_and_patience_counts_from_it() -> None:
    seen: list[Measurement] = []
    recorder = make_recorder(seen, epochs=9, patience=2)
    values = [3.0, 2.0, 2.0, 2.5]
    end_epochs(recorder, *({"loss": 1.0, "val_loss": value} for value in values))
    assert (recorder.progress.best_value, recorder.progress.best_step) == (2.0, 2)
    assert recorder.model.stop_training
