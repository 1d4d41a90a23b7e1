"""Says what changed from the study of one version to that of another."""

from typing import TYPE_CHECKING

from tuning.tracking import keys

if TYPE_CHECKING:
    from tuning.registry.evidence import Evidence

# What a study file always says in its own way.
_OWN = ("name", "profiles")


def changes_since(before: "Evidence", after: "Evidence") -> str:
    """Returns what differs between the studies of two versions, as one line of text."""
    first, second = before.record, after.record
    if first is None or second is None:
        return "the study of the champion is unknown"
    changes = []
    if first.data.digest != second.data.digest:
        changes.append(
            "training data or preprocessing"
            if second.data.has_test_rows_of(first.data)
            else "data, test rows too"
        )
    one, two = first.study.model_dump(mode="json"), second.study.model_dump(mode="json")
    fields = [name for name in one if one[name] != two[name] and name not in _OWN]
    if fields:
        changes.append(f"study file ({', '.join(fields)})")
    for key, title in ((keys.BACKEND, "backend"), (keys.VERSION, "version of tuning")):
        old, new = first.tags.get(key, "?"), second.tags.get(key, "?")
        if old != new:
            changes.append(f"{title} ({old} to {new})")
    best = [each.comparison.best if each.comparison else None for each in (before, after)]
    if all(best) and best[0].params != best[1].params:  # type: ignore[union-attr]
        changes.append("hyperparameters of the best configuration")
    return ", ".join(changes) or "nothing but the seeds"
