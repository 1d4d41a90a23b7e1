"""Attempts to get a worse model promoted: each is refused with its reason, and changes no alias.

Where a process dies, or the store is late or fails, the registry is in the state of before, or in
the state of after.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from tests.registry.studies import Registered, register_study
from tuning.cli.main import main
from tuning.core.errors import EXIT_REFUSED, PromotionRefusedError, TuningError
from tuning.evaluation.intervals import Gain
from tuning.metrics.catalogue import make_metric
from tuning.registry.champions import read_champions
from tuning.registry.evidence import version_tags
from tuning.registry.files import describe_files
from tuning.registry.gate import GateInputs, Rival, apply_gate
from tuning.registry.promotion import promote, rollback
from tuning.registry.registered import read_registration, write_registration
from tuning.registry.registration import register
from tuning.study.sections import GateRule
from tuning.tracking import keys
from tuning.tracking.predictions import write_predictions
from tuning.tracking.retry import RetryPolicy, retrying

if TYPE_CHECKING:
    from mlflow import MlflowClient

RULE = GateRule()


@dataclass
class Stage:
    """A store with a champion that is right in 85% of the test rows."""

    client: "MlflowClient"
    folder: Path
    champion: Registered

    def study(self, right: float = 0.95, **options: Any) -> Registered:
        return register_study(self.client, self.folder, right, **options)

    def tag(self, study: Registered, key: str, value: str) -> None:
        self.client.set_model_version_tag(study.name, study.version, key, value)

    def holder(self, name: str = "toy") -> str:
        aliases = self.client.get_registered_model(name).aliases
        return str(aliases.get(keys.CHAMPION, ""))

    def resume(self, study: Registered) -> None:
        """Registers again, as the end of a resumed study does; no model is made again."""
        arguments: dict[str, Any] = {"make": None, "card": None}
        tags = version_tags(study.record, study.comparison)
        register(self.client, name="toy", run_id=study.run_id, tags=tags, **arguments)

    def refuse(self, study: Registered, reason: str, rule: GateRule = RULE) -> None:
        """Tries to promote, and expects this reason and the champion of before."""
        before = self.holder(study.name)
        with pytest.raises(PromotionRefusedError, match=reason) as refused:
            promote(self.client, study.name, study.version, rule, by="mallory")
        assert refused.value.exit_code == EXIT_REFUSED
        assert self.holder(study.name) == before


@pytest.fixture
def stage(client: "MlflowClient", tmp_path: Path) -> Stage:
    champion = register_study(client, tmp_path, 0.85)
    promote(client, "toy", champion.version, RULE, by="ada")
    return Stage(client, tmp_path, champion)


def test_what_is_good_passes(stage: Stage) -> None:
    good = stage.study()
    promote(stage.client, "toy", good.version, RULE, by="ada")
    assert stage.holder() == good.version


# A limit that is set, and nothing measured.
@pytest.mark.parametrize("field", ["max_behaviour_regression", "max_latency_ms"])
def test_unmeasured_limits(stage: Stage, field: str) -> None:
    stage.refuse(stage.study(), "was not measured", GateRule.model_validate({field: 1}))


# Test rows that are easier, or other ones.
def test_swapped_test_rows(stage: Stage) -> None:
    stage.refuse(stage.study(test_digest="f" * 64), "the test rows are not the same")


def test_other_labels_under_the_same_digest(stage: Stage) -> None:
    stage.refuse(stage.study(labels=1), "predictions are missing or do not match")


def test_predictions_that_are_deleted(stage: Stage) -> None:
    study = stage.study()
    run = stage.client.get_run(study.run_id)
    Path(run.info.artifact_uri.removeprefix("file://"), keys.PREDICTIONS_FILE).unlink()
    stage.refuse(study, "the verdict is (inconclusive|unknown)")


def test_a_champion_of_another_metric(stage: Stage) -> None:
    study = stage.study(study={"compare": {"metric": "f1"}})
    stage.refuse(study, "its test metric is f1, that of the champion is accuracy")


def test_a_study_on_stand_in_data(stage: Stage) -> None:
    study = stage.study(stand_in=True, label="synthetic")
    assert study.name == "toy-synthetic"
    version = stage.client.create_model_version(
        "toy",
        str(study.files),
        run_id=study.run_id,
        tags=stage.client.get_model_version(study.name, study.version).tags,
    )
    stolen = Registered("toy", str(version.version), *_rest(study))
    stage.refuse(stolen, "stand-in data, whose models are registered as toy-synthetic")


def test_a_study_that_registers_under_another_name(stage: Stage) -> None:
    study = stage.study(study={"registered_model": "other"})
    version = stage.client.create_model_version("toy", str(study.files), run_id=study.run_id)
    stolen = Registered("toy", str(version.version), *_rest(study))
    stage.refuse(stolen, "the study of its run registers its models as other")


def test_a_renamed_study_meets_the_same_champion(stage: Stage) -> None:
    stage.refuse(stage.study(0.84, study={"name": "renamed"}), "not clearly better than champion")


def _rest(study: Registered) -> tuple[str, Path, Any, Any]:
    return study.run_id, study.files, study.record, study.comparison


# Tags that say more than the record.
@pytest.mark.parametrize(
    ("key", "value"),
    [
        (keys.VERDICT, "better"),
        (keys.TRIALS, "baseline-baseline-seed1"),
        (keys.TEST_DIGEST, "0" * 64),
        *(
            pytest.param(key, value, marks=pytest.mark.full)
            for key, value in (
                (keys.GAIN_LOW, "0.2"),
                (keys.METRIC, "f1"),
                (keys.DATASET_DIGEST, "0" * 64),
                (keys.PARENT_RUN, "0" * 32),
            )
        ),
    ],
)
def test_an_edited_tag(stage: Stage, key: str, value: str) -> None:
    worse = stage.study(0.79)
    stage.tag(worse, key, value)
    stage.refuse(worse, f"its tag {key} says '{value}', and the record of its study says")


def test_an_edited_tag_of_the_champion(stage: Stage) -> None:
    stage.tag(stage.champion, keys.TRIALS, "baseline-baseline-seed1")
    stage.refuse(stage.study(0.83), f"champion 1: its tag {keys.TRIALS} says")


def test_all_tags_of_a_better_version(stage: Stage) -> None:
    better, worse = stage.study(0.95), stage.study(0.79)
    for key, value in stage.client.get_model_version("toy", better.version).tags.items():
        stage.tag(worse, key, value)
    stage.refuse(worse, "its tag tuning.run says")


def test_a_latency_tag_that_is_lower_than_what_was_measured(stage: Stage) -> None:
    slow = stage.study(measured={keys.LATENCY: "900.0"})
    stage.tag(slow, keys.LATENCY, "1.0")
    stage.refuse(slow, f"its tag {keys.LATENCY} says '1.0'", GateRule(max_latency_ms=50))


# Versions that no study has registered.
def test_a_version_without_a_study(stage: Stage) -> None:
    better = stage.study()
    tags = stage.client.get_model_version("toy", better.version).tags
    tags.pop(keys.PARENT_RUN)
    version = stage.client.create_model_version("toy", str(better.files), tags=tags)
    loose = Registered("toy", str(version.version), *_rest(better))
    stage.refuse(loose, "it was not registered by a study")


def test_another_version_of_the_same_run(stage: Stage) -> None:
    better = stage.study()
    tags = stage.client.get_model_version("toy", better.version).tags
    version = stage.client.create_model_version(
        "toy", str(stage.champion.files), run_id=better.run_id, tags=tags
    )
    second = Registered("toy", str(version.version), *_rest(better))
    stage.refuse(second, f"its study registered version {better.version}, and not this one")


# Files that are gone, or not those that were registered.
def test_a_version_whose_files_are_gone(stage: Stage) -> None:
    study = stage.study()
    shutil.rmtree(study.files)
    stage.refuse(study, "its files are gone from the store")


def test_a_version_whose_files_were_exchanged(stage: Stage) -> None:
    study = stage.study()
    (study.files / "weights").write_text("another model")
    stage.refuse(study, "its files are not those that were registered")


# The champion that nobody can be compared with any more.
@pytest.mark.parametrize("how", ["version", "alias"])
def test_a_deleted_champion(stage: Stage, how: str) -> None:
    second = stage.study(0.95)
    promote(stage.client, "toy", second.version, RULE, by="ada")
    if how == "version":
        stage.client.delete_model_version("toy", second.version)
    else:
        stage.client.delete_registered_model_alias("toy", keys.CHAMPION)
    worse = stage.study(0.84)
    stage.refuse(worse, f"champion {second.version} was deleted or has lost its alias")
    expected = stage.champion.version if how == "version" else second.version
    assert rollback(stage.client, "toy", by="ada")[0] == expected
    stage.refuse(worse, "not clearly better than champion")


def test_a_deleted_champion_whose_alias_the_store_keeps(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow before 3.17 does so."""
    second = stage.study(0.95)
    promote(stage.client, "toy", second.version, RULE, by="ada")
    stage.client.delete_model_version("toy", second.version)
    read = stage.client.get_registered_model

    def keeps_alias(name: str) -> Any:
        model = read(name)
        model.aliases.setdefault(keys.CHAMPION, second.version)
        return model

    monkeypatch.setattr(stage.client, "get_registered_model", keeps_alias)
    worse = stage.study(0.84)
    stage.refuse(worse, f"champion {second.version} was deleted or has lost its alias")


