"""Callbacks and a fit of the task's own, with checkpoints, kills and decisions to stop."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.factories import make_trial
from tests.kinds.tasks import Regression
from tests.training.kills import Killed, curve, killed_at
from tuning.core.errors import BadInputError
from tuning.core.trial import CONTINUE, Decision, Measurement, TrialState
from tuning.data.loading import Loader
from tuning.study.sections import Compare, Objective, Training

pytestmark = [pytest.mark.slow, pytest.mark.full]

EPOCHS = 8


class WithCallbacks(Regression):
    def callbacks(self, params: Mapping[str, Any]) -> Sequence[Any]:
        import keras

        return [
            keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.1, patience=1, min_delta=9.0),
            keras.callbacks.EarlyStopping("val_loss", patience=5, min_delta=9.0),
        ]


class WithOwnFit(WithCallbacks):
    def fit(
        self,
        model: Any,
        params: Mapping[str, Any],
        data: Mapping[str, Any],
        callbacks: Sequence[Any],
        initial_epoch: int,
    ) -> None:
        x, y = data["train"]
        model.fit(
            x,
            y,
            batch_size=params["batch_size"],
            epochs=1_000,  # the callbacks end it
            initial_epoch=initial_epoch,
            validation_data=data["validation"],
            callbacks=callbacks,
            verbose=0,
        )


class WithoutCallbacks(Regression):
    def fit(self, model: Any, params: Any, data: Any, callbacks: Any) -> None:
        model.fit(*data["train"], verbose=0)


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    from tuning.training.fit import train

    monkeypatch.setattr("tuning.training.checkpoint.CHECKPOINT_TIME_SHARE", 1.0)

    def run(
        task: Any,
        name: str,
        report: Callable[[Measurement], Decision] = lambda measurement: CONTINUE,
        **training: Any,
    ) -> Any:
        params = {"units": 4, "batch_size": 32}
        trial = make_trial(name, params=params, epochs=EPOCHS, seed=3)
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        options = Training(**{"batch_size": "batch_size", **training})
        return train(
            task,
            Loader(task).load("search", params),
            trial,
            Objective(metric="val_loss"),
            options,
            report,
            folder,
            Compare(metric="rmse"),
        )

    return run


@pytest.mark.parametrize("task", [WithCallbacks(), WithOwnFit()], ids=["callbacks", "own fit"])
@pytest.mark.parametrize("step", [2, 5, 6])
def test_callbacks_go_on_after_a_kill_as_if_there_had_been_none(
    fit: Any, task: Any, step: int
) -> None:
    whole = fit(task, "whole")
    # No epoch is better by 9, so the fifth after the first is the last, and the rate falls.
    assert len(whole.measurements) == 6
    rates = curve(whole, "learning_rate")
    assert rates[0] == pytest.approx(0.02)
    assert rates[-1] < 1e-5
    with pytest.raises(Killed):
        fit(task, "killed", killed_at(step))
    rest = fit(task, "killed")
    for metric in ("loss", "val_loss", "learning_rate"):
        assert curve(rest, metric) == curve(whole, metric)
    assert (rest.state, rest.best_step) == (TrialState.COMPLETED, whole.best_step)


@pytest.mark.parametrize("task", [WithCallbacks(), WithOwnFit()], ids=["callbacks", "own fit"])
def test_a_decision_ends_a_training_with_callbacks(fit: Any, task: Any) -> None:
    result = fit(task, "pruned", lambda m: Decision(stop=m.step == 2, reason="r"))
    assert (result.state, len(result.measurements)) == (TrialState.PRUNED, 2)


def test_a_fit_that_forgets_the_callbacks_is_refused(fit: Any) -> None:
    with pytest.raises(BadInputError, match="has trained no epoch; pass the callbacks"):
        fit(WithoutCallbacks(), "forgetful")


def test_weights_of_classes_are_those_of_keras(fit: Any) -> None:
    import keras

    from tests.kinds.tasks import Sigmoid, split
    from tuning.training.keras_process import set_seed

    weights = {0: 3.0, 1: 0.5}
    ours = fit(Sigmoid(), "weighted", class_weight=weights)
    set_seed(3)
    task = Sigmoid()
    model, data = task.build({"units": 4}), split(*task.examples(), "search")
    history = model.fit(
        *data["train"],
        batch_size=32,
        epochs=EPOCHS,
        class_weight=weights,
        validation_data=data["validation"],
        verbose=0,
    ).history
    assert curve(ours, "loss") == pytest.approx(history["loss"], rel=1e-4)
    assert isinstance(model, keras.Model)


def test_balanced_weights_give_every_class_the_same_sum() -> None:
    from tuning.data.parts import Part
    from tuning.training.batches import weighted

    part = Part("train", np.zeros((6, 1)), np.array([0, 0, 0, 0, 1, 2]))
    balanced = weighted(part, "balanced").weights
    assert balanced is not None
    assert balanced == pytest.approx([0.5, 0.5, 0.5, 0.5, 2.0, 2.0])
