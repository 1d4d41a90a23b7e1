"""What the options of Optuna's and KerasTuner's algorithms have in common."""

from collections.abc import Iterable


def refuse_unknown(options: Iterable[str], accepted: Iterable[str]) -> None:
    """Raises ValueError, with what is accepted, if an option is not."""
    for name in options:
        if name not in accepted:
            listed = ", ".join(accepted) or "none"
            raise ValueError(f"there is no option {name!r}; accepted are {listed}")
