"""From a record to the comparison and the report, without MLflow."""

import csv
import json
from dataclasses import replace
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.factories import make_result, make_study, make_trial
from tuning.core.record import BehaviourCount, Look, Predictions
from tuning.core.task import DataInfo
from tuning.core.trial import Phase, TrialRecord, TrialState
from tuning.evaluation.comparison import Comparison, compare
from tuning.evaluation.effects import (
    PART_OF_THE_BEST,
    ablations,
    change_when_set_back,
    changes,
    effects,
)
from tuning.evaluation.error_analysis import error_analysis
from tuning.evaluation.intervals import Verdict
from tuning.evaluation.statistics import holm
from tuning.report.figures.search import slices
from tuning.report.figures.style import test_name as name_on_test
from tuning.report.report import write_report
from tuning.report.tables import change_table, headline, looks_text, model_table
from tuning.report.timeline import bars, stages
from tuning.study.file import Study
from tuning.study.record import StudyRecord
from tuning.study.sections import Compare
from tuning.tracking import keys
from tuning.workflow.sources import choose_best, choose_candidates, set_back

STUDY = make_study(confirm={"seeds": 3, "top_k": 2}, compare={"min_gain": 0.002})
EXAMPLES = 4_000
RATES = [0.0, 0.1, 0.2, 0.3]
ROOT = Path(__file__).parents[2]


def repeats(
    phase: Phase, label: str, params: dict[str, Any], values: tuple[float, ...]
) -> list[TrialRecord]:
    prefix = {"baseline": "", "reference": "reference-", "confirm": "confirm-"}[phase.value]
    return [
        TrialRecord(
            trial=make_trial(
                f"{prefix}{label}-seed{number}",
                number=number - 1,
                phase=phase,
                seed=number,
                searcher=phase.value,
                params=params,
                tags={keys.CANDIDATE: label},
            ),
            result=make_result((value - 0.01, value)),
        )
        for number, value in enumerate(values, start=1)
    ]


def search(count: int = 10) -> list[TrialRecord]:
    records = []
    for number in range(count):
        params = {"units": 2 + 2 * (number % 4), "rate": round(0.1 * (number % 3), 1)}
        value = 0.5 + params["units"] / 40
        state = TrialState.PRUNED if number == 3 else TrialState.COMPLETED
        name = f"optuna-{number:03d}"
        trial = make_trial(name, number=number, searcher="optuna", params=params)
        records.append(TrialRecord(trial=trial, result=make_result((value,), state)))
    return records


def make_look(number: int) -> Look:
    return Look(number, "2026-11-26 10:00 UTC", "toy", "e" * 64, ("baseline-seed1", "best-seed1"))


def make_record(accuracy: dict[str, float], **changes: Any) -> StudyRecord:
    """A record whose models have, by label, the given accuracy on the test split."""
    trials = [
        *repeats(Phase.BASELINE, "baseline", {"units": 2, "rate": 0.0}, (0.80, 0.81, 0.82)),
        *search(),
        *repeats(Phase.REFERENCE, "hand-tuned", {"units": 8, "rate": 0.3}, (0.79, 0.80, 0.81)),
        *repeats(Phase.CONFIRM, "optuna-002", {"units": 6, "rate": 0.2}, (0.85, 0.86, 0.87)),
        *repeats(Phase.CONFIRM, "optuna-006", {"units": 6, "rate": 0.0}, (0.83, 0.83, 0.83)),
    ]
    random = np.random.default_rng(3)
    labels = random.integers(0, 2, EXAMPLES)
    probabilities = {}
    for trial in trials:
        label = trial.trial.tags.get(keys.CANDIDATE)
        if label is not None:
            share = accuracy.get(label, 0.8) + random.normal(0, 0.002)
            right = random.random(EXAMPLES) < share
            probabilities[trial.trial.name] = np.where(right == (labels == 1), 0.9, 0.1)
    values: dict[str, Any] = {
        "run_id": "r" * 32,
        "experiment_id": "1",
        "study": STUDY,
        "written": STUDY,
        "data": DataInfo(label="toy", name="toy", source="here", digest="d", sizes={"train": 5}),
        "tags": {},
        "metrics": {},
        "trials": tuple(trials),
        "predictions": Predictions(labels, probabilities),
        "started_ms": 0,
        "looks": (make_look(1),) if changes.get("predictions", True) else (),
    }
    if "study" in changes:
        values["written"] = changes["study"]
    return StudyRecord(**{**values, **changes})


