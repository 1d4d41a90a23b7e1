"""The sections of a study file, for example objective, budget, confirmation and gate."""

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tuning.core.names import storable_metric
from tuning.core.trial import Params, ParamValue, Resample
from tuning.metrics.catalogue import check_keys, make_metric
from tuning.metrics.metric import Direction, Metric

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
Config = dict[str, ParamValue]
OnError = Literal["fail", "retry", "stop"]


class Section(BaseModel):
    """A section of a study file; undeclared fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


# Keras's names of validation metrics, most of which contain one of these words.
_SMALLER_IS_BETTER = re.compile(
    r"loss|error|entropy|divergence|hinge|perplexity|poisson|false_(positive|negative)"
    r"|(^|_)(mse|mae|mape|msle|rmse|smape|mase|nll|brier|pinball|log_?cosh|cer|wer)($|_)"
)
_LARGER_IS_BETTER = re.compile(
    r"accuracy|precision|recall|sensitivity|specificity|true_(positive|negative)"
    r"|(^|_)(acc|auc|f1|f1_score|fbeta|fbeta_score|iou|mean_io_u|r2|r2_score|dice|mcc|kappa|map"
    r"|ndcg|bleu)($|_)"
)
_NEGATED = re.compile(r"(^|_)(neg|negative|negated)_(?!s)")


def direction_of(metric: str) -> Direction | None:
    """Returns the direction of a validation metric of Keras by its name; None if unknown."""
    name = metric.lower().removeprefix("val_")
    # Negative log-likelihood is a loss; another negated metric may be either.
    if _NEGATED.search(name) and "false_negative" not in name and "true_negative" not in name:
        return "minimize" if "likelihood" in name else None
    if _SMALLER_IS_BETTER.search(name):
        return "minimize"
    return "maximize" if _LARGER_IS_BETTER.search(name) else None


class Objective(Section):
    """The validation metric by which trials are pruned, ranked and selected.

    Attributes:
        metric: Name of the metric as Keras reports it, which begins with ``val_``; characters that
            MLflow cannot store become ``_``.
        direction: Whether larger or smaller values are better. It is required only if the name
            does not tell it.
    """

    metric: str = "val_accuracy"
    # None until it is validated, so that a change of the metric alone changes the direction too.
    direction: Direction = None  # type: ignore[assignment]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.metric.startswith("val_"):
            raise ValueError(
                f"{self.metric} is measured on the training rows, which every larger model fits "
                f"better; write metric: val_{self.metric}"
            )
        known = direction_of(self.metric)
        if self.direction is None and known is None:
            raise ValueError(
                f"whether larger values of {self.metric} are better is not known; write "
                "direction: maximize, or direction: minimize"
            )
        if known is not None and self.direction not in (None, known):
            raise ValueError(
                f"{self.metric} is to {known}, so {self.direction} would search for the worst "
                f"model; write direction: {known}"
            )
        object.__setattr__(self, "direction", self.direction or known)
        object.__setattr__(self, "metric", storable_metric(self.metric))
        return self

    @property
    def sign(self) -> int:
        """1 if larger values are better, otherwise -1."""
        return 1 if self.direction == "maximize" else -1

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
        trials: Number of trials per searcher; with ``repeats``, of configurations.
        repeats: Number of trainings per configuration in the search, with different seeds. The
            searchers learn the mean, and nothing is pruned if it is above 1.
        epochs: Maximum number of epochs per trial, except in ``confirm.long_run``.
        timeout: Time limit for the training in all phases, in seconds, summed over resumes; None
            for no limit. The search ends early to leave time for the confirmation.
        plateau_trials: Number of trials in a row without a gain after which the search ends; None
            for no such rule.
        plateau_gain: Threshold of a gain: the objective must improve by more than this.
    """

    trials: int = Field(default=12, ge=1, le=100_000)
    repeats: int = Field(default=1, ge=1, le=100)
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
        resample: Rows for training and validation of each fresh seed: those of the task for all
            (``none``); a new random cut per seed (``split``); one of the folds (``folds``), also
            with new folds once all are used (``repeated``); a new cut of whole groups
            (``grouped``); or one of ``folds`` pieces of the validation period, the latest first,
            with as many rows before it as the task trains on (``rolling``). The test rows stay
            the same. The interval of the gain then holds for other training
            rows too.
        folds: Number of folds, or of the periods of a rolling origin.
        gap: Number of times that are left out between training and validation rows.
        embargo: Number of times after the validation rows that are left out of the training.
    """

    seeds: int = Field(default=3, ge=1, le=100)
    top_k: int = Field(default=2, ge=1, le=100)
    long_run: int | None = Field(default=None, ge=1, le=10_000)
    ablation: bool = False
    resample: Resample = "none"
    folds: int = Field(default=5, ge=2, le=100)
    gap: int = Field(default=0, ge=0)
    embargo: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.resample in ("folds", "rolling") and self.seeds > self.folds:
            raise ValueError(
                f"{self.resample} gives each of the {self.seeds} seeds another one of the folds, "
                f"so folds must be at least {self.seeds}; got {self.folds}"
            )
        return self


class Search(Section):
    """How the search measures a configuration.

    Attributes:
        folds: Number of folds over which the objective is a mean; each is trained by itself, and
            nothing is pruned. Rows with times have a rolling origin. None for the task's own
            validation rows.
    """

    folds: int | None = Field(default=None, ge=2, le=100)


class Training(Section):
    """Options of Keras for every training of the study.

    Each value is a number, or the name of a hyperparameter in ``space`` or ``fixed``.

    Attributes:
        batch_size: Number of examples per batch.
        patience: Number of epochs in a row without improvement after which the training ends;
            None to train to the last epoch.
        class_weight: Weight of each class in the training loss, by its number; or ``balanced``,
            which gives every class the same sum; None for no weights.
        steps_per_epoch: Number of batches per epoch, for data sets without an end; None for all.
    """

    batch_size: int | Name = 32
    patience: int | Name | None = None
    class_weight: Literal["balanced"] | dict[int, float] | None = None
    steps_per_epoch: int | None = Field(default=None, ge=1)

    def resolve(self, params: Params) -> dict[str, int]:
        """Returns the numbers for one trial by field, without ``patience`` if there is none.

        Args:
            params: Hyperparameters of the trial.
        """
        numbers = {"batch_size": 32}
        for name, value in (("batch_size", self.batch_size), ("patience", self.patience)):
            number = params.get(value) if isinstance(value, str) else value
            if number is not None:
                numbers[name] = int(number)  # checked by Study
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
        metric: Metric on the test split that decides, such as ``accuracy``, ``rmse`` or
            ``top_k(k=5)``, or a function of yours as ``module:function``.
        direction: Whether larger or smaller values are better; required for your own function.
        additional_metrics: Further metrics on the test split, which are recorded for every seed
            and decide nothing.
        output: Name of the model's output that is judged; None if the model has only one.
        outputs: Whether the output is ``probabilities`` or ``logits``; ``auto`` to tell it by the
            last activation or the loss.
        class_weight: Weight of each class in the metrics, by its number; or ``balanced``, which
            gives every class the same sum; None for no weights.
        min_gain: Smallest gain for the verdict ``better``, in units of the metric.
        confidence: Confidence level of all intervals, for example 0.95.
    """

    metric: str = "accuracy"
    direction: Direction | None = None
    additional_metrics: list[str] = Field(default_factory=list)
    output: str | None = None
    outputs: Literal["auto", "probabilities", "logits"] = "auto"
    class_weight: Literal["balanced"] | dict[int, float] | None = None
    min_gain: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        metrics = [self.deciding, *self.additional]
        check_keys(metrics)
        several = {each.quantiles for each in metrics if each.quantiles}
        if len(several) > 1 or (several and not self.deciding.quantiles):
            raise ValueError(
                "a model predicts the quantiles of one metric, which must be compare.metric; "
                f"got {', '.join(each.name for each in metrics if each.quantiles)}"
            )
        if self.deciding.is_share and self.min_gain > 1:
            raise ValueError(
                f"min_gain is a share for {self.metric}, so 0.01 is one point; got {self.min_gain}"
            )
        # The canonical name, such as top_k(k=5) for top_k.
        object.__setattr__(self, "metric", self.deciding.name)
        object.__setattr__(self, "additional_metrics", [each.name for each in self.additional])
        return self

    @property
    def deciding(self) -> Metric:
        """Metric that decides."""
        return make_metric(self.metric, self.direction)

    @property
    def additional(self) -> list[Metric]:
        """Further metrics, without the deciding one."""
        # They decide nothing, so the direction of a function of the user does not matter.
        metrics = [
            make_metric(name, "maximize" if ":" in name else None)
            for name in self.additional_metrics
        ]
        return [metric for metric in metrics if metric.name != self.deciding.name]


