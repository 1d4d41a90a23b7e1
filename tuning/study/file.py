"""The study file: task, search space, baseline, budget and the other settings of a study."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from tuning.core.errors import BadInputError
from tuning.core.names import check_hyperparameter
from tuning.core.trial import ParamValue, config_hash
from tuning.study.ranges import Choice
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
    Search,
    Section,
    Training,
)
from tuning.study.space import SearchSpace, check_not_reserved
from tuning.study.yaml_text import read_yaml, write_yaml

TaskPath = Annotated[str, Field(pattern=r"^([A-Za-z_][\w.]*:[A-Za-z_]\w*)?$")]
# Label of the baseline among the configurations that are compared.
BASELINE = "baseline"


class Study(Section):
    """The settings of a study, as a study file or Python code gives them.

    A study without a task, as Python code writes it, is not complete: ``tuning.tune`` adds the
    task, the space and the baseline.

    Attributes:
        name: Name of the study, and of its experiment in MLflow. Under ``mlflow run`` the
            experiment is that of the command.
        task: Class of the task, as ``package.module:Class``.
        task_options: Keyword arguments of the task's constructor.
        space: The search space.
        fixed: Hyperparameters that have the same value in every trial.
        baseline: Configuration that the search tries to beat. Hyperparameters that it does not
            name have the defaults of the space.
        references: Other configurations for the comparison, by name.
        enqueue: Configurations that every searcher proposes first, after the baseline.
        warm_start: Run id of an earlier study on the same space, whose trials the searchers learn
            before they begin; empty for none.
        objective: Metric that the search optimises.
        searchers: Searchers, each written as ``library:algorithm(option=value)+pruner``. Only the
            library is required.
        search: How the search measures a configuration.
        budget: Limits on the number of trials and epochs and on the time.
        confirm: Repetitions with fresh seeds before the comparison.
        training: Options of Keras for every training.
        resources: Resources per trial.
        limits: Limits on time and memory per trial.
        on_error: Reaction to an exception in the task's code: the trial fails (``fail``), the
            trial is retried at most twice (``retry``), or the study ends (``stop``).
        compare: Rule of the verdict.
        gate: Conditions under which a version may become champion.
        keep_models: Models that stay in MLflow: those of all completed trials (``all``), or only
            those from outside the search (``confirmed``).
        registered_model: Name of the model in the registry; the study's name if it is not given.
        profiles: Changes to the study, by label of the data set.
        seed: Seed from which all other seeds are derived.
    """

    name: Name = "study"
    task: TaskPath = ""
    task_options: dict[str, Any] = Field(default_factory=dict)
    space: SearchSpace = SearchSpace.empty()
    fixed: Config = Field(default_factory=dict)
    baseline: Config = Field(default_factory=dict)
    references: dict[Name, Config] = Field(default_factory=dict)
    enqueue: list[Config] = Field(default_factory=list)
    warm_start: str = Field(default="", pattern=r"^\w*$")
    objective: Objective = Objective()
    searchers: list[str] = Field(default=["optuna", "keras_tuner"], min_length=1)
    search: Search = Search()
    budget: Budget = Budget()
    confirm: Confirm = Confirm()
    training: Training = Training()
    resources: Resources = Resources()
    limits: Limits = Limits()
    on_error: OnError = "fail"
    compare: Compare = Compare()
    gate: GateRule = GateRule()
    keep_models: Literal["all", "confirmed"] = "all"
    registered_model: Name | Literal[""] = ""
    profiles: dict[str, Profile] = Field(default_factory=dict)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)

    @field_validator("searchers", mode="before")
    @classmethod
    def _split_searchers(cls, value: Any) -> Any:
        """Splits a text into a list at its commas, except within the parentheses of options."""
        if not isinstance(value, str):
            return value
        return [part.strip() for part in re.split(r",(?![^(]*\))", value) if part.strip()]

    @model_validator(mode="after")
    def _check(self) -> Self:
        # The model is frozen, so its setter refuses what the validation changes.
        object.__setattr__(self, "registered_model", self.registered_model or self.name)
        if not self.task:
            return self
        clash = set(self.fixed) & set(self.space.names)
        if clash:
            raise ValueError(f"{sorted(clash)[0]} is both fixed and in the search space; drop one")
        for name, value in self.fixed.items():
            try:
                check_hyperparameter(name, value)
                check_not_reserved(name)
            except ValueError as error:
                raise ValueError(f"fixed: {error}") from None
        if BASELINE in self.references:
            raise ValueError(
                f"references: {BASELINE} is the name of the baseline itself; choose another name"
            )
        object.__setattr__(self, "baseline", self._complete_baseline())
        references = {
            name: self._canonical(f"references.{name}", config)
            for name, config in self.references.items()
        }
        object.__setattr__(self, "references", references)
        enqueued = [
            self._canonical(f"enqueue.{index}", each) for index, each in enumerate(self.enqueue)
        ]
        object.__setattr__(self, "enqueue", enqueued)
        for field in ("batch_size", "patience"):
            self._check_training(field)
        return self

    def _check_training(self, field: Literal["batch_size", "patience"]) -> None:
        value = getattr(self.training, field)
        hyperparameters = {*self.space.names, *self.fixed}
        if isinstance(value, str):
            if value not in hyperparameters:
                raise ValueError(
                    f"training.{field}: a number, or a hyperparameter from space or fixed; "
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
                f"{field} is a hyperparameter, but training does not say whether Keras uses it; "
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

    def _complete_baseline(self) -> Config:
        """Returns the baseline with the defaults of the hyperparameters that it does not name."""
        config: Config = {}
        for name in self.space.names:
            if name in self.baseline:
                config[name] = self.baseline[name]
            elif self.space.is_active(name, config) and self.space[name].default is not None:
                config[name] = self.space[name].default
        unknown = {name: self.baseline[name] for name in self.baseline if name not in config}
        return self._canonical("baseline", config | unknown)

    def _canonical(self, field: str, config: Config) -> Config:
        try:
            return self.space.canonical(config)
        except ValueError as error:
            raise ValueError(f"{field}: {error}") from None

    def hyperparameters(self, config: Mapping[str, ParamValue]) -> Config:
        """Returns a configuration of the space together with the fixed hyperparameters."""
        return {**config, **self.fixed}

    def searched(self, params: Mapping[str, ParamValue]) -> Config:
        """Returns the part of ``params`` that belongs to the space."""
        return self.space.select(params)

    def config_id(self, params: Mapping[str, ParamValue]) -> str:
        """Hashes the searched part of ``params``; the hash identifies the configuration."""
        return config_hash(self.searched(params))

    @property
    def repeats(self) -> int:
        """Number of search trials per configuration: its repeats with every fold."""
        return self.budget.repeats * (self.search.folds or 1)

    @property
    def search_trials(self) -> int:
        """Number of search trials per searcher."""
        return self.budget.trials * self.repeats

    def winner(self, values: Mapping[str, Sequence[float]]) -> str | None:
        """Returns the label of the configuration with the best mean over all fresh seeds.

        A configuration that failed with some seeds cannot win, because the remaining seeds may be
        the lucky ones. The result is None if no configuration has a value for every seed.

        Args:
            values: Objective values with the fresh seeds, by label of the configuration.
        """
        means = {k: fmean(v) for k, v in values.items() if len(v) >= self.confirm.seeds}
        return min(means, key=lambda label: self.objective.key(means[label]), default=None)

    def for_dataset(self, label: str) -> "Study":
        """Returns the study with the profile of a data set applied, if there is such a profile."""
        profile = self.profiles.get(label)
        if profile is None:
            return self
        changes = {}
        for name in profile.model_fields_set:
            section: BaseModel | None = getattr(profile, name)
            if section is None:
                continue
            fields = section.model_dump(include=section.model_fields_set)
            changes[name] = getattr(self, name).model_copy(update=fields)
        return self.model_copy(update=changes)

    def change(self, settings: Sequence[str]) -> "Study":
        """Returns the study with some fields changed.

        Args:
            settings: Texts of the form ``field=value``, for example ``budget.trials=20``. Each
                value is read as YAML. A later setting replaces an earlier one of the same field.

        Raises:
            BadInputError: A setting is not valid; the message names the field and the value, and
                says what is accepted.
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
        """Returns the study, including all defaults, as the text of a study file."""
        # A value of None is written too: it is not always the default.
        data = self.model_dump(mode="json")
        # A profile changes only the fields that it names.
        for label, profile in self.profiles.items():
            data["profiles"][label] = profile.model_dump(mode="json", exclude_unset=True)
        return write_yaml(data)


