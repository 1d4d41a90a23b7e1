"""TPE for thousands of trials, of which hundreds run at once.

Optuna's own looks at all finished trials, and at all running ones, for every proposal. With ten
thousand of the former that is a tenth of a second, with a thousand of the latter a fortieth, and a
thousand workers cannot wait for either.
"""

import heapq
from collections.abc import Callable, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.samplers import TPESampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    _Space = dict[str, BaseDistribution]

BEST = 100
NEWEST = 900
# A fit serves one more proposal for as many running trials, and so many more at most.
RUNNING_PER_PROPOSAL = 100
MOST_MORE = 10


class WindowedTPESampler(TPESampler):
    """The same as ``TPESampler`` on a small scale, and cheaper than that on a large one.

    With more finished trials than the window holds, it models the best and the newest ones only.

    With a hundred running trials or more, it draws a batch of proposals from one fit of its
    estimators. The proposals of a batch do not repel each other, as all others do by
    ``constant_liar``, and do not know of the trials that ended since the fit: never more than the
    batch is long, for then there is a new fit. Groups of parameters, and parameters that only
    some trials have, are fitted for every proposal.
    """

    # Users' options are checked against Optuna's.
    __signature__ = signature(TPESampler)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._estimators: tuple[Any, Any] | None = None
        self._space: _Space = {}
        self._batch: list[dict[str, Any]] = []
        self._may_end = 0

    def infer_relative_search_space(self, study: "Study", trial: "FrozenTrial") -> "_Space":
        """The space that all trials share, which Optuna finds by looking through them."""
        if not self._batch:
            self._space = super().infer_relative_search_space(study, trial)
        return self._space

    def sample_relative(
        self, study: "Study", trial: "FrozenTrial", search_space: "_Space"
    ) -> dict[str, Any]:
        """Samples from the window, or takes what is left of the batch."""
        if self._batch:
            return self._batch.pop()
        self._estimators = None
        params = super().sample_relative(_Window(study), trial, search_space)  # type: ignore[arg-type]
        # There are none before the startup trials have ended.
        if self._estimators is not None and not self._group:
            running = study._get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            count = min(len(running) // RUNNING_PER_PROPOSAL, MOST_MORE)
            self._batch = self._draw(search_space, count, *self._estimators) if count else []
            self._may_end = count
        return params

    def sample_independent(
        self,
        study: "Study",
        trial: "FrozenTrial",
        param_name: str,
        param_distribution: "BaseDistribution",
    ) -> Any:
        """Samples from the window."""
        return super().sample_independent(
            _Window(study),  # type: ignore[arg-type]
            trial,
            param_name,
            param_distribution,
        )

    def after_trial(
        self,
        study: "Study",
        trial: "FrozenTrial",
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Drops what is left of a batch once too much has ended since its fit."""
        super().after_trial(study, trial, state, values)
        # Failed trials are in no fit.
        if state != TrialState.FAIL:
            self._may_end -= 1
            if self._may_end < 0:
                self._batch = []

    def _compute_acquisition_func(
        self, samples: dict[str, np.ndarray], mpe_below: Any, mpe_above: Any
    ) -> np.ndarray:
        self._estimators = mpe_below, mpe_above
        acquisition: np.ndarray
        acquisition = super()._compute_acquisition_func(samples, mpe_below, mpe_above)
        return acquisition

    def _draw(
        self, search_space: "_Space", count: int, below: Any, above: Any
    ) -> list[dict[str, Any]]:
        """Proposals from fitted estimators, each the best of candidates of its own."""
        samples = below.sample(self._rng.rng, count * self._n_ei_candidates)
        acquisition = super()._compute_acquisition_func(samples, below, above)
        rows = acquisition.reshape(count, -1)
        best = rows.argmax(1) + np.arange(count) * rows.shape[1]
        return [
            {
                name: distribution.to_external_repr(samples[name][index].item())
                for name, distribution in search_space.items()
            }
            for index in best
        ]


class _Window:
    """A study whose trials are those in the window; everything else is the study's own."""

    def __init__(self, study: "Study") -> None:
        self._study = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(self, **options: Any) -> "list[FrozenTrial]":
        trials = self._study._get_trials(**options)
        ended = [t for t in trials if t.state != TrialState.RUNNING]
        if len(ended) <= BEST + NEWEST:
            return trials
        older, newest = ended[:-NEWEST], ended[-NEWEST:]
        maximize = self._study.direction == StudyDirection.MAXIMIZE
        best: Callable[..., list[FrozenTrial]] = heapq.nlargest if maximize else heapq.nsmallest
        good = (t for t in older if t.state == TrialState.COMPLETE and t.value is not None)
        kept = {t.number for t in best(BEST, good, key=lambda t: t.value)}
        kept |= {t.number for t in newest}
        # Those that still run repel, however old they are.
        return [t for t in trials if t.state == TrialState.RUNNING or t.number in kept]
