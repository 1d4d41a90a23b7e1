"""Each fresh seed, and each fold of a search, has training and validation rows of its own."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.workflow.whole_study import WholeStudy, whole_study
from tuning.core.errors import BadInputError
from tuning.core.trial import REPEAT, Phase, Trial
from tuning.data.cuts import Cut, cut_of
from tuning.tracking import keys

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.slow

CONFIRM = {"seeds": 3, "top_k": 1}


@pytest.fixture
def study(
    tmp_path: Path, client: "MlflowClient", monkeypatch: pytest.MonkeyPatch
) -> Iterator[WholeStudy]:
    with whole_study(tmp_path, client, monkeypatch, searchers=["random"]) as study:
        yield study


def hash_of(name: str) -> float:
    """A number from 0 to 1 that depends on a name."""
    return sum(name.encode()) % 7 / 7


def cuts(trials: list[Trial]) -> list[Cut | None]:
    return [cut_of(trial.tags) for trial in trials]


def test_all_configurations_share_the_rows_of_a_seed_and_the_gain_says_so(
    study: WholeStudy,
) -> None:
    study.write(searchers=["random"], confirm={**CONFIRM, "resample": "split"}, seed=7)
    study.right = lambda name: (0.9 if name.startswith("confirm") else 0.7) + 0.02 * hash_of(name)
    record = study.record(study.run())
    fresh = [t for t in study.trained if t.phase is not Phase.SEARCH]
    for number in (1, 2, 3):
        same = [trial for trial in fresh if trial.name.endswith(f"seed{number}")]
        assert len(same) == 3
        assert {*cuts(same)} == {Cut(method="split", number=number, seed=7)}
    assert {*cuts(study.in_phase(Phase.SEARCH))} == {None}
    assert record.predictions is not None
    # Two random cuts of 200 and 60 rows have about 10 of 13 training rows in common.
    assert record.predictions.overlap == pytest.approx(200 / 260, abs=0.05)
    run = study.client.get_run(record.run_id)
    assert run.data.metrics["gain_ci_low"] < run.data.metrics["test_gain"] - 0.001
    text = study.client.download_artifacts(record.run_id, f"{keys.REPORT_FOLDER}/report.md")
    assert "other training rows (two trainings share 7" in Path(text).read_text("utf-8")


def test_a_study_that_is_resumed_goes_on_with_the_same_rows(study: WholeStudy) -> None:
    study.write(searchers=["random"], confirm={**CONFIRM, "resample": "folds", "folds": 4})
    study.run_until("tuning.workflow.phases.judge_models")
    before = {trial.name: cut_of(trial.tags) for trial in study.trained}
    study.run(resume="last")
    record = study.record(study.run(resume="last"))
    fresh = [t.trial for t in record.trials if t.trial.phase is not Phase.SEARCH]
    assert {t.name: cut_of(t.tags) for t in fresh} == {t.name: before[t.name] for t in fresh}
    assert record.predictions is not None
    assert record.predictions.overlap == pytest.approx(2 / 3, abs=0.01)


def test_the_search_trains_each_configuration_on_every_fold(study: WholeStudy) -> None:
    study.write(
        searchers=["random"],
        search={"folds": 2},
        budget={"trials": 3, "epochs": 2, "repeats": 2},
        confirm={**CONFIRM, "seeds": 2},
    )
    record = study.record(study.run())
    search = study.in_phase(Phase.SEARCH)
    assert len(search) == 3 * 2 * 2
    numbers = [each.number for each in cuts(search) if each is not None]
    assert Counter(numbers) == {1: 6, 2: 6}
    assert {each.method for each in cuts(search) if each is not None} == {"folds"}
    assert sorted({trial.tags[REPEAT] for trial in search}) == ["1", "2", "3", "4"]
    assert record.predictions is not None and record.predictions.overlap == 1
    assert {*cuts(study.in_phase(Phase.BASELINE))} == {None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"confirm": {**CONFIRM, "resample": "rolling"}}, "rolling does not fit.*have no times"),
        ({"confirm": {**CONFIRM, "resample": "grouped"}}, "grouped does not fit.*have no groups"),
        ({"confirm": {"seeds": 6, "resample": "folds"}}, "folds must be at least 6; got 5"),
    ],
)
def test_rows_that_do_not_fit_are_refused_before_any_training(
    study: WholeStudy, changes: Any, message: str
) -> None:
    study.write(searchers=["random"], **changes)
    with pytest.raises(BadInputError, match=message):
        study.run()
    assert not study.trained
