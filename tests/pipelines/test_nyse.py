"""The second flagship: the book's data, split and network, simple forecasts, and the service."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score

from pipelines.nyse import data
from pipelines.nyse.task import NyseTask
from pipelines.nyse.yardsticks import yardsticks
from tuning.core.errors import BadInputError
from tuning.data.cuts import Cut
from tuning.study.file import load_study

ROOT = Path(__file__).parents[2]
STUDY = load_study(ROOT / "pipelines/nyse/study.yaml")
BOOK = STUDY.hyperparameters(STUDY.baseline)
WIDE = {**BOOK, "window": 20, "day_of_week": True, "cell": "gru", "layers": 2}


def test_the_days_are_those_of_the_book() -> None:
    days = data.trading_days()
    assert len(days) == 6_051
    assert str(days["date"][data.targets_of("test")[0]].date()) == "1980-01-02"
    assert len(data.targets_of("test")) == 1_770
    parts = [data.targets_of(part) for part in ("train", "validation", "test")]
    assert np.array_equal(np.concatenate(parts), np.arange(data.MOST_DAYS, 6_051))
    assert np.array_equal(np.concatenate(parts[:2]), data.targets_of("search"))


def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    file = tmp_path / "NYSE.csv.gz"
    file.write_bytes(gzip.compress(gzip.decompress(data.FILE.read_bytes()) + b"\n"))
    monkeypatch.setattr(data, "FILE", file)
    with pytest.raises(BadInputError, match=r"has the digest .*; restore it from the repository"):
        data.trading_days.__wrapped__()


def test_simple_forecasts_are_as_good_as_the_book_says() -> None:
    """The figures are those of scikit-learn on the book's split."""
    truth = data.trading_days()[data.TARGET].to_numpy()[data.targets_of("test")]
    found = {name: r2_score(truth, forecast) for name, forecast in yardsticks().items()}
    assert found == {
        "same as yesterday": pytest.approx(0.180, abs=0.001),
        "linear, 5 days": pytest.approx(0.413, abs=0.001),
        "linear, 5 days and day of the week": pytest.approx(0.460, abs=0.001),
        "boosted trees, 5 days and day of the week": pytest.approx(0.447, abs=0.01),
    }


@pytest.mark.parametrize("params", [BOOK, WIDE])
def test_a_window_ends_the_day_before_and_the_target_keeps_its_unit(params: Any) -> None:
    days = data.trading_days()
    task = NyseTask()
    parts = {**task.load("search", params), **task.load("test", params)}
    for name, (x, y) in parts.items():
        positions = data.targets_of(name)
        assert np.allclose(y, days[data.TARGET].to_numpy()[positions], atol=1e-6)
        past = x["past"] if params["day_of_week"] else x
        mean, deviation = (
            getattr(days[data.TARGET][data.targets_of("train")], name)()
            for name in ("mean", "std")
        )
        yesterday = (days[data.TARGET].to_numpy()[positions - 1] - mean) / deviation
        assert np.allclose(past[:, -1, 0], yesterday, atol=1e-2)
        if params["day_of_week"]:
            today = pd.get_dummies(days["day_of_week"]).to_numpy()[positions]
            assert np.array_equal(x["known"][:, 0], today)
    assert task.times("test").shape == (1_770,)


def test_the_scale_is_that_of_the_training_days_of_a_cut() -> None:
    task, cut = NyseTask(), Cut(method="rolling", number=3, folds=5)
    train, _ = task.load("search", BOOK, cut)["train"]
    own = task.load("search", BOOK)["train"][0]
    assert len(train) == pytest.approx(len(own), abs=10), "every seed trains on as many days"
    assert not np.array_equal(train[:100], own[:100])
    assert train[:, -1, 0].mean() == pytest.approx(0, abs=0.01)
    assert len(task.load("test", BOOK, cut)["test"][0]) == 1_770


def test_the_baseline_is_the_network_of_the_book() -> None:
    model = NyseTask().build(BOOK)
    layer = model.layers[1]
    assert (type(layer).__name__, layer.units, layer.dropout) == ("SimpleRNN", 12, 0.1)
    assert model.input_shape == (None, 5, 3)
    assert model.count_params() == 12 * (12 + 3 + 1) + 13
    shapes = {each.name: tuple(each.shape) for each in NyseTask().build(WIDE).inputs}
    assert shapes == {"past": (None, 20, 8), "known": (None, 1, 5)}


@pytest.mark.slow
@pytest.mark.parametrize("params", [BOOK, WIDE])
def test_the_registered_model_forecasts_what_the_network_does(params: Any, tmp_path: Path) -> None:
    import mlflow.pyfunc

    from tuning.registry.serving import try_served_model

    task = NyseTask()
    model = task.build(params)
    model.save(tmp_path / "model.keras")
    (tmp_path / "files").mkdir()
    served = task.serve(tmp_path / "model.keras", tmp_path / "files", params, None)
    try_served_model(served, tmp_path / "served")
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "served"))
    x, _ = task.load("test", params)["test"]
    expected = float(
        model.predict({k: v[-1:] for k, v in x.items()} if params["day_of_week"] else x[-1:])[0, 0]
    )
    answer = loaded.predict(loaded.input_example)
    if params["day_of_week"]:  # the example asks for the last day
        assert answer["log_volume"][0] == pytest.approx(expected, abs=1e-5)
    days = data.trading_days()[:-1] if not params["day_of_week"] else loaded.input_example
    answer = loaded.predict(days[[*served.inputs]])
    assert answer["log_volume"].tolist() == [pytest.approx(expected, abs=1e-5)]


@pytest.mark.full
def test_the_main_job_ends_with_a_verdict_and_the_yardsticks(tmp_path: Path) -> None:
    from tests.conftest import mlflow_run

    small = ["trials=2", "epochs=3", "seeds=2", "set=confirm.top_k=1 confirm.resample=rolling"]
    done = mlflow_run(tmp_path, "tune", "study=pipelines/nyse/study.yaml", *small)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Verdict: " in done.stdout
    (report,) = tmp_path.rglob("report.md")
    text = report.read_text("utf-8")
    assert "| linear, 5 days and day of the week | 0.4595 |" in text
    assert "other training rows (two trainings share 9" in text
    assert "Diebold–Mariano statistic" in text
