"""Promotes a version to champion, and rolls a promotion back."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tuning.core.errors import PromotionRefusedError, TuningError
from tuning.evaluation.error_analysis import behaviour_regression
from tuning.evaluation.gains import gain
from tuning.evaluation.intervals import Gain
from tuning.metrics.catalogue import make_metric
from tuning.registry.champions import read_champions, write_line
from tuning.registry.changes import changes_since
from tuning.registry.decisions import RegistryDecision, add_decision, now
from tuning.registry.evidence import Evidence, read_evidence
from tuning.registry.files import files_of
from tuning.registry.gate import Gate, GateInputs, Rival, apply_gate, describe_limits
from tuning.registry.lock import registry_lock
from tuning.registry.versions import get_champion, get_version
from tuning.study.sections import GateRule
from tuning.tracking import keys
from tuning.tracking.retry import or_none

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

    The alias is the last thing that is written: a process that is killed, or a store that fails,
    leaves the champion of before or the new one. The decision is stored in tags of the version, in
    its description, and with all inputs of the gate as an artifact of the study's run.

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
    get_version(client, name, version)
    if dry_run:
        return _Promotion(client, name, version, rule, confidence).gate
    with registry_lock(client, name) as lock:
        promotion = _Promotion(client, name, version, rule, confidence)
        lock.renew()
        promotion.record(by)
        if not promotion.gate.passed:
            reasons = "; ".join(promotion.gate.reasons)
            raise PromotionRefusedError(f"Not promoted: {name} version {version}: {reasons}")
        if promotion.champions.champion != version:
            lock.renew()
            line = (*promotion.champions.line, version)
            # A line without a champion would say that the champion was lost.
            is_first = len(line) == 1
            if not is_first:
                write_line(client, name, line)
                lock.renew()
            _set_champion(client, name, version)
            if is_first:
                write_line(client, name, line)
            _replaced(client, name, promotion.champions.champion, version, by)
    return promotion.gate


class _Promotion:
    """A version before the gate, with the champion that it has to surpass."""

    def __init__(
        self, client: "MlflowClient", name: str, version: str, rule: GateRule, confidence: float
    ) -> None:
        self._client = client
        self._name = name
        self._rule = rule
        self._version = get_version(client, name, version)
        self.champions = read_champions(client, name)
        self._evidence = read_evidence(client, name, self._version)
        self._rival = self._read_rival()
        self._inputs = self._gather(confidence)
        self.gate: Gate = apply_gate(rule, self._inputs)

    def _read_rival(self) -> Evidence | None:
        champion = get_champion(self._client, self._name)
        if champion is None or str(champion.version) == str(self._version.version):
            return None
        return read_evidence(self._client, self._name, champion)

    def _gather(self, confidence: float) -> GateInputs:
        evidence, champions = self._evidence, self.champions
        lost = champions.earlier[-1] if champions.earlier and not champions.champion else ""
        record, comparison = evidence.record, evidence.comparison
        inputs = GateInputs(
            verdict="",
            gain_low=None,
            metric=record.study.compare.deciding if record else make_metric("accuracy"),
            size_mb=evidence.size_mb,
            latency_ms=evidence.latency_ms,
            lost_champion=lost,
            objections=evidence.objections,
        )
        if record is None or comparison is None:
            return inputs
        low = comparison.gain.low if comparison.gain else None
        return replace(
            inputs,
            verdict=comparison.verdict.value,
            gain_low=low if low is not None and np.isfinite(low) else None,
            behaviour_regression=behaviour_regression(record, comparison),
            champion=rival_of(evidence, self._rival, confidence) if self._rival else None,
            look=record.looks[-1].number if record.looks else None,
        )

    def record(self, by: str) -> None:
        """Writes the decision into the registry and the study's run."""
        gate, inputs = self.gate, self._inputs
        record = self._evidence.record
        decision = RegistryDecision(
            what="passed the gate" if gate.passed else "refused",
            at=now(),
            by=by,
            why="; ".join(gate.reasons),
            rows=_rows(self._evidence),
            limits=describe_limits(self._rule, inputs),
            changed=changes_since(self._rival, self._evidence) if self._rival else "",
        )
        number = add_decision(self._client, self._name, self._version, decision)
        state = "passed" if gate.passed else "refused"
        tags = {keys.GATE: f"{state} {decision.at} by {by}", keys.GATE_REASONS: decision.why}
        if gate.passed and self._rival is not None:
            tags[keys.REPLACES] = self._rival.version
        _write_tags(self._client, self._name, str(self._version.version), tags)
        if record is not None:
            facts = {**asdict(gate), **asdict(decision), "inputs": _facts(inputs)}
            document = {"model": self._name, "version": self._version.version, **facts}
            text = json.dumps({**document, "rule": self._rule.model_dump()}, indent=2)
            file = f"{keys.GATE_FOLDER}/{self._name}-{self._version.version}-{number}.json"
            self._client.log_text(record.run_id, text, file)