def test_a_predecessor_that_is_gone_is_passed_over(stage: Stage) -> None:
    second, third = stage.study(0.92), stage.study(0.97)
    for study in (second, third):
        promote(stage.client, "toy", study.version, RULE, by="ada")
    stage.client.delete_model_version("toy", second.version)
    restored, passed_over = rollback(stage.client, "toy", by="ada")
    assert restored == stage.champion.version
    assert passed_over == [f"version {second.version} was deleted"]
    stage.client.delete_registered_model_alias("toy", keys.CHAMPION)
    shutil.rmtree(stage.champion.files)
    with pytest.raises(TuningError, match="no earlier champion is left: the files of version 1"):
        rollback(stage.client, "toy", by="ada")


# Processes that die: every write of a promotion is the last one, in turn.
class Killed(BaseException):
    """Ends a process in the middle."""


class Dying:
    """A client that dies before, or after, its nth write."""

    def __init__(self, client: "MlflowClient", writes: int, *, after: bool) -> None:
        self._client = client
        self._writes = writes
        self._after = after
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        if not name.startswith(("set_", "update_", "log_", "delete_", "create_")):
            return attribute

        def write(*arguments: Any, **options: Any) -> Any:
            if self.dead:
                raise Killed  # a dead process cleans nothing up
            self._writes -= 1
            if self._writes < 0 and not self._after:
                self.dead = True
                raise Killed
            result = attribute(*arguments, **options)
            if self._writes < 0:
                self.dead = True
                raise Killed
            return result

        return write


