"""A task that is made of functions, and the same task in the workers."""

import inspect
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from tuning.api.given_data import as_loaded
from tuning.api.travel import code_of, offer, unpack
from tuning.core.errors import BadInputError, InfeasibleError
from tuning.core.task import Split
from tuning.core.trial import Params
from tuning.data.loading import PARTS, asked, asks_for
from tuning.data.stored import load_parts

# The class, as a study names it.
FUNCTION_TASK = "tuning.api.function_task:FunctionTask"


class FunctionTask:
    """A task whose methods are functions from a file that ``tuning.api.travel.pack`` has written.

    The file has ``build``, whether it ``takes`` ``hp`` or ``params``, and perhaps ``load``,
    ``fit`` and ``callbacks``.

    Args:
        functions: File of the functions.
        data: Folder of the data; empty if the functions load them.
        name: Name of the data.
        split: How they were split, for the record.
    """

    def __init__(
        self,
        functions: str | Path = "",
        data: str | Path = "",
        name: str = "",
        split: str = "as given",
    ) -> None:
        if not functions:
            raise BadInputError(
                "task: this study is made of functions in Python code; go on with it there, by "
                "tuning.tune(…, resume=…)"
            )
        self.name = f"{name or 'data'}, {split}" if split != "as given" else name or "data"
        self._functions = unpack(Path(functions))
        offer(self._functions)
        self._data = Path(data) if data else None
        if fit := self._fit_function():
            self.fit = fit
        if "load" in self._functions:
            self.load = self._functions["load"]  # type: ignore[method-assign]
        if self._functions.get("callbacks") is not None:
            self.callbacks = self._new_callbacks

    def load(self, split: Split) -> Mapping[str, Any]:
        """Loads a split from the folder of the data."""
        assert self._data is not None, "without a folder there is a function"
        parts = load_parts(self._data)
        return {name: as_loaded(parts[name]) for name in PARTS[split]}

    def times(self, part: str, params: Params) -> Any:
        """Returns the times of the examples of a part; None if they have none."""
        return self._of_rows("times", part, params)

    def groups(self, part: str, params: Params) -> Any:
        """Returns the groups of the examples of a part; None if they have none."""
        return self._of_rows("groups", part, params)

    def _of_rows(self, name: str, part: str, params: Params) -> Any:
        function = self._functions.get(name)
        if isinstance(function, Mapping):
            return function.get(part)
        if function is not None:
            return function(part, **asked(function, params=params))
        return getattr(load_parts(self._data)[part], name) if self._data else None

    def build(self, params: Params) -> Any:
        """Builds the model of a trial."""
        build = self._functions["build"]
        function = getattr(build, "build", build)
        if self._functions["takes"] == "params":
            return function(params)
        asked = hyperparameters_of(params)
        model = function(asked)
        refuse_new(asked, params)
        return model

    def code_digests(self) -> dict[str, str]:
        """Returns digests of the functions and of the variables that they use, by name."""
        names = ("build", "load", "fit", "callbacks", "metric", "times", "groups")
        return code_of(
            {name: self._functions[name] for name in names if self._functions.get(name)}
        )

    def _new_callbacks(self, params: Params) -> Sequence[Any]:
        callbacks = self._functions["callbacks"]
        return callbacks(params) if callable(callbacks) else deepcopy(callbacks)

    def _fit_function(self) -> Any:
        build, fit = self._functions["build"], self._functions.get("fit")
        if fit is not None:
            return fit
        options = self._functions.get("fit_options")
        if options is None and not trains_itself(build):
            return None
        return HyperModelFit(
            build, **{"study_objective": self._functions.get("objective", ""), **(options or {})}
        )