class GateRule(Section):
    """Conditions under which a version may become champion; its verdict must be ``better``.

    A limit that is set also refuses a version for which the value was not measured.

    Attributes:
        min_gain_low: Threshold for the gain over the baseline, in units of the test metric; the
            lower end of the interval of the gain must be above it.
        over_champion: Required result against the champion on the same test rows: ``better`` (the
            whole interval is above 0) or ``not_worse`` (the estimate is not below 0).
        max_behaviour_regression: Maximum increase of a behaviour's failure rate over the
            baseline's rate, from 0 to 1; None for no limit.
        max_size_mb: Maximum size of the version's files in MB; None for no limit.
        max_latency_ms: Maximum latency for one input in milliseconds; None for no limit.
    """

    min_gain_low: float = Field(default=0.0, allow_inf_nan=False)
    over_champion: Literal["better", "not_worse"] = "better"
    max_behaviour_regression: float | None = Field(default=None, ge=0, le=1)
    max_size_mb: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_latency_ms: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class Limits(Section):
    """Limits per trial. At a limit, the process of the trial is killed and the trial fails.

    Attributes:
        trial_seconds: Maximum duration of an attempt in seconds; None for no limit.
        epoch_seconds: Maximum time from one finished epoch to the next in seconds; None for no
            limit. The first epoch counts from the start of the attempt, which may include the
            start of the worker.
        memory_mb: Maximum memory of the process in MB, without mapped files; None for no limit.
    """

    trial_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    epoch_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    memory_mb: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class Profile(Section):
    """Changes to the study for one data set, for example fewer trials on generated data.

    Attributes:
        budget: Fields of ``budget`` to change.
        confirm: Fields of ``confirm`` to change.
        compare: Fields of ``compare`` to change.
    """

    budget: Budget | None = None
    confirm: Confirm | None = None
    compare: Compare | None = None
