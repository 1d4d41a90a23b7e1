"""The arguments of KerasTuner's tuners, in this library's form."""

from typing import Any

from keras_tuner import HyperParameters

from tuning.core.errors import BadInputError
from tuning.data.parts import rows_of, take
from tuning.study.sections import direction_of

# Objective of a hypermodel whose ``fit`` returns it, as in KerasTuner.
DEFAULT_OBJECTIVE = "default_objective"


class GivenHyperparameters:
    """A hypermodel whose hyperparameters have the declarations and values of given ones."""

    def __init__(self, hypermodel: Any, given: HyperParameters) -> None:
        self._hypermodel = hypermodel
        self._config = given.get_config()

    def build(self, hp: HyperParameters) -> Any:
        """Builds the model with the given declarations where there are some."""
        given = HyperParameters.from_config(self._config)
        given.values |= hp.values
        model = getattr(self._hypermodel, "build", self._hypermodel)(given)
        hp.merge(given)
        hp.values |= given.values
        return model


def read_objective(objective: Any) -> tuple[str, Any]:
    """Returns the name and the direction of KerasTuner's objective.

    Raises:
        BadInputError: The direction is not known.
    """
    if objective is None:
        return DEFAULT_OBJECTIVE, "minimize"
    if isinstance(objective, str):
        direction = direction_of(objective)
        if direction is None:
            raise BadInputError(
                f"objective: whether larger values of {objective!r} are better is not known; pass "
                f"keras_tuner.Objective({objective!r}, 'max') or 'min'"
            )
        return objective, direction
    return str(objective.name), {"min": "minimize", "max": "maximize"}[objective.direction]


def read_oracle(oracle: Any, options: dict[str, Any]) -> Any:
    """Returns the searcher of an oracle, which takes its options from those of the tuner."""
    names = {"bayesian", "hyperband", "random", "grid"}
    factor, max_epochs = options.pop("factor", None), options.pop("max_epochs", None)
    if not isinstance(oracle, str):
        return oracle
    if max_epochs is not None:
        options.setdefault("epochs", max_epochs)
    if oracle not in names:
        return oracle
    text = f"keras_tuner:{oracle}"
    return f"{text}(factor={factor})" if factor is not None and oracle == "hyperband" else text


def split_rows(
    x: Any, y: Any, weights: Any, validation_data: Any, share: float
) -> tuple[Any, Any]:
    """Returns the training and the validation part, as ``Model.fit`` would take them."""
    train = x if y is None else ((x, y) if weights is None else (x, y, weights))
    if validation_data is not None:
        return train, validation_data
    if not share or y is None:
        raise BadInputError("search: pass validation_data, or validation_split for arrays")
    first = round(rows_of(x) * (1 - share))
    return tuple(take(each, slice(first)) for each in train), tuple(
        take(each, slice(first, None)) for each in train
    )
