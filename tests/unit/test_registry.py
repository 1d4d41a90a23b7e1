"""The gate, and what promoting does to the registry."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

from tests.factories import make_study
from tuning.errors import BadInputError, PromotionRefusedError, TuningError
from tuning.protocols import DataInfo
from tuning.registry import (
    CHALLENGER,
    CHAMPION,
    GATE,
    GATE_REASONS,
    PARENT_RUN,
    TEST_ACCURACY,
    decide_gate,
    find_version,
    promote,
    register,
    registered_name,
)
from tuning.tracking import names

if TYPE_CHECKING:
    from mlflow import MlflowClient

BETTER = {
    names.VERDICT: "better",
    names.DATASET_DIGEST: "d",
    TEST_ACCURACY: "0.9",
}


@pytest.mark.parametrize("verdict", ["inconclusive", "worse", "unknown", ""])
def test_only_better_passes(verdict: str) -> None:
    gate = decide_gate({**BETTER, names.VERDICT: verdict}, None)
    assert not gate.passed
    assert verdict in gate.reasons[0]


def test_a_champion_must_be_surpassed() -> None:
    assert decide_gate({**BETTER, TEST_ACCURACY: "0.91"}, BETTER).passed
    for accuracy in ("0.9", "0.89"):
        gate = decide_gate({**BETTER, TEST_ACCURACY: accuracy}, BETTER)
        assert not gate.passed
        assert f"its test accuracy {accuracy} is not above the champion's 0.9" in gate.reasons


def test_better_passes_on_the_champions_data_only() -> None:
    assert decide_gate(BETTER, None).passed
    gate = decide_gate(BETTER, {names.DATASET_DIGEST: "other"})
    assert not gate.passed
    assert "other data" in gate.reasons[0]


def test_a_version_without_tags_is_refused() -> None:
    assert not decide_gate({}, None).passed


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


def test_promotion_moves_the_alias_and_tells_why(client: "MlflowClient") -> None:
    first = add_version(client, BETTER)
    second = add_version(client, {**BETTER, TEST_ACCURACY: "0.95"})
    for version in (first, second):
        promote(client, "toy", version, by="a test")
        assert str(client.get_model_version_by_alias("toy", CHAMPION).version) == version
    tags = client.get_model_version("toy", second).tags
    assert tags[GATE].startswith("passed")
    assert tags[GATE].endswith("by a test")
    assert tags["tuning.replaces"] == first


def test_a_refusal_changes_no_alias(client: "MlflowClient") -> None:
    champion = add_version(client, BETTER)
    promote(client, "toy", champion, by="a test")
    worse = add_version(client, {**BETTER, names.VERDICT: "worse"})
    with pytest.raises(PromotionRefusedError, match="its verdict is worse"):
        promote(client, "toy", worse, by="a test")
    assert str(client.get_model_version_by_alias("toy", CHAMPION).version) == champion
    tags = client.get_model_version("toy", worse).tags
    assert tags[GATE].startswith("refused")
    assert "worse" in tags[GATE_REASONS]


def test_promoting_the_champion_again_changes_nothing(client: "MlflowClient") -> None:
    version = add_version(client, BETTER)
    for _ in range(2):
        assert promote(client, "toy", version, by="a test").passed
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


def test_a_registration_that_ended_before_its_alias_is_completed(client: "MlflowClient") -> None:
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    runs = [client.create_run(experiment.experiment_id).info.run_id for _ in range(2)]
    client.create_registered_model("toy")
    client.create_model_version("toy", "/somewhere", run_id=runs[0])

    def again(run_id: str) -> str:
        # What is registered is not made again, so there is no need of a task and a model.
        arguments: dict[str, Any] = {"task": None, "model_file": None, "tags": {}}
        return register(client, name="toy", run_id=run_id, **arguments)

    def challenger() -> str:
        return str(client.get_model_version_by_alias("toy", CHALLENGER).version)

    assert again(runs[0]) == challenger() == "1"
    client.create_model_version("toy", "/somewhere", run_id=runs[1])
    assert again(runs[1]) == challenger() == "2"
    assert again(runs[0]) == "1"
    assert challenger() == "2", "the newer one stays"


def test_a_promotion_that_hangs_elsewhere_is_named(
    client: "MlflowClient", monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("tuning.registry.LOCK_SECONDS", 0)
    with (
        FileLock(tmp_path / "tuning-promote-toy.lock"),
        pytest.raises(TuningError, match="another process has been promoting"),
    ):
        promote(client, "toy", add_version(client, BETTER), by="a test")


@pytest.mark.parametrize("target", ["0" * 32, "no' or 1=1", None])
def test_what_is_not_registered_is_named(client: "MlflowClient", target: str | None) -> None:
    with pytest.raises(BadInputError):
        find_version(client, target, "toy")


def test_a_missing_version_is_named(client: "MlflowClient") -> None:
    with pytest.raises(BadInputError, match="no version '9' of 'toy'"):
        promote(client, "toy", "9", by="a test")
