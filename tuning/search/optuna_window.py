"""TPE for thousands of trials: what it costs to ask for one stays flat, and small.

With ten thousand finished trials Optuna's own takes a tenth of a second for each proposal, and
with a thousand running ones a quarter of that just to look at these. A thousand workers cannot
wait for either.
"""

import heapq
from collections.abc import Callable
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
# One more proposal of a fit for as many running trials: with fewer, each has a fit of its own.
RUNNING = 100


class WindowedTPESampler(TPESampler):
    """The same as ``TPESampler`` on a small scale, and cheaper than that on a large one.

    With more finished trials than the window holds, it models the best and the newest ones only.
    With many running ones, it proposes several configurations from one fit; who asks for the last
    of ten misses the ends of some ten trials, and a thousand that run he misses anyway.
    """

    # Users' options are checked against Optuna's.
    __signature__ = signature(TPESampler)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._space: _Space = {}
        self._batch: list[dict[str, Any]] = []
        self._fit: tuple[Any, Any] | None = None

    def infer_relative_search_space(self, study: "Study", trial: "FrozenTrial") -> "_Space":
        """The space that all trials share, which Optuna finds by looking through them."""
        if not self._batch:
            self._space = super().infer_relative_search_space(study, trial)
        return self._space

    def sample_relative(
        self, study: "Study", trial: "FrozenTrial", search_space: "_Space"
    ) -> dict[str, Any]:
        """Samples from the window, or takes what is left of the last fit."""
        if self._batch:
            return self._batch.pop()
        self._fit = None
        params = super().sample_relative(_Window(study), trial, search_space)  # type: ignore[arg-type]
        # Groups have a fit each, and there is none before the startup trials have ended.
        if self._fit is not None and not self._group:
            running = study._get_trials(False, (TrialState.RUNNING,))
            count = len(running) // RUNNING
            self._batch = self._more(search_space, count, *self._fit) if count else []
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

    def _compute_acquisition_func(
        self, samples: dict[str, np.ndarray], mpe_below: Any, mpe_above: Any
    ) -> np.ndarray:
        self._fit = mpe_below, mpe_above
        acquisition: np.ndarray
        acquisition = super()._compute_acquisition_func(samples, mpe_below, mpe_above)
        return acquisition

    def _more(
        self, search_space: "_Space", count: int, below: Any, above: Any
    ) -> list[dict[str, Any]]:
        """Further proposals of a fit, each the best of candidates of its own."""
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
        if len(trials) <= BEST + NEWEST:
            return trials
        older = trials[:-NEWEST]
        maximize = self._study.direction == StudyDirection.MAXIMIZE
        best: Callable[..., list[FrozenTrial]] = heapq.nlargest if maximize else heapq.nsmallest
        ended = (t for t in older if t.state == TrialState.COMPLETE and t.value is not None)
        kept = {t.number for t in best(BEST, ended, key=lambda t: t.value)}
        # Those that still run repel, however old they are.
        kept |= {t.number for t in older if t.state == TrialState.RUNNING}
        return [t for t in older if t.number in kept] + trials[-NEWEST:]
