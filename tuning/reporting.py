"""What people read when a study is done: the report in MLflow, and the terminal's last lines."""

import math
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.study import Study
from tuning.tracking import names
from tuning.tracking.record import StudyRecord
from tuning.tracking.view import leaderboard_link

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tuning.compare.comparison import Comparison

TABLE_WIDTH = 96
MIN_COLUMN = 24


@dataclass(frozen=True)
class Outcome:
    """What a command leaves behind.

    Attributes:
        run_id: The parent run.
        experiment_id: Its experiment.
        verdict: Of the comparison; empty if none was made.
        registered: ``name/version``; empty if nothing was registered.
        promoted: Whether it became champion.
    """

    run_id: str
    experiment_id: str
    verdict: str = ""
    registered: str = ""
    promoted: bool = False


def make_report(client: "MlflowClient", record: StudyRecord) -> "Comparison":
    """Compares, writes the report into the parent run, and sets its metrics and description."""
    from mlflow.entities import Metric

    from tuning.compare.comparison import compare
    from tuning.compare.report import change_table, headline, markdown_table, model_table
    from tuning.compare.report import write_report as write

    comparison = compare(record)
    with tempfile.TemporaryDirectory() as folder:
        write(record, comparison, Path(folder))
        client.log_artifacts(record.run_id, folder, names.REPORT_FOLDER)
    # Rounded, because MLflow's pages show every digit.
    metrics = [
        Metric(key, round(value, 6), record.started_ms, 0)
        for key, value in _metrics(comparison).items()
    ]
    client.log_batch(record.run_id, metrics=metrics)
    client.set_tag(record.run_id, names.VERDICT, comparison.verdict.value)
    note = [
        f"**{headline(comparison, record.study.compare.confidence)}**",
        f"**{record.data.warning}**" if record.data.warning else "",
        markdown_table(model_table(comparison)),
        markdown_table(change_table(comparison)) if comparison.changes else "",
        f"The whole report is the artifact `{names.REPORT_FOLDER}/report.html`.",
    ]
    client.set_tag(record.run_id, names.NOTE, "\n\n".join(part for part in note if part))
    return comparison


def say_comparison(comparison: "Comparison", study: Study) -> None:
    """Prints the notebook's two tables and the verdict."""
    from tuning.compare.report import change_table, headline, model_table

    for rows in (model_table(comparison), change_table(comparison)):
        if len(rows) > 1:
            print(f"\n{_columns(rows)}")
    print(f"\n{headline(comparison, study.compare.confidence)}", flush=True)


def _columns(rows: Sequence[Sequence[str]]) -> str:
    """A table whose last column is wrapped to the terminal."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    room = shutil.get_terminal_size((TABLE_WIDTH, 24)).columns - sum(widths[:-1]) - 2 * len(widths)
    widths[-1] = min(widths[-1], max(MIN_COLUMN, room))
    lines: list[str] = []
    for row in [rows[0], ["─" * width for width in widths], *rows[1:]]:
        wrapped = textwrap.wrap(row[-1], widths[-1]) or [""]
        for number, part in enumerate(wrapped):
            cells = [*row[:-1], part] if number == 0 else [*[""] * (len(row) - 1), part]
            padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
            lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def say_where(outcome: Outcome) -> None:
    """Prints where to look next."""
    with suppress(BrokenPipeError):
        print(f"\nRun {outcome.run_id}; `make ui` opens MLflow, the leaderboard is at")
        print(leaderboard_link(outcome.experiment_id))
        sys.stdout.flush()


def _metrics(comparison: "Comparison") -> dict[str, float]:
    metrics: dict[str, float] = {}
    if comparison.baseline.test_accuracy:
        metrics["baseline_test_accuracy"] = comparison.baseline.mean_test
    if comparison.best is not None and comparison.best.test_accuracy:
        metrics["best_test_accuracy"] = comparison.best.mean_test
    if comparison.gain is not None:
        metrics |= {
            "test_accuracy_gain": comparison.gain.estimate,
            "gain_ci_low": comparison.gain.low,
            "gain_ci_high": comparison.gain.high,
            "p_value": comparison.gain.p_value,
        }
    return {key: value for key, value in metrics.items() if math.isfinite(value)}
