"""A tuner with the interface of KerasTuner, whose search runs in this library.

Change the line that makes the tuner, and leave the rest of the script as it is::

    tuner = tuning.integrations.keras_tuner.Tuner(build, "val_accuracy", max_trials=20)
    tuner.search(x, y, validation_data=(x_val, y_val), epochs=10)
    best = tuner.get_best_models()[0]
    result = tuner.confirm(test=(x_test, y_test), seeds=5)   # what KerasTuner has not
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_tuner import HyperModel, HyperParameters, Objective

from tuning.api.function_task import trains_itself
from tuning.api.given_data import Split
from tuning.api.loading import has_search, load_search
from tuning.api.places import mlflow_uri
from tuning.api.result import StudyResult, run
from tuning.api.settings import default_name, direction_for
from tuning.api.tuner import plan_study
from tuning.core.errors import BadInputError
from tuning.core.trial import TrialRecord
from tuning.integrations.keras_tuner_arguments import (
    BuildFunction,
    GivenHyperparameters,
    GivenHyperparametersWithFit,
    check_arguments,
    hyperband_trials,
    known_metric,
    read_objective,
    read_oracle,
    split_rows,
    test_metric,
)
from tuning.integrations.keras_tuner_oracle import (
    FinishedOracle,
    best_configurations,
    hyperparameters_with,
    mean_value,
)
from tuning.study.file import Study
from tuning.workflow.plan import Options
from tuning.workflow.progress.printers import Output

if TYPE_CHECKING:
    import keras

__all__ = ["HyperModel", "HyperParameters", "Objective", "Tuner"]

HYPERBAND_EPOCHS = 100  # KerasTuner's default of max_epochs
# Members of KerasTuner's tuners that have no counterpart, and what to use instead.
_INSTEAD = {
    "run_trial": "write a HyperModel with a method fit, or call tuning.tune(build, fit=…)",
    "on_epoch_end": "pass callbacks to search",
    "on_batch_end": "pass callbacks to search",
    "save_model": "every model is in MLflow; get_best_models loads it",
    "load_model": "get_best_models loads a model",
    "get_state": "MLflow has the state of the search",
    "set_state": "MLflow has the state of the search",
}


class Tuner:
    """Searches the hyperparameters of a Keras model; every trial is recorded in MLflow.

    Args:
        hypermodel: ``HyperModel``, or function ``build(hp)`` that returns a compiled model.
        objective: Name of a metric, such as ``val_accuracy``, or ``keras_tuner.Objective``; None
            if the hypermodel's ``fit`` returns the objective, which is minimised.
        max_trials: Number of configurations to try; None for 10, and for all brackets of
            ``hyperband``, whose trials may go on from others.
        oracle: ``bayesian``, ``hyperband``, ``random`` or ``grid``, an ``Oracle``, or any searcher
            of this library, such as ``optuna``.
        executions_per_trial: Number of trainings per configuration; the search sees their mean.
        seed: Seed of the search.
        project_name: Name of the study and of the MLflow experiment.
        directory: Folder for the files of running trials.
        overwrite: Whether to begin anew; otherwise a search of this name that was stopped goes on.
        hyperparameters: ``HyperParameters`` whose declarations and values replace those of the
            hypermodel.
        workers: Number of trials that are trained at the same time; 0 for one per core or GPU.
        tracking_uri: Address of MLflow's store; empty as in ``tuning.tune``.
        **options: Further fields of a study, by the keywords of ``tuning.tune``; and ``factor``
            and ``max_epochs`` of KerasTuner's Hyperband.

    Raises:
        BadInputError: An argument is wrong.
    """

    def __init__(
        self,
        hypermodel: Any,
        objective: Any = None,
        max_trials: int | None = None,
        *,
        oracle: Any = "bayesian",
        executions_per_trial: int = 1,
        seed: int | None = None,
        project_name: str | None = None,
        directory: str | Path = ".cache/tuning",
        overwrite: bool = False,
        hyperparameters: HyperParameters | None = None,
        workers: int = 0,
        tracking_uri: str = "",
        **options: Any,
    ) -> None:
        if isinstance(objective, list):
            raise BadInputError("objective: one objective; a list is not supported")
        # Hyperband's own number of epochs, whatever ``search`` says.
        self._max_epochs = options.pop("max_epochs", None)
        check_arguments(options)
        self.hypermodel = hypermodel if hasattr(hypermodel, "build") else BuildFunction(hypermodel)
        self.project_name = project_name or default_name(hypermodel)
        if oracle == "hyperband":
            self._max_epochs = self._max_epochs or HYPERBAND_EPOCHS
            max_trials = max_trials or hyperband_trials(self._max_epochs, options.get("factor", 3))
        self._objective, self._direction = read_objective(objective)
        self._searcher = read_oracle(oracle, options)
        self._fields: dict[str, Any] = {
            "name": self.project_name,
            "trials": max_trials or 10,
            "seed": seed,
            **options,
        }
        self._executions = executions_per_trial
        self._given = hyperparameters
        self._overwrite = overwrite
        self._options = Options(
            study=Study(),
            workers=workers,
            cache_dir=Path(directory),
            tracking_uri=tracking_uri or mlflow_uri(),
            promote="never",
            command="tuning.integrations.keras_tuner.Tuner.search",
            resume_with="the same script, which goes on by itself",
        )
        self._searched: tuple[Any, dict[str, Any]] = (None, {})
        self._result: StudyResult | None = None
        self._space: HyperParameters | None = None

    # What KerasTuner has

    def search(
        self,
        x: Any = None,
        y: Any = None,
        *,
        validation_data: Any = None,
        validation_split: float = 0.0,
        sample_weight: Any = None,
        epochs: int = 1,
        callbacks: Sequence[Any] | None = None,
        verbose: Any = "auto",
        **fit_options: Any,
    ) -> None:
        """Searches, with the arguments of ``Model.fit``.

        Args:
            x: Inputs, or a data set.
            y: Labels; None for a data set.
            validation_data: Pair of inputs and labels, or a data set.
            validation_split: Share of the last rows that are taken for validation instead.
            sample_weight: Weight of each row.
            epochs: Number of epochs per trial.
            callbacks: Keras callbacks, which are copied for every trial.
            verbose: 0 to print nothing.
            **fit_options: Further arguments of ``Model.fit``, such as ``batch_size``.

        Raises:
            BadInputError: An argument is wrong; the message names it.
        """
        train, validation = split_rows(x, y, sample_weight, validation_data, validation_split)
        output: Output = "quiet" if verbose == 0 else "auto"
        epochs = self._max_epochs or epochs
        fields = {**self._fields, "epochs": epochs, "budget": {"repeats": self._executions}}
        if not self._overwrite and has_search(self.project_name, self._options.tracking_uri):
            options = replace(self._options, output=output, resume="last", allow_change=True)
        else:
            options = replace(self._options, output=output)
        self._searched = (
            {"train": train, "validation": validation},
            {"epochs": epochs, **fit_options},
        )
        self._callbacks = list(callbacks or [])
        from tuning.workflow.phases import search

        plan = self._plan(
            self._searched[0], fields, options, known_metric(self._objective) or "accuracy"
        )
        outcome = search(plan)
        self._result = StudyResult(outcome.run_id, plan.tracking_uri, plan)

    def get_best_hyperparameters(self, num_trials: int = 1) -> list[HyperParameters]:
        """Returns the hyperparameters of the best trials, best first."""
        return [hyperparameters_with(self._explored(), each[0]) for each in self._best(num_trials)]

    def get_best_models(self, num_models: int = 1) -> "list[keras.Model]":
        """Returns the models of the best trials, with the weights of their best epoch."""
        result = self._need_result()
        return [result.model_of(each[0].trial.name) for each in self._best(num_models)]

    def results_summary(self, num_trials: int = 10) -> None:
        """Prints the best trials."""
        result = self._need_result()
        print(f"Results summary\nRun {result.run_id} in MLflow, study {self.project_name}")
        direction = self._direction[:3]
        print(f"Showing {num_trials} best trials")
        print(f"Objective(name={self._objective!r}, direction={direction!r})")
        for trials in self._best(num_trials):
            print(f"\nTrial {trials[0].trial.name} summary\nHyperparameters:")
            for name, value in trials[0].trial.params.items():
                print(f"{name}: {value}")
            print(f"Score: {mean_value(trials)}")

    def search_space_summary(self, extended: bool = False) -> None:
        """Prints the search space."""
        space = self._explored().space
        print(f"Search space summary\nDefault search space size: {len(space)}")
        for each in space:
            config = each.get_config()
            if not extended:
                del config["conditions"]
            print(f"{each.name} ({type(each).__name__})\n{config}")

    def reload(self) -> None:
        """Loads the newest search of this name from MLflow; ``search`` does so by itself."""
        self._result = load_search(self.project_name, self._options.tracking_uri)

    @property
    def oracle(self) -> FinishedOracle:
        """What scripts read of an oracle: its trials, objective and search space."""
        return FinishedOracle(self._need_result().record, self._explored())

    @property
    def project_dir(self) -> str:
        """Folder for the files of running trials."""
        return str(self._options.cache_dir)

    def __getattr__(self, name: str) -> Any:
        if name in _INSTEAD:
            raise AttributeError(f"Tuner.{name} does not exist here: {_INSTEAD[name]}")
        raise AttributeError(f"Tuner has no attribute {name!r}")

    # What KerasTuner has not

    @property
    def result(self) -> StudyResult:
        """The search as ``tuning.StudyResult``: its trials as a table, its curves, for Optuna."""
        return self._need_result()

    def confirm(
        self,
        test: Any,
        *,
        seeds: int = 5,
        top_k: int = 2,
        metric: Any = None,
        baseline: Mapping[str, Any] | None = None,
        promote: str = "gate",
        **fields: Any,
    ) -> StudyResult:
        """Trains the defaults and the best trials again, and tells whether they are better.

        Args:
            test: Pair of inputs and labels that no search has seen, or a data set.
            seeds: Number of fresh seeds per configuration.
            top_k: Number of the best distinct configurations.
            metric: Metric on the test rows; None to take that of the objective.
            baseline: Configuration to beat; None for the defaults of the hyperparameters.
            promote: ``gate`` or ``never``.
            **fields: Further fields of a study, as in ``tuning.tune``.

        Raises:
            BadInputError: There was no search, or the metric is not known.
        """
        parts, fit_options = self._searched
        if parts is None:
            raise BadInputError("confirm: call search first, with the training data")
        candidates = {each[0].trial.name: dict(each[0].trial.params) for each in self._best(top_k)}
        plan = self._plan(
            {**parts, "test": test},
            {
                **self._fields,
                "epochs": fit_options["epochs"],
                "baseline": baseline,
                "seeds": seeds,
                "top_k": top_k,
                **fields,
            },
            replace(
                self._options,
                promote=promote,
                candidates=candidates,
                command="tuning.integrations.keras_tuner.Tuner.confirm",
            ),
            metric or test_metric(self._objective),
        )
        return run(plan)

    # How it works

    def _plan(self, parts: Any, fields: dict[str, Any], options: Options, metric: Any) -> Any:
        _, fit_options = self._searched
        return plan_study(
            self._declared(),
            parts,
            metric=metric,
            space=None,
            study=None,
            fit=None,
            callbacks=self._callbacks or None,
            split=Split(),
            fields={
                **fields,
                "searchers": [self._searcher],
                "objective": {
                    "metric": self._study_objective,
                    **(direction_for(self._study_objective, self._direction)),
                },
            },
            options=options,
            with_test="test" in parts,
            fit_options={
                "options": {k: v for k, v in fit_options.items() if k != "epochs"},
                "objective": self._objective,
                "study_objective": self._study_objective,
            },
        )

    @property
    def _study_objective(self) -> str:
        name = self._objective
        return name if name.startswith("val_") else f"val_{name}"

    def _declared(self) -> Any:
        """Returns the hypermodel, with the values that ``hyperparameters`` gives."""
        if self._given is None:
            return self.hypermodel
        own_fit = trains_itself(self.hypermodel)
        wrapper = GivenHyperparametersWithFit if own_fit else GivenHyperparameters
        return wrapper(self.hypermodel, self._given)

    def _explored(self) -> HyperParameters:
        if self._space is None:
            self._space = HyperParameters()
            self.hypermodel.build(self._space)
        return self._space

    def _need_result(self) -> StudyResult:
        if self._result is None:
            raise BadInputError("call search first, or reload for a search of before")
        return self._result

    def _best(self, count: int) -> list[list[TrialRecord]]:
        return best_configurations(self._need_result().record, count)
