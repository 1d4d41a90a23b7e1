"""The arguments of KerasTuner's tuners, in this library's form."""

import math
from typing import Any

from keras_tuner import HyperModel, HyperParameters

from tuning.api.settings import settings_of
from tuning.core.errors import BadInputError
from tuning.data.parts import rows_of, take
from tuning.metrics.catalogue import METRICS
from tuning.study.sections import direction_of

# Test metrics by Keras's name of the objective.
_METRICS = {
    "acc": "accuracy",
    "binary_accuracy": "accuracy",
    "categorical_accuracy": "accuracy",
    "sparse_categorical_accuracy": "accuracy",
    "auc": "roc_auc",
    "mean_squared_error": "mse",
    "mean_absolute_error": "mae",
    "root_mean_squared_error": "rmse",
    "mean_absolute_percentage_error": "mape",
    "r2_score": "r2",
}
# Objective of a hypermodel whose ``fit`` returns it, as in KerasTuner.
DEFAULT_OBJECTIVE = "default_objective"


# Arguments of KerasTuner's tuners without a counterpart, and what to use instead.
_ARGUMENTS = {
    "optimizer": "compile the model in build",
    "loss": "compile the model in build",
    "metrics": "compile the model in build",
    "distribution_strategy": "trials run in parallel, one per worker; see workers",
    "max_model_size": "raise tuning.InfeasibleError in build",
    "max_retries_per_trial": "pass on_error='retry'",
    "max_consecutive_failed_trials": "several failures in a row end the search by themselves",
    "logger": "the trials are recorded in MLflow",
    "tuner_id": "one process runs all trials; see workers",
    "hyperband_iterations": "pass max_trials",
    "num_initial_points": "pass oracle='keras_tuner:bayesian(num_initial_points=…)'",
    "alpha": "pass oracle='keras_tuner:bayesian(alpha=…)'",
    "beta": "pass oracle='keras_tuner:bayesian(beta=…)'",
}


def check_arguments(options: dict[str, Any]) -> None:
    """Refuses arguments of KerasTuner that mean nothing here, and removes those that do no harm.

    Raises:
        BadInputError: The message says what to use instead.
    """
    for name in ("tune_new_entries", "allow_new_entries"):
        if options.pop(name, True) is False:
            raise BadInputError(
                f"{name}: every hyperparameter that build asks for is searched; declare those "
                "that should stay as they are with Fixed in hyperparameters"
            )
    for name in options:
        if name in _ARGUMENTS:
            raise BadInputError(f"{name}: it has no meaning here; {_ARGUMENTS[name]}")
    settings_of(None, {name: value for name, value in options.items() if name != "factor"})


class BuildFunction(HyperModel):  # type: ignore[misc]
    """A function ``build(hp)`` as a hypermodel, as KerasTuner wraps it."""

    def __init__(self, build: Any) -> None:
        super().__init__()
        self._build = build

    def build(self, hp: HyperParameters) -> Any:
        """Calls the function."""
        return self._build(hp)


class GivenHyperparameters(HyperModel):  # type: ignore[misc]
    """A hypermodel whose hyperparameters have the declarations and values of given ones."""

    def __init__(self, hypermodel: Any, given: HyperParameters) -> None:
        super().__init__()
        self._hypermodel = hypermodel
        self._config = given.get_config()

    def build(self, hp: HyperParameters) -> Any:
        """Builds the model with the given declarations where there are some."""
        return self._call(self._hypermodel.build, hp)

    def _call(self, function: Any, hp: HyperParameters, *args: Any, **kwargs: Any) -> Any:
        given = HyperParameters.from_config(self._config)
        given.values |= hp.values
        answer = function(given, *args, **kwargs)
        hp.merge(given)
        hp.values |= given.values
        return answer


class GivenHyperparametersWithFit(GivenHyperparameters):
    """The same of a hypermodel that trains itself."""

    def fit(self, hp: HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Trains with the given declarations where there are some."""
        return self._call(self._hypermodel.fit, hp, model, *args, **kwargs)


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
    factor = options.pop("factor", None)
    if oracle not in ("bayesian", "hyperband", "random", "grid"):
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
    first = int(rows_of(x) * (1 - share))  # as Keras cuts
    return tuple(take(each, slice(first)) for each in train), tuple(
        take(each, slice(first, None)) for each in train
    )


def hyperband_trials(max_epochs: int, factor: int) -> int:
    """Returns the number of trials in one run of all brackets, as KerasTuner counts them.

    From Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization",
    JMLR 18, 2018, in the form of ``keras_tuner.oracles.HyperbandOracle``.
    """
    brackets = 0
    while factor ** (brackets + 1) <= max_epochs:
        brackets += 1
    trials = 0
    for bracket in range(brackets + 1):
        size = math.ceil((brackets + 1) * factor**bracket / (bracket + 1))
        trials += sum(math.ceil(size / factor**rung) for rung in range(bracket + 1))
    return trials


def known_metric(objective: str) -> str:
    """Returns the test metric that belongs to an objective; empty if there is none."""
    name = objective.removeprefix("val_")
    known = _METRICS.get(name, name)
    return known if known in METRICS else ""


def test_metric(objective: str) -> str:
    """Returns the test metric that belongs to an objective.

    Raises:
        BadInputError: There is none.
    """
    known = known_metric(objective)
    if not known:
        raise BadInputError(
            f"metric: the test metric that belongs to {objective} is not known; pass metric=, "
            f"such as {', '.join(list(METRICS)[:8])}, …"
        )
    return known
