"""The verdict on runs that are in MLflow already."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import tuning
from tests.stores import copy_store, empty_store
from tuning.cli.main import main
from tuning.core.errors import BadInputError

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.slow

OLD, NEW = [1.0, 1.2, 0.9, 1.1], [0.7, 0.8, 0.6, 0.75]
Add = Callable[..., str]


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "MlflowClient":
    from tuning.tracking.store import open_store

    monkeypatch.chdir(tmp_path)
    copy_store(empty_store(), tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return open_store(f"sqlite:///{tmp_path}/mlflow.db")


@pytest.fixture
def add(client: "MlflowClient") -> Add:
    experiment = client.create_experiment("theirs")

    def run(model: str, value: float, seed: int, folder: Path | None = None) -> str:
        run_id = str(client.create_run(experiment, tags={"model": model}).info.run_id)
        client.log_metric(run_id, "test_rmse", value)
        client.log_param(run_id, "seed", seed)
        if folder is not None:
            client.log_artifacts(run_id, str(folder), "test")
        return run_id

    return run


def test_the_interval_is_welchs(add: Add) -> None:
    for seed, (old, new) in enumerate(zip(OLD, NEW, strict=True)):
        add("old", old, seed)
        add("new", new, seed)
    judged = tuning.judge("tags.model = 'old'", "tags.model = 'new'", metric="test_rmse")
    expected = stats.ttest_ind(OLD, NEW, equal_var=False).confidence_interval()
    assert (judged.gain.low, judged.gain.high) == pytest.approx((expected.low, expected.high))
    assert judged.verdict == "better"
    assert judged.baseline.values == pytest.approx(sorted(OLD, key=judged.baseline.values.index))
    assert any("other test examples" in sentence for sentence in judged.unknown)
    assert any("same examples" in sentence for sentence in judged.unknown)
    assert "Verdict: better" in str(judged)


def test_predictions_give_the_variance_of_the_examples_too(add: Add, tmp_path: Path) -> None:
    truth = np.random.default_rng(0).normal(size=200)
    ids: dict[str, list[str]] = {"old": [], "new": []}
    for number, (model, spread) in enumerate((("old", 1.0), ("new", 0.5))):
        shared = np.random.default_rng(9 + number).normal(scale=spread, size=200)
        for seed in range(3):
            noise = shared + np.random.default_rng(seed).normal(scale=0.1, size=200)
            folder = tmp_path / f"{model}{seed}"
            folder.mkdir()
            np.savez(folder / "p.npz", truth=truth, prediction=truth + noise)
            ids[model].append(add(model, 0.0, seed, folder))
    judged = tuning.judge(
        ",".join(ids["old"]), ",".join(ids["new"]), metric="rmse", predictions="test/p.npz"
    )
    assert judged.verdict == "better"
    assert judged.gain.example_error > 0
    assert judged.baseline.values == pytest.approx([1.0] * 3, abs=0.2)
    assert not any("other test examples" in sentence for sentence in judged.unknown)


@pytest.mark.parametrize("kind", ["groups.npz", "times.csv", "keyword"])
def test_rows_that_depend_on_each_other_widen_the_interval(
    kind: str, add: Add, tmp_path: Path
) -> None:
    groups = np.repeat(np.arange(10), 20)
    truth = np.random.default_rng(0).normal(size=200)
    ids: dict[str, list[str]] = {"old": [], "new": []}
    for number, (model, spread) in enumerate((("old", 1.0), ("new", 0.8))):
        shared = np.random.default_rng(9 + number).normal(scale=spread, size=10)[groups]
        for seed in range(3):
            noise = shared + np.random.default_rng(seed).normal(scale=0.1, size=200)
            folder = tmp_path / f"{model}{seed}"
            folder.mkdir()
            np.savez(folder / "p.npz", truth=truth, prediction=truth + noise)
            np.savez(folder / "groups.npz", truth=truth, prediction=truth + noise, groups=groups)
            table: dict[str, Any] = {"truth": truth, "prediction": truth + noise}
            table["times"] = np.datetime64("2026-01-01") + np.arange(200)
            pd.DataFrame(table).to_csv(folder / "times.csv", index=False)
            ids[model].append(add(model, 0.0, seed, folder))
    named: Any = ",".join(ids["old"]), ",".join(ids["new"])
    alone = tuning.judge(*named, metric="mae", predictions="test/p.npz")
    options: Any = {"predictions": f"test/{kind}"}
    if kind == "keyword":
        options = {"predictions": "test/p.npz", "groups": groups}
    judged = tuning.judge(*named, metric="mae", **options)
    assert judged.gain.rows is not None
    assert judged.gain.rows.unit == ("time" if "times" in kind else "group")
    assert judged.gain.example_error > 2 * alone.gain.example_error
    with pytest.raises(BadInputError, match="groups: it needs predictions="):
        tuning.judge(*named, metric="test_rmse", groups=groups)
    with pytest.raises(BadInputError, match=r"of shape \(200,\) or .*; got the shape \(9,\)"):
        tuning.judge(*named, metric="mae", predictions="test/p.npz", times=np.arange(9))


def test_one_run_per_group_has_no_interval(add: Add) -> None:
    first, second = add("old", 1.0, 0), add("new", 0.1, 0)
    judged = tuning.judge(first, second, metric="test_rmse")
    assert judged.verdict == "inconclusive"
    assert "no interval: a group has one run only" in str(judged)


def test_seeds_that_repeat_are_said(add: Add) -> None:
    for value in OLD:
        add("old", value, 1)
        add("new", value, 1)
    judged = tuning.judge("tags.model = 'old'", "tags.model = 'new'", metric="test_rmse")
    assert any("4 runs have 1 seeds" in sentence for sentence in judged.unknown)


def test_what_cannot_be_judged_is_refused(add: Add, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = add("old", 1.0, 0)
    new = "tags.model = 'old'"
    for first, second, options, message in (
        ("tags.model = 'none'", new, {}, "selects no run"),
        ("model is old", new, {}, "is no filter that MLflow understands"),
        (run_id, new, {}, "is in both groups"),
        (run_id, add("new", 1.0, 0), {"metric": "test_r2"}, "has no 'test_r2'; it has test_rmse"),
        (run_id, add("new", 1.0, 0), {"metric": "speed"}, "whether larger values of 'speed'"),
        (run_id, add("n", 1.0, 0), {"metric": "rmse", "predictions": "p.npz"}, "has no artifact"),
        (run_id, add("n", 1.0, 0), {"experiments": ["no"]}, ""),
    ):
        given: dict[str, Any] = {"metric": "test_rmse", **options}
        if not message:
            tuning.judge(first, second, **given)  # run ids need no experiment
            continue
        with pytest.raises(BadInputError, match=message):
            tuning.judge(first, second, **given)
    assert main(["judge", run_id, run_id, "--metric", "test_rmse"]) == 2
    assert "is in both groups" in capsys.readouterr().err


def test_the_command_prints_the_same(add: Add, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, (old, new) in enumerate(zip(OLD, NEW, strict=True)):
        add("old", old, seed)
        add("new", new, seed)
    filters = ["tags.model = 'old'", "tags.model = 'new'"]
    assert main(["judge", *filters, "--metric", "test_rmse"]) == 0
    expected = str(tuning.judge(*filters, metric="test_rmse"))
    assert capsys.readouterr().out.strip() == expected