@pytest.mark.parametrize(
    ("accuracy", "verdict"),
    [
        ({"baseline": 0.80, "optuna-002": 0.90}, Verdict.BETTER),
        ({"baseline": 0.85, "optuna-002": 0.85}, Verdict.INCONCLUSIVE),
        ({"baseline": 0.90, "optuna-002": 0.80}, Verdict.WORSE),
    ],
)
def test_every_verdict_can_be_reached(accuracy: dict[str, float], verdict: Verdict) -> None:
    comparison = compare(make_record(accuracy))
    assert comparison.verdict is verdict
    assert verdict.value in headline(comparison, STUDY.compare)


def test_every_interval_has_the_confidence_that_the_study_asks_for() -> None:
    accuracy = {"baseline": 0.80, "optuna-002": 0.81}
    narrow, wide = (
        compare(
            make_record(
                accuracy,
                study=make_study(
                    confirm={"seeds": 3, "top_k": 2}, compare={"confidence": confidence}
                ),
            )
        )
        for confidence in (0.8, 0.999)
    )
    assert narrow.gain is not None and wide.gain is not None
    assert narrow.gain.estimate == wide.gain.estimate
    assert wide.gain.low < narrow.gain.low < narrow.gain.high < wide.gain.high
    assert (narrow.verdict, wide.verdict) == (Verdict.BETTER, Verdict.INCONCLUSIVE)
    assert narrow.detectable is not None and wide.detectable is not None
    assert narrow.detectable < wide.detectable
    for one, other in zip(narrow.against_baseline, wide.against_baseline, strict=True):
        assert other.gain.low < one.gain.low
    assert "80% interval" in headline(narrow, Compare(confidence=0.8))


def test_a_gain_below_what_the_study_asks_for_is_not_better() -> None:
    study = make_study(confirm={"seeds": 3, "top_k": 2}, compare={"min_gain": 0.15})
    comparison = compare(make_record({"baseline": 0.80, "optuna-002": 0.90}, study=study))
    assert comparison.gain is not None and comparison.gain.low > 0
    assert comparison.verdict is Verdict.INCONCLUSIVE
    assert "smaller than +15.00 points (compare.min_gain)" in comparison.why


def test_the_winner_is_chosen_on_validation_not_on_test() -> None:
    comparison = compare(make_record({"optuna-002": 0.70, "optuna-006": 0.99}))
    assert comparison.best is not None
    assert comparison.best.label == "optuna-002"


def test_a_candidate_that_failed_with_a_seed_cannot_win() -> None:
    record = make_record({})
    without = tuple(t for t in record.trials if t.trial.name != "confirm-optuna-002-seed2")
    comparison = compare(make_record({}, trials=without))
    assert comparison.best is not None
    assert comparison.best.label == "optuna-006"


def test_pairs_have_the_same_seed() -> None:
    record = make_record({"baseline": 0.8, "optuna-002": 0.9})
    without = tuple(t for t in record.trials if t.trial.name != "baseline-seed1")
    comparison = compare(make_record({}, trials=without, predictions=record.predictions))
    assert record.predictions is not None
    truth = record.predictions.truth == 1
    expected = [
        np.mean((record.predictions.outputs[name] >= 0.5) == truth)
        for name in ("baseline-seed2", "confirm-optuna-002-seed2")
    ]
    assert comparison.mcnemar is not None
    assert comparison.mcnemar.difference == pytest.approx(expected[1] - expected[0])


def test_the_chance_to_beat_the_baseline_compares_trainings_of_the_same_seed() -> None:
    # By seed, the best wins with the second and loses with the third.
    right = {
        "baseline-seed2": 0.80,
        "baseline-seed3": 0.90,
        "confirm-optuna-002-seed1": 0.70,
        "confirm-optuna-002-seed2": 0.85,
        "confirm-optuna-002-seed3": 0.88,
    }
    record = make_record({})
    assert record.predictions is not None
    labels = record.predictions.truth
    probabilities = {
        name: np.where(np.arange(EXAMPLES) < share * EXAMPLES, labels, 1 - labels).astype(float)
        for name, share in right.items()
    }
    kept = tuple(
        trial
        for trial in record.trials
        if trial.trial.phase is Phase.SEARCH or trial.trial.name in right
    )
    predictions = Predictions(labels, probabilities)
    comparison = compare(make_record({}, trials=kept, predictions=predictions))
    assert comparison.best is not None and len(comparison.best.trials) == 3
    assert comparison.improvement is not None
    assert comparison.improvement[0] == 0.5


