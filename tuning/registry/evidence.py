"""What the store says about a version, without trust in the tags that anybody can edit.

The facts for the gate are computed again from the record of the study: its trials, and the
predictions of its models. The tags of the version are only compared with them.
"""

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tuning
from tuning.core.errors import BadInputError
from tuning.evaluation.comparison import Comparison, compare
from tuning.evaluation.error_analysis import behaviour_regression
from tuning.metrics.metric import rounded
from tuning.registry.files import model_files
from tuning.registry.versions import registered_name
from tuning.study.record import StudyRecord
from tuning.tracking import keys
from tuning.tracking.predictions import fetch
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
    """

    version: str
    record: StudyRecord | None
    comparison: Comparison | None
    size_mb: float | None
    latency_ms: float | None
    objections: tuple[str, ...]


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


def write_registration(
    client: "MlflowClient", run_id: str, name: str, version: str, facts: Mapping[str, str]
) -> None:
    """Stores under the study's run which version it registered, and what was measured of it."""
    text = json.dumps({"version": version, **facts}, indent=2)
    client.log_text(run_id, text, _registration_file(name))


def read_evidence(client: "MlflowClient", name: str, version: Any) -> Evidence:
    """Reads the record of a version's study and the files of the version, and compares them.

    Args:
        client: Client of the MLflow store.
        name: Name of the registered model.
        version: The version, as MLflow returns it.
    """
    number, run_id = str(version.version), version.run_id or version.tags.get(keys.PARENT_RUN, "")
    files = model_files(f"models:/{name}/{number}")
    size = files.size_mb if files.digest else None
    gone = () if files.digest else ("its files are gone from the store",)
    try:
        record = read_record(client, run_id, with_curves=False)
    except BadInputError:
        reason = "it was not registered by a study, so nothing tells how good it is"
        return Evidence(number, None, None, size, None, (*gone, reason))
    comparison = _compared(record)
    registration = _read_registration(client, run_id, name)
    objections = [*gone, *_of_another_study(record, name)]
    if registration is None:
        if _is_of_this_version(record):
            objections.append(
                "its registration was not completed; resume the study, which completes it"
            )
    elif str(registration["version"]) != number:
        objections.append(
            f"run {run_id} registered version {registration['version']}, and not this one"
        )
    elif files.digest and registration.get(keys.FILES) != files.digest:
        objections.append("its files are not those that were registered")
    if comparison is None or comparison.best is None or comparison.gain is None:
        objections.append("the record of its study has no winner with a gain")
    else:
        objections += _contradictions(record, comparison, registration, version.tags)
    latency = _number((registration or version.tags).get(keys.LATENCY))
    return Evidence(number, record, comparison, size, latency, tuple(objections))


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


def _contradictions(
    record: StudyRecord,
    comparison: Comparison,
    registration: Mapping[str, Any] | None,
    tags: Mapping[str, str],
) -> list[str]:
    """Names the tags that say something else than the record."""
    facts = version_tags(record, comparison)
    if not _is_of_this_version(record):
        # Another version may have computed or written some of them in another way.
        facts = {key: facts[key] for key in (keys.TRIALS, keys.TRIAL, keys.PARENT_RUN)}
    measured = registration or {}
    facts |= {key: measured[key] for key in (keys.SIZE, keys.LATENCY) if key in measured}
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


def _is_of_this_version(record: StudyRecord) -> bool:
    return record.tags.get(keys.VERSION) == tuning.__version__


def _registration_file(name: str) -> str:
    return f"{keys.REGISTERED_FOLDER}/{name}.json"


def _read_registration(client: "MlflowClient", run_id: str, name: str) -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory() as folder:
        file: Path | None = fetch(client, run_id, _registration_file(name), folder)
        return None if file is None else dict(json.loads(file.read_text("utf-8")))


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
