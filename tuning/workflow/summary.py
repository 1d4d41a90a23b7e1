"""The result of a study for users: the report in MLflow, and the final text of a command."""

import math
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.core.errors import redact
from tuning.core.trial import TrialState
from tuning.metrics.metric import rounded
from tuning.report.text import columns
from tuning.study.file import Study
from tuning.study.record import StudyRecord
from tuning.tracking import keys
from tuning.tracking.leaderboard import leaderboard_link, page_address
from tuning.tracking.store import is_server

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tuning.evaluation.comparison import Comparison


@dataclass(frozen=True)
class Outcome:
    """The outcome of a command.

    Attributes:
        run_id: Id of the parent run.
        experiment_id: Id of the experiment of the parent run.
        verdict: Verdict of the comparison; empty if nothing was compared.
        registered: Registered version as ``name/version``; empty if nothing was registered.
        promoted: Whether the version was promoted to champion.
    """

    run_id: str
    experiment_id: str
    verdict: str = ""
    registered: str = ""
    promoted: bool = False


def make_report(client: "MlflowClient", record: StudyRecord) -> "Comparison":
    """Compares the models, and writes report, metrics and description into the parent run."""
    from mlflow.entities import Metric

    from tuning.evaluation.comparison import compare

    comparison = compare(record)
    _write(client, record, comparison)
    # Rounded, because MLflow's pages show every digit.
    metrics = [
        Metric(key, rounded(value), record.started_ms, 0)
        for key, value in _metrics(record.study, comparison).items()
    ]
    client.log_batch(record.run_id, metrics=metrics)
    client.set_tag(record.run_id, keys.VERDICT, comparison.verdict.value)
    return comparison


def make_interim_report(client: "MlflowClient", record: StudyRecord) -> "Comparison | None":
    """Writes an interim report of a study that was stopped. It draws no conclusion.

    Returns:
        The comparison of the trials so far; None if no baseline trial has completed yet.
    """
    from tuning.evaluation.comparison import compare
    from tuning.evaluation.intervals import Verdict

    try:
        comparison = compare(record)
    except ValueError:
        return None
    comparison = replace(
        comparison,
        verdict=Verdict.INCONCLUSIVE,
        why="the study was stopped before its end",
        # A study that was finished before, and went on, has them.
        gain=None,
        mcnemar=None,
        improvement=None,
    )
    ended = sum(trial.result.state is not TrialState.INTERRUPTED for trial in record.trials)
    _write(
        client,
        record,
        comparison,
        f"Interim report: the study was stopped after {ended} trials, so there is no "
        f"conclusion yet. To resume the study, pass resume={record.run_id}.",
    )
    return comparison


def _write(
    client: "MlflowClient", record: StudyRecord, comparison: "Comparison", notice: str = ""
) -> None:
    from tuning.report import report, tables

    with tempfile.TemporaryDirectory() as folder:
        report.write_report(record, comparison, Path(folder), notice)
        client.log_artifacts(record.run_id, folder, keys.REPORT_FOLDER)
    note = [
        f"**{notice}**" if notice else "",
        f"**{tables.headline(comparison, record.study.compare)}**",
        f"**{record.data.warning}**" if record.data.warning else "",
        tables.markdown_table(tables.model_table(comparison, record.study.compare)),
        tables.markdown_table(tables.change_table(comparison)) if comparison.changes else "",
        f"The whole report is the artifact `{keys.REPORT_FOLDER}/report.html`.",
    ]
    client.set_tag(record.run_id, keys.NOTE, "\n\n".join(part for part in note if part))


def describe(comparison: "Comparison", study: Study) -> str:
    """Returns the tables of models and hyperparameters and the verdict, as plain text."""
    from tuning.report.tables import change_table, headline, model_table

    every = model_table(comparison, study.compare), change_table(comparison)
    tables = [rows for rows in every if rows[1:]]
    parts = [*map(columns, tables), headline(comparison, study.compare)]
    return "".join(f"\n{part}\n" for part in parts)[:-1]


def describe_interim(comparison: "Comparison | None", study: Study) -> str:
    """Returns the results of a stopped study so far, as plain text."""
    if comparison is None:
        return "\nNo baseline trial has completed yet, so there is no report."
    rows = [["trained so far", "trials", "pruned", f"best {study.objective.metric}", "best trial"]]
    baseline = comparison.baseline
    rows.append(
        ["baseline", str(len(baseline.trials)), "0", f"{baseline.mean_validation:.4f}", ""]
    )
    for search in comparison.searches:
        best = "–" if search.best_value is None else f"{search.best_value:.4f}"
        rows.append(
            [search.searcher, str(search.trials), str(search.pruned), best, search.best_trial]
        )
    return f"\n{columns(rows)}\n\nThe interim report is in the run's artifacts."


def say_where(outcome: Outcome, tracking_uri: str) -> None:
    """Prints where users find the run and the leaderboard."""
    how = "The" if is_server(tracking_uri) else "`tuning ui` opens MLflow, with the"
    link = leaderboard_link(outcome.experiment_id, redact(page_address(tracking_uri)))
    with suppress(BrokenPipeError):
        print(f"\nRun {outcome.run_id}. {how} leaderboard:\n{link}")
        sys.stdout.flush()


def _metrics(study: Study, comparison: "Comparison") -> dict[str, float]:
    name = keys.test_metric(study.compare.deciding.key)
    metrics: dict[str, float] = {}
    if comparison.baseline.test:
        metrics[keys.baseline_metric(name)] = comparison.baseline.mean_test
    if comparison.best is not None and comparison.best.test:
        metrics[keys.best_metric(name)] = comparison.best.mean_test
    if comparison.gain is not None:
        metrics |= {
            keys.TEST_GAIN: comparison.gain.estimate,
            keys.GAIN_CI_LOW: comparison.gain.low,
            keys.GAIN_CI_HIGH: comparison.gain.high,
            keys.P_VALUE: comparison.gain.p_value,
        }
    return {key: value for key, value in metrics.items() if math.isfinite(value)}
