"""The tuner with the interface of KerasTuner; what its guides call works, or says what to call."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.stores import copy_store, empty_store
from tuning.core.errors import BadInputError

keras = pytest.importorskip("keras")
kt = pytest.importorskip("tuning.integrations.keras_tuner")

X = np.random.default_rng(0).normal(size=(120, 2)).astype("float32")
Y = (X.sum(axis=1) > 0).astype("int32")
DATA: dict[str, Any] = {"x": X[:80], "y": Y[:80], "validation_data": (X[80:], Y[80:])}


class HyperModel(kt.HyperModel):  # type: ignore[misc, name-defined]
    """A hypermodel that tunes its training, too."""

    def build(self, hp: Any) -> Any:
        model = keras.Sequential(
            [
                keras.layers.Input((2,)),
                keras.layers.Dense(hp.Int("units", 2, 8, step=2), activation="relu"),
                keras.layers.Dense(1, activation="sigmoid"),
            ]
        )
        model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
        return model

    def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        return model.fit(*args, shuffle=hp.Boolean("shuffle", default=True), **kwargs)


class OwnLoop(HyperModel):
    """A hypermodel with a loop of its own, which calls the callbacks itself, as in the guide."""

    def fit(
        self,
        hp: Any,
        model: Any,
        x: Any,
        y: Any,
        validation_data: Any,
        callbacks: Any = None,
        **kwargs: Any,
    ) -> float:
        for callback in callbacks or []:
            callback.set_model(model)
        best = np.inf
        for epoch in range(2):
            model.train_on_batch(x, y)
            loss = float(model.test_on_batch(*validation_data)[0])
            best = min(best, loss)
            for callback in callbacks or []:
                callback.on_epoch_end(epoch, logs={"my_metric": loss})
        return best


class ReturnsValue(HyperModel):
    """A hypermodel whose fit returns the objective."""

    def fit(self, hp: Any, model: Any, x: Any, y: Any, **kwargs: Any) -> float:
        model.train_on_batch(x, y)
        return 0.25


def made(
    tmp_path: Path, hypermodel: Any = None, objective: Any = "val_accuracy", **options: Any
) -> Any:
    copy_store(empty_store(), tmp_path / "mlflow.db")
    return kt.Tuner(
        hypermodel or HyperModel(),
        objective,
        max_trials=2,
        directory=tmp_path / "cache",
        project_name="guide",
        tracking_uri=f"sqlite:///{tmp_path}/mlflow.db",
        workers=1,
        **options,
    )


def test_an_objective_without_a_direction_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="whether larger values of 'val_thing'"):
        made(tmp_path, objective="val_thing")
    with pytest.raises(BadInputError, match="one objective"):
        made(tmp_path, objective=["val_loss", "val_accuracy"])


def test_what_is_missing_says_what_to_call(tmp_path: Path) -> None:
    tuner = made(tmp_path)
    with pytest.raises(AttributeError, match="run_trial does not exist here: write a HyperModel"):
        tuner.run_trial(None)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        tuner.nonsense  # noqa: B018
    for call in (tuner.get_best_models, tuner.results_summary, tuner.reload):
        with pytest.raises(BadInputError, match=r"call search first|no run of the study"):
            call()
    with pytest.raises(BadInputError, match="confirm: call search first"):
        tuner.confirm(test=(X, Y))
    with pytest.raises(BadInputError, match="pass validation_data, or validation_split"):
        tuner.search(X, Y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adam"}, "optimizer: it has no meaning here; compile the model in build"),
        ({"tune_new_entries": False}, "tune_new_entries: .* Fixed in hyperparameters"),
        ({"beta": 2.6}, "beta: .*oracle='keras_tuner:bayesian"),
        ({"max_trails": 3}, "there is no keyword 'max_trails'"),
    ],
)
def test_an_argument_without_a_counterpart_is_refused_when_the_tuner_is_made(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInputError, match=message):
        made(tmp_path, **options)
    assert made(tmp_path, tune_new_entries=True, on_error="retry")


def test_a_build_function_is_a_hypermodel(tmp_path: Path) -> None:
    tuner = made(tmp_path, lambda hp: hp.Int("units", 1, 4))
    assert tuner.hypermodel.build(kt.HyperParameters()) == 1


def test_given_hyperparameters_replace_those_of_build_and_fit() -> None:
    from tuning.api.function_task import trains_itself
    from tuning.integrations.keras_tuner_arguments import (
        GivenHyperparameters,
        GivenHyperparametersWithFit,
    )

    given = kt.HyperParameters()
    given.Int("units", 6, 8, step=2)
    asked = kt.HyperParameters()
    wrapped = GivenHyperparametersWithFit(HyperModel(), given)
    model = wrapped.build(asked)
    assert asked.values == {"units": 6} and asked.space[0].min_value == 6
    wrapped.fit(asked, model, X, Y, epochs=1, verbose=0)
    assert asked.values == {"units": 6, "shuffle": True}
    assert trains_itself(wrapped) and not trains_itself(GivenHyperparameters(HyperModel(), given))


def test_hyperband_has_the_trials_of_all_its_brackets() -> None:
    from tuning.integrations.keras_tuner_arguments import hyperband_trials

    # By hand, for 9 epochs: brackets of 3; 5 and 2; 9, 3 and 1 trials.
    assert hyperband_trials(9, 3) == 3 + (5 + 2) + (9 + 3 + 1)
    assert hyperband_trials(1, 3) == 1


def test_validation_split_takes_the_last_rows(tmp_path: Path) -> None:
    from tuning.integrations.keras_tuner_arguments import split_rows

    train, validation = split_rows(X, Y, None, None, 0.25)
    assert len(train[0]) == 90 and (validation[0] == X[90:]).all()


@pytest.mark.slow
@pytest.mark.full
def test_the_calls_of_the_guide_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tuner = made(tmp_path, oracle="random", executions_per_trial=2, seed=1)
    tuner.search_space_summary()
    assert "units (Int)" in capsys.readouterr().out
    early = keras.callbacks.EarlyStopping(monitor="val_loss", patience=3)
    tuner.search(**DATA, epochs=2, callbacks=[early], batch_size=16)
    assert len(tuner.result.trials()) == 4, "two trials, each trained twice"
    tuner.results_summary(num_trials=1)
    assert "Score: " in capsys.readouterr().out
    best = tuner.get_best_hyperparameters(2)[0]
    assert {"units", "shuffle"} == set(best.values) and best.get("units") == best.values["units"]
    model = tuner.get_best_models(num_models=1)[0]
    assert model.evaluate(X, Y, verbose=0)[1] >= 0
    trial = tuner.oracle.get_best_trials(num_trials=1)[0]
    by_config = tuner.result.trials().groupby("params.units")["value"].mean()
    assert trial.score == pytest.approx(by_config.max())
    assert tuner.hypermodel.build(best).count_params() == model.count_params()
    # The same script again goes on with what it has.
    again = made_again(tmp_path)
    again.search(**DATA, epochs=2, callbacks=[early], batch_size=16, verbose=0)
    assert again.result.run_id == tuner.result.run_id
    assert len(again.result.trials()) == 4


def made_again(tmp_path: Path) -> Any:
    return kt.Tuner(
        HyperModel(),
        "val_accuracy",
        max_trials=2,
        oracle="random",
        executions_per_trial=2,
        seed=1,
        directory=tmp_path / "cache",
        project_name="guide",
        tracking_uri=f"sqlite:///{tmp_path}/mlflow.db",
        workers=1,
    )


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize(
    ("hypermodel", "objective"),
    [(OwnLoop(), kt.Objective("my_metric", "min")), (ReturnsValue(), None)],
)
def test_a_loop_of_ones_own_is_recorded(hypermodel: Any, objective: Any, tmp_path: Path) -> None:
    tuner = made(tmp_path, hypermodel, objective, oracle="random")
    tuner.search(**DATA, epochs=2, verbose=0)
    trials = tuner.result.trials()
    assert list(trials["state"]) == ["completed", "completed"]
    if objective is None:
        assert list(trials["value"]) == [0.25, 0.25]
    result = tuner.confirm(test=(X, Y), seeds=2, metric="accuracy", promote="never")
    assert result.verdict in ("better", "inconclusive", "worse")
