"""The check that the options of Optuna's and KerasTuner's algorithms share."""

from collections.abc import Iterable


def refuse_unknown(options: Iterable[str], accepted: Iterable[str]) -> None:
    """Raises ValueError for an unknown option; the message lists the accepted ones."""
    for name in options:
        if name not in accepted:
            listed = ", ".join(accepted) or "none"
            raise ValueError(f"there is no option {name!r}; accepted are {listed}")
