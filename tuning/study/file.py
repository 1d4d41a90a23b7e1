"""The study file: what is tuned, over which space, from which baseline, and with which budget."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from tuning.core.errors import BadInputError
from tuning.core.trial import ParamValue, config_hash
from tuning.study.sections import (
    Budget,
    Compare,
    Config,
    Confirm,
    GateRule,
    Limits,
    Name,
    Objective,
    OnError,
    Profile,
    Resources,
    Section,
    Training,
)
from tuning.study.space import Choice, SearchSpace


class Study(Section):
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
        training: How Keras trains every model.
        resources: What one trial gets of the machines.
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
    training: Training = Training()
    resources: Resources = Resources()
    limits: Limits = Limits()
    on_error: OnError = "fail"
    compare: Compare = Compare()
    gate: GateRule = GateRule()
    keep_models: Literal["all", "confirmed"] = "all"
    registered_model: Name
    profiles: dict[str, Profile] = Field(default_factory=dict)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)

    @field_validator("searchers", mode="before")
    @classmethod
    def _split_searchers(cls, value: Any) -> Any:
        """Takes one text as a list: at commas, but not within the parentheses of options."""
        if not isinstance(value, str):
            return value
        return [part.strip() for part in re.split(r",(?![^(]*\))", value) if part.strip()]

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
        for field in ("batch_size", "patience"):
            self._check_training(field)
        return self

    def _check_training(self, field: Literal["batch_size", "patience"]) -> None:
        value = getattr(self.training, field)
        hyperparameters = {*self.space.names, *self.fixed}
        if isinstance(value, str):
            if value not in hyperparameters:
                raise ValueError(
                    f"training.{field}: a number, or a hyperparameter of space or fixed; "
                    f"got {value!r}"
                )
            if not self._has_only_counts(value):
                raise ValueError(
                    f"training.{field}: every value of {value} must be a whole number from 1"
                )
        elif value is not None and value < 1:
            raise ValueError(f"training.{field}: a whole number from 1; got {value}")
        if field not in hyperparameters or value == field:
            return
        if field not in self.training.model_fields_set:
            raise ValueError(
                f"{field} is a hyperparameter, and training does not say whether Keras uses it; "
                f"add training: {{{field}: {field}}}"
                + (" (or null, if only the task uses it)" if field == "patience" else "")
            )
        if value is not None:
            raise ValueError(
                f"training.{field} is {value!r}, but there is a hyperparameter of that name; "
                f"write training: {{{field}: {field}}}, or give the hyperparameter another name"
            )

    def _has_only_counts(self, name: str) -> bool:
        if name in self.fixed:
            ends: list[Any] = [self.fixed[name]]
        else:
            declared = self.space[name]
            ends = declared.values if isinstance(declared, Choice) else [declared.low]
        return all(type(value) is int and value >= 1 for value in ends)

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

    def change(self, settings: Sequence[str]) -> "Study":
        """Sets fields by their names.

        Args:
            settings: Texts ``field=value``, such as ``budget.trials=20``; each value is read as
                YAML. Later ones win.

        Raises:
            BadInputError: Naming the field, the value and what would be accepted.
        """
        if not settings:
            return self
        data = self.model_dump(exclude_unset=True)
        for setting in settings:
            name, equals, text = setting.partition("=")
            if not equals or not name.strip():
                raise BadInputError(
                    f"set: {setting!r} is not of the form field=value, as in budget.trials=20"
                )
            _assign(data, name.strip(), _read_value(setting, text))
        return parse_study(data, "the command line")

    def to_yaml(self) -> str:
        """Writes the study, all defaults filled in, as a study file."""
        text: str = yaml.safe_dump(
            self.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True
        )
        return text


def _assign(data: dict[str, Any], name: str, value: Any) -> None:
    *sections, field = name.split(".")
    for section in sections:
        inner = data.setdefault(section, {})
        if not isinstance(inner, dict):
            raise BadInputError(f"set: {name}: {section} has no fields of its own")
        data = inner
    data[field] = value


def _read_value(setting: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadInputError(f"set: the value of {setting!r} is not valid YAML: {error}") from error


def load_study(path: Path) -> Study:
    """Reads and validates a study file.

    Raises:
        BadInputError: The file cannot be read, or a field is wrong; the message names the field,
            the value and what would be accepted.
    """
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise BadInputError(
            f"the study file {str(path)!r} cannot be read ({error.strerror}); "
            "pass the path of a study.yaml"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise BadInputError(f"{path} must be a mapping of fields; found {type(data).__name__}")
    return parse_study(data, str(path))


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
