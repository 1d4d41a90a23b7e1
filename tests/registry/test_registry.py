"""The gate, and what promoting does to the registry."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.factories import make_study
from tests.registry.studies import register_study
from tuning.core.errors import BadInputError, PromotionRefusedError, TuningError
from tuning.core.task import DataInfo
from tuning.evaluation.gains import gain
from tuning.evaluation.intervals import Gain
from tuning.metrics.catalogue import make_metric
from tuning.registry.decisions import (
    MAX_DESCRIPTION,
    RegistryDecision,
    add_decision,
    read_decisions,
    with_decisions,
)
from tuning.registry.gate import GateInputs, Rival, apply_gate
from tuning.registry.history import audit, history
from tuning.registry.prediction import _default_model, predict
from tuning.registry.promotion import promote, rollback
from tuning.registry.registration import register
from tuning.registry.serving import CARD_FILE
from tuning.registry.versions import find_version, registered_name
from tuning.study.sections import GateRule
from tuning.tracking import keys
from tuning.tracking.keys import CHALLENGER, CHAMPION, GATE, GATE_REASONS, PARENT_RUN
from tuning.tracking.predictions import read_predictions

if TYPE_CHECKING:
    from mlflow import MlflowClient

RULE = GateRule()
ACCURACY = make_metric("accuracy")


def champion_of(client: "MlflowClient", name: str = "toy") -> str:
    return str(client.get_registered_model(name).aliases.get(CHAMPION, ""))


def make_inputs(**changes: Any) -> GateInputs:
    known: dict[str, Any] = {"verdict": "better", "gain_low": 0.004, "metric": ACCURACY}
    return GateInputs(**{**known, **changes})


def rival(low: float, estimate: float, **changes: Any) -> Rival:
    difference = Gain(estimate, low, 2 * estimate - low, 0.5, 0.01, 0.01, 5.0)
    known: dict[str, Any] = {"version": "1", "metric": "accuracy", "difference": difference}
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
        (
            {"max_behaviour_regression": 0.2},
            {"behaviour_regression": 0.3},
            "behaviour regression is 0.3, above the limit of 0.2",
        ),
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


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("max_behaviour_regression", "behaviour regression"),
        ("max_size_mb", "size"),
        ("max_latency_ms", "latency"),
    ],
)
def test_a_limit_that_is_set_refuses_what_was_not_measured(field: str, name: str) -> None:
    assert apply_gate(RULE, make_inputs()).passed, "without a limit"
    rule = GateRule.model_validate({field: 1})
    gate = apply_gate(rule, make_inputs())
    assert gate.reasons == (
        f"the {name} was not measured, and gate.{field} is set; unset it to promote without",
    )


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
        ({"same_rows": False}, "other data"),
        ({"objections": ("its tag a says 1",)}, "champion 1: its tag a says 1"),
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
    stand_in = DataInfo(label="synthetic", stand_in=True, **common)
    assert registered_name(study, stand_in) == "toy-synthetic"
    warned = DataInfo(label="imdb", warning="3 rows were dropped", **common)
    assert registered_name(study, warned) == "toy", "a warning is no stand-in"


def test_promotion_moves_the_alias_and_tells_why(client: "MlflowClient", tmp_path: Path) -> None:
    first, second = (register_study(client, tmp_path, share).version for share in (0.85, 0.92))
    for version in (first, second):
        promote(client, "toy", version, RULE, by="a test")
        assert champion_of(client) == version
    tags = client.get_model_version("toy", second).tags
    assert tags[GATE].startswith("passed")
    assert tags[GATE].endswith("by a test")
    assert tags["tuning.replaces"] == first
    assert client.get_registered_model("toy").tags[keys.CHAMPIONS] == f"{first},{second}"


def test_a_refusal_changes_no_alias(client: "MlflowClient", tmp_path: Path) -> None:
    champion = register_study(client, tmp_path).version
    promote(client, "toy", champion, RULE, by="a test")
    worse = register_study(client, tmp_path, 0.7).version
    with pytest.raises(PromotionRefusedError, match="the verdict is worse"):
        promote(client, "toy", worse, RULE, by="a test")
    assert champion_of(client) == champion
    tags = client.get_model_version("toy", worse).tags
    assert tags[GATE].startswith("refused")
    assert "worse" in tags[GATE_REASONS]


def test_promoting_the_champion_again_changes_nothing(
    client: "MlflowClient", tmp_path: Path
) -> None:
    version = register_study(client, tmp_path).version
    for _ in range(2):
        assert promote(client, "toy", version, RULE, by="a test").passed
    assert "tuning.replaces" not in client.get_model_version("toy", version).tags
    assert client.get_registered_model("toy").tags[keys.CHAMPIONS] == version


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
        # What is registered is not made again, so there is no need of a model.
        arguments: dict[str, Any] = {"make": None, "tags": {}, "card": None}
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


def test_the_challenger_meets_the_champion_on_the_same_test_rows(
    client: "MlflowClient", tmp_path: Path
) -> None:
    shares = (0.85, 0.851, 0.93)
    champion, equal, better = (register_study(client, tmp_path, s).version for s in shares)
    assert promote(client, "toy", champion, RULE, by="a test").passed
    with pytest.raises(PromotionRefusedError, match="not clearly better than champion 1"):
        promote(client, "toy", equal, RULE, by="a test")
    gate = promote(client, "toy", better, RULE, by="a test")
    assert "points against champion 1" in gate.reasons[0]
    assert gate.reasons[0].endswith("look 3 at these test rows")
    run_id = client.get_model_version("toy", better).tags[PARENT_RUN]
    (file,) = client.list_artifacts(run_id, "gate")
    assert file.path == f"gate/toy-{better}-001.json"


def test_a_champion_is_replaced_after_preprocessing_has_changed(
    client: "MlflowClient", tmp_path: Path
) -> None:
    promote(client, "toy", register_study(client, tmp_path, 0.85).version, RULE, by="a test")
    other = register_study(client, tmp_path, 0.93, digest="f" * 64)
    assert promote(client, "toy", other.version, RULE, by="a test").passed
    (decision,) = read_decisions(client.get_model_version("toy", other.version).tags)
    assert decision.changed == "training data or preprocessing"


@pytest.mark.parametrize(
    ("study", "reason"),
    [
        ({"right": 0.805}, "the verdict is inconclusive"),
        ({"regression": 0.25}, "the behaviour regression is 0.25"),
        ({"measured": {keys.LATENCY: "90.0"}}, "the latency is 90 ms"),
    ],
)
def test_the_gate_reads_the_record_and_what_was_measured(
    client: "MlflowClient", tmp_path: Path, study: dict[str, Any], reason: str
) -> None:
    rule = GateRule(min_gain_low=0.001, max_latency_ms=80, max_behaviour_regression=0.2)
    known: dict[str, Any] = {"regression": 0.1, "measured": {keys.LATENCY: "70.0"}}
    good = register_study(client, tmp_path, **known)
    assert promote(client, "toy", good.version, rule, by="a test", dry_run=True).passed
    bad = register_study(client, tmp_path, **{**known, **study})
    gate = promote(client, "toy", bad.version, rule, by="a test", dry_run=True)
    assert not gate.passed
    assert re.match(reason, gate.reasons[0])


def test_the_gate_weighs_the_files_that_are_there(client: "MlflowClient", tmp_path: Path) -> None:
    version = register_study(client, tmp_path).version
    gate = promote(client, "toy", version, GateRule(max_size_mb=1e-6), by="a test", dry_run=True)
    assert "above the limit of 1e-06 MB (gate.max_size_mb)" in gate.reasons[0]


def test_the_champion_is_met_with_all_seeds_and_at_the_confidence_of_the_study(
    client: "MlflowClient", tmp_path: Path
) -> None:
    studies = [register_study(client, tmp_path, share) for share in (0.86, 0.87)]
    champion, challenger = studies
    promote(client, "toy", champion.version, RULE, by="a test")
    tested = []
    for each in studies:
        predictions, best = read_predictions(client, each.run_id), each.comparison.best
        assert predictions is not None and best is not None
        tested.append((predictions, best.trials))
    passed = []
    for confidence in (0.6, 0.95, 0.9999):
        options: dict[str, Any] = {"confidence": confidence, "dry_run": True}
        gate = promote(client, "toy", challenger.version, RULE, by="a test", **options)
        difference = gain(ACCURACY, tested[0], tested[1], confidence)
        assert gate.passed is (difference.low > 0)
        passed.append(gate.passed)
        expected = (
            f"{ACCURACY.write_gain(difference.estimate)} points"
            if gate.passed
            else ACCURACY.write_interval(difference.low, difference.high)
        )
        assert expected in gate.reasons[0]
    assert len(set(passed)) == 2, "the confidence decides"


def test_a_refusal_and_a_promotion_are_written_down_with_rule_facts_and_who_asked(
    client: "MlflowClient", tmp_path: Path
) -> None:
    refused, passed = (register_study(client, tmp_path, share) for share in (0.7, 0.93))
    with pytest.raises(PromotionRefusedError):
        promote(client, "toy", refused.version, RULE, by="ada")
    promote(client, "toy", passed.version, RULE, by="ada")
    for study, good in ((refused, False), (passed, True)):
        version = client.get_model_version("toy", study.version)
        path = f"gate/toy-{study.version}-001.json"
        document = json.loads(Path(client.download_artifacts(study.run_id, path)).read_text())
        assert document["passed"] is good
        assert document["rule"] == RULE.model_dump()
        assert document["inputs"]["verdict"] == version.tags[keys.VERDICT]
        assert document["by"] == "ada"
        assert document["at"] in version.tags[GATE]
        assert "; ".join(document["reasons"]) == version.tags[GATE_REASONS]
        (decision,) = read_decisions(version.tags)
        assert decision.what == ("passed the gate" if good else "refused")
        assert decision.rows == "eeeeeeeeeeeeeeee (3,000, look " + ("2)" if good else "1)")
        assert "latency not measured (no limit)" in decision.limits
        assert version.description is not None
        assert decision.text in version.description


def test_a_later_decision_overwrites_none(client: "MlflowClient", tmp_path: Path) -> None:
    study = register_study(client, tmp_path, 0.85)
    for rule in (GateRule(min_gain_low=0.5), RULE, GateRule(min_gain_low=0.6)):
        try:
            promote(client, "toy", study.version, rule, by="ada")
        except PromotionRefusedError:
            continue
    decisions = read_decisions(client.get_model_version("toy", study.version).tags)
    assert [each.what for each in decisions] == ["refused", "passed the gate", "refused"]
    assert len(client.list_artifacts(study.run_id, "gate")) == 3
    text = "\n".join(audit(client, "toy"))
    assert all(line in text for decision in decisions for line in decision.lines)


def test_the_card_keeps_its_text_and_the_newest_decisions() -> None:
    card = "# toy\n\n" + "word " * 2_000
    decisions = [
        RegistryDecision("refused", f"day {day}", "ada", "because " * 20) for day in range(40)
    ]
    once = with_decisions(card[:MAX_DESCRIPTION], decisions[:1])
    text = with_decisions(once, decisions)
    assert text.startswith("# toy\n\nword word")
    assert len(text) <= MAX_DESCRIPTION
    assert text.count("## Decisions") == 1
    assert decisions[-1].text in text
    assert decisions[0].text not in text
    assert with_decisions(text, decisions) == text


def test_decisions_are_in_the_order_of_their_numbers_whatever_the_clock_says(
    client: "MlflowClient", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = register_study(client, tmp_path)
    version = client.get_model_version("toy", study.version)
    for year in (2031, 2019, 2025):
        add_decision(client, "toy", version, RegistryDecision(f"{year}", f"{year}-01-01", "ada"))
    tags = client.get_model_version("toy", study.version).tags
    assert [each.what for each in read_decisions(tags)] == ["2031", "2019", "2025"]


def test_the_champion_answers_and_the_challenger_only_where_there_is_none(
    client: "MlflowClient", tmp_path: Path
) -> None:
    study = make_study()
    with pytest.raises(BadInputError, match="no version of 'toy' is registered yet"):
        _default_model(client, study)
    first, second = (register_study(client, tmp_path).version for _ in range(2))
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


def test_a_dry_run_changes_nothing(client: "MlflowClient", tmp_path: Path) -> None:
    version = register_study(client, tmp_path).version
    before = client.get_registered_model("toy").tags, client.get_model_version("toy", version).tags
    assert promote(client, "toy", version, RULE, by="a test", dry_run=True).passed
    assert not client.get_registered_model("toy").aliases
    after = client.get_registered_model("toy").tags, client.get_model_version("toy", version).tags
    assert before == after


def test_a_champion_can_be_rolled_back(client: "MlflowClient", tmp_path: Path) -> None:
    first, second = (register_study(client, tmp_path, share).version for share in (0.83, 0.93))
    for version in (first, second):
        promote(client, "toy", version, RULE, by="a test")
    assert rollback(client, "toy", by="a test", dry_run=True) == (first, [])
    assert champion_of(client) == second
    assert rollback(client, "toy", by="a test") == (first, [])
    assert champion_of(client) == first
    assert client.get_model_version("toy", second).tags[GATE].startswith("rolled back")
    with pytest.raises(TuningError, match="was the first champion"):
        rollback(client, "toy", by="a test")
    rows = history(client, "toy")
    assert [row[0] for row in rows[1:]] == [first, second]
    assert rows[0][3:] == ["gain", "metric", "test value", "aliases", "gate"]
    assert [row[4] for row in rows[1:]] == ["accuracy", "accuracy"]
    assert [row[6] for row in rows[1:]] == [CHAMPION, ""]
    assert "rolled back" in rows[2][7]


def test_rolling_back_goes_along_the_true_history_to_its_begin(
    client: "MlflowClient", tmp_path: Path
) -> None:
    first, second = (register_study(client, tmp_path, share).version for share in (0.83, 0.93))
    rule = GateRule(over_champion="not_worse")
    promote(client, "toy", first, rule, by="a test")
    promote(client, "toy", second, rule, by="a test")
    client.set_registered_model_alias("toy", CHAMPION, first)  # by hand
    promote(client, "toy", second, rule, by="a test")
    third = register_study(client, tmp_path, 0.96).version
    promote(client, "toy", third, rule, by="a test")
    steps = []
    with pytest.raises(TuningError, match="was the first champion"):
        for _ in range(9):
            steps.append(rollback(client, "toy", by="a test")[0])
    assert steps == [second, first]


def test_the_line_of_champions_of_version_0_1_is_read_from_tags(
    client: "MlflowClient", tmp_path: Path
) -> None:
    versions = [register_study(client, tmp_path).version for _ in range(3)]
    for before, after in ((0, 1), (1, 2), (2, 1)):  # the last one overwrote the first
        client.set_model_version_tag("toy", versions[after], keys.REPLACES, versions[before])
    client.set_registered_model_alias("toy", CHAMPION, versions[1])
    assert rollback(client, "toy", by="a test") == (versions[2], [])


def test_without_a_champion_there_is_nothing_to_roll_back(client: "MlflowClient") -> None:
    with pytest.raises(TuningError, match="nothing is registered as toy"):
        rollback(client, "toy", by="a test")
    client.create_registered_model("toy")
    with pytest.raises(TuningError, match="no champion"):
        rollback(client, "toy", by="a test")
