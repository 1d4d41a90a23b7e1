"""Promotes a version to champion, rolls a promotion back, and lists the history of versions."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tuning.core.errors import PromotionRefusedError, TuningError
from tuning.evaluation.gains import gain
from tuning.evaluation.statistics import Gain
from tuning.metrics.catalogue import make_metric
from tuning.metrics.metric import Direction, Metric
from tuning.registry.gate import Gate, GateInputs, Rival, apply_gate
from tuning.registry.versions import get_champion, get_version, registry_lock
from tuning.study.sections import GateRule
from tuning.tracking import keys
from tuning.tracking.reader import read_predictions

if TYPE_CHECKING:
    from mlflow import MlflowClient


def promote(
    client: "MlflowClient",
    name: str,
    version: str,
    rule: GateRule,
    *,
    by: str,
    confidence: float = 0.95,
    dry_run: bool = False,
) -> Gate:
    """Makes a version champion if it passes the gate.

    The decision is stored as tags of the version. The decision with all inputs of the gate is also
    stored as an artifact of the study's run.

    Args:
        client: Client of the MLflow store.
        name: Name of the registered model.
        version: Number of the version.
        rule: Rule of the gate.
        by: Name of the user or the job that promotes, for the record.
        confidence: Confidence level of the interval of the difference to the champion, for example
            0.95.
        dry_run: Whether to apply the gate only, without any change to the store.

    Returns:
        The decision of the gate. Without ``dry_run`` it has always passed.

    Raises:
        PromotionRefusedError: The gate refused the version. No alias has changed.
        BadInputError: There is no such version.
        TuningError: Another process promotes a version at the same time.
    """
    with registry_lock(name):
        candidate, champion = get_version(client, name, version), get_champion(client, name)
        rival = champion if champion is not None and str(champion.version) != version else None
        inputs = gate_inputs(client, candidate, rival, confidence)
        gate = apply_gate(rule, inputs)
        if dry_run:
            return gate
        decision = "passed" if gate.passed else "refused"
        reasons = "; ".join(gate.reasons)
        tags = {keys.GATE: f"{decision} {_now()} by {by}", keys.GATE_REASONS: reasons}
        _write(client, name, candidate, tags)
        facts = {**asdict(gate), "inputs": _facts(inputs), "by": by, "at": _now()}
        _log_decision(client, candidate, {"rule": rule.model_dump(), **facts})
        if not gate.passed:
            raise PromotionRefusedError(f"Not promoted: {name} version {version}: {reasons}")
        if rival is not None:
            _write(client, name, candidate, {keys.REPLACES: str(rival.version)})
        if champion is None or rival is not None:
            _set_champion(client, name, version)
    return gate


def rollback(client: "MlflowClient", name: str, *, by: str, dry_run: bool = False) -> str:
    """Makes the champion's predecessor champion again, without the gate.

    Returns:
        The version that is champion now, or with ``dry_run`` the version that would be.

    Raises:
        TuningError: There is no champion, or the champion has no predecessor.
        BadInputError: The version of the predecessor does not exist any more.
    """
    with registry_lock(name):
        champion = get_champion(client, name)
        if champion is None:
            raise TuningError(f"{name} has no {keys.CHAMPION}, so there is nothing to roll back")
        before = champion.tags.get(keys.REPLACES)
        if before is None:
            raise TuningError(
                f"{name} version {champion.version} was the first {keys.CHAMPION}, so there is no "
                "earlier version to roll back to"
            )
        get_version(client, name, before)
        if not dry_run:
            _set_champion(client, name, before)
            _write(client, name, champion, {keys.GATE: f"rolled back {_now()} by {by}"})
    return str(before)


def history(client: "MlflowClient", name: str) -> list[list[str]]:
    """Returns a table of all versions with their gains, aliases and gate decisions.

    The first row is the header.

    Raises:
        MlflowException: There is no registered model with this name.
    """
    aliases = client.get_registered_model(name).aliases
    versions = client.search_model_versions(f"name='{name}'")
    rows = [
        [
            *("version", "registered", "verdict", "gain", "metric", "test value"),
            *("aliases", "gate"),
        ]
    ]
    for version in sorted(versions, key=lambda version: int(version.version)):
        number, tags = str(version.version), version.tags
        created = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
        metric = metric_of_version(tags)
        value = tags.get(keys.test_metric_tag(metric.key), "")
        facts = [tags.get(keys.VERDICT, ""), tags.get(keys.GAIN, ""), metric.name, value]
        own = ", ".join(sorted(alias for alias, held in aliases.items() if str(held) == number))
        gate = "; ".join(tags[key] for key in (keys.GATE, keys.GATE_REASONS) if tags.get(key))
        rows.append([number, f"{created:%Y-%m-%d %H:%M}", *facts, own, gate])
    return rows


def metric_of_version(tags: Mapping[str, str]) -> Metric:
    """Returns the test metric of a version; versions of 0.1 have accuracy, and may not say so."""
    name = tags.get(keys.METRIC, "accuracy")
    # A function of the user needs a direction; tags of other metrics may have none.
    direction = tags.get(keys.DIRECTION) if ":" in name else None
    return make_metric(name, cast("Direction | None", direction))


def _facts(inputs: GateInputs) -> dict[str, Any]:
    return {**asdict(replace(inputs, metric=None)), "metric": inputs.metric.name}  # type: ignore[arg-type]


def gate_inputs(
    client: "MlflowClient", candidate: Any, champion: Any | None, confidence: float
) -> GateInputs:
    """Reads the inputs of the gate from the versions' tags and the runs of their studies."""
    tags, metric = candidate.tags, metric_of_version(candidate.tags)
    rival = None
    if champion is not None:
        rival = Rival(
            version=str(champion.version),
            digest=champion.tags.get(keys.DATASET_DIGEST, ""),
            metric=champion.tags.get(keys.METRIC, "accuracy"),
            difference=_difference(client, metric, champion.tags, tags, confidence),
        )
    return GateInputs(
        verdict=tags.get(keys.VERDICT, ""),
        gain_low=_number(tags, keys.GAIN_LOW),
        digest=tags.get(keys.DATASET_DIGEST, ""),
        metric=metric,
        behaviour_regression=_number(tags, keys.BEHAVIOURS),
        size_mb=_number(tags, keys.SIZE),
        latency_ms=_number(tags, keys.LATENCY),
        champion=rival,
    )


