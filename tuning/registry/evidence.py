"""What the store says about a version, without trust in the tags that anybody can edit.

The facts for the gate are computed again from the record of the study: its trials, and the
predictions of its models. The tags of the version are only compared with them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuning.core.errors import BadInputError
from tuning.evaluation.comparison import Comparison, compare
from tuning.evaluation.error_analysis import behaviour_regression
from tuning.metrics.metric import rounded
from tuning.registry.files import files_of
from tuning.registry.registered import Registration, has_registrations, read_registration
from tuning.registry.versions import registered_name
from tuning.study.record import StudyRecord
from tuning.tracking import keys
from tuning.tracking.reader import read_record

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Evidence:
    """What the store says about a version.

    Attributes:
        version: Number of the version.
        record: Record of its study; None if it does not come from a study.
        comparison: Comparison made from the record; None without a baseline.
        size_mb: Size of the model's files in megabytes; None if they are gone.
        latency_ms: Median latency when the version was registered, in milliseconds; None if it
            was not measured.
        objections: Reasons why the version cannot be trusted.
        trials: Names of the trials that it stands for, one per seed.
    """

    version: str
    record: StudyRecord | None
    comparison: Comparison | None
    size_mb: float | None
    latency_ms: float | None
    objections: tuple[str, ...]
    trials: tuple[str, ...] = ()


def version_tags(record: StudyRecord, comparison: Comparison) -> dict[str, str]:
    """Returns the tags of a study's version, for people, and for searches in MLflow."""
    best, gain = comparison.best, comparison.gain
    assert best is not None and gain is not None
    metric = record.study.compare.deciding
    tags = {
        keys.VERDICT: comparison.verdict.value,
        keys.GAIN: metric.write_gain(gain.estimate),
        keys.test_metric_tag(metric.key): f"{rounded(best.mean_test)}",
        keys.INTERVAL: metric.write_interval(gain.low, gain.high),
        keys.GAIN_LOW: f"{rounded(gain.low)}",
        keys.METRIC: metric.name,
        keys.DIRECTION: metric.direction,
        keys.TRIALS: ",".join(best.trials),
        keys.DATASET: record.data.label,
        keys.DATASET_DIGEST: record.data.digest,
        keys.TEST_DIGEST: record.data.test_digest,
        keys.PARENT_RUN: record.run_id,
        keys.TRIAL: best.trials[0],
    }
    regression = behaviour_regression(record, comparison)
    if regression is not None:
        tags[keys.BEHAVIOURS] = f"{regression:.4f}"
    return tags


def read_evidence(client: "MlflowClient", name: str, version: Any) -> Evidence:
    """Reads the record of a version's study and the files of the version, and compares them.

    Args:
        client: Client of the MLflow store.
        name: Name of the registered model.
        version: The version, as MLflow returns it.
    """
    number, run_id = str(version.version), version.run_id or version.tags.get(keys.PARENT_RUN, "")
    files = files_of(f"models:/{name}/{number}")
    size = files.size_mb if files.digest else None
    gone = () if files.digest else ("its files are gone from the store",)
    try:
        record = read_record(client, run_id, with_curves=False)
    except BadInputError:
        reason = "it was not registered by a study, so nothing tells how good it is"
        return Evidence(number, None, None, size, None, (*gone, reason))
    comparison = _compared(record)
    registration = read_registration(client, run_id, name)
    objections = [*gone, *_of_another_study(record, name)]
    best = comparison.best if comparison else None
    if comparison is None or best is None or comparison.gain is None:
        reason = "the record of its study has no winner with a gain"
        return Evidence(number, record, None, size, None, (*objections, reason))
    if registration is not None:
        objections += _of_another_version(registration, number, files.digest)
        objections += _contradictions(
            {**registration.facts, **registration.measured}, version.tags
        )
        trials = registration.facts[keys.TRIALS].split(",")
        latency = _number(registration.measured.get(keys.LATENCY))
        if not set(trials) <= set(best.trials):
            objections.append("its study went on and found another winner")
    else:
        objections += _of_no_registration(client, record, name, version)
        trials, latency = best.trials, None
    return Evidence(number, record, comparison, size, latency, tuple(objections), tuple(trials))


def _of_another_version(registration: Registration, number: str, files: str) -> list[str]:
    if not registration.version:
        return ["its registration was not completed; resume the study, which completes it"]
    if registration.version != number:
        return [f"its study registered version {registration.version}, and not this one"]
    if files and registration.measured.get(keys.FILES) != files:
        return ["its files are not those that were registered"]
    return []


def _of_no_registration(
    client: "MlflowClient", record: StudyRecord, name: str, version: Any
) -> list[str]:
    """Returns what speaks against a version without a note of its study, as of version 0.1."""
    if has_registrations(client, record.run_id):
        return ["its registration was not completed; resume the study, which completes it"]
    facts = {keys.PARENT_RUN: record.run_id}
    versions = client.search_model_versions(f"name='{name}'")
    own = [int(v.version) for v in versions if v.run_id == version.run_id]
    if int(version.version) != min(own, default=0):
        return [f"its study registered version {min(own, default=0)}, and not this one"]
    missing = [key for key in (keys.PARENT_RUN, keys.TRIALS) if key not in version.tags]
    if missing:
        return [f"it has no tag {missing[0]}, so it was not registered by a study"]
    return _contradictions(facts, version.tags)


def _compared(record: StudyRecord) -> Comparison | None:
    try:
        return compare(record)
    except ValueError:  # no baseline
        return None


def _of_another_study(record: StudyRecord, name: str) -> list[str]:
    own = registered_name(record.study, record.data)
    if own == name:
        return []
    if record.data.stand_in:
        return [f"it was trained on stand-in data, whose models are registered as {own}"]
    return [f"the study of its run registers its models as {own}"]


def _contradictions(facts: Mapping[str, str], tags: Mapping[str, str]) -> list[str]:
    """Names the tags that say something else than what was registered."""
    return [
        f"its tag {key} says {tags[key]!r}, and the record of its study says {fact!r}"
        for key, fact in facts.items()
        if key in tags and not _agree(tags[key], fact)
    ]


def _agree(tag: str, fact: str) -> bool:
    one, other = _number(tag), _number(fact)
    if one is None or other is None:
        return tag == fact
    # Another processor may round sums in another way.
    return math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-6)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
