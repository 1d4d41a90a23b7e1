"""Tells the history of a registered model: every version, and who or what decided about it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from tuning.metrics.catalogue import make_metric
from tuning.metrics.metric import Direction, Metric
from tuning.registry.champions import read_champions
from tuning.registry.decisions import read_decisions
from tuning.tracking import keys

if TYPE_CHECKING:
    from mlflow import MlflowClient


def history(client: "MlflowClient", name: str) -> list[list[str]]:
    """Returns a table of all versions with their gains, aliases and gate decisions.

    The first row is the header.

    Raises:
        MlflowException: There is no registered model with this name.
    """
    aliases = client.get_registered_model(name).aliases
    rows = [
        [
            *("version", "registered", "verdict", "gain", "metric", "test value"),
            *("aliases", "gate"),
        ]
    ]
    versions = client.search_model_versions(f"name='{name}'")
    for version in sorted(versions, key=lambda version: int(version.version)):
        number, tags = str(version.version), version.tags
        created = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
        metric, value = _metric_and_value(tags)
        facts = [tags.get(keys.VERDICT, ""), tags.get(keys.GAIN, ""), metric, value]
        own = ", ".join(sorted(alias for alias, held in aliases.items() if str(held) == number))
        rows.append([number, f"{created:%Y-%m-%d %H:%M}", *facts, own, tags.get(keys.GATE, "")])
    return rows


def audit(client: "MlflowClient", name: str) -> list[str]:
    """Returns lines of text: the champions in their order, and the decisions about each version.

    Raises:
        MlflowException: There is no registered model with this name.
    """
    champions = read_champions(client, name)
    line = " → ".join(champions.line) or "none yet"
    lines = [f"Champions: {line}" + ("" if champions.champion else " (no version has the alias)")]
    versions = client.search_model_versions(f"name='{name}'")
    for version in sorted(versions, key=lambda version: int(version.version)):
        tags = version.tags
        lines += ["", f"Version {version.version}, from run {version.run_id or 'unknown'}"]
        rows = tags.get(keys.TEST_DIGEST) or tags.get(keys.DATASET_DIGEST, "")
        lines.append(f"  judged on {tags.get(keys.DATASET, '?')}, test rows {rows[:16] or '?'}")
        for head, *details in _decisions(tags):
            lines += [f"  {head}", *(f"    {detail}" for detail in details)]
    return lines


def _decisions(tags: Mapping[str, str]) -> list[list[str]]:
    """Returns the decisions about a version as lines; version 0.1 kept only the last one."""
    decisions = [decision.lines for decision in read_decisions(tags)]
    last = [tags[key] for key in (keys.GATE, keys.GATE_REASONS) if tags.get(key)]
    return decisions or [last or ["no decision is recorded"]]


def _metric_and_value(tags: Mapping[str, str]) -> tuple[str, str]:
    try:
        metric = metric_of_version(tags)
    except ValueError:  # somebody has edited the tag
        return tags.get(keys.METRIC, ""), ""
    return metric.name, tags.get(keys.test_metric_tag(metric.key), "")


def metric_of_version(tags: Mapping[str, str]) -> Metric:
    """Returns the test metric of a version; versions of 0.1 have accuracy, and may not say so."""
    name = tags.get(keys.METRIC, "accuracy")
    # A function of the user needs a direction; tags of other metrics may have none.
    direction = tags.get(keys.DIRECTION) if ":" in name else None
    return make_metric(name, cast("Direction | None", direction))
