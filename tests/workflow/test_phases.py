"""The phases of a study in their order, and what the README and the report promise of them."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.factories import make_study
from tests.workflow.whole_study import WholeStudy, learns, whole_study
from tuning.core.errors import BadInputError, InterruptedStudyError, StudyFailedError
from tuning.core.seeds import derive_seed
from tuning.core.trial import Failure, FailureKind, Phase, Trial, TrialState
from tuning.tracking import keys
from tuning.tracking.reader import read_record

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.slow

FRESH = (Phase.BASELINE, Phase.REFERENCE, Phase.CONFIRM)


@pytest.fixture
def study(
    tmp_path: Path, client: "MlflowClient", monkeypatch: pytest.MonkeyPatch
) -> Iterator[WholeStudy]:
    with whole_study(tmp_path, client, monkeypatch, searchers=["random", "optuna"]) as study:
        yield study


def better_by_test(name: str) -> float:
    return 0.95 if name.startswith("confirm") else 0.7


def test_every_phase_is_trained_and_judged_once(study: WholeStudy) -> None:
    study.right = better_by_test
    outcome = study.run()
    assert outcome.verdict == "better"
    record = study.record(outcome)
    trained = [record.trial for record in record.trials if not record.result.reused_from]
    assert sorted(t.name for t in trained) == sorted(t.name for t in study.trained)
    by_phase = {phase: len(record.in_phase(phase)) for phase in Phase}
    assert {phase.value: count for phase, count in by_phase.items() if count} == {
        "baseline": 2,
        "search": 6,
        "reference": 2,
        "confirm": 2,
    }
    assert {trial.result.state for trial in record.trials} <= {
        TrialState.COMPLETED,
        TrialState.PRUNED,
    }
    (models,) = study.predicted
    assert sorted(models) == sorted(t.name for t in study.in_phase(*FRESH))
    # Behaviours and texts are those of the first seed, whatever the others found.
    assert study.compared[0] == "baseline-seed1"
    assert sorted(map(str, study.compared)) == sorted(n for n in models if n.endswith("-seed1"))
    for trial in record.in_phase(*FRESH):
        run = study.client.get_run(trial.run_id)
        assert run.data.metrics["test_accuracy"] == study.right(trial.trial.name)
    run = study.client.get_run(outcome.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags[keys.VERDICT] == "better"
    assert run.data.tags[keys.SEARCH_END] == "all trials are done"
    files = {file.path for file in study.client.list_artifacts(outcome.run_id, "report")}
    assert "report/report.html" in files
    assert study.executors[0].closed
    assert not list((study.folder / "cache" / "trials").iterdir())


def test_additional_metrics_are_recorded_and_decide_nothing(study: WholeStudy) -> None:
    study.checks = True
    study.write(searchers=["random"], compare={"additional_metrics": ["log_loss", "top_k(k=1)"]})
    with pytest.raises(BadInputError, match=r"additional_metrics: top_k\(k=1\) judges multiclass"):
        study.run()
    assert not study.trained
    study.write(searchers=["random"], compare={"additional_metrics": ["log_loss"]})
    study.right = better_by_test
    outcome = study.run()
    assert outcome.verdict == "better"
    for trial in study.record(outcome).in_phase(*FRESH):
        metrics = study.client.get_run(trial.run_id).data.metrics
        measured = {name for name in metrics if name.startswith("test_")}
        assert measured == {"test_accuracy", "test_log_loss"}
    whole = study.client.get_run(outcome.run_id).data.metrics
    assert {"baseline_test_accuracy", "best_test_accuracy", "test_gain"} <= whole.keys()
    assert "best_test_log_loss" not in whole


def test_all_configurations_share_the_fresh_seeds_which_no_search_has_seen(
    study: WholeStudy,
) -> None:
    study.run()
    seeds = [derive_seed(make_study().seed, "confirm", number) for number in (1, 2)]
    by_label: dict[str, list[int]] = {}
    for trial in study.in_phase(*FRESH):
        by_label.setdefault(trial.tags[keys.CANDIDATE], []).append(trial.seed)
    assert len(by_label) == 3
    assert all(sorted(found) == sorted(seeds) for found in by_label.values()), by_label
    assert not {trial.seed for trial in study.in_phase(Phase.SEARCH)} & {*seeds}


def test_the_first_seed_is_registered_not_the_best(study: WholeStudy) -> None:
    study.curve = lambda trial: [
        learns(trial)[0] + 0.1 * trial.name.startswith("confirm") * trial.name.endswith("seed2")
    ]
    study.right = lambda name: 0.99 if name.endswith("seed2") else better_by_test(name)
    outcome = study.run()
    name, number = outcome.registered.split("/")
    version = study.client.get_model_version(name, number)
    first = version.tags[keys.TRIAL]
    assert first.startswith("confirm-") and first.endswith("-seed1")
    assert version.tags[keys.TRIALS] == f"{first},{first[:-1]}2"
    import mlflow

    files = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{number}"))
    (model,) = files.rglob("model.keras")
    assert model.read_text() == first


def test_the_winner_is_chosen_by_validation_not_by_the_test_split(study: WholeStudy) -> None:
    study.write(searchers=["random"], confirm={"seeds": 2, "top_k": 2})

    def right(name: str) -> float:
        # The better a candidate by validation, the worse on the test split.
        return 0.95 - 0.05 * study_units(study, name)

    study.right = right
    outcome = study.run()
    record = study.record(outcome)
    confirmed = {t.trial.tags[keys.CANDIDATE]: t.trial for t in record.in_phase(Phase.CONFIRM)}
    assert len(confirmed) == 2
    order = sorted(confirmed, key=lambda label: -int(confirmed[label].params["units"]))
    version = study.client.get_model_version(*outcome.registered.split("/"))
    assert version.tags[keys.TRIAL] == f"confirm-{order[0]}-seed1"


def study_units(study: WholeStudy, name: str) -> int:
    return next(int(trial.params["units"]) for trial in study.trained if trial.name == name)


def test_the_candidates_are_the_best_of_all_searchers(study: WholeStudy) -> None:
    study.run()
    search = {trial.name: trial for trial in study.in_phase(Phase.SEARCH)}
    most = max(trial.params["units"] for trial in search.values())
    confirmed = {trial.tags[keys.CANDIDATE] for trial in study.in_phase(Phase.CONFIRM)}
    assert [search[name].params["units"] for name in confirmed if name in search] == [most]


@pytest.mark.parametrize(
    ("share", "verdict", "promoted"), [(0.95, "better", True), (0.5, "worse", False)]
)
def test_only_what_is_better_is_promoted(
    study: WholeStudy, share: float, verdict: str, promoted: bool
) -> None:
    study.right = lambda name: share if name.startswith("confirm") else 0.75
    outcome = study.run()
    assert (outcome.verdict, outcome.promoted) == (verdict, promoted)
    assert set(aliases(study)) == {"challenger"} | ({"champion"} if promoted else set())


def aliases(study: WholeStudy) -> dict[str, Any]:
    return dict(study.client.get_registered_model("toy").aliases)


def test_promotion_can_be_forbidden(study: WholeStudy) -> None:
    study.right = better_by_test
    outcome = study.run(promote="never")
    assert (outcome.registered, outcome.promoted) == ("toy/1", False)
    assert set(aliases(study)) == {"challenger"}


def test_a_model_that_cannot_be_served_is_not_registered(study: WholeStudy) -> None:
    study.write(task_options={"servable": False})
    outcome = study.run()
    assert outcome.registered == ""
    assert not study.client.search_registered_models()


def test_a_search_that_finds_only_the_baseline_registers_nothing(study: WholeStudy) -> None:
    study.write(
        space={"units": {"type": "int", "low": 2, "high": 3}},
        fixed={"rate": 0.0, "batch_size": 16},
        baseline={"units": 3},
        references={},
        # The baseline is the first configuration that TPE proposes.
        searchers=["optuna"],
        budget={"trials": 1, "epochs": 2},
    )
    outcome = study.run()
    assert (outcome.verdict, outcome.registered) == ("inconclusive", "")
    assert not study.client.search_registered_models()


def test_long_runs_and_ablation_are_trained_with_the_fresh_seeds(study: WholeStudy) -> None:
    study.write(confirm={"seeds": 2, "top_k": 1, "long_run": 5, "ablation": True})
    outcome = study.run()
    seeds = {trial.seed for trial in study.in_phase(Phase.BASELINE)}
    long_runs, ablation = study.in_phase(Phase.LONG_RUN), study.in_phase(Phase.ABLATION)
    assert {trial.epochs for trial in long_runs} == {5}
    assert {trial.tags[keys.CANDIDATE] for trial in long_runs} == {"baseline", "hand-tuned"}
    assert {trial.seed for trial in [*long_runs, *ablation]} == seeds
    assert ablation and len(ablation) % 2 == 0
    # Ablations explain the winner; the test split is not for them.
    (models,) = study.predicted
    assert not [name for name in models if name.startswith("without-")]
    assert study.record(outcome).tags[keys.VERDICT]


def test_a_baseline_that_fails_ends_the_study_with_its_reason(study: WholeStudy) -> None:
    def curve(trial: Trial) -> Any:
        if trial.phase is Phase.BASELINE:
            return Failure(kind=FailureKind.INFEASIBLE, message="2 units are too few")
        return learns(trial)

    study.curve = curve
    with pytest.raises(StudyFailedError, match=r"baseline could not be trained.*2 units are too"):
        study.run()
    (run,) = parents(study)
    assert run.info.status == "FAILED"
    assert keys.VERDICT not in run.data.tags


def parents(study: WholeStudy) -> list[Any]:
    experiment = study.client.get_experiment_by_name("toy")
    assert experiment is not None
    return list(study.client.search_runs([experiment.experiment_id], f"tags.`{keys.STUDY}` != ''"))


def stop_at(study: WholeStudy, name: str) -> None:
    """Presses Ctrl-C when a trial begins."""

    def before(trial: Trial) -> None:
        if trial.name == name:
            import os
            import signal

            study.before = lambda trial: None
            os.kill(os.getpid(), signal.SIGINT)

    study.before = before


def test_ctrl_c_reports_what_there_is_and_the_study_goes_on(study: WholeStudy) -> None:
    stop_at(study, "random-001")
    with pytest.raises(InterruptedStudyError):
        study.run()
    (run,) = parents(study)
    assert run.info.status == "KILLED"
    assert keys.VERDICT not in run.data.tags
    assert "Interim report" in run.data.tags["mlflow.note.content"]
    assert not study.predicted, "the test split is not for interim reports"

    outcome = study.run(resume="last")
    assert outcome.run_id == run.info.run_id
    assert outcome.verdict
    assert len(parents(study)) == 1
    record = study.record(outcome)
    names = [trial.trial.name for trial in record.trials]
    assert len(names) == len(set(names)) == 12
    seeds = {(t.trial.name, t.trial.seed) for t in record.trials}
    assert {(trial.name, trial.seed) for trial in study.trained} <= seeds
    note = study.client.get_run(run.info.run_id).data.tags["mlflow.note.content"]
    assert "Interim" not in note


def test_a_trial_that_is_gone_from_the_record_is_made_up_for(study: WholeStudy) -> None:
    study.write(searchers=["random"], budget={"trials": 4, "epochs": 2})
    stop_at(study, "random-003")
    with pytest.raises(InterruptedStudyError):
        study.run()
    (parent,) = parents(study)
    record = read_record(study.client, parent.info.run_id)
    names = {trial.trial.name: trial for trial in record.in_phase(Phase.SEARCH)}
    assert set(names) == {f"random-{number:03d}" for number in range(4)}
    study.client.delete_run(names["random-001"].run_id)
    search = study.record(study.run(resume="last")).in_phase(Phase.SEARCH)
    assert {trial.trial.name for trial in search} == {*names, "random-004"} - {"random-001"}
    configs = [make_study().config_id(trial.trial.params) for trial in search]
    assert len(set(configs)) == 4


def test_what_was_predicted_is_not_predicted_again(study: WholeStudy) -> None:
    study.run_until("tuning.workflow.phases.make_report")
    assert len(study.predicted) == 1
    trained = len(study.trained)
    outcome = study.run(resume="last")
    assert outcome.verdict
    assert (len(study.predicted), len(study.trained)) == (1, trained)


def test_a_finished_study_is_resumed_without_any_training(study: WholeStudy) -> None:
    first = study.run()
    trained = len(study.trained)
    again = study.run(resume="last")
    assert again == first
    assert len(study.trained) == trained
    assert len(study.client.search_model_versions("name='toy'")) == 1


def test_a_larger_budget_after_the_confirmation_is_searched(study: WholeStudy) -> None:
    first = study.run()
    study.write(searchers=["random", "optuna"], budget={"trials": 5, "epochs": 2})
    with pytest.raises(BadInputError, match="pass --allow-change"):
        study.run(resume="last")
    again = study.run(resume="last", allow_change=True)
    assert again.run_id == first.run_id
    assert len(study.record(again).in_phase(Phase.SEARCH)) == 10


def test_a_finished_study_that_goes_on_is_judged_anew_and_promotes_nothing_old(
    study: WholeStudy,
) -> None:
    """What it found first must not be promoted for what it finds later, nor the reverse."""
    study.right = better_by_test
    first = study.run()
    assert (first.verdict, first.registered, first.promoted) == ("better", "toy/1", True)
    study.write(
        searchers=["random", "optuna"],
        budget={"trials": 5, "epochs": 2},
        confirm={"seeds": 3, "top_k": 1},
    )
    stop_at(study, "baseline-seed3")
    with pytest.raises(InterruptedStudyError):
        study.run(resume="last", allow_change=True)
    (run,) = parents(study)
    assert keys.VERDICT not in run.data.tags
    note = run.data.tags["mlflow.note.content"]
    assert "Interim report" in note and "Verdict: inconclusive" in note
    assert "better" not in note.split("Verdict: ")[1].splitlines()[0]

    study.right = lambda name: 0.5 if name.startswith("confirm") else 0.75
    again = study.run(resume="last", allow_change=True)
    assert (again.verdict, again.registered, again.promoted) == ("worse", "", False)
    assert str(aliases(study)["champion"]) == "1"
    assert len(study.client.search_model_versions("name='toy'")) == 1
    looks = study.record(again).looks
    assert [look.number for look in looks] == [1, 2], "going on after a look is another look"
    assert set(looks[0].models) < set(looks[1].models)
    report = study.client.download_artifacts(again.run_id, "report/report.md")
    assert "Predicted 2 times by this study" in Path(report).read_text()


def test_looks_of_all_studies_at_the_same_rows_are_counted(study: WholeStudy) -> None:
    for number in (1, 2):
        outcome = study.run()
        (look,) = study.record(outcome).looks
        assert (look.number, look.study, len(look.models)) == (number, "toy", 6)
        study.client.delete_run(outcome.run_id)  # it was a look all the same
    assert "Look 2 at these rows" in (study.client.get_model_version("toy", "2").description or "")


def test_a_look_that_was_begun_is_counted_although_the_driver_died(study: WholeStudy) -> None:
    study.run_until("tuning.workflow.judge.write_predictions")
    outcome = study.run(resume="last")
    assert [look.number for look in study.record(outcome).looks] == [1, 2]


def test_a_driver_that_died_before_its_study_began_leaves_nothing_to_resume(
    study: WholeStudy,
) -> None:
    study.run_until("tuning.workflow.study_run.write_head")
    with pytest.raises(BadInputError, match="there is no run of the study 'toy' yet"):
        study.run(resume="last")
    assert study.run().verdict


def test_the_baseline_alone_is_trained_and_the_test_split_left_alone(study: WholeStudy) -> None:
    outcome = study.run_baseline()
    assert {trial.phase for trial in study.trained} == {Phase.BASELINE}
    assert len(study.trained) == 2
    assert not study.predicted
    run = study.client.get_run(outcome.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["baseline_val_accuracy"] == pytest.approx(0.541)
    assert "test_accuracy" not in run.data.metrics
    with pytest.raises(BadInputError, match="there is no run of the study"):
        study.run(resume="last")


def test_an_error_of_the_program_ends_the_run_as_failed(
    study: WholeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("tuning.workflow.phases.judge_models", broken)
    with pytest.raises(RuntimeError, match="a defect"):
        study.run()
    (run,) = parents(study)
    assert run.info.status == "FAILED"
    assert study.executors[0].closed


def test_two_drivers_never_run_one_study(study: WholeStudy) -> None:
    tried: list[str] = []

    def before(trial: Trial) -> None:
        if trial.name == "baseline-seed1":
            tried.append(trial.name)
            with pytest.raises(BadInputError, match="another process still runs the study"):
                study.run(resume="last")

    study.before = before
    assert study.run().verdict
    assert tried


def test_the_search_is_on_record_before_its_best_is_confirmed(
    study: WholeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a kill would leave confirmed candidates whose trials nobody knows."""
    from tuning.tracking.trial_models import TrialModels

    settle, known = TrialModels.settle, []

    def settle_slowly(self: TrialModels, *arguments: Any) -> None:
        time.sleep(0.05)
        settle(self, *arguments)

    def look(trial: Trial) -> None:
        if trial.phase is Phase.CONFIRM:
            experiment = study.client.get_experiment_by_name("toy")
            assert experiment is not None
            runs = study.client.search_runs([experiment.experiment_id], max_results=100)
            search = [run for run in runs if run.data.tags.get(keys.PHASE) == "search"]
            known.append(sum(run.info.status != "RUNNING" for run in search))

    monkeypatch.setattr(TrialModels, "settle", settle_slowly)
    study.before = look
    study.run()
    assert known == [6, 6]
