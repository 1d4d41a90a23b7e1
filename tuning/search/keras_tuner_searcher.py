"""KerasTuner's oracles as searchers, through ``create_trial``, ``update_trial``, ``end_trial``.

An oracle is used without a Tuner, in memory and in one thread. After an exception in a call, the
oracle's lock would stay locked, and every other thread would wait for ever.
"""

import copy
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tuning.core.errors import BadInputError
from tuning.core.interfaces import NoProposal
from tuning.core.seeds import derive_seed
from tuning.core.trial import (
    CONTINUE,
    Decision,
    Measurement,
    Params,
    ParamValue,
    Proposal,
    TrialRecord,
    TrialResult,
    TrialState,
    config_hash,
    trial_name,
)
from tuning.search.keras_tuner_space import declare_space
from tuning.search.options import refuse_unknown
from tuning.study.ranges import Choice, Float
from tuning.study.sections import Objective
from tuning.study.space import SearchSpace

ORACLES = ("bayesian", "hyperband", "random", "grid")
# Type and smallest value of the options that users may set, by oracle.
OPTIONS: dict[str, dict[str, tuple[type, float]]] = {
    "bayesian": {"num_initial_points": (int, 1), "alpha": (float, 0), "beta": (float, 0)},
    "hyperband": {"factor": (int, 2), "hyperband_iterations": (int, 1)},
}
# The driver limits trials and failures, so the oracle must never reach its limits.
NEVER = 10**9
MAX_ORACLE_REPEATS = 20
_PREFIX = "tuner/"