def _kill(client: "MlflowClient", writes: int, after: bool, run: Callable[[Any], Any]) -> bool:
    """Runs with a client that dies; returns whether it died."""
    dying = Dying(client, writes, after=after)
    try:
        run(dying)
    except Killed:
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("after", [pytest.param(False, marks=pytest.mark.full), True])
def test_a_killed_first_promotion(
    client: "MlflowClient", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    monkeypatch.setattr("tuning.registry.lock.ABANDONED_SECONDS", 0.0)
    study = register_study(client, tmp_path)
    for writes in range(100):
        killed = _kill(
            client, writes, after, lambda c: promote(c, "toy", study.version, RULE, by="ada")
        )
        champions = read_champions(client, "toy")
        assert champions.line in ((), (study.version,))
        promote(client, "toy", study.version, RULE, by="ada", dry_run=True)
        client.delete_registered_model_alias("toy", keys.CHAMPION)
        client.delete_registered_model_tag("toy", keys.CHAMPIONS)
        if not killed:
            break
    assert writes > 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("after", "stride"),
    [(True, 2), *(pytest.param(after, 1, marks=pytest.mark.full) for after in (False, True))],
)
def test_a_killed_promotion_and_rollback(
    stage: Stage, after: bool, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuning.registry.lock.ABANDONED_SECONDS", 0.0)
    monkeypatch.setattr("random.uniform", lambda low, high: low / 10)
    good = stage.study()
    old, new = stage.champion.version, good.version

    def promotes(client: Any) -> None:
        promote(client, "toy", new, RULE, by="ada")

    def rolls_back(client: Any) -> None:
        rollback(client, "toy", by="ada")

    ends = set()
    for writes in range(0, 100, stride):
        if stage.holder() == new:
            rollback(stage.client, "toy", by="ada")
        if not _kill(stage.client, writes, after, promotes):
            break
        ends.add(stage.holder())
        champions = read_champions(stage.client, "toy")
        assert champions.line in ((old,), (old, new))
        assert champions.line[-1] == stage.holder()
    assert writes > 5
    assert ends == {old, new}
    for writes in range(0, 100, stride):
        if stage.holder() == old:
            promote(stage.client, "toy", new, RULE, by="ada")
        if not _kill(stage.client, writes, after, rolls_back):
            break
        champions = read_champions(stage.client, "toy")
        assert champions.line in ((old,), (old, new))
        assert champions.line[-1] == stage.holder()
    assert writes > 2


# A store that is late: it answers with an error after it has done what it was asked.
@pytest.mark.slow
def test_a_store_that_answers_late(stage: Stage) -> None:
    good = stage.study()
    failed: set[int] = set()
    calls = iter(range(10_000))

    class Late:
        def __getattr__(self, name: str) -> Any:
            attribute = getattr(stage.client, name)
            if not callable(attribute):
                return attribute

            def call(*arguments: Any, **options: Any) -> Any:
                result = attribute(*arguments, **options)
                number = next(calls)
                if number % 3 == 0 and name not in ("search_runs", "download_artifacts"):
                    failed.add(number)
                    raise TimeoutError("the answer did not come")
                return result

            return call

    client: Any = retrying(Late(), RetryPolicy(sleep=lambda seconds: None))  # type: ignore[arg-type]
    promote(client, "toy", good.version, RULE, by="ada")
    assert len(failed) > 5
    assert read_champions(stage.client, "toy").line == (stage.champion.version, good.version)
    tags = stage.client.get_registered_model("toy").tags
    assert not [key for key in tags if key.startswith("tuning.lock.")], "the lock is released"


# Two at once.
@pytest.mark.slow
def test_two_promotions_at_once(stage: Stage) -> None:
    import mlflow

    best, good = stage.study(0.97), stage.study(0.92)
    refused: list[str] = []

    def run(study: Registered) -> None:
        own = mlflow.MlflowClient(stage.client.tracking_uri)
        try:
            promote(retrying(own), "toy", study.version, RULE, by=study.version)
        except PromotionRefusedError:
            refused.append(study.version)

    threads = [Thread(target=run, args=(study,)) for study in (good, best)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Whoever came second met the other one as champion, so the best one stays in either case.
    assert stage.holder() == best.version
    line = read_champions(stage.client, "toy").line
    assert line in (
        (stage.champion.version, good.version, best.version),
        (stage.champion.version, best.version),
    )
    assert refused == ([] if good.version in line else [good.version])


def test_an_alias_that_somebody_sets_by_hand_at_the_same_moment(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = stage.study(), stage.study()
    set_alias = stage.client.set_registered_model_alias

    def set_twice(name: str, alias: str, version: str) -> None:
        set_alias(name, alias, version)
        set_alias(name, alias, theirs.version)

    monkeypatch.setattr(stage.client, "set_registered_model_alias", set_twice)
    with pytest.raises(TuningError, match=f"is version {theirs.version}; another process"):
        promote(stage.client, "toy", ours.version, RULE, by="ada")


# The same function, turned around.
def cost(truth: Any, prediction: Any) -> float:
    return float(((prediction >= 0.5) != truth).mean())


def test_a_metric_that_is_turned_around(client: "MlflowClient", tmp_path: Path) -> None:
    metric = "tests.registry.test_attacks:cost"
    small = {"compare": {"metric": metric, "direction": "minimize"}}
    large = {"compare": {"metric": metric, "direction": "maximize"}}
    champion = register_study(client, tmp_path, 0.85, study=small)
    promote(client, "toy", champion.version, RULE, by="ada")
    worse = register_study(client, tmp_path, 0.6, baseline=0.85, study=large)
    with pytest.raises(PromotionRefusedError, match="is to maximize, and that of the champion to"):
        promote(client, "toy", worse.version, RULE, by="mallory")


def test_other_weights_of_the_same_rows(stage: Stage) -> None:
    stage.refuse(stage.study(0.84, weights=9.0), "predictions are missing or do not match")


@pytest.mark.parametrize("over_champion", ["better", "not_worse"])
def test_a_difference_that_is_no_number(over_champion: Any) -> None:
    nan = float("nan")
    rival = Rival("1", "accuracy", Gain(nan, nan, nan, 1.0, nan, nan, 0.0))
    inputs = GateInputs("better", 0.1, make_metric("accuracy"), champion=rival)
    assert not apply_gate(GateRule(over_champion=over_champion), inputs).passed


# What a resumed study completes.
def test_a_resumed_study_does_not_vouch_for_exchanged_files(stage: Stage) -> None:
    study = stage.study(measured={keys.LATENCY: "900.0"})
    (study.files / "weights").write_text("another model")
    stage.tag(study, keys.FILES, describe_files(study.files).digest)
    stage.tag(study, keys.LATENCY, "1.0")
    stage.resume(study)
    stage.refuse(study, "its files are not those that were registered")


def test_a_resumed_study_does_not_adopt_a_version_of_somebody_else(stage: Stage) -> None:
    study = stage.study()
    written = read_registration(stage.client, study.run_id, "toy")
    assert written is not None
    unfinished = replace(written, version="", model_id="m-own")
    write_registration(stage.client, study.run_id, "toy", unfinished)
    with pytest.raises(PromotionRefusedError, match="is not the model that this study has logged"):
        stage.resume(study)
    stage.refuse(study, "its registration was not completed")


def test_a_second_version_of_a_run_of_version_0_1(stage: Stage) -> None:
    old = stage.study()
    for path in (keys.CODE_FILE, "registry"):
        artifacts = Path(str(stage.client.get_run(old.run_id).info.artifact_uri)[7:], path)
        shutil.rmtree(artifacts) if artifacts.is_dir() else artifacts.unlink()
    tags = stage.client.get_model_version("toy", old.version).tags
    junk = stage.client.create_model_version(
        "toy", str(stage.champion.files), run_id=old.run_id, tags={**tags, keys.LATENCY: "1.0"}
    )
    second = Registered("toy", str(junk.version), *_rest(old))
    stage.refuse(second, f"its study registered version {old.version}, and not this one")
    stage.refuse(old, "the latency was not measured", GateRule(max_latency_ms=5))
    promote(stage.client, "toy", old.version, RULE, by="ada")


def test_a_champion_of_version_0_1_that_has_lost_its_alias(
    client: "MlflowClient", tmp_path: Path
) -> None:
    champion, worse = (
        register_study(client, tmp_path, 0.95),
        register_study(client, tmp_path, 0.83),
    )
    client.set_model_version_tag("toy", champion.version, keys.GATE, "passed 2026-01-01 by ada")
    with pytest.raises(
        PromotionRefusedError, match="champion 1 was deleted or has lost its alias"
    ):
        promote(client, "toy", worse.version, RULE, by="mallory")


def test_a_study_that_went_on_leaves_its_champion_comparable(stage: Stage) -> None:
    """More seeds change the numbers of the champion's study, and not what was registered."""
    record = stage.champion.record
    assert record.predictions is not None
    outputs = dict(record.predictions.outputs)
    name = "confirm-random-000-seed9"
    outputs[name] = outputs["confirm-random-000-seed1"]
    write_predictions(stage.client, record.run_id, replace(record.predictions, outputs=outputs))
    better = stage.study(0.95)
    promote(stage.client, "toy", better.version, RULE, by="ada")
    assert stage.holder() == better.version


# Names that only begin alike.
def test_a_model_of_another_team_whose_name_begins_alike(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = stage.study(study={"registered_model": "toy-german"})
    stage.client.set_registered_model_alias("toy-german", keys.CHALLENGER, study.version)
    file = stage.folder / "study.yaml"
    file.write_text(stage.champion.record.study.to_yaml())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", stage.client.tracking_uri)
    assert main(["promote", "--study", str(file)]) == 2
    assert "'toy' has no challenger yet" in capsys.readouterr().err
    assert stage.holder("toy-german") == ""


def test_a_refusal_ends_the_command_with_3(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = stage.study(0.79)
    file = stage.folder / "study.yaml"
    file.write_text(stage.champion.record.study.to_yaml())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", stage.client.tracking_uri)
    assert main(["promote", "--study", str(file), "--target", worse.version]) == EXIT_REFUSED
    assert "Not promoted: toy version 2: the verdict is" in capsys.readouterr().err