def test_a_model_that_was_not_asked_about_the_test_split_costs_its_source_the_seed() -> None:
    record = make_record({})
    assert record.predictions is not None
    asked = dict(record.predictions.outputs)
    del asked["baseline-seed1"], asked["confirm-optuna-002-seed2"]
    comparison = compare(make_record({}, predictions=Predictions(record.predictions.truth, asked)))
    assert comparison.baseline.trials == ["baseline-seed2", "baseline-seed3"]
    assert comparison.best is not None
    assert comparison.best.label == "optuna-006"


def test_more_seeds_than_asked_for_do_not_disqualify() -> None:
    # A resumed study may ask for fewer than it had trained.
    study = make_study(confirm={"seeds": 2, "top_k": 2})
    comparison = compare(make_record({}, study=study))
    assert comparison.best is not None
    assert len(comparison.best.trials) == 3


def test_sources_have_their_seeds_and_roles() -> None:
    comparison = compare(make_record({}))
    assert [len(configuration.trials) for configuration in comparison.candidates] == [3, 3]
    assert [configuration.label for configuration in comparison.references] == ["hand-tuned"]
    assert comparison.baseline.mean_validation == pytest.approx(0.81)
    best = comparison.best
    assert best is not None
    assert best.search_value == pytest.approx(0.65)


def test_a_configuration_says_from_which_epochs_its_models_are() -> None:
    record = make_record({})
    trials = tuple(
        replace(trial, result=make_result((0.9, 0.8, 0.7)))
        if trial.trial.name == "confirm-optuna-002-seed2"
        else trial
        for trial in record.trials
    )
    best = compare(make_record({}, trials=trials, predictions=record.predictions)).best
    assert best is not None and best.label == "optuna-002"
    assert best.best_steps == [2, 1, 2]


def test_the_search_is_accounted_for() -> None:
    (account,) = compare(make_record({})).searches
    assert (account.trials, account.completed, account.pruned) == (10, 9, 1)
    assert account.saved_by_pruning == 1
    assert account.best_trial == "optuna-007"
    assert account.best_value == pytest.approx(0.7)


def test_changes_are_explained_by_what_was_measured() -> None:
    rows = {row[0]: row for row in change_table(compare(make_record({})))}
    assert rows["units"][1:3] == ["2", "6"]
    assert "higher values gave better results" in rows["units"][3]
    assert "9 trials" in rows["units"][3]
    assert rows["rate"][3] == PART_OF_THE_BEST


def noise(study: Study, count: int) -> list[TrialRecord]:
    """Trials whose objective does not depend on their hyperparameters."""
    random = np.random.default_rng(6)
    return [
        TrialRecord(
            trial=make_trial(
                f"random-{number:03d}",
                number=number,
                params={"units": int(random.choice([2, 4, 6, 8])), "rate": random.choice(RATES)},
            ),
            result=make_result((float(random.random()),)),
        )
        for number in range(count)
    ]


def test_the_importance_is_not_told_from_too_few_trials() -> None:
    few, enough = (effects(STUDY, noise(STUDY, count)) for count in (49, 50))
    assert all(effect.importance is None for effect in few.values())
    shares = [effect.importance for effect in enough.values()]
    assert sum(share for share in shares if share is not None) == pytest.approx(1)
    assert None not in shares


def test_the_p_values_of_the_hyperparameters_are_adjusted_for_their_number() -> None:
    trials = noise(STUDY, 30)
    found = effects(STUDY, trials)
    values = [trial.result.value for trial in trials]
    plain = {
        name: stats.spearmanr([trial.trial.params[name] for trial in trials], values).pvalue
        for name in found
    }
    adjusted = holm(np.array(list(plain.values())))
    assert [effect.p_value for effect in found.values()] == pytest.approx(adjusted.tolist())
    assert adjusted.max() > max(plain.values())


@pytest.mark.parametrize(
    ("units", "end"), [(2, ""), (4, ""), (8, "It is the highest value of the space; a better")]
)
def test_a_value_at_an_end_of_the_space_is_pointed_out(units: int, end: str) -> None:
    study = make_study(baseline={"units": 6, "rate": 0.0})
    end = end or ("It is the lowest value of the space; a better" if units == 2 else "")
    rows = changes(study, {"units": units, "rate": 0.0}, effects(study, search()), [])
    reasons = {row.name: row.reason for row in rows}
    assert reasons["rate"] == "unchanged"
    assert end in reasons["units"]
    assert ("value of the space" in reasons["units"]) is bool(end)