def _difference(
    client: "MlflowClient",
    metric: Metric,
    first: Mapping[str, str],
    second: Mapping[str, str],
    confidence: float,
) -> Gain | None:
    """Compares the models of two versions, given by their tags, over all their seeds.

    The result is the gain of the second; None if the predictions do not match.
    """
    if first.get(keys.DATASET_DIGEST) != second.get(keys.DATASET_DIGEST):
        return None
    tested = []
    for tags in (first, second):
        predictions = read_predictions(client, tags.get(keys.PARENT_RUN, ""))
        trials = tags.get(keys.TRIALS, "").split(",")
        if predictions is None or not all(t in predictions.outputs for t in trials):
            return None
        tested.append((predictions, trials))
    (one, _), (two, _) = tested
    # Records of 0.1 have the same labels in another type.
    if one.kind != two.kind or not np.array_equal(one.truth, two.truth):
        return None
    return gain(metric, tested[0], tested[1], confidence)


def _number(tags: Mapping[str, str], key: str) -> float | None:
    try:
        value = float(tags[key])
    except (KeyError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _log_decision(client: "MlflowClient", candidate: Any, decision: Mapping[str, Any]) -> None:
    run_id = candidate.tags.get(keys.PARENT_RUN)
    if run_id:
        text = json.dumps({"model": candidate.name, "version": candidate.version, **decision})
        client.log_text(run_id, text, f"gate/{candidate.name}-{candidate.version}.json")


def _write(client: "MlflowClient", name: str, version: Any, tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        client.set_model_version_tag(name, str(version.version), key, value)


def _set_champion(client: "MlflowClient", name: str, version: str) -> None:
    client.set_registered_model_alias(name, keys.CHAMPION, version)
    # The lock excludes only processes on this machine, so another machine may promote as well.
    current = get_champion(client, name)
    if current is None or str(current.version) != version:
        raise TuningError(
            f"{name}: version {version} was made {keys.CHAMPION}, but now the {keys.CHAMPION} is "
            f"{'unset' if current is None else f'version {current.version}'}; another process "
            "promotes at the same time, so check which version is right"
        )


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}"
