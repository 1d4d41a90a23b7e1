"""Training one trial with real Keras: seeds, the best epoch, continuation, divergence."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.factories import make_trial
from tests.toy_task import ToyTask
from tests.training.kills import Killed, curve, killed_at
from tuning.core.errors import BadInputError, FatalTrialError, InfeasibleError
from tuning.core.trial import CONTINUE, Decision, FailureKind, Measurement, Trial, TrialState
from tuning.data.loading import Loader
from tuning.study.sections import Objective, Training

pytestmark = pytest.mark.slow

PARAMS = {"units": 4, "rate": 0.2, "batch_size": 20}
TASK, OBJECTIVE = ToyTask(), Objective()


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., Any]:
    from tuning.training.fit import train

    count = iter(range(99))

    def run(
        report: Callable[[Measurement], Decision] = lambda measurement: CONTINUE,
        task: ToyTask = TASK,
        objective: Objective = OBJECTIVE,
        **changes: Any,
    ) -> Any:
        trial: Trial = make_trial(
            changes.pop("name", f"trial-{next(count)}"),
            **{"params": PARAMS, "epochs": 4, **changes},
        )
        folder = tmp_path / trial.name
        folder.mkdir(exist_ok=True)
        training = Training(batch_size="batch_size", patience="patience")
        data = Loader(task).load("search", trial.params)
        return train(task, data, trial, objective, training, report, folder)

    return run


def test_the_same_seed_trains_the_same_model_and_another_does_not(fit: Any) -> None:
    first, again, other = fit(seed=1), fit(seed=1), fit(seed=2)
    assert curve(first) == curve(again)
    assert curve(first) != curve(other)


# 200 examples: the last of the batches of 64 is filled with copies.
@pytest.mark.parametrize(("batch_size", "rate"), [(20, 0.2), (64, 0.0)])
def test_a_training_has_the_numbers_that_keras_itself_gives(
    fit: Any, batch_size: int, rate: float
) -> None:
    import keras

    params = {**PARAMS, "batch_size": batch_size, "rate": rate}
    ours = fit(seed=5, params=params)
    keras.utils.clear_session()
    keras.utils.set_random_seed(5)
    task = ToyTask()
    data, model = task.load("search"), task.build(params)
    x, y = data["train"]
    options = {"batch_size": batch_size, "epochs": 4, "verbose": 0}
    theirs = model.fit(x, y, validation_data=data["validation"], **options).history
    copies = 200 % batch_size
    for metric in ("val_loss", "val_accuracy") if copies else tuple(theirs):
        assert curve(ours, metric) == pytest.approx(theirs[metric], abs=1e-4), metric


def test_seeding_is_that_of_keras(fit: Any) -> None:
    import keras

    from tuning.training.keras_process import set_seed

    def weights() -> list[np.ndarray]:
        return ToyTask().build(PARAMS).get_weights()  # type: ignore[no-any-return]

    set_seed(11)
    ours = weights()
    keras.utils.clear_session()
    keras.utils.set_random_seed(11)
    for a, b in zip(ours, weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("units", [5, 101], ids=["built", "refused"])
def test_only_the_building_is_compiled_without_optimisations(
    fit: Any, units: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import jax
    import keras

    seen: list[tuple[str, Any]] = []
    update, build = jax.config.update, ToyTask.build

    def spy(name: str, value: Any) -> None:
        if name == "jax_disable_most_optimizations":
            seen.append((name, value))
        update(name, value)

    def watched(task: ToyTask, params: Any) -> Any:
        seen.append(("build", None))
        model = build(task, params)
        keep.extend(model.get_weights())
        return model

    keep: list[np.ndarray] = []
    monkeypatch.setattr(jax.config, "update", spy)
    monkeypatch.setattr(ToyTask, "build", watched)
    # Programs that were compiled before would be taken as they are.
    jax.clear_caches()
    with pytest.raises(InfeasibleError) if units > 100 else contextlib.nullcontext():
        fit(seed=7, params={**PARAMS, "units": units})
    option = "jax_disable_most_optimizations"
    assert seen == [(option, True), ("build", None), (option, False)]
    jax.clear_caches()
    if units == 5:
        keras.utils.clear_session()
        keras.utils.set_random_seed(7)
        for hasty, plain in zip(
            keep, build(ToyTask(), {**PARAMS, "units": 5}).get_weights(), strict=True
        ):
            np.testing.assert_allclose(hasty, plain, atol=1e-6)


def test_every_epoch_is_reported_and_the_best_is_kept(fit: Any) -> None:
    import keras

    seen: list[int] = []

    def report(measurement: Measurement) -> Decision:
        seen.append(measurement.step)
        return CONTINUE

    result = fit(report, params={**PARAMS, "learning_rate": 0.3}, epochs=6)
    assert seen == [1, 2, 3, 4, 5, 6]
    assert result.state is TrialState.COMPLETED
    values = curve(result, "val_accuracy")
    assert (result.value, result.best_step) == (max(values), values.index(max(values)) + 1)
    model = keras.saving.load_model(result.artifacts["model"])
    x, y = ToyTask().load("search")["validation"]
    accuracy = np.mean((model.predict(x, verbose=0)[:, 0] >= 0.5) == y)
    assert accuracy == pytest.approx(result.value, abs=1e-6)
    spec = json.loads(Path(result.artifacts["model_spec"]).read_text())
    assert spec["inputs"] == [{"dtype": "float32", "shape": [-1, 2]}]
    assert result.facts["parameter_count"] == 2 * 4 + 4 + 4 + 1


class Worsening(ToyTask):
    """Validation expects the opposite of what training teaches: the first epoch is the best."""

    def load(self, split: Any) -> Any:
        parts = {part: (x, y) for part, (x, y) in super().load(split).items()}
        x, y = parts["validation"]
        return {**parts, "validation": (x, 1 - y)}


VAL_LOSS = Objective(metric="val_loss", direction="minimize")


def weights_of(result: Any) -> list[np.ndarray]:
    import keras

    return list(keras.saving.load_model(result.artifacts["model"]).get_weights())


@pytest.mark.parametrize("killed", [None, pytest.param(1, marks=pytest.mark.full), 3])
def test_the_saved_model_has_the_best_epochs_weights_not_the_lasts(
    fit: Any, monkeypatch: pytest.MonkeyPatch, killed: int | None
) -> None:
    monkeypatch.setattr("tuning.training.checkpoint.CHECKPOINT_TIME_SHARE", 1.0)
    worsening = {"task": Worsening(), "objective": VAL_LOSS}
    if killed is not None:
        with pytest.raises(Killed):
            fit(killed_at(killed), name="whole", **worsening)
    whole = fit(name="whole", **worsening)
    values = curve(whole, "val_loss")
    assert values == sorted(values)
    assert (whole.best_step, whole.value) == (1, values[0])
    first_epoch = fit(epochs=1, **worsening)
    for ours, best in zip(weights_of(whole), weights_of(first_epoch), strict=True):
        np.testing.assert_array_equal(ours, best)


@pytest.mark.parametrize(("task", "best"), [(ToyTask(), 4), (Worsening(), 1)])
def test_the_saved_model_has_the_validation_loss_of_the_best_epoch(
    fit: Any, task: ToyTask, best: int
) -> None:
    import keras

    result = fit(task=task, objective=VAL_LOSS)
    assert result.best_step == best
    model = keras.saving.load_model(result.artifacts["model"])
    loss, _ = model.evaluate(*task.load("search")["validation"], verbose=0)
    assert loss == pytest.approx(curve(result, "val_loss")[best - 1], rel=1e-5)


def test_a_decision_to_stop_prunes_at_that_epoch(fit: Any) -> None:
    result = fit(lambda m: Decision(stop=m.step == 2, reason="r" * (m.step == 2)))
    assert result.state is TrialState.PRUNED
    assert len(result.measurements) == 2
    assert not result.artifacts, "nobody wants the model of a pruned trial"


def test_to_stop_at_the_last_epoch_is_to_complete(fit: Any) -> None:
    result = fit(lambda m: Decision(stop=m.step == 4, reason="r" * (m.step == 4)))
    assert result.state is TrialState.COMPLETED


def test_to_stop_at_the_last_epoch_is_to_complete_also_after_a_kill(
    fit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuning.training.checkpoint.CHECKPOINT_TIME_SHARE", 1.0)
    with pytest.raises(Killed):
        fit(killed_at(4), name="killed")
    result = fit(lambda m: Decision(stop=m.step == 4, reason="r" * (m.step == 4)), name="killed")
    assert result.state is TrialState.COMPLETED


def test_going_on_from_a_checkpoint_keeps_the_optimizers_state(fit: Any) -> None:
    # Without dropout, and with one batch an epoch, only weights and Adam's state matter.
    params = {"units": 4, "rate": 0.0, "batch_size": 200}
    whole = fit(params=params, epochs=6)
    fit(name="half", params=params, epochs=3, keep_checkpoint=True)
    rest = fit(params=params, epochs=6, resume_from="half")
    assert [m.step for m in rest.measurements] == [1, 2, 3, 4, 5, 6], "one unbroken curve"
    np.testing.assert_allclose(curve(whole), curve(rest), rtol=1e-4)
    assert rest.inherited == 3
    own = [m for m in rest.measurements if m.step > 3]
    assert rest.duration_s < rest.measurements[-1].elapsed_s
    assert rest.duration_s >= sum(m.metrics["epoch_seconds"] for m in own) * 0.5


@pytest.mark.parametrize("step", [1, pytest.param(3, marks=pytest.mark.full), 6])
def test_a_killed_training_goes_on_as_if_it_had_never_stopped(
    fit: Any, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    import keras

    monkeypatch.setattr("tuning.training.checkpoint.CHECKPOINT_TIME_SHARE", 1.0)
    whole = fit(name="whole", epochs=6)
    with pytest.raises(Killed):
        fit(killed_at(step), name="killed", epochs=6)
    seen: list[int] = []

    def note(measurement: Measurement) -> Decision:
        seen.append(measurement.step)
        return CONTINUE

    rest = fit(note, name="killed", epochs=6)
    assert seen == [1, 2, 3, 4, 5, 6], "the epochs before are reported again, and no other"
    assert curve(rest) == curve(whole)
    assert curve(rest, "val_loss") == curve(whole, "val_loss")
    assert (rest.value, rest.best_step) == (whole.value, whole.best_step)
    ours = keras.saving.load_model(rest.artifacts["model"]).get_weights()
    theirs = keras.saving.load_model(whole.artifacts["model"]).get_weights()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_stop_in_the_epochs_before_is_obeyed(fit: Any) -> None:
    with pytest.raises(Killed):
        fit(killed_at(3), name="killed")
    result = fit(lambda m: Decision(stop=True, reason="late"), name="killed")
    assert result.state is TrialState.PRUNED


@pytest.mark.parametrize(
    "changes",
    [{"seed": 8}, pytest.param({"params": {**PARAMS, "rate": 0.1}}, marks=pytest.mark.full)],
)
def test_another_training_does_not_go_on_from_a_checkpoint(fit: Any, changes: Any) -> None:
    with pytest.raises(Killed):
        fit(killed_at(2), name="taken")
    assert curve(fit(name="taken", **changes)) == curve(fit(**changes))


@pytest.mark.parametrize(
    "harm",
    ["torn", "other", *(pytest.param(h, marks=pytest.mark.full) for h in ("empty", "text"))],
)
def test_a_checkpoint_that_cannot_be_used_costs_its_epochs_only(
    fit: Any, tmp_path: Path, harm: str
) -> None:
    file = tmp_path / "harmed" / "checkpoint.npz"
    whole = fit()
    with pytest.raises(Killed):
        fit(killed_at(2), name="harmed", params={**PARAMS, "units": 5 if harm == "other" else 4})
    if harm != "other":
        content = {"torn": file.read_bytes()[:-200], "empty": b"", "text": b"no archive"}[harm]
        file.write_bytes(content)
    assert curve(fit(name="harmed")) == curve(whole)


def test_checkpoints_take_a_small_share_of_the_training(tmp_path: Path) -> None:
    from tuning.training.checkpoint import Checkpointer, TrainingProgress, load

    file = tmp_path / "checkpoint.npz"
    model = ToyTask().build(PARAMS)
    checkpointer, progress = Checkpointer(file), TrainingProgress()
    for step in range(1, 200):
        progress.measurements.append(Measurement(step=step, metrics={}, elapsed_s=0.0))
        checkpointer.write(model, progress)
    assert 1 <= load(file, model).last_step < 199, "epochs of no time at all"
    checkpointer.write(model, progress, force=True)
    assert load(file, model).last_step == 199


def test_whoever_reads_a_checkpoint_finds_an_old_or_a_new_one_but_no_half(tmp_path: Path) -> None:
    from tuning.training.checkpoint import Checkpointer, TrainingProgress

    file = tmp_path / "checkpoint.npz"
    model = ToyTask().build(PARAMS)
    checkpointer, progress = Checkpointer(file), TrainingProgress()
    for step in (1, 2):
        progress.measurements.append(Measurement(step=step, metrics={}, elapsed_s=0.0))
        if step == 2:
            first, reader = file.read_bytes(), file.open("rb")
        checkpointer.write(model, progress, force=True)
    with reader:
        assert reader.read() == first, "who has begun to read it reads it to its end"
    assert file.read_bytes() != first
    assert list(tmp_path.iterdir()) == [file]


def test_a_training_that_diverges_fails_without_a_model(fit: Any) -> None:
    result = fit(params={**PARAMS, "learning_rate": float("inf")})
    assert result.state is TrialState.FAILED
    assert result.failure.kind is FailureKind.INFEASIBLE
    assert "diverged" in result.failure.message
    assert not result.artifacts


def test_an_impossible_model_is_infeasible(fit: Any) -> None:
    with pytest.raises(InfeasibleError, match="1000 units are too many"):
        fit(params={**PARAMS, "units": 1000})


def test_an_unknown_objective_is_named(tmp_path: Path) -> None:
    from tuning.training.fit import train

    task = ToyTask()
    with pytest.raises(FatalTrialError, match=r"'val_f1' is not among.*val_accuracy"):
        train(
            task,
            Loader(task).load("search", {}),
            make_trial(params=PARAMS, epochs=1),
            Objective(metric="val_f1"),
            Training(),
            lambda measurement: CONTINUE,
            tmp_path,
        )


def test_on_jax_tensorflow_is_never_imported(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from tests.factories import make_trial
from tests.toy_task import ToyTask
from tests.training.kills import Killed, curve, killed_at
from tuning.core.trial import CONTINUE
from tuning.data.loading import Loader
from tuning.study.sections import Objective, Training
from tuning.training.fit import train
task = ToyTask()
trial = make_trial(params={PARAMS!r}, epochs=1)
folder = Path({str(tmp_path)!r})
data = Loader(task).load("search", {{}})
train(task, data, trial, Objective(), Training(), lambda m: CONTINUE, folder)
assert "tensorflow" not in sys.modules
"""
    subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        cwd=Path(__file__).parents[2],
        check=True,
    )


