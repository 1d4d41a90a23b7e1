"""Figures of the search: its trials, their order and their results."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tuning.core.trial import Phase, TrialRecord, TrialState
from tuning.evaluation.comparison import Comparison
from tuning.evaluation.effects import completed_trials
from tuning.evaluation.statistics import expected_best
from tuning.report.figures.style import COLOURS, dots, lines, one_panel, panels, words
from tuning.study.file import Study
from tuning.study.ranges import Choice
from tuning.study.record import StudyRecord

MIN_TRIALS_TO_DRAW = 3
# A grid with more values than this gets a numeric axis instead of one tick per value.
FEW = 8
# Smallest distance between a power of ten and an end of a range on a log axis, as a share of it.
NEAR = 0.2


def best_so_far(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws the best value so far of every searcher, by trial and by minute, with the baseline."""
    search = [trial for trial in record.in_phase(Phase.SEARCH) if trial.ended_ms]
    if not completed_trials(search):
        return None
    figure, (by_trial, by_minute) = panels(2, columns=2, height=3.8, sharey=True)
    for index, (searcher, own) in enumerate(_by_searcher(search).items()):
        own.sort(key=lambda trial: trial.trial.number)
        numbers = {trial.trial.name: float(n) for n, trial in enumerate(own, start=1)}
        minutes = {t.trial.name: (t.ended_ms - record.started_ms) / 60_000 for t in own}
        for axes, places in ((by_trial, numbers), (by_minute, minutes)):
            curve = _best_by(record.study, own, places)
            if curve:
                axes.step(*zip(*curve, strict=True), where="post", **lines(index), label=searcher)
        ends = [(numbers[t.trial.name], t.result.value) for t in own if t.result.value is not None]
        by_trial.plot(*zip(*ends, strict=True), **dots(index), alpha=0.45, markersize=5)
    baseline = [t.result.value or 0.0 for t in completed_trials(record.in_phase(Phase.BASELINE))]
    for axes in (by_trial, by_minute):
        if baseline:
            mean = float(np.mean(baseline))
            axes.axhline(mean, color="0.4", linestyle=":", label="baseline, mean over seeds")
    by_trial.set_xlabel("trials of the searcher")
    by_trial.set_ylabel(words(record.study.objective.metric))
    by_trial.xaxis.set_major_locator(MaxNLocator(integer=True))
    by_minute.set_xlabel("minutes since the study began")
    by_minute.legend()
    return figure


def _best_by(
    study: Study, trials: Sequence[TrialRecord], places: dict[str, float]
) -> list[tuple[float, float]]:
    best: float | None = None
    curve: list[tuple[float, float]] = []
    for trial in sorted(trials, key=lambda trial: places[trial.trial.name]):
        value = trial.result.value if trial.result.state is TrialState.COMPLETED else None
        if value is not None and study.objective.better(value, best):
            best = value
        if best is not None:
            curve.append((places[trial.trial.name], best))
    if curve:
        # The last best value holds until the last trial, so the line is drawn to there.
        curve.append((max(places.values()), curve[-1][1]))
    return curve