class HyperModelFit:
    """The method ``fit`` of a ``keras_tuner.HyperModel``, in the form of ``Task.fit``.

    Args:
        hypermodel: Hypermodel, perhaps with a method ``fit`` of its own; or a build function.
        options: Further arguments of ``fit``, as ``Tuner.search`` gets them.
        objective: Name of the objective among the metrics that the hypermodel reports, if it
            differs from the study's; empty if it does not.
        study_objective: Name of the study's objective.
    """

    def __init__(
        self,
        hypermodel: Any,
        options: Mapping[str, Any] | None = None,
        objective: str = "",
        study_objective: str = "",
    ) -> None:
        self._hypermodel = hypermodel
        self._options = dict(options or {})
        self._names = (objective, study_objective)

    def __call__(
        self,
        model: Any,
        params: Params,
        data: Mapping[str, Any],
        callbacks: Sequence[Any],
        epochs: int,
        initial_epoch: int,
    ) -> object:
        """Trains a model with what ``Tuner.search`` would pass on."""
        asked = hyperparameters_of(params)
        train = data["train"] if isinstance(data["train"], tuple) else (data["train"],)
        given: dict[str, Any] = dict(zip(("x", "y", "sample_weight"), train, strict=False))
        given |= {
            "validation_data": data["validation"],
            "epochs": epochs,
            "initial_epoch": initial_epoch,
            "verbose": 0,
            **self._options,
        }
        *others, recorder = callbacks
        watched = _Watched(recorder, *self._names)
        given["callbacks"] = [*others, watched.callback]
        own = getattr(self._hypermodel, "fit", None)
        if own is None:
            return model.fit(**given)
        result = own(asked, model, **accepted_by(own, given))
        if not watched.epochs:
            watched.finish(model, result)
        refuse_new(asked, params)
        return result


class _Watched:
    """The callback that reports epochs, for loops of the user's own.

    Args:
        recorder: Callback that reports epochs.
        objective: Name of the objective in such a loop; empty for the study's.
        study_objective: Name of the study's objective.

    Attributes:
        callback: Callback for the loop.
        epochs: Number of epochs that the loop has reported.
    """

    def __init__(self, recorder: Any, objective: str, study_objective: str) -> None:
        import keras

        self.epochs = 0
        self._recorder = recorder
        self._names = (objective, study_objective)
        self._began = False
        self.callback = keras.callbacks.LambdaCallback(
            on_train_begin=self._begin,
            on_epoch_begin=recorder.on_epoch_begin,
            on_epoch_end=self._end_epoch,
        )

    def _begin(self, logs: Any = None) -> None:
        self._began = True
        self._recorder.on_train_begin(logs)

    def _end_epoch(self, epoch: int, logs: Any = None) -> None:
        if not self._began:  # a loop may call only this
            self._begin()
        objective, name = self._names
        known = {key: value for key, value in (logs or {}).items() if value is not None}
        # A metric of the training rows does not stand for that of the validation rows.
        if objective in known and name not in known:
            known[name] = known[objective]
        self.epochs += 1
        self._recorder.on_epoch_end(epoch, known)

    def finish(self, model: Any, result: Any) -> None:
        """Reports what ``fit`` returns, if it has reported no epoch: a value or a mapping."""
        values = result[-1] if isinstance(result, list) and result else result
        values = getattr(values, "history", values)
        if isinstance(values, Mapping):
            logs = {k: v[-1] if isinstance(v, list) else v for k, v in values.items()}
        elif values is None:
            raise BadInputError(
                "fit: it has reported no epoch and returned nothing; pass the callbacks to "
                "model.fit, or return the objective"
            )
        else:
            logs = {self._names[1]: float(values)}
        self._end_epoch(0, logs)


def accepted_by(function: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments that a function of the user takes; data and callbacks always."""
    parameters = inspect.signature(function).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return dict(given)
    optional = ("epochs", "initial_epoch", "verbose", "sample_weight", "callbacks")
    return {k: v for k, v in given.items() if k in parameters or k not in optional}


def trains_itself(build: Any) -> bool:
    """Returns whether an object is a hypermodel with a method ``fit`` of its own."""
    if not hasattr(build, "build") or not hasattr(build, "fit"):
        return False
    import keras_tuner

    return type(build).fit is not keras_tuner.HyperModel.fit


def hyperparameters_of(params: Params) -> Any:
    """Returns ``keras_tuner.HyperParameters`` that have the values of a trial."""
    import keras_tuner

    asked = keras_tuner.HyperParameters()
    asked.values = dict(params)
    return asked


def refuse_new(asked: Any, params: Params) -> None:
    """Refuses hyperparameters that are not in the space, which would have their defaults always.

    Raises:
        InfeasibleError: A function has asked for a hyperparameter that the trial does not have.
    """
    names = {each.name for each in asked.space if asked.is_active(each)}
    unknown = sorted(names - set(params))
    if unknown:
        raise InfeasibleError(
            f"build: with {dict(params)} it asks for {unknown[0]!r}, which the search space does "
            "not have; ask for it inside hp.conditional_scope(parent, values), or pass space={…}"
        )


def takes_params(data: Any) -> bool:
    """Returns whether a function of data asks for hyperparameters."""
    return callable(data) and asks_for(data, "params")