class _StudyFile(Study):
    """A study that a file defines, which has to be complete."""

    name: Name
    task: TaskPath = Field(min_length=1)
    space: SearchSpace


def _assign(data: dict[str, Any], name: str, value: Any) -> None:
    *sections, field = name.split(".")
    for section in sections:
        inner = data.setdefault(section, {})
        if not isinstance(inner, dict):
            raise BadInputError(f"set: {name}: {section} has no fields")
        data = inner
    data[field] = value


def _read_value(setting: str, text: str) -> Any:
    try:
        return read_yaml(text)
    except yaml.YAMLError as error:
        raise BadInputError(f"set: the value of {setting!r} is not valid YAML: {error}") from error


def load_study(path: Path) -> Study:
    """Reads and validates a study file.

    Raises:
        BadInputError: The file cannot be read, or a field is wrong; the message names the field
            and the value, and says what is accepted.
    """
    try:
        data = read_yaml(path.read_text("utf-8"))
    except OSError as error:
        raise BadInputError(
            f"the study file {str(path)!r} cannot be read ({error.strerror}); "
            "pass the path of a study.yaml"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise BadInputError(f"{path} must be a mapping of fields; got {type(data).__name__}")
    return parse_study(data, str(path))


def parse_study(data: Mapping[str, Any], origin: str) -> Study:
    """Validates the content of a study file.

    Args:
        data: Content of the file.
        origin: Name of the file in messages.

    Raises:
        BadInputError: A field is wrong; the message names every wrong field.
    """
    try:
        return _StudyFile.model_validate(dict(data))
    except ValidationError as error:
        lines = [_explain(detail) for detail in error.errors(include_url=False)]
        raise BadInputError("\n  ".join([f"{origin} is not a valid study:", *lines])) from None


def _explain(detail: Any) -> str:
    location = [str(part) for part in detail["loc"] if part not in ("int", "float", "choice")]
    field = ".".join(location)
    message = re.sub(r"^Value error, ", "", detail["msg"])
    value = detail["input"]
    if detail["type"] == "extra_forbidden":
        names = _fields_beside(location)
        matches = difflib.get_close_matches(location[-1], names, n=1)
        hint = f"; did you mean {matches[0]}?" if matches else ""
        return f"{field}: there is no such field{hint}"
    if detail["type"] == "missing":
        return f"{field}: is required"
    if isinstance(value, Mapping | list) or not field:
        return f"{field}: {message}" if field else message
    return f"{field}: {message[0].lower()}{message[1:]}; got {value!r}"


def _fields_beside(location: list[str]) -> list[str]:
    """Returns the names of the fields among which the last one of a location is looked for."""
    if len(location) == 1:
        return list(Study.model_fields)
    field = Study.model_fields.get(location[0])
    section = field.annotation if field is not None and len(location) == 2 else None
    is_section = isinstance(section, type) and issubclass(section, BaseModel)
    return list(section.model_fields) if is_section else []  # type: ignore[union-attr]
