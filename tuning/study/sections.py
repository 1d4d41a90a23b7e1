"""The sections of a study file, for example objective, budget, confirmation and gate."""

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tuning.core.trial import Params, ParamValue

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
Config = dict[str, ParamValue]
OnError = Literal["fail", "retry", "stop"]


class Section(BaseModel):
    """A section of a study file; undeclared fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# Metrics for which smaller values are better; most of Keras's names match one of these words.
_LOSS = re.compile(
    r"loss|error|entropy|divergence|hinge|perplexity|poisson|false_(positive|negative)"
    r"|(^|_)(mse|mae|mape|msle|rmse|smape|mase|nll|brier|pinball|log_?cosh|cer|wer)($|_)"
)


class Objective(Section):
    """The validation metric by which trials are pruned, ranked and selected."""

    metric: str = "val_accuracy"
    direction: Literal["maximize", "minimize"] = "maximize"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.direction == "maximize" and _LOSS.search(self.metric.lower()):
            raise ValueError(
                f"{self.metric} is a loss, so maximize would search for the worst model; "
                "write direction: minimize"
            )
        return self

    def better(self, value: float, than: float | None) -> bool:
        """Returns whether ``value`` is better than ``than``; any value is better than None."""
        if than is None:
            return True
        return value > than if self.direction == "maximize" else value < than

    def key(self, value: float) -> float:
        """Returns a sort key; better values come first."""
        return -value if self.direction == "maximize" else value


class Budget(Section):
    """Limits on trials, epochs and time.

    Attributes:
        trials: Number of trials per searcher.
        epochs: Maximum number of epochs per trial, except in ``confirm.long_run``.
        timeout: Time limit for the training in all phases, in seconds, summed over resumes; None
            for no limit. The search ends early to leave time for the confirmation.
        plateau_trials: Number of trials in a row without a gain after which the search ends; None
            for no such rule.
        plateau_gain: Threshold of a gain: the objective must improve by more than this.
    """

    trials: int = Field(default=12, ge=1, le=100_000)
    epochs: int = Field(default=5, ge=1, le=10_000)
    timeout: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    plateau_trials: int | None = Field(default=None, ge=1)
    plateau_gain: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class Confirm(Section):
    """Repetitions with fresh seeds before the comparison.

    Attributes:
        seeds: Number of fresh seeds; all configurations use the same seeds.
        top_k: Number of candidates from the search that are trained again.
        long_run: Number of epochs of an additional training of baseline and references with every
            seed, which shows the effect of more epochs; None for no such training.
        ablation: Whether the winner is also trained with one changed hyperparameter at a time set
            back to the baseline's value.
    """

    seeds: int = Field(default=3, ge=1, le=100)
    top_k: int = Field(default=2, ge=1, le=100)
    long_run: int | None = Field(default=None, ge=1, le=10_000)
    ablation: bool = False


class Training(Section):
    """Options of Keras for every training of the study.

    Each value is a number, or the name of a hyperparameter in ``space`` or ``fixed``.

    Attributes:
        batch_size: Number of examples per batch.
        patience: Number of epochs in a row without improvement after which the training ends;
            None to train to the last epoch.
    """

    batch_size: int | Name = 32
    patience: int | Name | None = None

    def resolve(self, params: Params) -> dict[str, int]:
        """Returns the numbers for one trial by field, without ``patience`` if there is none.

        Args:
            params: Hyperparameters of the trial.
        """
        numbers = {"batch_size": 32}
        for name, value in (("batch_size", self.batch_size), ("patience", self.patience)):
            number = params.get(value) if isinstance(value, str) else value
            if number is not None:
                numbers[name] = int(number)
        return numbers


class Resources(Section):
    """Resources per trial.

    Attributes:
        workers_per_gpu: Number of workers that share one GPU of this machine.
        trial_cpus: Number of Ray's CPUs per trial.
        trial_gpus: Number of Ray's GPUs per trial; with a fraction, trials share a GPU.
    """

    workers_per_gpu: int = Field(default=1, ge=1, le=1024)
    trial_cpus: float = Field(default=1.0, gt=0, le=1024)
    trial_gpus: float = Field(default=0.0, ge=0, le=1024)


class Compare(Section):
    """Rule of the verdict.

    Attributes:
        metric: Metric on the test split.
        min_gain: Smallest gain for the verdict ``better``, in units of the metric.
        confidence: Confidence level of the interval of the gain, for example 0.95.
    """

    metric: Literal["accuracy"] = "accuracy"
    min_gain: float = Field(default=0.0, ge=0, le=1)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)


class GateRule(Section):
    """Conditions under which a version may become champion; its verdict must be ``better``.

    Attributes:
        min_gain_low: Threshold for the gain over the baseline; the lower end of the interval of
            the gain must be above it.
        over_champion: Required result against the champion on the same test rows: ``better`` (the
            whole interval is above 0) or ``not_worse`` (the estimate is not below 0).
        max_behaviour_regression: Maximum increase of a behaviour's failure rate over the
            baseline's rate, from 0 to 1; None for no limit.
        max_size_mb: Maximum size of the version's files in MB; None for no limit.
        max_latency_ms: Maximum latency for one input in milliseconds; None for no limit.
    """

    min_gain_low: float = Field(default=0.0, ge=-1, le=1)
    over_champion: Literal["better", "not_worse"] = "better"
    max_behaviour_regression: float | None = Field(default=0.2, ge=0, le=1)
    max_size_mb: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_latency_ms: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class Limits(Section):
    """Limits per trial. At a limit, the process of the trial is killed and the trial fails.

    Attributes:
        trial_seconds: Maximum duration of an attempt in seconds; None for no limit.
        epoch_seconds: Maximum time from one finished epoch to the next in seconds; None for no
            limit. The first epoch counts from the start of the attempt, which may include the
            start of the worker.
        memory_mb: Maximum resident memory of the process in MB; None for no limit.
    """

    trial_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    epoch_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    memory_mb: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class Profile(Section):
    """Changes to the study for one data set, for example fewer trials on generated data."""

    budget: Budget | None = None
    confirm: Confirm | None = None
    compare: Compare | None = None
