"""The figures of the report, drawn from a study's record."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from tuning.core.trial import Phase
from tuning.evaluation.comparison import Comparison
from tuning.report.figures import forecasts, models, predictions, search
from tuning.report.figures.alternative import text_alternative
from tuning.report.figures.style import COLOURS, one_panel
from tuning.report.timeline import bars
from tuning.study.record import StudyRecord


def timeline(record: StudyRecord, comparison: Comparison) -> Figure | None:
    """Draws what each worker trained, over time."""
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
    axes.set(xlim=(0, None), ylim=(len(workers) - 0.5, -0.5))
    axes.set_xlabel("minutes since the study began")
    minutes = {
        worker: sum(bar.end_s - bar.begin_s for bar in trial_bars if bar.worker == worker) / 60
        for worker in workers
    }
    trained = ", ".join(
        f"{worker} trained {spent:.1f} minutes" for worker, spent in minutes.items()
    )
    end = max(bar.end_s for bar in trial_bars) / 60
    figure.set_label(f"In {end:.1f} minutes, {trained}.")
    axes.legend(ncols=len(present), loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
    return figure


# Drawing functions by title, in the order of the report; the name of a function names its file.
_FIGURES: dict[str, Callable[[StudyRecord, Comparison], Figure | None]] = {
    "Test metric by seed": models.test_metric,
    "Validation by epoch": models.validation_curves,
    "Longer trainings, on validation and test": models.long_run_curves,
    "Loss by epoch": models.loss_curves,
    "Generalisation gap by epoch": models.generalisation_gap,
    "Best value so far": search.best_so_far,
    "Expected best value of a random search": search.expected_validation,
    "Importance of hyperparameters": search.importance,
    "Objective by hyperparameter": search.slices,
    "Configurations of all completed trials": search.parallel,
    "Confusion matrices on the test split, first seed": predictions.confusion,
    "Calibration of the probabilities, first seed": predictions.reliability,
    "Forecast and truth on the test split, first seed": forecasts.forecast_and_truth,
    "Error by step of the forecast": forecasts.error_by_step,
    "Error by time of day or week": forecasts.error_by_clock,
    "Autocorrelation of the errors, first seed": forecasts.error_autocorrelation,
    "Predicted quantiles and observed shares": forecasts.quantiles,
    "Predicted and true numbers on the test split, first seed": predictions.predicted_and_true,
    "Errors on the test split, first seed": predictions.residuals,
    "Errors over time, first seed": predictions.errors_over_time,
    "Test metric by length of the input": models.by_length,
    "Test metric by cost": models.cost,
    "Workers over time": timeline,
}


@dataclass(frozen=True)
class Drawn:
    """A figure in a file.

    Attributes:
        title: Its title.
        file: SVG file.
        text: What it shows, for readers who do not see it.
    """

    title: str
    file: Path
    text: str


def draw_figures(record: StudyRecord, comparison: Comparison, folder: Path) -> list[Drawn]:
    """Draws every figure for which the record has data.

    Args:
        record: Record of the study.
        comparison: Comparison made from the record.
        folder: Folder for the SVG files; it is made if it does not exist.

    Returns:
        The figures in the order of the report.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for title, draw in _FIGURES.items():
        figure = draw(record, comparison)
        if figure is not None:
            file = folder / f"{draw.__name__}.svg"
            figure.savefig(file, metadata={"Date": None})
            drawn.append(Drawn(title, file, text_alternative(title, figure)))
    return drawn
