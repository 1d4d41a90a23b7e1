"""The figures of the report, drawn from a study's record."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from tuning.core.trial import Phase
from tuning.evaluation.comparison import Comparison
from tuning.report.figures import models as draw_models
from tuning.report.figures import search as draw_search
from tuning.report.figures.style import COLOURS, one_panel
from tuning.report.timeline import bars
from tuning.study.record import StudyRecord


def draw_figures(record: StudyRecord, comparison: Comparison, folder: Path) -> dict[str, Path]:
    """Draws every figure for which the record has data.

    Args:
        record: Record of the study.
        comparison: Comparison made from the record.
        folder: Folder for the SVG files; it is made if it does not exist.

    Returns:
        SVG files by title, in the order of the report.
    """
    folder.mkdir(parents=True, exist_ok=True)
    models, search = draw_models, draw_search
    figures: list[tuple[str, str, Callable[[], Figure | None]]] = [
        ("Test accuracy by seed", "test_accuracy", lambda: models.test_accuracy(comparison)),
        (
            "Validation by epoch",
            "validation_curves",
            lambda: models.validation_curves(record, comparison),
        ),
        (
            "Longer trainings, on validation and test",
            "long_run_curves",
            lambda: models.long_run_curves(record, comparison),
        ),
        ("Loss by epoch", "loss_curves", lambda: models.losses(record, comparison)),
        (
            "Generalisation gap by epoch",
            "generalisation_gap",
            lambda: models.generalisation_gap(record, comparison),
        ),
        ("Best value so far", "best_so_far", lambda: search.best_so_far(record)),
        (
            "Expected best value of a random search",
            "expected_validation",
            lambda: search.expected_validation(record),
        ),
        ("Importance of hyperparameters", "importance", lambda: search.importance(comparison)),
        ("Objective by hyperparameter", "slices", lambda: search.slices(record)),
        ("Configurations of all completed trials", "parallel", lambda: search.parallel(record)),
        (
            "Confusion matrices on the test split, first seed",
            "confusion",
            lambda: models.confusion(record, comparison),
        ),
        (
            "Calibration of the probabilities, first seed",
            "reliability",
            lambda: models.reliability(record, comparison),
        ),
        (
            "Test accuracy by length of the input",
            "by_length",
            lambda: models.by_length(record, comparison),
        ),
        ("Test accuracy by cost", "cost", lambda: models.cost(comparison)),
        ("Workers over time", "timeline", lambda: _timeline(record)),
    ]
    files: dict[str, Path] = {}
    for title, name, draw in figures:
        figure = draw()
        if figure is not None:
            files[title] = folder / f"{name}.svg"
            figure.savefig(files[title], metadata={"Date": None})
    return files


def _timeline(record: StudyRecord) -> Figure | None:
    trial_bars = bars(record)
    if not trial_bars:
        return None
    workers = sorted({bar.worker for bar in trial_bars})
    figure, axes = one_panel(width=9.6, height=1.4 + 0.4 * len(workers))
    present = [phase for phase in Phase if any(bar.phase is phase for bar in trial_bars)]
    for phase, colour in zip(present, COLOURS, strict=False):
        for row, worker in enumerate(workers):
            own = [bar for bar in trial_bars if bar.phase is phase and bar.worker == worker]
            spans = [(bar.begin_s / 60, (bar.end_s - bar.begin_s) / 60) for bar in own]
            axes.broken_barh(
                spans,
                (row - 0.35, 0.7),
                facecolor=colour,
                edgecolor="white",
                label=phase.value.replace("_", " ") if row == 0 else None,
            )
    axes.set_yticks(range(len(workers)), workers)
    axes.set_ylim(len(workers) - 0.5, -0.5)
    axes.set_xlim(0, None)
    axes.set_xlabel("minutes since the study began")
    axes.legend(ncols=len(present), loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
    return figure