def rollback(
    client: "MlflowClient", name: str, *, by: str, dry_run: bool = False
) -> tuple[str, list[str]]:
    """Makes the champion's predecessor champion again, without the gate.

    If no version is champion, because it was deleted or lost its alias, the last champion that is
    left becomes champion again.

    Returns:
        The version that is champion now, or with ``dry_run`` the version that would be; and a
        sentence per version that was passed over, because it was deleted or has lost its files.

    Raises:
        TuningError: There never was a champion, or no earlier champion is left.
    """
    if or_none(lambda: client.get_registered_model(name)) is None:
        raise TuningError(f"nothing is registered as {name}, so there is nothing to roll back")
    if dry_run:
        _, line, passed_over = _predecessor(client, name)
        return line[-1], passed_over
    with registry_lock(client, name) as lock:
        champion, line, passed_over = _predecessor(client, name)
        lock.renew()
        # The line is cut only afterwards: it is read up to the champion.
        _set_champion(client, name, line[-1])
        write_line(client, name, line)
        if champion:
            tags = {keys.GATE: f"rolled back {now()} by {by}"}
            _write_tags(client, name, champion, tags)
            decision = RegistryDecision(
                "rolled back", now(), by, f"version {line[-1]} is champion again"
            )
            add_decision(client, name, get_version(client, name, champion), decision)
        why = f"after version {champion}" if champion else "no version was champion"
        restored = RegistryDecision("restored as champion", now(), by, why)
        add_decision(client, name, get_version(client, name, line[-1]), restored)
    return line[-1], passed_over


def _predecessor(client: "MlflowClient", name: str) -> tuple[str, tuple[str, ...], list[str]]:
    """Returns the champion, the line that ends with its predecessor, and what is passed over."""
    champions = read_champions(client, name)
    if not champions.line:
        raise TuningError(f"{name} has no {keys.CHAMPION}, so there is nothing to roll back")
    line = champions.earlier
    passed_over: list[str] = []
    while line:
        if not (trouble := _trouble(client, name, line[-1])):
            return champions.champion, line, passed_over
        passed_over.append(trouble)
        line = line[:-1]
    if passed_over:
        raise TuningError(
            f"{name}: no earlier {keys.CHAMPION} is left: {'; '.join(passed_over)}. To begin a "
            f"new line of champions, delete the tag {keys.CHAMPIONS} of the registered model"
        )
    raise TuningError(
        f"{name} version {champions.champion} was the first {keys.CHAMPION}, so there is no "
        "earlier version to roll back to"
    )


def _trouble(client: "MlflowClient", name: str, version: str) -> str:
    if or_none(lambda: client.get_model_version(name, version)) is None:
        return f"version {version} was deleted"
    if not files_of(f"models:/{name}/{version}").digest:
        return f"the files of version {version} are gone"
    return ""


def rival_of(candidate: Evidence, champion: Evidence, confidence: float) -> Rival:
    """Compares the models of a version with those of the champion, over all their seeds."""
    first, second = champion.record, candidate.record
    if first is None or second is None:
        return Rival(champion.version, "unknown", None, objections=champion.objections)
    same_rows = second.data.has_test_rows_of(first.data)
    metric = first.study.compare.deciding
    difference = _difference(champion, candidate, confidence) if same_rows else None
    return Rival(
        champion.version, metric.name, difference, same_rows, champion.objections, metric.direction
    )


def _difference(champion: Evidence, candidate: Evidence, confidence: float) -> Gain | None:
    """Returns the gain over the champion; None if the predictions are missing or do not match."""
    tested = []
    for each in (champion, candidate):
        predictions = each.record.predictions if each.record else None
        if predictions is None or not each.trials:
            return None
        if not all(trial in predictions.outputs for trial in each.trials):
            return None
        tested.append((predictions, each.trials))
    (one, before), (two, after) = tested
    # Records of 0.1 have the same labels in another type.
    if (one.kind, one.steps) != (two.kind, two.steps) or not np.array_equal(one.truth, two.truth):
        return None
    if not _are_equal(one.weights, two.weights):
        return None
    assert candidate.record is not None
    # Scales come from the training data; the errors of both are divided by the same ones.
    two = replace(two, scales=one.scales)
    metric = candidate.record.study.compare.deciding
    return gain(metric, (one, before), (two, after), confidence)


def _are_equal(one: "np.ndarray | None", two: "np.ndarray | None") -> bool:
    if one is None or two is None:
        return one is two
    return bool(np.array_equal(one, two))


def _rows(evidence: Evidence) -> str:
    if evidence.record is None:
        return ""
    data, looks = evidence.record.data, evidence.record.looks
    digest = data.test_digest or data.digest
    look = f", look {looks[-1].number}" if looks else ""
    return f"{digest[:16]} ({data.sizes.get('test', 0):,}{look})"


def _facts(inputs: GateInputs) -> dict[str, Any]:
    return {**asdict(replace(inputs, metric=None)), "metric": inputs.metric.name}  # type: ignore[arg-type]


def _replaced(client: "MlflowClient", name: str, champion: str, version: str, by: str) -> None:
    if champion:
        decision = RegistryDecision("replaced", now(), by, f"version {version} is champion")
        add_decision(client, name, get_version(client, name, champion), decision)


def _write_tags(client: "MlflowClient", name: str, version: str, tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, value)


def _set_champion(client: "MlflowClient", name: str, version: str) -> None:
    client.set_registered_model_alias(name, keys.CHAMPION, version)
    # Somebody may set the alias by hand, without the lock.
    current = get_champion(client, name)
    if current is None or str(current.version) != version:
        raise TuningError(
            f"{name}: version {version} was made {keys.CHAMPION}, but now the {keys.CHAMPION} is "
            f"{'unset' if current is None else f'version {current.version}'}; another process "
            "promotes at the same time, so check which version is right"
        )
