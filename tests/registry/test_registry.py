"""The gate, and what promoting does to the registry."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from filelock import FileLock

from tests.factories import make_study
from tuning.core.errors import BadInputError, PromotionRefusedError, TuningError
from tuning.core.record import Predictions
from tuning.core.task import DataInfo
from tuning.evaluation.gains import gain
from tuning.evaluation.statistics import Gain
from tuning.metrics.catalogue import make_metric
from tuning.registry.gate import GateInputs, Rival, apply_gate
from tuning.registry.promotion import history, promote, rollback
from tuning.registry.registration import CARD_FILE, MAX_DESCRIPTION, register
from tuning.registry.serving import _default_model, predict
from tuning.registry.versions import find_version, registered_name
from tuning.study.sections import GateRule
from tuning.tracking import keys
from tuning.tracking.keys import (
    CHALLENGER,
    CHAMPION,
    GAIN_LOW,
    GATE,
    GATE_REASONS,
    METRIC,
    PARENT_RUN,
    TRIALS,
)
from tuning.tracking.reader import read_predictions, write_predictions

if TYPE_CHECKING:
    from mlflow import MlflowClient

BETTER = {keys.VERDICT: "better", keys.DATASET_DIGEST: "d", GAIN_LOW: "0.004"}
RULE = GateRule()
ACCURACY = make_metric("accuracy")


def make_inputs(**changes: Any) -> GateInputs:
    known: dict[str, Any] = {
        "verdict": "better",
        "gain_low": 0.004,
        "digest": "d",
        "metric": ACCURACY,
    }
    return GateInputs(**{**known, **changes})


def rival(low: float, estimate: float, **changes: Any) -> Rival:
    difference = Gain(estimate, low, 2 * estimate - low, 0.5, 0.01, 0.01, 5.0)
    known: dict[str, Any] = {
        "version": "1",
        "digest": "d",
        "metric": "accuracy",
        "difference": difference,
    }
    return Rival(**{**known, **changes})


@pytest.mark.parametrize("verdict", ["inconclusive", "worse", "unknown", ""])
def test_only_better_passes(verdict: str) -> None:
    gate = apply_gate(RULE, make_inputs(verdict=verdict))
    assert not gate.passed
    assert (verdict or "unknown") in gate.reasons[0]


@pytest.mark.parametrize(
    ("rule", "changes", "reason"),
    [
        ({}, {"gain_low": None}, "the confidence interval of the gain is unknown"),
        ({"min_gain_low": 0.01}, {}, r"is \+0.40 points, not above the limit of \+1.00"),
        ({"min_gain_low": 0.004}, {}, r"is \+0.40 points, not above the limit of \+0.40"),
        ({}, {"behaviour_regression": 0.3}, "behaviour regression is 0.3, above the limit of 0.2"),
        (
            {"max_size_mb": 10},
            {"size_mb": 12.5},
            "12.5 MB, above the limit of 10 MB .gate.max_size",
        ),
        (
            {"max_latency_ms": 5},
            {"latency_ms": 9},
            "9 ms, above the limit of 5 ms .gate.max_latency",
        ),
    ],
)
def test_each_limit_can_refuse(rule: dict[str, Any], changes: Any, reason: str) -> None:
    gate = apply_gate(GateRule(**rule), make_inputs(**changes))
    assert not gate.passed
    assert re.search(reason, gate.reasons[0])


def test_what_was_not_measured_refuses_nobody() -> None:
    assert apply_gate(GateRule(max_size_mb=1, max_latency_ms=1), make_inputs()).passed


def test_a_champion_must_be_surpassed_on_the_same_rows() -> None:
    assert apply_gate(RULE, make_inputs(champion=rival(0.001, 0.01))).passed
    gate = apply_gate(RULE, make_inputs(champion=rival(-0.001, 0.01)))
    assert not gate.passed
    assert "not clearly better than champion 1: +1.00 points (-0.10 to +2.10)" in gate.reasons[0]


def test_a_study_may_be_content_with_not_worse() -> None:
    rule = GateRule(over_champion="not_worse")
    assert apply_gate(rule, make_inputs(champion=rival(-0.01, 0.0))).passed
    assert not apply_gate(rule, make_inputs(champion=rival(-0.03, -0.001))).passed


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"digest": "other"}, "other data"),
        ({"metric": "f1"}, "its test metric is accuracy, that of the champion is f1"),
        ({"difference": None}, "predictions are missing"),
    ],
)
def test_what_cannot_be_compared_with_the_champion_is_refused(changes: Any, reason: str) -> None:
    gate = apply_gate(RULE, make_inputs(champion=rival(0.01, 0.02, **changes)))
    assert not gate.passed
    assert reason in gate.reasons[0]


def test_stand_in_data_have_a_name_of_their_own() -> None:
    common: dict[str, Any] = {"name": "n", "source": "s", "digest": "d", "sizes": {}}
    study = make_study()
    assert registered_name(study, DataInfo(label="imdb", **common)) == "toy"
    stand_in = DataInfo(label="synthetic", warning="NOT REAL", **common)
    assert registered_name(study, stand_in) == "toy-synthetic"


def add_version(client: "MlflowClient", tags: dict[str, str]) -> str:
    if not client.search_registered_models("name = 'toy'"):
        client.create_registered_model("toy")
    version = client.create_model_version("toy", source="/somewhere", tags=tags)
    return str(version.version)


def test_promotion_moves_the_alias_and_tells_why(
    client: "MlflowClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    first = add_version(client, BETTER)
    second = add_version(client, BETTER)
    monkeypatch.setattr(
        "tuning.registry.promotion._difference", lambda *_: rival(0.01, 0.02).difference
    )
    for version in (first, second):
        promote(client, "toy", version, RULE, by="a test")
        assert str(client.get_model_version_by_alias("toy", CHAMPION).version) == version
    tags = client.get_model_version("toy", second).tags
    assert tags[GATE].startswith("passed")
    assert tags[GATE].endswith("by a test")
    assert tags["tuning.replaces"] == first


def test_a_refusal_changes_no_alias(client: "MlflowClient") -> None:
    champion = add_version(client, BETTER)
    promote(client, "toy", champion, RULE, by="a test")
    worse = add_version(client, {**BETTER, keys.VERDICT: "worse"})
    with pytest.raises(PromotionRefusedError, match="the verdict is worse"):
        promote(client, "toy", worse, RULE, by="a test")
    assert str(client.get_model_version_by_alias("toy", CHAMPION).version) == champion
    tags = client.get_model_version("toy", worse).tags
    assert tags[GATE].startswith("refused")
    assert "worse" in tags[GATE_REASONS]


def test_promoting_the_champion_again_changes_nothing(client: "MlflowClient") -> None:
    version = add_version(client, BETTER)
    for _ in range(2):
        assert promote(client, "toy", version, RULE, by="a test").passed
    assert "tuning.replaces" not in client.get_model_version("toy", version).tags


def test_what_to_promote_can_be_named_in_four_ways(client: "MlflowClient") -> None:
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    run_id = client.create_run(experiment.experiment_id).info.run_id
    client.create_registered_model("toy")
    client.create_model_version("toy", "/somewhere", run_id=run_id, tags={PARENT_RUN: run_id})
    client.set_registered_model_alias("toy", CHALLENGER, "1")
    for target in (None, "1", "toy/1", run_id):
        assert find_version(client, target, "toy") == ("toy", "1")


def test_a_registration_that_ended_before_its_end_is_completed(
    client: "MlflowClient", tmp_path: Path
) -> None:
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    runs = [client.create_run(experiment.experiment_id).info.run_id for _ in range(2)]
    model = tmp_path / "model"
    (model / "artifacts").mkdir(parents=True)
    (model / "artifacts" / CARD_FILE).write_text("# toy\n" + "x" * MAX_DESCRIPTION)
    client.create_registered_model("toy")
    client.create_model_version("toy", str(model), run_id=runs[0])

    def again(run_id: str) -> str:
        # What is registered is not made again, so there is no need of a task and a model.
        arguments: dict[str, Any] = {"task": None, "model_file": None, "tags": {}, "card": None}
        return register(client, name="toy", run_id=run_id, **arguments)

    def challenger() -> str:
        return str(client.get_model_version_by_alias("toy", CHALLENGER).version)

    assert again(runs[0]) == challenger() == "1"
    description = client.get_model_version("toy", "1").description
    assert description is not None
    assert description.startswith("# toy\n")
    assert len(description) == MAX_DESCRIPTION
    client.create_model_version("toy", "/somewhere", run_id=runs[1], description="# said")
    assert again(runs[1]) == challenger() == "2"
    assert again(runs[0]) == "1"
    assert challenger() == "2", "the newer one stays"


def test_a_promotion_that_hangs_elsewhere_is_named(
    client: "MlflowClient", monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("tuning.registry.versions.LOCK_SECONDS", 0)
    with (
        FileLock(tmp_path / "tuning-promote-toy.lock"),
        pytest.raises(TuningError, match="another process has been using the registry"),
    ):
        promote(client, "toy", add_version(client, BETTER), RULE, by="a test")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("0" * 32, "no registered version comes from run '0{32}'"),
        ("no' or 1=1", "is neither a run id nor a version"),
        (None, "'toy' has no challenger yet"),
    ],
)
def test_what_is_not_registered_is_named(
    client: "MlflowClient", target: str | None, message: str
) -> None:
    with pytest.raises(BadInputError, match=message):
        find_version(client, target, "toy")


def test_a_missing_version_is_named(client: "MlflowClient") -> None:
    with pytest.raises(BadInputError, match="no version '9' of 'toy'"):
        promote(client, "toy", "9", RULE, by="a test")


def add_study(client: "MlflowClient", share: float, digest: str = "d") -> str:
    """A version of a study whose three models get that share of the same test rows right."""
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    run_id = client.create_run(experiment.experiment_id).info.run_id
    random = np.random.default_rng(int(1000 * share))
    labels = np.random.default_rng(0).integers(0, 2, 3_000)
    trials = [f"confirm-x-seed{seed}" for seed in (1, 2, 3)]
    probabilities = {
        trial: np.where((random.random(3_000) < share) == (labels == 1), 0.9, 0.1)
        for trial in trials
    }
    write_predictions(client, run_id, Predictions(labels, probabilities))
    tags = {**BETTER, keys.DATASET_DIGEST: digest, PARENT_RUN: run_id, METRIC: "accuracy"}
    return add_version(client, {**tags, TRIALS: ",".join(trials)})


def test_the_challenger_meets_the_champion_on_the_same_test_rows(client: "MlflowClient") -> None:
    champion, equal, better = (add_study(client, share) for share in (0.85, 0.851, 0.93))
    assert promote(client, "toy", champion, RULE, by="a test").passed
    with pytest.raises(PromotionRefusedError, match="not clearly better than champion 1"):
        promote(client, "toy", equal, RULE, by="a test")
    gate = promote(client, "toy", better, RULE, by="a test")
    assert "points against champion 1" in gate.reasons[0]
    run_id = client.get_model_version("toy", better).tags[PARENT_RUN]
    (file,) = client.list_artifacts(run_id, "gate")
    assert file.path == f"gate/toy-{better}.json"


def test_other_data_are_refused(client: "MlflowClient") -> None:
    promote(client, "toy", add_study(client, 0.85), RULE, by="a test")
    with pytest.raises(PromotionRefusedError, match="other data"):
        promote(client, "toy", add_study(client, 0.95, digest="e"), RULE, by="a test")


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({keys.VERDICT: "inconclusive"}, "the verdict is inconclusive"),
        ({keys.GAIN_LOW: "0.0005"}, "the lower end of the gain's interval is .0.05 points"),
        ({keys.GAIN_LOW: "nan"}, "the confidence interval of the gain is unknown"),
        ({keys.BEHAVIOURS: "0.2500"}, "the behaviour regression is 0.25"),
        ({keys.SIZE: "12.50"}, "the size is 12.5 MB"),
        ({keys.LATENCY: "90.0"}, "the latency is 90 ms"),
    ],
)
def test_the_gate_reads_what_the_version_says(
    client: "MlflowClient", tags: dict[str, str], reason: str
) -> None:
    measured = {keys.BEHAVIOURS: "0.1", keys.SIZE: "9.00", keys.LATENCY: "70.0"}
    rule = GateRule(min_gain_low=0.001, max_size_mb=10, max_latency_ms=80)
    good = add_version(client, {**BETTER, **measured})
    assert promote(client, "toy", good, rule, by="a test", dry_run=True).passed
    bad = add_version(client, {**BETTER, **measured, **tags})
    gate = promote(client, "toy", bad, rule, by="a test", dry_run=True)
    assert not gate.passed
    assert len(gate.reasons) == 1
    assert re.match(reason, gate.reasons[0])


def test_the_champion_is_met_with_all_seeds_and_at_the_confidence_of_the_study(
    client: "MlflowClient",
) -> None:
    champion, challenger = (add_study(client, share) for share in (0.85, 0.88))
    promote(client, "toy", champion, RULE, by="a test")
    stored = [
        read_predictions(client, client.get_model_version("toy", version).tags[PARENT_RUN])
        for version in (champion, challenger)
    ]
    before, after = ((each, list(each.outputs)) for each in stored if each is not None)
    for confidence in (0.6, 0.95, 0.9999):
        options: dict[str, Any] = {"confidence": confidence, "dry_run": True}
        gate = promote(client, "toy", challenger, RULE, by="a test", **options)
        difference = gain(ACCURACY, before, after, confidence)
        assert gate.passed is (difference.low > 0)
        expected = (
            f"{ACCURACY.write_gain(difference.estimate)} points"
            if gate.passed
            else ACCURACY.write_interval(difference.low, difference.high)
        )
        assert expected in gate.reasons[0]


def test_a_refusal_and_a_promotion_are_written_down_with_rule_facts_and_who_asked(
    client: "MlflowClient",
) -> None:
    refused, passed = add_study(client, 0.85), add_study(client, 0.93)
    client.set_model_version_tag("toy", refused, keys.VERDICT, "worse")
    with pytest.raises(PromotionRefusedError):
        promote(client, "toy", refused, RULE, by="ada")
    promote(client, "toy", passed, RULE, by="ada")
    for version, good in ((refused, False), (passed, True)):
        tags = client.get_model_version("toy", version).tags
        file = client.download_artifacts(tags[PARENT_RUN], f"gate/toy-{version}.json")
        decision = json.loads(Path(file).read_text())
        assert decision["passed"] is good
        assert decision["rule"] == RULE.model_dump()
        assert decision["inputs"]["verdict"] == tags[keys.VERDICT]
        assert decision["by"] == "ada"
        assert decision["at"] in tags[GATE]
        assert "; ".join(decision["reasons"]) == tags[GATE_REASONS]


def test_the_champion_answers_and_the_challenger_only_where_there_is_none(
    client: "MlflowClient",
) -> None:
    study = make_study()
    with pytest.raises(BadInputError, match="no version of 'toy' is registered yet"):
        _default_model(client, study)
    first, second = add_version(client, BETTER), add_version(client, BETTER)
    client.set_registered_model_alias("toy", CHALLENGER, second)
    assert _default_model(client, study) == "models:/toy@challenger"
    client.set_registered_model_alias("toy", CHAMPION, first)
    assert _default_model(client, study) == "models:/toy@champion"


@pytest.mark.parametrize(
    "address",
    [
        *("/etc", "model", "./model", "file:///tmp/model", "http://somewhere/model"),
        *(
            "s3://bucket/model",
            "runs:/abc/model",
            "models:/../1",
            "models:/a/../b",
            "models:/a/b/c",
        ),
    ],
)
def test_no_model_is_loaded_but_from_the_store(
    client: "MlflowClient", monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr("mlflow.pyfunc.load_model", loaded.append)
    with pytest.raises(BadInputError, match=r"^model: models:/name@alias"):
        predict(client, address, make_study(), ["A fine film."])
    assert not loaded


def test_a_dry_run_changes_nothing(client: "MlflowClient") -> None:
    version = add_study(client, 0.85)
    assert promote(client, "toy", version, RULE, by="a test", dry_run=True).passed
    assert not client.get_registered_model("toy").aliases
    assert GATE not in client.get_model_version("toy", version).tags


def test_a_champion_can_be_rolled_back(client: "MlflowClient") -> None:
    first, second = add_study(client, 0.80), add_study(client, 0.93)
    for version in (first, second):
        promote(client, "toy", version, RULE, by="a test")
    assert rollback(client, "toy", by="a test", dry_run=True) == first
    assert str(client.get_model_version_by_alias("toy", CHAMPION).version) == second
    assert rollback(client, "toy", by="a test") == first
    assert str(client.get_model_version_by_alias("toy", CHAMPION).version) == first
    assert client.get_model_version("toy", second).tags[GATE].startswith("rolled back")
    with pytest.raises(TuningError, match="was the first champion"):
        rollback(client, "toy", by="a test")
    rows = history(client, "toy")
    assert [row[0] for row in rows[1:]] == [first, second]
    assert rows[0][3:] == ["gain", "metric", "test value", "aliases", "gate"]
    assert [row[4] for row in rows[1:]] == ["accuracy", "accuracy"]
    assert [row[6] for row in rows[1:]] == [CHAMPION, ""]
    assert "rolled back" in rows[2][7]


def test_without_a_champion_there_is_nothing_to_roll_back(client: "MlflowClient") -> None:
    client.create_registered_model("toy")
    with pytest.raises(TuningError, match="no champion"):
        rollback(client, "toy", by="a test")


def test_a_promotion_elsewhere_at_the_same_moment_is_noticed(
    client: "MlflowClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = add_version(client, BETTER), add_version(client, BETTER)
    set_alias = client.set_registered_model_alias

    def set_twice(name: str, alias: str, version: str) -> None:
        set_alias(name, alias, version)
        set_alias(name, alias, theirs)

    monkeypatch.setattr(client, "set_registered_model_alias", set_twice)
    with pytest.raises(TuningError, match=f"is version {theirs}; another process promotes"):
        promote(client, "toy", ours, RULE, by="a test")
