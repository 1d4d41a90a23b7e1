"""Forecasts of 24 hours: their windows, quantiles, simple forecasts, and the service."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.bikeshare.task import HORIZON, PARTS, QUANTILES, RIDERS, BikeshareTask, hours
from tuning.study.file import load_study

ROOT = Path(__file__).parents[2]
STUDY = load_study(ROOT / "pipelines/bikeshare/study.yaml")
PARAMS = {**STUDY.hyperparameters(STUDY.baseline), "window": 48}


def test_every_hour_of_the_year_has_a_row_and_hours_without_riders_have_none() -> None:
    table = hours()
    assert len(table) == 8_760 and not table[RIDERS].isna().any().any()
    assert (table[RIDERS].sum(axis=1) == 0).sum() == 8_760 - 8_645


@pytest.mark.parametrize("window", [24, 168])
def test_all_windows_have_the_same_targets_within_their_part(window: int) -> None:
    task, riders = BikeshareTask(), hours()[RIDERS].to_numpy()
    parts = {**task.load("search", {"window": window}), **task.load("test", {"window": window})}
    for name, (x, y) in parts.items():
        first = ((task.times(name) - np.datetime64("2011-01-01")) / np.timedelta64(1, "h")).astype(
            int
        )
        begin, end = PARTS[name]
        assert first.min() == begin and end - 6 <= first.max() + 1 <= end
        assert x["past"].shape[:2] == (len(y), window)
        assert x["known"].shape[:2] == (len(y), HORIZON)
        expected = riders[first[:, 0, None] + np.arange(HORIZON)]
        assert np.allclose(y, expected)


def test_the_simple_forecasts_repeat_a_day_and_a_week() -> None:
    task = BikeshareTask()
    _, y = task.load("test", PARAMS)["test"]
    day, week = task.yardsticks().values()
    truth = y.reshape(len(y), -1)
    assert np.allclose(day[4], truth[0], atol=1e-4), "a forecast every six hours"
    assert np.allclose(week[28], truth[0], atol=1e-4)


@pytest.mark.slow
def test_the_registered_model_returns_quantiles_of_both_kinds(tmp_path: Path) -> None:
    import mlflow.pyfunc

    from tuning.registry.serving import try_served_model

    task = BikeshareTask()
    model = task.build(PARAMS)
    model.save(tmp_path / "model.keras")
    (tmp_path / "files").mkdir()
    served = task.serve(tmp_path / "model.keras", tmp_path / "files", PARAMS)
    try_served_model(served, tmp_path / "served")
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "served"))
    answer = loaded.predict(loaded.input_example)
    names = [f"{name}_q{quantile:g}" for name in RIDERS for quantile in QUANTILES]
    assert [*answer.columns] == ["step", *names]
    x, _ = task.load("test", PARAMS)["test"]
    expected = model.predict({key: each[-1:] for key, each in x.items()}, verbose=0)[0]
    assert np.allclose(answer[names], expected.reshape(HORIZON, -1), atol=1e-3)