def test_patience_ends_a_training_that_gets_no_better(fit: Any, tmp_path: Path) -> None:
    params = {**PARAMS, "patience": 2}
    result = fit(name="patient", params=params, epochs=60, keep_checkpoint=True)
    assert result.state is TrialState.COMPLETED
    assert result.best_step is not None
    assert len(result.measurements) == result.best_step + 2 < 60
    # Killed after its last epoch, it has nothing left to train.
    again = fit(name="patient", params=params, epochs=60)
    assert curve(again) == curve(result)
    assert again.state is TrialState.COMPLETED


class TrainsItself(ToyTask):
    """Has its own fit, which may forget the callbacks."""

    forgets = False

    def fit(
        self, model: Any, params: Any, data: Any, callbacks: Any, epochs: int, initial_epoch: int
    ) -> None:
        model.fit(
            *data["train"],
            batch_size=params["batch_size"],
            validation_data=data["validation"],
            epochs=epochs,
            initial_epoch=initial_epoch,
            callbacks=[] if self.forgets else callbacks,
            verbose=0,
        )


def test_a_task_may_train_its_models_itself_and_its_training_is_resumed(
    fit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuning.training.checkpoint.CHECKPOINT_TIME_SHARE", 1.0)
    task = TrainsItself()
    whole = fit(task=task)
    assert whole.state is TrialState.COMPLETED
    assert curve(whole) == pytest.approx(curve(fit()))
    with pytest.raises(Killed):
        fit(killed_at(2), name="killed", task=task)
    assert curve(fit(name="killed", task=task)) == curve(whole)
    task.forgets = True
    with pytest.raises(BadInputError, match=r"trained no epoch; pass the callbacks to model\.fit"):
        fit(task=task)


class Callbacks(ToyTask):
    """Lowers the learning rate by a callback of Keras, which counts epochs."""

    def callbacks(self, params: Any) -> list[Any]:
        import keras

        plateau = keras.callbacks.ReduceLROnPlateau("val_loss", 0.1, patience=2, min_delta=10)
        return [plateau]


def test_the_callbacks_of_a_task_run_and_count_on_after_a_kill(
    fit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuning.training.checkpoint.CHECKPOINT_TIME_SHARE", 1.0)
    whole = fit(task=Callbacks(), epochs=6)
    assert curve(whole) != curve(fit(epochs=6))
    with pytest.raises(Killed):
        fit(killed_at(2), name="killed", task=Callbacks(), epochs=6)
    assert curve(fit(name="killed", task=Callbacks(), epochs=6)) == curve(whole)