def expected_validation(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws the expected best value by number of trials, for each random searcher."""
    study = record.study
    sign = study.objective.sign
    drawn = {
        searcher: np.array([sign * (trial.result.value or 0.0) for trial in completed_trials(own)])
        for searcher, own in _by_searcher(record.in_phase(Phase.SEARCH)).items()
        # The trials that a pruner leaves are no random sample of the configurations.
        if "random" in searcher
        and all(trial.result.state is not TrialState.PRUNED for trial in own)
        and len(completed_trials(own)) >= MIN_TRIALS_TO_DRAW
    }
    if not drawn:
        return None
    figure, axes = one_panel()
    for index, (searcher, values) in enumerate(drawn.items()):
        trials = np.arange(1, len(values) + 1)
        axes.plot(trials, sign * expected_best(values), **lines(index), label=searcher)
    axes.set_xlabel("trials of a random search")
    axes.set_ylabel(f"expected best {words(study.objective.metric)}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    return figure


def importance(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws the importance of each hyperparameter."""
    shares = [
        (effect.name, effect.importance)
        for effect in comparison.effects.values()
        if effect.importance is not None
    ]
    if not shares:
        return None
    shares.sort(key=lambda pair: pair[1])
    figure, axes = one_panel(height=1.0 + 0.45 * len(shares))
    labels, values = zip(*shares, strict=True)
    axes.barh([words(label) for label in labels], [100 * v for v in values], color=COLOURS[0])
    axes.set_xlabel("importance by PED-ANOVA (%)")
    return figure


def slices(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws the objective against each hyperparameter."""
    search = completed_trials(record.in_phase(Phase.SEARCH))
    if len(search) < MIN_TRIALS_TO_DRAW:
        return None
    study = record.study
    figure, every = panels(len(study.space.names), height=2.6, sharey=True)
    for axes, name in zip(every, study.space.names, strict=True):
        for index, (searcher, trials) in enumerate(_by_searcher(search).items()):
            own = [trial for trial in trials if name in trial.trial.params]
            places = _places(study, name, [trial.trial.params[name] for trial in own])
            values = [trial.result.value or 0.0 for trial in own]
            axes.plot(places, values, **dots(index), alpha=0.7, markersize=5, label=searcher)
        _label(axes, study, name)
        axes.set_xlabel(words(name))
    every[0].set_ylabel(words(study.objective.metric))
    every[0].legend(fontsize="small")
    return figure


def parallel(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws every completed trial as a line across its hyperparameters; better ones are darker."""
    study = record.study
    search = completed_trials(record.in_phase(Phase.SEARCH))
    if len(search) < MIN_TRIALS_TO_DRAW:
        return None
    search.sort(key=lambda trial: study.objective.key(trial.result.value or 0.0), reverse=True)
    names = study.space.names
    figure, axes = one_panel(width=9.6, height=4.2)
    axes.grid(visible=False)
    for rank, trial in enumerate(search):
        line = [
            _height(study, name, trial.trial.params[name])
            if name in trial.trial.params
            else np.nan
            for name in names
        ]
        share = rank / max(len(search) - 1, 1)
        best = rank == len(search) - 1
        axes.plot(
            range(len(names)),
            line,
            color=COLOURS[1] if best else COLOURS[0],
            alpha=0.12 + 0.6 * share,
            linewidth=2.5 if best else 1.0,
            marker="o",
            markersize=3,
            label=f"best: {trial.trial.name}" if best else None,
        )
    axes.set_xticks(range(len(names)), [words(name) for name in names], rotation=20, ha="right")
    axes.set_yticks([])
    for place, name in enumerate(names):
        low, high = _ends(study, name)
        axes.axvline(place, color="0.8", zorder=0)
        axes.annotate(low, (place, -0.03), ha="center", va="top", fontsize=7)
        axes.annotate(high, (place, 1.03), ha="center", va="bottom", fontsize=7)
    axes.set_ylim(-0.12, 1.12)
    best_trial = search[-1].trial
    values = ", ".join(f"{words(name)} {value}" for name, value in best_trial.params.items())
    figure.set_label(f"{len(search)} trials; the best, {best_trial.name}, has {values}.")
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.12), frameon=False, fontsize="small")
    return figure


def _by_searcher(trials: Sequence[TrialRecord]) -> dict[str, list[TrialRecord]]:
    """Groups trials by searcher, in the order of the first appearance."""
    groups: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        groups.setdefault(trial.trial.searcher, []).append(trial)
    return groups


def _places(study: Study, name: str, values: Sequence[object]) -> list[float]:
    grid = study.space[name].grid()
    if grid is not None and (len(grid) <= FEW or isinstance(study.space[name], Choice)):
        return [float(grid.index(value)) for value in values]
    return [float(value) for value in values]  # type: ignore[arg-type]


def _label(axes: Axes, study: Study, name: str) -> None:
    declared = study.space[name]
    grid = declared.grid()
    if grid is not None and (len(grid) <= FEW or isinstance(declared, Choice)):
        axes.set_xticks(range(len(grid)), [str(value) for value in grid], fontsize="small")
    elif getattr(declared, "log", False):
        axes.set_xscale("log")
        ticks = _log_ticks(float(declared.low), float(declared.high))  # type: ignore[union-attr]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize="small")
        axes.minorticks_off()  # their labels would overlap


def _log_ticks(low: float, high: float) -> list[float]:
    """Returns both ends of a range, and the powers of ten that are not too close to them."""
    first, last = math.log10(low), math.log10(high)
    margin = NEAR * (last - first)
    powers = range(math.ceil(first + margin), math.floor(last - margin) + 1)
    return [low, *(10.0**power for power in powers), high]


def _height(study: Study, name: str, value: object) -> float:
    """Returns the position of a value between the ends of its range, from 0 to 1."""
    declared = study.space[name]
    grid = declared.grid()
    if grid is not None and not getattr(declared, "log", False):
        return grid.index(value) / max(len(grid) - 1, 1)
    low, high = float(declared.low), float(declared.high)  # type: ignore[union-attr]
    number = float(value)  # type: ignore[arg-type]
    if declared.log:  # type: ignore[union-attr]
        return float(np.log(number / low) / np.log(high / low))
    return (number - low) / (high - low)


def _ends(study: Study, name: str) -> tuple[str, str]:
    declared = study.space[name]
    grid = declared.grid()
    if grid is not None:
        return str(grid[0]), str(grid[-1])
    return f"{declared.low:g}", f"{declared.high:g}"  # type: ignore[union-attr]