def test_the_first_table_names_every_model() -> None:
    rows = model_table(compare(make_record({"baseline": 0.8, "optuna-002": 0.9})), STUDY.compare)
    assert [row[0] for row in rows] == ["model", "baseline", "hand-tuned", "best (optuna-002)"]
    assert rows[0] == ["model", "test accuracy", "status"]
    assert rows[3][2].startswith("better; gain +")
    assert rows[3][2].endswith(" points")


def test_an_own_metric_is_named_without_its_module() -> None:
    own = make_study(compare={"metric": "__main__:abs_cost", "direction": "minimize"})
    assert name_on_test(own.compare.deciding) == "test abs cost"


def test_the_time_is_accounted_for_by_stage_and_worker(tmp_path: Path) -> None:
    def timed(record: TrialRecord, worker: str, begin: int) -> TrialRecord:
        # Two epochs of a second each, in three seconds.
        result = replace(record.result, worker=worker, duration_s=3.0)
        end = begin + 3
        return replace(record, result=result, started_ms=1000 * begin, ended_ms=1000 * end)

    baseline = repeats(Phase.BASELINE, "baseline", {"units": 2, "rate": 0.0}, (0.8, 0.8, 0.8))
    trials = (
        timed(baseline[0], "local-0", 10),
        timed(baseline[1], "local-1", 10),
        timed(baseline[2], "local-0", 13),
    )
    record = make_record({}, trials=trials, predictions=None)
    (stage,) = stages(record)
    assert stage.seconds == 6.0
    assert stage.training == pytest.approx(6 / 12)
    assert [(bar.worker, bar.begin_s, bar.end_s) for bar in bars(record)] == [
        ("local-0", 10, 13),
        ("local-0", 13, 16),
        ("local-1", 10, 13),
    ]
    write_report(record, compare(record), tmp_path)
    assert (tmp_path / "figures" / "timeline.svg").exists()
    assert "| baseline and search | 6 | 50% |" in (tmp_path / "report.md").read_text()


def test_without_a_candidate_nothing_is_claimed() -> None:
    record = make_record({})
    without = tuple(t for t in record.trials if t.trial.phase is not Phase.CONFIRM)
    comparison = compare(make_record({}, trials=without))
    assert comparison.verdict is Verdict.INCONCLUSIVE
    assert "no candidate other than the baseline" in comparison.why
    assert comparison.gain is None


def test_before_the_test_split_was_read_nothing_is_claimed(tmp_path: Path) -> None:
    record = make_record({}, predictions=None)
    comparison = compare(record)
    assert "not read" in comparison.why
    write_report(record, comparison, tmp_path)
    assert "Not read" in (tmp_path / "report.html").read_text()


def test_without_a_baseline_there_is_no_comparison() -> None:
    with pytest.raises(ValueError, match="no completed baseline"):
        compare(make_record({}, trials=tuple(search())))


def written(record: StudyRecord, folder: Path) -> tuple[Comparison, dict[str, Any]]:
    comparison = compare(record)
    write_report(record, comparison, folder)
    return comparison, json.loads((folder / "comparison.json").read_text())


