"""The study file: what is tuned, over which space, from which baseline, and with which budget."""

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tuning.errors import BadInputError
from tuning.space import SearchSpace
from tuning.trial import ParamValue, config_hash

MAX_FILE_BYTES = 1_000_000
MAX_VALUES = 1_000_000

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
Config = dict[str, ParamValue]
OnError = Literal["fail", "retry", "stop"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Objective(_Strict):
    """The metric of the validation split by which trials are pruned, ranked and selected."""

    metric: str = "val_accuracy"
    direction: Literal["maximize", "minimize"] = "maximize"

    def better(self, value: float, than: float | None) -> bool:
        """Whether ``value`` beats ``than``; anything beats None."""
        if than is None:
            return True
        return value > than if self.direction == "maximize" else value < than

    def key(self, value: float) -> float:
        """A key by which better values sort first."""
        return -value if self.direction == "maximize" else value


class Budget(_Strict):
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


class Confirm(_Strict):
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


class Compare(_Strict):
    """The rule of the verdict.

    Attributes:
        metric: What the test split is judged by.
        min_gain: The smallest gain worth having, in units of the metric.
        confidence: Of the interval on the gain.
    """

    metric: Literal["accuracy"] = "accuracy"
    min_gain: float = Field(default=0.0, ge=0, le=1)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)


class GateRule(_Strict):
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


class Limits(_Strict):
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


class Profile(_Strict):
    """What differs on one data set, by its label: fewer trials on generated data, say."""

    budget: Budget | None = None
    confirm: Confirm | None = None
    compare: Compare | None = None


class Study(_Strict):
    """A validated study file.

    Attributes:
        name: Also the name of the MLflow experiment.
        task: ``package.module:Class`` of the task.
        task_options: Keyword arguments of its constructor.
        space: The search space.
        fixed: Hyperparameters that every trial shares.
        baseline: The configuration to beat.
        references: Other configurations worth comparing, by name.
        objective: What is searched for.
        searchers: Names of searchers, each ``library:algorithm(option=value)+pruner``, of which
            the library is enough.
        budget: How much may be trained.
        confirm: Repetitions of the comparison.
        limits: What a trial may take.
        on_error: What follows an exception in the task's code: the trial has failed (``fail``), is
            tried again, twice at most (``retry``), or the study ends (``stop``).
        compare: The rule of the verdict.
        gate: When a version may become champion.
        keep_models: Which trials' models stay in MLflow.
        registered_model: Name in the model registry.
        profiles: What differs by label of the data set.
        seed: From which every other seed is derived.
    """

    name: Name
    task: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    task_options: dict[str, Any] = Field(default_factory=dict)
    space: SearchSpace
    fixed: Config = Field(default_factory=dict)
    baseline: Config
    references: dict[Name, Config] = Field(default_factory=dict)
    objective: Objective = Objective()
    searchers: list[str] = Field(default=["optuna", "keras_tuner"], min_length=1)
    budget: Budget = Budget()
    confirm: Confirm = Confirm()
    limits: Limits = Limits()
    on_error: OnError = "fail"
    compare: Compare = Compare()
    gate: GateRule = GateRule()
    keep_models: Literal["all", "confirmed"] = "all"
    registered_model: Name
    profiles: dict[str, Profile] = Field(default_factory=dict)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        clash = set(self.fixed) & set(self.space.names)
        if clash:
            raise ValueError(f"{sorted(clash)[0]} is both fixed and in the search space")
        # Frozen: the canonical spelling has to be written around the model's own setter.
        object.__setattr__(self, "baseline", self._canonical("baseline", self.baseline))
        references = {
            name: self._canonical(f"references.{name}", config)
            for name, config in self.references.items()
        }
        object.__setattr__(self, "references", references)
        return self

    def _canonical(self, field: str, config: Config) -> Config:
        try:
            return self.space.canonical(config)
        except ValueError as error:
            raise ValueError(f"{field}: {error}") from None

    def hyperparameters(self, config: Mapping[str, ParamValue]) -> Config:
        """Completes a configuration of the space by the fixed hyperparameters."""
        return {**config, **self.fixed}

    def searched(self, params: Mapping[str, ParamValue]) -> Config:
        """Returns the part of ``params`` that belongs to the space."""
        return self.space.select(params)

    def config_id(self, params: Mapping[str, ParamValue]) -> str:
        """Hashes the searched part of ``params``: the identity of a configuration."""
        return config_hash(self.searched(params))

    def winner(self, values: Mapping[str, Sequence[float]]) -> str | None:
        """The configuration with the best mean over all fresh seeds; None if none has them all.

        One that failed with some of the seeds cannot win: its lucky seeds would speak for it.

        Args:
            values: The objective by seed, by the configuration's label.
        """
        whole = {k: fmean(v) for k, v in values.items() if len(v) >= self.confirm.seeds}
        return min(whole, key=lambda label: self.objective.key(whole[label]), default=None)

    def for_dataset(self, label: str) -> "Study":
        """Applies the profile of a data set, if the study has one for it."""
        profile = self.profiles.get(label)
        if profile is None:
            return self
        changes = {}
        for name in profile.model_fields_set:
            section: BaseModel = getattr(profile, name)
            said = section.model_dump(include=section.model_fields_set)
            changes[name] = getattr(self, name).model_copy(update=said)
        return self.model_copy(update=changes)

    def override(
        self,
        *,
        trials: int | None = None,
        epochs: int | None = None,
        timeout: float | None = None,
        seeds: int | None = None,
        top_k: int | None = None,
        long_run: int | None = None,
        ablation: bool | None = None,
        searchers: str | None = None,
        seed: int | None = None,
    ) -> "Study":
        """Applies what the command line says about the budget; None leaves the study's value.

        Raises:
            BadInputError: Naming the option, the value and what would be accepted.
        """
        data = self.model_dump()
        for section, key, value in (
            ("budget", "trials", trials),
            ("budget", "epochs", epochs),
            ("budget", "timeout", timeout),
            ("confirm", "seeds", seeds),
            ("confirm", "top_k", top_k),
            ("confirm", "long_run", long_run),
            ("confirm", "ablation", ablation),
        ):
            if value is not None:
                data[section][key] = value
        if searchers is not None:
            data["searchers"] = _split(searchers)
        if seed is not None:
            data["seed"] = seed
        return parse_study(data, "the command line")

    def to_yaml(self) -> str:
        """Writes the study, all defaults filled in, as a study file."""
        text: str = yaml.safe_dump(
            self.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True
        )
        return text


