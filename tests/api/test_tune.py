"""Whole studies from Python: a script without a guard, its result, and what it can do."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tuning
from tests.stand_in import ROOT
from tests.stores import copy_store, empty_store
from tuning.core.errors import BadInputError, PromotionRefusedError

pytestmark = pytest.mark.slow

# No guard, a closure, a class and a callback of the script, and a hyperparameter of the batch.
SCRIPT = """
import json
import keras, numpy as np, tuning

WIDTH = 4

class Scale(keras.layers.Layer):
    def call(self, inputs):
        return inputs / WIDTH

class Count(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["val_count"] = epoch + 1.0

def made(units_high):
    def build(hp):
        model = keras.Sequential([
            keras.layers.Input((2,)),
            Scale(),
            keras.layers.Dense(hp.Int("units", 2, units_high, step=2, default=2), "relu"),
            keras.layers.Dense(1),
        ])
        hp.Choice("batch_size", [16, 32])
        model.compile(keras.optimizers.Adam(hp.Float("lr", 1e-3, 1e-1, sampling="log")), "mse")
        return model
    return build

x = np.random.default_rng(0).normal(size=(300, 2)).astype("float32")
y = x[:, 0] - 2 * x[:, 1]
result = tuning.tune(
    made(8), data=(x, y), metric="rmse", trials=2, epochs=2, seeds=2, top_k=1, name="line",
    searchers=["random"], workers=WORKERS, callbacks=[Count()],
    enqueue=[{"units": 8, "batch_size": 32, "lr": 0.1}],
    **json.loads(OPTIONS),
)
found = {
    "run": result.run_id,
    "verdict": result.verdict,
    "gain": [result.gain.low, result.gain.estimate, result.gain.high],
    "best": result.best_params,
    "test": result.comparison.best.test,
    "again": float(np.sqrt(np.mean((result.load_model().predict(x, verbose=0)[:, 0] - y) ** 2))),
    "epochs": int(result.curves()["epoch"].max()),
    "count": sorted(set(result.curves()["val_count"])),
}
print("FOUND", json.dumps(found))
"""


def run_script(text: str, folder: Path, stdin: bool = False) -> dict[str, Any]:
    (folder / "line.py").write_text(text)
    command = [sys.executable, "-" if stdin else "line.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "jax"}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    done = subprocess.run(
        command,
        input=text if stdin else None,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("FOUND "))
    return {**json.loads(line.removeprefix("FOUND ")), "output": done.stdout}


def with_options(**options: Any) -> str:
    workers = options.pop("workers", 1)
    text = SCRIPT.replace("WORKERS", str(workers))
    return text.replace("OPTIONS", repr(json.dumps(options)))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("line")
    copy_store(empty_store(), folder / "mlflow.db")
    return folder, run_script(with_options(), folder)


@pytest.fixture
def result(finished: Any, monkeypatch: pytest.MonkeyPatch) -> tuning.StudyResult:
    folder, _ = finished
    monkeypatch.chdir(folder)
    return tuning.load_study(tracking_uri=f"sqlite:///{folder}/mlflow.db")


def test_a_script_without_a_guard_runs_once_and_says_its_baseline(finished: Any) -> None:
    _, found = finished
    assert found["output"].count("Verdict: ") == 1
    assert "baseline: units 2, batch_size 16, lr 0.001" in found["output"]
    assert "split at random into 60% train" in found["output"]
    assert found["best"] == {"units": 8, "batch_size": 32, "lr": 0.1}, "it was enqueued"
    assert found["gain"] == sorted(found["gain"])
    assert (found["epochs"], found["count"]) == (2, [1.0, 2.0])
    # The loaded model is that of the first seed; on all rows it is about as good as on the test's.
    assert found["again"] == pytest.approx(found["test"][0], rel=0.4)


def test_the_result_is_the_same_when_it_is_loaded_later(
    result: tuning.StudyResult, finished: Any
) -> None:
    _, found = finished
    assert result.run_id == found["run"]
    assert (result.name, result.verdict, result.best_params) == (
        "line",
        found["verdict"],
        found["best"],
    )
    assert result.gain is not None and result.gain.estimate == pytest.approx(found["gain"][1])
    assert result.baseline_params == {"units": 2, "batch_size": 16, "lr": 0.001}


def test_trials_and_curves_are_tables(result: tuning.StudyResult) -> None:
    trials, curves = result.trials(), result.curves()
    assert list(trials["phase"]).count("search") == 2
    assert set(trials["trial"]) >= set(curves["trial"])
    judged = trials[trials["test_rmse"].notna()]
    assert sorted(judged["phase"].unique()) == ["baseline", "confirm"]
    assert trials["params.units"].between(2, 8).all()


def test_report_figures_and_pages_can_be_had(result: tuning.StudyResult, tmp_path: Path) -> None:
    report = result.report(tmp_path / "report")
    assert "Verdict: " in report.read_text("utf-8")
    assert (report.parent / "comparison.json").exists()
    assert all(file.suffix == ".svg" and file.exists() for file in result.figures.values())
    assert repr(result).count("Verdict: ") == 1 and result.run_id in repr(result)
    page = result._repr_html_()
    assert page.count("<table>") == 2 and "/experiments/" in page


def test_optuna_gets_the_search_trials(result: tuning.StudyResult) -> None:
    import optuna

    converted = result.to_optuna()
    assert converted.direction is optuna.study.StudyDirection.MINIMIZE
    values = result.trials().query("phase == 'search'")["value"]
    assert converted.best_value == pytest.approx(values.min())
    assert converted.best_trial.intermediate_values.keys() == {1, 2}
    assert optuna.visualization.matplotlib.plot_optimization_history(converted)


def test_the_gate_decides_on_a_promotion(result: tuning.StudyResult) -> None:
    impossible = tuning.GateRule(max_size_mb=1e-9)
    with pytest.raises(PromotionRefusedError, match=r"gate.max_size_mb"):
        result.promote(impossible)
    assert result.name == "line"


def test_without_its_functions_a_study_cannot_go_on(result: tuning.StudyResult) -> None:
    with pytest.raises(BadInputError, match=r"call tuning.tune"):
        result.confirm(seeds=5)
    with pytest.raises(BadInputError, match=r"seeds: the study has 2 already; got 2"):
        result.confirm(seeds=2)
    with pytest.raises(BadInputError, match=r"has no model in MLflow"):
        result.model_of("nobody")


def test_only_the_metric_of_a_study_is_taken_for_it(finished: Any) -> None:
    uri = f"sqlite:///{finished[0]}/mlflow.db"
    with pytest.raises(BadInputError, match=r"the study was judged by rmse; got <built-in"):
        tuning.load_study(tracking_uri=uri, metric=abs)


def test_another_study_is_not_found(tmp_path: Path, finished: Any) -> None:
    uri = f"sqlite:///{finished[0]}/mlflow.db"
    with pytest.raises(BadInputError, match=r"there is no run of the study 'other'"):
        tuning.load_study(name="other", tracking_uri=uri)
    with pytest.raises(BadInputError, match=r"no run of a study in this store"):
        tuning.load_study(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")


@pytest.mark.full
def test_a_study_goes_on_with_more_seeds_as_a_further_look(tmp_path: Path) -> None:
    more = "\nmore = result.confirm(seeds=3)\nprint('MORE', len(more.comparison.baseline.test))\n"
    more += "print('LOOKS', len(more.record.looks), more.run_id == result.run_id)\n"
    output = run_script(with_options() + more, tmp_path)["output"]
    assert "MORE 3\nLOOKS 2 True" in output


@pytest.mark.full
def test_a_variable_that_changed_is_named(finished: Any, tmp_path: Path) -> None:
    folder, _ = finished
    changed = with_options(resume="last").replace("WIDTH = 4", "WIDTH = 5")
    with pytest.raises(AssertionError, match=r"the code is not .* build: .*WIDTH"):
        run_script(changed, folder)


@pytest.mark.full
def test_a_script_on_standard_input_runs_too(tmp_path: Path) -> None:
    assert run_script(with_options(), tmp_path, stdin=True)["best"]["units"] == 8


@pytest.mark.full
def test_functions_reach_the_workers_of_a_ray_cluster(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    assert run_script(with_options(executor="ray", workers=2), tmp_path)["best"]["units"] == 8


def test_functions_of_a_test_module_reach_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copy_store(empty_store(), tmp_path / "mlflow.db")
    offset = 3.0

    def train(params: Any, seed: int, report: Any) -> Any:
        import numpy as np

        truth = np.arange(20.0)
        noise = np.random.default_rng(seed).normal(scale=0.1, size=20)
        for step in range(3):
            report(offset + params["error"] - step)
        predicted = truth + params["error"] + noise
        return {"validation": (truth, predicted), "test": (truth[::-1], predicted[::-1])}

    found = tuning.tune(
        train=train,
        space={"error": tuning.Float(0.0, 2.0, default=2.0)},
        metric="mae",
        trials=4,
        epochs=3,
        searchers=["optuna:tpe+none"],
        name="errors",
        groups=[f"shop {row // 4}" for row in range(20)],  # of the test rows
        tracking_uri=f"sqlite:///{tmp_path}/mlflow.db",
        workers=2,
        output="quiet",
    )
    assert found.verdict == "better"
    best = found.best_params["error"]
    assert found.gain is not None
    assert found.gain.estimate == pytest.approx(2.0 - best, abs=0.1)
    assert found.gain.rows is not None
    assert (found.gain.rows.unit, found.gain.rows.units) == ("group", 5)
    assert found.curves()["epoch"].max() == 3
    assert found.record.data.cannot_serve


def test_an_own_metric_and_predicted_classes_are_judged_in_workers_of_any_framework(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    monkeypatch.chdir(tmp_path)
    copy_store(empty_store(), tmp_path / "mlflow.db")
    truth = np.array(["a", "b", "d"] * 10)

    def train(params: Any, seed: int, wrong: int = 9) -> Any:
        predicted = truth.copy()
        # Another class in every model, and more errors without the hyperparameter.
        predicted[: wrong if params["error"] else 1] = ["c", "d", "e"][seed % 3]
        return {"validation": (truth, predicted), "test": (truth, predicted)}

    found = tuning.tune(
        train=train,
        space={"error": tuning.Choice([False, True], default=True)},
        metric=share_of_errors,
        direction="minimize",
        trials=2,
        seeds=2,
        searchers=["random"],
        name="classes",
        tracking_uri=f"sqlite:///{tmp_path}/mlflow.db",
        workers=1,
        output="quiet",
    )
    assert found.best_params == {"error": False}
    assert found.comparison.baseline.mean_test > found.comparison.best.mean_test  # type: ignore[union-attr]


def share_of_errors(truth: Any, prediction: Any) -> float:
    return float((truth != prediction.argmax(axis=1)).mean())


def test_an_objective_beside_train_is_refused() -> None:
    with pytest.raises(BadInputError, match="objective: with train= the search sees the metric"):
        tuning.tune(
            train=lambda params, seed: {},
            space={"x": tuning.Int(1, 2, default=1)},
            metric="accuracy",
            objective="val_loss",
        )


def test_the_best_trials_of_an_optuna_study_are_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np
    import optuna

    monkeypatch.chdir(tmp_path)
    copy_store(empty_store(), tmp_path / "mlflow.db")
    study = optuna.create_study(study_name="conditional")
    for error, kind in ((1.0, "a"), (0.5, None), (0.5, None), (0.0, None)):
        params: dict[str, Any] = {"kind": kind, "error": error}
        params |= {"extra": 1} if kind == "a" else {}
        distributions: Any = {
            name: optuna.distributions.CategoricalDistribution([value])
            for name, value in params.items()
        }
        study.add_trial(
            optuna.trial.create_trial(value=error, params=params, distributions=distributions)
        )

    def evaluate(params: Any, seed: int) -> Any:
        assert ("extra" in params) == (params["kind"] == "a")
        scores = np.full(30, params["error"]) + np.random.default_rng(seed).normal(size=30) / 9
        return {"validation": float(scores.mean()), "test": scores}

    found = tuning.confirm(
        study,
        evaluate,
        baseline={"kind": "a", "error": 1.0, "extra": 1},
        metric="mean_cost",
        top_k=2,
        seeds=2,
        tracking_uri=f"sqlite:///{tmp_path}/mlflow.db",
        output="quiet",
    )
    assert [config.label for config in found.comparison.candidates] == ["trial-3", "trial-1"]
    assert (found.verdict, found.best_params["error"]) == ("better", 0.0)
    assert found.name == "conditional" and not found.record.in_phase(tuning_phase())


def tuning_phase() -> Any:
    from tuning.core.trial import Phase

    return Phase.SEARCH


ROLLING = """
import json, keras, numpy as np, tuning

def build(hp):
    model = keras.Sequential([keras.layers.Input((6, 1)), keras.layers.Flatten(),
                              keras.layers.Dense(hp.Int("units", 2, 8, step=2, default=2), "relu"),
                              keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    return model

series = np.sin(np.arange(400) / 5).astype("float32")
made = tuning.windows(series, series, window=6, horizon=2)
result = tuning.tune(
    build, data=(made.x, made.y), times=made.times, metric="rmse", trials=2, epochs=2, top_k=1,
    seeds=2, name="waves", searchers=["random"], search={"folds": 2},
    confirm={"resample": "rolling", "folds": 4, "gap": 3},
)
gain = result.gain
cuts = [json.loads(run.trial.tags["tuning.cut"]) for run in result.record.trials]
print("FOUND", json.dumps({
    "rows": [gain.rows.unit, gain.rows.units, gain.rows.block_length],
    "overlap": gain.overlap,
    "cuts": sorted({(cut["method"], cut["folds"], cut["number"], cut["gap"]) for cut in cuts}),
    "trials": result.trials()["phase"].value_counts().to_dict(),
    "dm": result.comparison.diebold_mariano.times,
    "train": result.record.data.sizes["train"],
}))
"""


def test_a_forecast_is_judged_on_blocks_of_time_and_trained_on_rolling_rows(
    tmp_path: Path,
) -> None:
    found = run_script(ROLLING, tmp_path)
    unit, units, length = found["rows"]
    assert (unit, units) == ("time", found["dm"]) and 2 <= length <= units // 3
    assert 0.8 < found["overlap"] < 1
    assert found["cuts"] == [
        ["rolling", 2, 1, 3],
        ["rolling", 2, 2, 3],
        ["rolling", 4, 1, 3],
        ["rolling", 4, 2, 3],
    ]
    assert found["trials"] == {"search": 4, "baseline": 2, "confirm": 2}
    assert "split by time into 60% train" in found["output"]
