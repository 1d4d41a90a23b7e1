"""Optuna's samplers and pruners as a searcher, through Optuna's ask, report and tell."""

import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

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
)
from tuning.search.optuna_samplers import make_pruner, make_sampler
from tuning.search.random_searcher import draw_unseen
from tuning.study.ranges import Choice, Float, Int
from tuning.study.sections import Objective
from tuning.study.space import SearchSpace

if TYPE_CHECKING:
    import optuna

MAX_SAMPLER_REPEATS = 50


class OptunaSearcher:
    """Optuna in one thread and in memory; MLflow keeps the record, so Optuna needs no storage.

    Args:
        name: Name of the searcher.
        space: Search space.
        objective: Objective of the search.
        seed: Seed of the sampler.
        first: Configuration to propose first; it is never pruned.
        enqueue: Configurations to propose after it.
        epochs: Maximum number of epochs per trial.
        sampler: Name of the sampler, one of ``SAMPLERS``.
        pruner: Name of the pruner, one of ``PRUNERS``.
        sampler_options: Keyword arguments of Optuna's sampler class.
        pruner_options: Keyword arguments of Optuna's pruner class.

    Raises:
        ValueError: An option is wrong, or the sampler cannot search the space.
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
        sampler: "str | optuna.samplers.BaseSampler" = "tpe",
        pruner: "str | optuna.pruners.BasePruner" = "median",
        sampler_options: Params | None = None,
        pruner_options: Params | None = None,
        enqueue: Sequence[Params] = (),
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.name = name
        self._space = space
        self._objective = objective
        self._seed = seed
        self._first = [first, *enqueue]
        self._make_sampler = (
            partial(make_sampler, sampler, space, options=sampler_options or {})
            if isinstance(sampler, str)
            else partial(_same, sampler)
        )
        self._study = optuna.create_study(
            # Hyperband chooses brackets by a hash of the name, so the name must not be random.
            study_name=f"{name}-{seed}",
            direction=objective.direction,
            sampler=self._make_sampler(seed=derive_seed(seed, "sampler", 0)),
            pruner=make_pruner(pruner, epochs, pruner_options or {})
            if isinstance(pruner, str)
            else pruner,
        )
        # Some samplers stop the study at the end of the space; ``ask`` handles that case here.
        self._study.stop = lambda: None  # type: ignore[method-assign]
        self._trials: dict[int, optuna.Trial] = {}
        self._seen: set[str] = set()

    def ask(self, number: int) -> Proposal | NoProposal:
        """Asks the sampler for a configuration that has not been proposed."""
        if number < len(self._first):
            return self._propose(number, self._enqueued(self._first[number]))
        if len(self._seen) >= self._space.size():
            return NoProposal.EXHAUSTED
        for _ in range(MAX_SAMPLER_REPEATS):
            trial = self._study.ask()
            params = _suggest(trial, self._space)
            if config_hash(params) not in self._seen:
                break
            # Without FAIL, Optuna would model the repeated trial as running.
            self._tell(trial, state="FAIL")
        else:
            # The sampler has converged and repeats itself, but the budget is not spent yet.
            drawn = draw_unseen(self._space, self._seed, number, self._seen)
            if drawn is None:
                return NoProposal.EXHAUSTED
            trial, params = self._enqueued(drawn)
        return self._propose(number, (trial, params))

    def report(self, number: int, measurement: Measurement) -> Decision:
        """Reports the epoch to the pruner, and returns its decision."""
        trial = self._trials[number]
        trial.report(measurement.metrics[self._objective.metric], measurement.step)
        if number > 0 and trial.should_prune():
            return Decision(stop=True, reason=f"pruned by optuna at epoch {measurement.step}")
        return CONTINUE

    def tell(self, number: int, result: TrialResult) -> None:
        """Tells the sampler the value, or that the trial has no value."""
        trial = self._trials.pop(number)
        if result.state is TrialState.COMPLETED and result.value is not None:
            self._tell(trial, value=result.value)
        else:
            self._tell(trial, state="PRUNED" if result.state is TrialState.PRUNED else "FAIL")

    def restore(self, records: Iterable[TrialRecord]) -> None:
        """Adds the earlier trials, and seeds the sampler anew so that it does not repeat them."""
        records = sorted(records, key=lambda record: record.trial.number)
        for record in records:
            params = self._space.select(record.trial.params)
            self._seen.add(config_hash(params))
            if record.result.state is TrialState.INTERRUPTED:
                self._trials[record.trial.number], _ = self._enqueued(params)
            else:
                frozen = frozen_trial(self._space, self._objective, params, record.result)
                self._study.add_trial(frozen)
        seed = derive_seed(self._seed, "sampler", len(records))
        self._study.sampler = self._make_sampler(seed=seed)

    def _enqueued(self, params: Params) -> "tuple[optuna.Trial, dict[str, ParamValue]]":
        self._study.enqueue_trial(dict(self._space.labels(params)))
        trial = self._study.ask()
        return trial, _suggest(trial, self._space)

    def _propose(
        self, number: int, asked: "tuple[optuna.Trial, dict[str, ParamValue]]"
    ) -> Proposal:
        self._trials[number], params = asked
        self._seen.add(config_hash(params))
        return Proposal(params=params)

    def _tell(
        self, trial: "optuna.Trial", value: float | None = None, state: str | None = None
    ) -> None:
        import optuna

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            self._study.tell(trial, value, optuna.trial.TrialState[state] if state else None)


def frozen_trial(
    space: SearchSpace, objective: Objective, params: Params, result: TrialResult
) -> "optuna.trial.FrozenTrial":
    """Returns a finished trial in Optuna's form."""
    import optuna

    states = {
        TrialState.COMPLETED: optuna.trial.TrialState.COMPLETE,
        TrialState.PRUNED: optuna.trial.TrialState.PRUNED,
    }
    state = states.get(result.state, optuna.trial.TrialState.FAIL)
    return optuna.trial.create_trial(
        state=state,
        value=result.value if state is not optuna.trial.TrialState.FAIL else None,
        params=dict(space.labels(params)),
        distributions={name: _distribution(space[name]) for name in params},
        intermediate_values={
            m.step: m.metrics[objective.metric]
            for m in result.measurements
            if objective.metric in m.metrics
        },
    )


def _same(sampler: "optuna.samplers.BaseSampler", seed: int) -> "optuna.samplers.BaseSampler":
    return sampler  # an object of the user has its own seed


def _suggest(trial: "optuna.Trial", space: SearchSpace) -> dict[str, ParamValue]:
    params: dict[str, ParamValue] = {}
    for name in space.names:
        if not space.is_active(name, params):
            continue
        declared = space[name]
        value: Any
        if isinstance(declared, Choice):
            value = declared.value_of(trial.suggest_categorical(name, declared.labels))
        else:
            whole = isinstance(declared, Int)
            suggest: Any = trial.suggest_int if whole else trial.suggest_float
            value = suggest(
                name, declared.low, declared.high, step=declared.step, log=declared.log
            )
        # Optuna may return 0.30000000000000004 for the declared value 0.3.
        params[name] = declared.canonical(value)
    return params


def _distribution(declared: Int | Float | Choice) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(declared, Choice):
        return CategoricalDistribution(declared.labels)
    kind: Any = IntDistribution if isinstance(declared, Int) else FloatDistribution
    return kind(declared.low, declared.high, log=declared.log, step=declared.step)