class KerasTunerSearcher:
    """An oracle of KerasTuner.

    Args:
        name: Name of the searcher.
        space: Search space.
        objective: Objective of the search.
        seed: Seed of the oracle.
        first: Configuration to propose first; ``grid`` ignores it, because it has a fixed order.
        enqueue: Configurations to propose after it; ``grid`` ignores them.
        epochs: Maximum number of epochs per trial.
        trials: Number of trials in the budget; the number of random trials at the beginning of
            Bayesian optimisation depends on it.
        oracle: Name of the oracle, one of ``ORACLES``; or an oracle, which is changed to search
            this space for this objective.
        options: Options of the oracle, by KerasTuner's names.

    Raises:
        ValueError: An option is unknown or has a wrong value.
    """

    def __init__(
        self,
        name: str,
        space: SearchSpace,
        objective: Objective,
        *,
        seed: int,
        first: Params,
        epochs: int,
        trials: int,
        oracle: Any = "bayesian",
        options: Params | None = None,
        enqueue: Sequence[Params] = (),
    ) -> None:
        if isinstance(oracle, str):
            _check_options(oracle, options or {})
        self.name = name
        self._space = space
        self._objective = objective
        self._seed = seed
        self._multi_fidelity = oracle == "hyperband" or "Hyperband" in type(oracle).__name__
        self._first = [first, *enqueue]
        with _quiet():
            self._oracle = (
                self._make_oracle(oracle, epochs, trials, options or {})
                if isinstance(oracle, str)
                else self._adapt(oracle)
            )
        self._oracle.first = [dict(space.labels(each)) for each in self._first]
        self._running: dict[int, Any] = {}
        self._number_of: dict[str, int] = {}
        self._values: dict[str, float | None] = {}
        self._without_value: set[str] = set()

    def ask(self, number: int) -> Proposal | NoProposal:
        """Creates a trial in the oracle, and proposes its configuration."""
        if not self._multi_fidelity and len(self._values) >= self._space.size():
            return NoProposal.EXHAUSTED
        for _ in range(MAX_ORACLE_REPEATS):
            with _quiet():
                trial = self._oracle.create_trial(f"trial-{number}")
            if trial.status == "IDLE":
                return NoProposal.WAIT
            if trial.status == "STOPPED":
                return NoProposal.EXHAUSTED
            params = self._config(trial)
            key = config_hash(params)
            if self._multi_fidelity or key not in self._values:
                self._values.setdefault(key, None)
                self._running[number] = trial
                self._number_of[trial.trial_id] = number
                return self._propose(params, trial)
            # Bayesian optimisation repeats configurations; a repeated one needs no training.
            value = self._values[key]
            self._end(trial, value)
            if value is None and key not in self._without_value:
                return NoProposal.WAIT
        return NoProposal.EXHAUSTED

    def report(self, number: int, measurement: Measurement) -> Decision:
        """Updates the trial in the oracle, which never stops a trial early."""
        value = measurement.metrics[self._objective.metric]
        trial_id = self._running[number].trial_id
        with _quiet():
            self._oracle.update_trial(
                trial_id, {self._objective.metric: value}, step=measurement.step
            )
        return CONTINUE

    def tell(self, number: int, result: TrialResult) -> None:
        """Ends the trial in the oracle."""
        trial = self._running.pop(number)
        ended_well = result.state in (TrialState.COMPLETED, TrialState.PRUNED)
        value = result.value if ended_well else None
        key = config_hash(self._config(trial))
        self._values[key] = value
        if value is None:
            self._without_value.add(key)
        self._end(trial, value)

    def restore(self, records: Iterable[TrialRecord]) -> None:
        """Adds the trials of an earlier run to the oracle.

        Raises:
            BadInputError: Hyperband would now propose other trials than in the earlier run, so its
                brackets cannot be rebuilt.
        """
        records = sorted(records, key=lambda record: record.trial.number)
        if self._multi_fidelity:
            self._replay(records)
            return
        for record in records:
            number = record.trial.number
            self._running[number] = self._adopt(number, self._space.select(record.trial.params))
            if record.result.state is not TrialState.INTERRUPTED:
                self.tell(number, record.result)
        # With its old seed the oracle would repeat its draws, and stop after too many of them.
        self._oracle._seed_state = derive_seed(self._seed, "restored", len(records))

    def _make_oracle(self, oracle: str, epochs: int, trials: int, options: Params) -> Any:
        import keras_tuner as kt

        common: dict[str, Any] = {
            "objective": kt.Objective(self._objective.metric, self._objective.direction[:3]),
            "hyperparameters": declare_space(self._space),
            "seed": self._seed,
            "allow_new_entries": False,
            "tune_new_entries": False,
            "max_consecutive_failed_trials": NEVER,
        }
        classes: dict[str, tuple[type, dict[str, Any]]] = {
            "bayesian": (
                kt.oracles.BayesianOptimizationOracle,
                {
                    "max_trials": NEVER,
                    # KerasTuner's default, three per dimension, would make small budgets fully
                    # random.
                    "num_initial_points": max(
                        min(3 * len(self._space.names), max(3, trials // 3)), len(self._first)
                    ),
                },
            ),
            "hyperband": (
                kt.oracles.HyperbandOracle,
                {"max_epochs": epochs, "factor": 3, "hyperband_iterations": NEVER},
            ),
            "random": (kt.oracles.RandomSearchOracle, {"max_trials": NEVER}),
            "grid": (kt.oracles.GridSearchOracle, {"max_trials": NEVER}),
        }
        base, defaults = classes[oracle]
        bases = (_NoRepeats, _AskTell, base) if oracle == "bayesian" else (_AskTell, base)
        instance = type(f"AskTell{base.__name__}", bases, {})(**common, **{**defaults, **options})
        instance.verbose = 0
        return instance

    def _adapt(self, oracle: Any) -> Any:
        """Makes an oracle of the user search this space, without files and limits."""
        import keras_tuner as kt

        oracle = copy.deepcopy(oracle)  # another study may use it too
        kind = type(oracle)
        oracle.__class__ = type(f"AskTell{kind.__name__}", (_AskTell, kind), {})
        oracle.objective = kt.Objective(self._objective.metric, self._objective.direction[:3])
        oracle.hyperparameters = declare_space(self._space)
        oracle.allow_new_entries = oracle.tune_new_entries = False
        oracle.max_trials = oracle.max_consecutive_failed_trials = NEVER
        oracle.verbose = 0
        return oracle

    def _replay(self, records: Sequence[TrialRecord]) -> None:
        """Repeats all asks and tells in their old order, because the brackets depend on it."""
        events: list[tuple[int, int, TrialRecord]] = []
        for record in records:
            events.append((record.started_ms, 1, record))
            if record.result.state is not TrialState.INTERRUPTED:
                events.append((record.ended_ms, 0, record))
        events.sort(key=lambda event: (event[0], event[1], event[2].trial.number))
        for _, starts, record in events:
            number = record.trial.number
            if not starts:
                for measurement in record.result.measurements:
                    if self._objective.metric in measurement.metrics:
                        self.report(number, measurement)
                self.tell(number, record.result)
                continue
            proposal = self.ask(number)
            if not isinstance(proposal, Proposal) or proposal.params != self._space.select(
                record.trial.params
            ):
                raise BadInputError(
                    f"{record.trial.name}: keras_tuner:hyperband would now choose another trial, "
                    "so this study cannot be resumed; start a new study"
                )

    def _config(self, trial: Any) -> dict[str, ParamValue]:
        config: dict[str, Any] = {}
        for name, value in trial.hyperparameters.values.items():
            if name.startswith(_PREFIX):
                continue
            declared = self._space[name]
            if not isinstance(declared, Choice) and declared.log:
                # On a logarithmic scale, KerasTuner may round up to a value above the range.
                value = min(max(value, declared.low), declared.high)
            elif isinstance(declared, Choice):
                # KerasTuner converts booleans to whole numbers.
                label = bool(value) if isinstance(declared.labels[0], bool) else value
                value = declared.value_of(label)
            elif isinstance(declared, Float):
                value = declared.nearest(value)
            config[name] = value
        return self._space.canonical(config)

    def _adopt(self, number: int, params: Params) -> Any:
        from keras_tuner.src.engine.trial import Trial

        oracle = self._oracle
        trial_id = f"{{:0{len(str(oracle.max_trials))}d}}".format(len(oracle.trials))
        hyperparameters = oracle.get_space()
        hyperparameters.values = dict(self._space.labels(params))
        trial = Trial(hyperparameters, trial_id=trial_id, status="RUNNING")
        oracle.trials[trial_id] = oracle.ongoing_trials[f"trial-{number}"] = trial
        oracle.start_order.append(trial_id)
        if number >= 0:  # the trials of another study have negative numbers
            oracle.first = oracle.first[1:]
        oracle._record_values(trial)
        self._number_of[trial_id] = number
        self._values[config_hash(params)] = None
        return trial

    def _end(self, trial: Any, value: float | None) -> None:
        metric = self._objective.metric
        with _quiet():
            if value is not None:
                # Restored and repeated trials have reported no epoch to the oracle.
                if not trial.metrics.exists(metric):
                    self._oracle.update_trial(trial.trial_id, {metric: value}, step=0)
                trial.status = "COMPLETED"
            else:
                trial.status, trial.message = "FAILED", "failed"
            self._oracle.end_trial(trial)

    def _propose(self, params: Params, trial: Any) -> Proposal:
        if not self._multi_fidelity:
            return Proposal(params=params)
        values = trial.hyperparameters.values
        parent = values.get("tuner/trial_id")
        return Proposal(
            params=params,
            epochs=int(values["tuner/epochs"]),
            resume_from=trial_name(self.name, self._number_of[parent]) if parent else None,
            keep_checkpoint=True,
        )


def _check_options(oracle: str, options: Params) -> None:
    accepted = OPTIONS.get(oracle, {})
    refuse_unknown(options, accepted)
    for name, value in options.items():
        type_, least = accepted[name]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or (type_ is int and not isinstance(value, int)) or value < least:
            raise ValueError(f"{name}: {type_.__name__}, {least} or more; got {value!r}")


@contextmanager
def _quiet() -> Iterator[None]:
    from threadpoolctl import threadpool_limits

    # The workers need the cores, but a Gaussian process would use all of them.
    with warnings.catch_warnings(), threadpool_limits(1):
        # KerasTuner calls deprecated threading functions, and scikit-learn warns about kernels.
        warnings.simplefilter("ignore")
        yield


class _AskTell:
    """Mixin for an oracle: no files, no limit of failures, and given first proposals."""

    first: Sequence[dict[str, ParamValue]] = ()

    def save(self) -> None:
        """Writes no files, because MLflow keeps the record."""

    def _save_trial(self, trial: object) -> None:
        """Writes no files."""

    def _check_consecutive_failures(self) -> None:
        """Checks nothing: the driver limits failures, and this check is O(trials) each time."""

    def _random_values(self) -> Any:
        # Random search, the start of Bayesian optimisation and Hyperband's first rung call this.
        if self.first:
            values, *self.first = self.first
            return values
        return super()._random_values()  # type: ignore[misc]


class _NoRepeats:
    """Mixin for Bayesian optimisation, which would propose its optimum repeatedly."""

    def populate_space(self, trial_id: str) -> Any:
        """Draws a random configuration if the optimum was proposed already."""
        answer: dict[str, Any] = super().populate_space(trial_id)  # type: ignore[misc]
        values = answer.get("values")
        if values is not None and self._duplicate(values):  # type: ignore[attr-defined]
            return self._random_populate_space()  # type: ignore[attr-defined]
        return answer