def test_the_report_s_files_agree(tmp_path: Path) -> None:
    record = make_record({"baseline": 0.8, "optuna-002": 0.9})
    comparison, document = written(record, tmp_path)
    assert document["verdict"] == "better"
    assert comparison.gain is not None
    assert document["gain"]["estimate"] == pytest.approx(comparison.gain.estimate)
    verdict = headline(comparison, STUDY.compare)
    for name, said in (("report.html", escape(verdict)), ("report.md", verdict)):
        text = (tmp_path / name).read_text()
        assert said in text
        assert "hand-tuned" in text
    with (tmp_path / "trials.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(record.trials)
    assert rows[0] == {
        "name": "baseline-seed1",
        "phase": "baseline",
        "searcher": "baseline",
        "state": "completed",
        "value": "0.8",
        "best_epoch": "2",
        "epochs": "2",
        "seconds": "2.0",
        "seed": "1",
        "units": "2",
        "rate": "0.0",
        "run_id": record.trials[0].run_id,
    }
    pictures = sorted(file.name for file in (tmp_path / "figures").iterdir())
    assert "test_metric.svg" in pictures
    assert (tmp_path / "report.html").read_text().count("<figure>") == len(pictures)


def test_what_users_name_cannot_run_in_the_report(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    data = DataInfo(label="toy", name=evil, source=evil, digest="d", sizes={}, warning=evil)
    written(make_record({}, data=data), tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_one_seed_gives_no_interval_and_valid_json(tmp_path: Path) -> None:
    record = make_record({"baseline": 0.8, "optuna-002": 0.9})
    one = tuple(t for t in record.trials if not t.trial.name.endswith(("seed2", "seed3")))
    study = make_study(confirm={"seeds": 1, "top_k": 2})
    comparison, document = written(make_record({}, trials=one, study=study), tmp_path)
    assert comparison.verdict is Verdict.INCONCLUSIVE
    assert "use two or more" in comparison.why
    assert document["gain"]["low"] is None


def test_candidates_are_distinct_and_not_the_baseline() -> None:
    study: Study = STUDY
    chosen = choose_candidates(study, search())
    assert [record.trial.params["units"] for record in chosen] == [8, 6]
    configs = {study.config_id(record.trial.params) for record in chosen}
    assert len(configs) == study.confirm.top_k
    assert study.config_id(study.baseline) not in configs
    assert all(record.result.state is TrialState.COMPLETED for record in chosen)


def test_the_order_in_which_trials_ended_does_not_change_the_candidates() -> None:
    trials = search()
    names = [record.trial.name for record in choose_candidates(STUDY, trials)]
    assert [r.trial.name for r in choose_candidates(STUDY, trials[::-1])] == names


def detailed_record() -> StudyRecord:
    """A record with everything that a task may tell of its test split."""
    record = make_record({"baseline": 0.80, "optuna-002": 0.88})
    assert record.predictions is not None
    predictions = record.predictions
    random = np.random.default_rng(5)
    counts = {
        name: (BehaviourCount("negated praise", "lower", "good → <not good>", 48, failures),)
        for name, failures in (
            ("baseline-seed1", 24),
            ("reference-hand-tuned-seed1", 36),
            ("confirm-optuna-002-seed1", 12),
        )
    }
    detailed = replace(
        predictions,
        lengths=random.integers(10, 400, EXAMPLES),
        seen=200,
        texts={index: f"<b>review {index}</b>" for index in range(EXAMPLES)},
        behaviours=counts,
        yardsticks={"a coin": np.full(EXAMPLES, 0.5)},
    )
    trials = tuple(
        replace(trial, started_ms=60_000 * n, ended_ms=60_000 * n + 50_000)
        for n, trial in enumerate(record.trials)
    )
    return replace(record, predictions=detailed, trials=trials)


def test_the_report_shows_where_the_models_differ(tmp_path: Path) -> None:
    record = detailed_record()
    comparison = compare(record)
    write_report(record, comparison, tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert "&lt;b&gt;review" in html
    assert "<b>review" not in html
    assert "good → &lt;not good&gt;" in html
    assert "50%" in html
    assert "25%" in html
    assert "a coin" in html
    assert "cut (above 200)" in html
    assert "always the majority class" in html
    assert "within one standard error" in html
    shown = error_analysis(record, comparison)
    thirds, parts = shown.slices[:3], shown.slices[3:]
    for rows in (thirds, parts):
        assert sum(int(row[1].replace(",", "")) for row in rows) == EXAMPLES
    baseline = comparison.baseline.mean_test
    weighted = sum(float(row[2].rstrip("%")) * int(row[1].replace(",", "")) for row in parts)
    assert weighted / EXAMPLES == pytest.approx(100 * baseline, abs=0.01)
    assert len(shown.mended) == len(shown.broken) == 6
    for flip in shown.mended:
        assert flip.after == f"{flip.truth} (probability 0.90)"
        assert flip.before == f"{1 - int(flip.truth)} (probability 0.90)"
    for flip in shown.broken:
        assert flip.before == f"{flip.truth} (probability 0.90)"
        assert flip.after == f"{1 - int(flip.truth)} (probability 0.90)"
    assert {flip.truth for flip in (*shown.mended, *shown.broken)} == {"0", "1"}


def test_a_detailed_record_has_every_picture(tmp_path: Path) -> None:
    record = detailed_record()
    random = tuple(
        replace(trial, trial=replace(trial.trial, searcher="random"))
        if trial.trial.phase is Phase.SEARCH and trial.completed  # nothing prunes a random search
        else trial
        for trial in record.trials
    )
    # Importances are drawn from 50 trials on.
    more = noise(STUDY, 60)[len(search()) :]
    record = replace(record, trials=(*random, *more))
    write_report(record, compare(record), tmp_path)
    drawn = {file.stem for file in (tmp_path / "figures").iterdir()}
    assert drawn == {
        "test_metric",
        "validation_curves",
        "loss_curves",
        "generalisation_gap",
        "best_so_far",
        "expected_validation",
        "importance",
        "slices",
        "parallel",
        "confusion",
        "reliability",
        "by_length",
        "cost",
    }


@pytest.mark.parametrize("ends", [(0.0003, 0.003), (0.001, 0.002), (1e-6, 1.0), (0.9, 11.0)])
def test_the_labels_of_a_log_axis_do_not_overlap(ends: tuple[float, float]) -> None:
    rate = {"type": "float", "low": ends[0], "high": ends[1], "log": True}
    names = [f"rate_{number}" for number in range(4)]
    space = dict.fromkeys(names, rate)
    baseline = dict.fromkeys(names, ends[0])
    study = make_study(space=space, baseline=baseline, references={})
    trials = tuple(
        replace(each, trial=replace(each.trial, params=dict.fromkeys(names, ends[number % 2])))
        for number, each in enumerate(search())
    )
    record = make_record({}, study=study, trials=trials)
    figure = slices(record, compare(make_record({})))
    assert figure is not None
    figure.draw_without_rendering()
    labels = [label.get_window_extent() for label in figure.axes[0].get_xticklabels(which="both")]
    labels = sorted((label for label in labels if label.width > 1), key=lambda label: label.x0)
    assert len(labels) >= 2
    assert all(left.x1 < right.x0 for left, right in pairwise(labels))


def test_several_configurations_are_judged_together() -> None:
    comparison = compare(make_record({"baseline": 0.80, "optuna-002": 0.88}))
    against = {found.label: found for found in comparison.against_baseline}
    assert set(against) == {"hand-tuned", "optuna-002", "optuna-006"}
    assert comparison.gain is not None
    assert against["optuna-002"].gain == comparison.gain
    assert against["optuna-002"].p_value == pytest.approx(3 * comparison.gain.p_value)


def test_the_p_values_of_several_comparisons_are_adjusted() -> None:
    # Gains as small as chance makes them, so that no p-value is nearly zero.
    comparison = compare(make_record({"baseline": 0.8, "hand-tuned": 0.802, "optuna-002": 0.804}))
    found = comparison.against_baseline
    plain = np.array([each.gain.p_value for each in found])
    assert len(plain) == 3 and plain.min() > 0.001
    assert [each.p_value for each in found] == pytest.approx(holm(plain).tolist())
    assert found[int(plain.argmin())].p_value == pytest.approx(min(1.0, 3 * plain.min()))
    # That of the winner, which was chosen on validation, needs no adjustment.
    assert comparison.gain is not None
    by_label = {each.label: each for each in found}
    assert comparison.gain.p_value == by_label["optuna-002"].gain.p_value


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take seconds, and have tests of their own."""
    monkeypatch.setattr("tuning.report.report.draw_figures", lambda *arguments: [])


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_warnings_come_first_and_the_end_and_the_command_are_told(
    tmp_path: Path, name: str
) -> None:
    tags = {keys.SEARCH_END: "no gain in the last 9 trials", keys.COMMAND: "tuning tune --seed 3"}
    record = make_record({}, tags=tags)
    record = replace(record, data=replace(record.data, warning="NOT REAL"))
    write_report(record, compare(record), tmp_path, "An interim report.")
    text = (tmp_path / name).read_text()
    verdict = text.index(headline(compare(record), STUDY.compare))
    assert 0 < text.index("NOT REAL") < verdict
    assert 0 < text.index("An interim report.") < verdict
    assert "Why the search ended: no gain in the last 9 trials." in text
    assert "tuning tune --seed 3\n" in text
    assert f"mlflow run . -e report -P run_id={record.run_id}" in text
    # Without them there is no word about them.
    record = make_record({})
    write_report(record, compare(record), tmp_path)
    text = (tmp_path / name).read_text()
    assert "Why the search ended" not in text
    assert "> **" not in text and 'role="alert"' not in text


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("read", [True, False])
def test_the_protocol_says_whether_the_test_split_was_read(tmp_path: Path, read: bool) -> None:
    record = make_record({}) if read else make_record({}, predictions=None, looks=())
    write_report(record, compare(record), tmp_path)
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text().lower()
        assert ("predicted only once" in text) is read
        assert ("the winner was chosen on validation" in text) is read
        assert ("not read" in text) is not read


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((1,), "Predicted only once, by 2 models of this study: look 1 at these rows."),
        ((3,), "Look 3 at these rows, by 2 models of this study, after 2 earlier looks in this"),
        ((2,), "after 1 earlier look in this store"),
        ((1, 4), "Predicted 2 times by this study, which went on after a look: looks 1, 4 at"),
        ((), "Predicted by a version that did not count looks at these rows."),
    ],
)
def test_once_is_said_only_where_the_test_rows_were_read_once(
    numbers: tuple[int, ...], text: str
) -> None:
    record = make_record({}, looks=tuple(map(make_look, numbers)))
    assert text in looks_text(record)
    assert ("once" in looks_text(record)) is (numbers == (1,))


@pytest.mark.usefixtures("no_pictures")
def test_a_model_is_shown_with_mean_and_spread_over_its_seeds(tmp_path: Path) -> None:
    record = make_record({"baseline": 0.80, "optuna-002": 0.88})
    comparison = compare(record)
    best = comparison.best
    assert best is not None
    shown = f"{100 * np.mean(best.test):.2f}%"
    spread = f"{100 * np.std(best.test, ddof=1):.2f}"
    assert model_table(comparison, STUDY.compare)[-1][1] == f"{shown} ± {spread}"
    write_report(record, comparison, tmp_path)
    row = next(
        line
        for line in (tmp_path / "report.md").read_text().splitlines()
        if line.startswith("| optuna-002 (chosen) |")
    )
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    # Its value in the search, and the mean on validation with the fresh seeds.
    assert cells[1:5] == ["0.6500", "0.8600", shown, spread]


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(("other", "simplest"), [(0.856, "optuna-006"), (0.85, "optuna-002")])
def test_the_smallest_model_within_one_standard_error_is_named(
    tmp_path: Path, other: float, simplest: str
) -> None:
    # The best mean is 0.86, and its standard error 0.01 / 3 ** 0.5.
    counts = {"baseline": 10, "hand-tuned": 20, "optuna-006": 100, "optuna-002": 1_000}
    record = make_record({})
    trials = []
    for trial in record.trials:
        label, result = trial.trial.tags.get(keys.CANDIDATE, ""), trial.result
        if label == "optuna-006":
            result = replace(result, value=other)
        facts = {"parameter_count": float(counts.get(label, 1))}
        trials.append(replace(trial, result=replace(result, facts=facts)))
    record = replace(record, trials=tuple(trials))
    write_report(record, compare(record), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert f"of the best mean on validation is **{simplest}**, with {counts[simplest]:,}" in text


@pytest.mark.usefixtures("no_pictures")
def test_the_yardsticks_are_the_larger_class_and_the_models_of_the_task(tmp_path: Path) -> None:
    record = make_record({})
    assert record.predictions is not None
    labels = np.where(np.arange(EXAMPLES) % 4 == 0, 1, 0)
    probability = np.where(np.arange(EXAMPLES) % 5 == 0, 1 - labels, labels).astype(float)
    predictions = replace(record.predictions, truth=labels, yardsticks={"linear": probability})
    record = replace(record, predictions=predictions)
    write_report(record, compare(record), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "| always the majority class | 75.00% |" in text
    assert "| linear | 80.00% |" in text


def test_the_json_says_which_schema_it_is_of(tmp_path: Path) -> None:
    _, document = written(make_record({}), tmp_path)
    assert document["schema"] == "tuning.comparison/3"
    text = (ROOT / "docs/reference/comparison-json.md").read_text()
    missing = [key for key in document if f"`{key}`" not in text]
    assert not missing, "docs/reference/comparison-json.md describes every field"


def test_longer_trainings_and_the_ablation_are_reported(tmp_path: Path) -> None:
    record = make_record({"baseline": 0.80, "optuna-002": 0.88})
    assert record.predictions is not None
    study = make_study(confirm={"seeds": 3, "top_k": 2, "long_run": 9, "ablation": True})
    long = [
        replace(t, trial=replace(t.trial, name=f"long-{t.trial.name}", phase=Phase.LONG_RUN))
        for t in record.in_phase(Phase.BASELINE)
    ]
    probabilities = {
        **record.predictions.outputs,
        **{t.trial.name: record.predictions.outputs["baseline-seed1"] for t in long},
    }
    without = [
        replace(
            t,
            trial=replace(
                t.trial,
                name=f"{name}-{t.trial.name}",
                phase=Phase.ABLATION,
                tags={keys.CANDIDATE: name},
            ),
        )
        for name, label in (("units", "optuna-006"), ("rate", "optuna-002"))
        for t in record.in_phase(Phase.CONFIRM)
        if t.trial.tags[keys.CANDIDATE] == label
    ]
    record = replace(
        record,
        study=study,
        trials=(*record.trials, *long, *without),
        predictions=replace(record.predictions, outputs=probabilities),
    )
    comparison = compare(record)
    (configuration,) = comparison.long_runs
    assert (configuration.label, configuration.role, len(configuration.trials)) == (
        "baseline",
        "long run",
        3,
    )
    worth = {ablation.name: ablation for ablation in comparison.ablation}
    assert worth["units"].loss == pytest.approx(0.03)
    assert worth["units"].low < 0.03 < worth["units"].high
    assert worth["rate"].loss == pytest.approx(0.0)
    reasons = {change.name: change.reason for change in comparison.changes}
    assert reasons["units"].startswith("if only this value is set back, val_accuracy changes")
    assert " changes by -0.0300 (-0.0" in reasons["units"]
    assert " to -0.0" in reasons["units"]
    assert "3 seeds), which is worse. In the search: " in reasons["units"]
    assert "no clear effect" in reasons["rate"]
    write_report(record, comparison, tmp_path)
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text()
        assert "Would more epochs have helped?" in text
        assert "What each change is worth" in text
        assert "6 → 2" in text
    assert (tmp_path / "figures/long_run_curves.svg").exists()


def test_setting_back_a_worthwhile_change_raises_a_loss() -> None:
    study = make_study(objective={"metric": "val_loss", "direction": "minimize"})
    best = {**study.baseline, "units": 6}
    trials = [
        TrialRecord(
            trial=make_trial(f"units-{seed}", seed=seed, tags={keys.CANDIDATE: "units"}),
            result=replace(make_result(), value=0.5 + 0.01 * seed),
        )
        for seed in range(3)
    ]
    (found,) = ablations(study, best, [0.40, 0.41, 0.42], trials)
    change, low, high = change_when_set_back(study, found)
    assert found.loss == change == pytest.approx(0.1)
    assert 0 < low < change < high
    (reason,) = (
        change.reason
        for change in changes(study, best, effects(study, []), [found])
        if change.name == "units"
    )
    assert reason.startswith("if only this value is set back, val_loss changes by +0.1000 (+0.0")
    assert "3 seeds), which is worse" in reason


def test_each_change_is_set_back_by_itself() -> None:
    best = STUDY.space.canonical({"units": 6, "rate": 0.2})
    assert set_back(STUDY, best) == {
        "units": {"units": 2, "rate": 0.2},
        "rate": {"units": 6, "rate": 0.0},
    }


def test_what_depends_on_a_change_goes_with_it() -> None:
    space = {
        "kind": {"type": "choice", "values": ["plain", "deep"]},
        "layers": {"type": "int", "low": 1, "high": 3, "when": {"kind": ["deep"]}},
        "units": {"type": "int", "low": 1, "high": 8},
    }
    study = make_study(space=space, baseline={"kind": "plain", "units": 2}, references={})
    found = set_back(study, {"kind": "deep", "layers": 2, "units": 4})
    assert found == {
        "kind": {"kind": "plain", "units": 4},
        "units": {"kind": "deep", "layers": 2, "units": 2},
    }


def test_the_best_of_the_confirmation_has_all_its_seeds() -> None:
    confirmed = make_record({}).in_phase(Phase.CONFIRM)
    assert choose_best(STUDY, confirmed) == {"units": 6, "rate": 0.2}
    lacking = [t for t in confirmed if t.trial.name != "confirm-optuna-002-seed3"]
    assert choose_best(STUDY, lacking) == {"units": 6, "rate": 0.0}
    assert choose_best(STUDY, []) is None