def _split(searchers: str) -> list[str]:
    """Splits at commas, but not within the parentheses of a searcher's options."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", searchers) if part.strip()]


def load_study(path: Path) -> Study:
    """Reads and validates a study file.

    Raises:
        BadInputError: The file cannot be read, or a field is wrong; the message names the field,
            the value and what would be accepted.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BadInputError(f"{path} is larger than a study file ({MAX_FILE_BYTES:,} bytes)")
        data = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise BadInputError(
            f"the study file {str(path)!r} cannot be read ({error.strerror}); "
            "pass the path of a study.yaml"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(f"{path} is not valid YAML: {error}") from error
    if _expanded(data, {}) > MAX_VALUES:
        raise BadInputError(f"{path}: its aliases expand to more than a study file holds")
    if not isinstance(data, dict):
        raise BadInputError(f"{path} must be a mapping of fields; found {type(data).__name__}")
    return parse_study(data, str(path))


def _expanded(value: Any, known: dict[int, float]) -> float:
    """How many values there are once every YAML alias is written out; infinite for a loop."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = math.inf  # what it is while its own content is counted
        parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_expanded(part, known) for part in parts)
    return known[id(value)]


def parse_study(data: Mapping[str, Any], origin: str) -> Study:
    """Validates the content of a study file.

    Args:
        data: The content.
        origin: What to call it in messages.

    Raises:
        BadInputError: Naming each field that is wrong.
    """
    try:
        return Study.model_validate(dict(data))
    except ValidationError as error:
        lines = [_explain(detail) for detail in error.errors(include_url=False)]
        raise BadInputError("\n  ".join([f"{origin} is not a valid study:", *lines])) from None


def _explain(detail: Any) -> str:
    location = [str(part) for part in detail["loc"] if part not in ("int", "float", "choice")]
    field = ".".join(location)
    message = re.sub(r"^Value error, ", "", detail["msg"])
    value = detail["input"]
    if detail["type"] == "extra_forbidden":
        known = list(Study.model_fields) if len(location) == 1 else []
        near = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{field}: there is no such field{hint}"
    if detail["type"] == "missing":
        return f"{field}: is required"
    if isinstance(value, Mapping | list) or not field:
        return f"{field}: {message}" if field else message
    return f"{field}: {message[0].lower()}{message[1:]}; got {value!r}"
