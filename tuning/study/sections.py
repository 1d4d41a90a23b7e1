"""The sections of a study file: objective, budget, confirmation, training, verdict and gate."""

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tuning.core.trial import Params, ParamValue

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]


Config = dict[str, ParamValue]


OnError = Literal["fail", "retry", "stop"]


class Section(BaseModel):
    """A part of a study file; it has the declared fields and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# Metrics that are the better the smaller; Keras names most of them so, alone or in a longer name.
_LOSS = re.compile(
    r"loss|error|entropy|divergence|hinge|perplexity|poisson|false_(positive|negative)"
    r"|(^|_)(mse|mae|mape|msle|rmse|smape|mase|nll|brier|pinball|log_?cosh|cer|wer)($|_)"
)


class Objective(Section):
    """The metric of the validation split by which trials are pruned, ranked and selected."""

    metric: str = "val_accuracy"
    direction: Literal["maximize", "minimize"] = "maximize"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.direction == "maximize" and _LOSS.search(self.metric.lower()):
            raise ValueError(
                f"{self.metric} is a loss, and to maximize it would search for the worst model; "
                "write direction: minimize"
            )
        return self

    def better(self, value: float, than: float | None) -> bool:
        """Whether ``value`` beats ``than``; anything beats None."""
        if than is None:
            return True
        return value > than if self.direction == "maximize" else value < than

    def key(self, value: float) -> float:
        """A key by which better values sort first."""
        return -value if self.direction == "maximize" else value


class Budget(Section):
    """How much may be trained.

    Attributes:
        trials: By each searcher.
        epochs: Most, by each trial.
        timeout: Seconds for the training of every phase, counted over resumes; the share of the
            confirmation is kept back. None for no limit.
        plateau_trials: The search ends after so many trials in a row without a gain; None for no
            such rule.
        plateau_gain: A gain is more than this, in units of the objective.
    """

    trials: int = Field(default=12, ge=1, le=100_000)
    epochs: int = Field(default=5, ge=1, le=10_000)
    timeout: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    plateau_trials: int | None = Field(default=None, ge=1)
    plateau_gain: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class Confirm(Section):
    """How the comparison is repeated before anything is called better.

    Attributes:
        seeds: Fresh ones, the same for every configuration.
        top_k: Candidates of the search that are trained again.
        long_run: Epochs of a further training of baseline and references with every seed, which
            shows what more epochs would have brought; None for none.
        ablation: Whether the winner is trained with each changed hyperparameter set back.
    """

    seeds: int = Field(default=3, ge=1, le=100)
    top_k: int = Field(default=2, ge=1, le=100)
    long_run: int | None = Field(default=None, ge=1, le=10_000)
    ablation: bool = False


class Training(Section):
    """How Keras trains every model of the study.

    Each value is a number, or the name of a hyperparameter in ``space`` or ``fixed``.

    Attributes:
        batch_size: Examples per batch.
        patience: Epochs in a row without a better one, after which the training ends; None to
            train to the last epoch.
    """

    batch_size: int | Name = 32
    patience: int | Name | None = None

    def resolve(self, params: Params) -> dict[str, int]:
        """The numbers for one trial, by field; without ``patience`` if there is none.

        Args:
            params: The hyperparameters of the trial.
        """
        numbers = {"batch_size": 32}
        for name, value in (("batch_size", self.batch_size), ("patience", self.patience)):
            number = params.get(value) if isinstance(value, str) else value
            if number is not None:
                numbers[name] = int(number)
        return numbers


class Resources(Section):
    """What one trial gets of the machines.

    Attributes:
        workers_per_gpu: Trials that share one GPU of this machine.
        trial_cpus: Ray's CPUs per trial.
        trial_gpus: Ray's GPUs per trial; a fraction shares one.
    """

    workers_per_gpu: int = Field(default=1, ge=1, le=1024)
    trial_cpus: float = Field(default=1.0, gt=0, le=1024)
    trial_gpus: float = Field(default=0.0, ge=0, le=1024)


class Compare(Section):
    """The rule of the verdict.

    Attributes:
        metric: What the test split is judged by.
        min_gain: The smallest gain worth having, in units of the metric.
        confidence: Of the interval on the gain.
    """

    metric: Literal["accuracy"] = "accuracy"
    min_gain: float = Field(default=0.0, ge=0, le=1)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)


class GateRule(Section):
    """When a registered version may become champion; its verdict must be ``better`` in any case.

    Attributes:
        min_gain_low: The lower end of the interval on its gain over the baseline must lie above.
        over_champion: On the same test rows as the champion it must be ``better`` (the whole
            interval above 0) or ``not_worse`` (the estimate not below 0).
        max_behaviour_regression: By so much the failure rate of no behaviour may exceed the
            baseline's, from 0 to 1; None for no limit.
        max_size_mb: Of its files; None for no limit.
        max_latency_ms: Of one input; None for no limit.
    """

    min_gain_low: float = Field(default=0.0, ge=-1, le=1)
    over_champion: Literal["better", "not_worse"] = "better"
    max_behaviour_regression: float | None = Field(default=0.2, ge=0, le=1)
    max_size_mb: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_latency_ms: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class Limits(Section):
    """What a trial may take: its process is killed at the limit, and it has failed.

    Attributes:
        trial_seconds: An attempt's longest duration; None for no limit.
        epoch_seconds: The longest silence of an attempt: from its start, which may include that of
            the worker, to its first epoch, or from one epoch to the next. None for no limit.
        memory_mb: The most resident memory of its process. None for no limit.
    """

    trial_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    epoch_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    memory_mb: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class Profile(Section):
    """What differs on one data set, by its label: fewer trials on generated data, say."""

    budget: Budget | None = None
    confirm: Confirm | None = None
    compare: Compare | None = None
