"""The report in HTML, Markdown and JSON, and a table of trials, all from a study's record."""

import base64
import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tuning.evaluation.comparison import Comparison
from tuning.evaluation.error_analysis import error_analysis
from tuning.metrics.metric import Metric
from tuning.report import first_screen, tables
from tuning.report.figures import draw_figures
from tuning.report.figures.style import test_name
from tuning.report.timeline import stages
from tuning.study.record import StudyRecord
from tuning.tracking import keys

# Schema of docs/reference/comparison-json.md; raise it if a field changes its meaning.
SCHEMA = "tuning.comparison/3"

_TEMPLATES = Path(__file__).with_name("templates")


def write_report(
    record: StudyRecord, comparison: Comparison, folder: Path, notice: str = ""
) -> None:
    """Writes ``report.html``, ``report.md``, ``comparison.json``, ``trials.csv`` and the figures.

    Args:
        record: Record of the study.
        comparison: Comparison made from the record.
        folder: Existing folder for the files.
        notice: Sentence to show prominently at the top; empty for none.
    """
    figures = draw_figures(record, comparison, folder / "figures")
    pictures = [
        {
            "title": figure.title,
            "text": figure.text,
            "data": _data_uri(figure.file),
            "file": f"figures/{figure.file.name}",
        }
        for figure in figures
    ]
    context = _context(record, comparison) | {"notice": notice, "figures": pictures}
    for name in ("report.html", "report.md"):
        (folder / name).write_text(_render(name, context), "utf-8")
    document = {
        "schema": SCHEMA,
        "run_id": record.run_id,
        "dataset": record.data.label,
        "dataset_digest": record.data.digest,
        "metric": _metric_facts(record.study.compare.deciding),
        **comparison.to_json(),
    }
    (folder / "comparison.json").write_text(json.dumps(document, indent=2), "utf-8")
    _write_trials(record, folder / "trials.csv")


def _metric_facts(metric: Metric) -> dict[str, str]:
    unit = "share" if metric.is_share else "that of the metric"
    return {"name": metric.name, "direction": metric.direction, "unit": unit}


def _render(template: str, context: dict[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=template.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(table=tables.markdown_table)
    return environment.get_template(f"{template}.j2").render(context)


def _context(record: StudyRecord, comparison: Comparison) -> dict[str, Any]:
    study = record.study
    metric = study.compare.deciding
    key = study.objective.key
    candidates = sorted(comparison.candidates, key=lambda config: key(config.mean_validation))
    configs = [comparison.baseline, *comparison.references, *candidates]
    started = datetime.fromtimestamp(record.started_ms / 1000, UTC)
    return {
        "record": record,
        "study": study,
        "data": record.data,
        "comparison": comparison,
        "in_words": first_screen.in_words(comparison),
        "facts": first_screen.facts(record, comparison),
        "next_step": first_screen.next_step(record, comparison),
        "headline": tables.headline(comparison, study.compare),
        "metric": metric,
        "test_name": test_name(metric),
        "models": tables.model_table(comparison, study.compare),
        "changes": tables.change_table(comparison),
        "looks": tables.looks_text(record),
        "configurations": [
            tables.configuration_row(config, comparison, study.compare) for config in configs
        ],
        "configuration_heads": tables.configuration_heads(study.compare),
        "seeds": tables.seed_rows(configs, study.compare),
        "tests": tables.test_rows(comparison, study.compare),
        "variances": tables.variances_text(comparison.gain),
        "shared_rows": tables.shared_rows_text(record),
        "detectable": tables.detectable_text(metric, comparison.detectable),
        "coverage": tables.coverage_rows(record, configs),
        "yardsticks": tables.yardstick_rows(record),
        "simplest": tables.simplest(study, configs),
        "against": [
            tables.against_row(metric, against) for against in comparison.against_baseline
        ],
        "errors": error_analysis(record, comparison),
        "long_runs": tables.long_rows(record, comparison),
        "ablation": [
            tables.ablation_row(record.study, ablation) for ablation in comparison.ablation
        ],
        "searches": tables.search_rows(comparison.searches),
        "code_changes": record.tags.get(keys.CODE_CHANGES, ""),
        "search_end": record.tags.get(keys.SEARCH_END, ""),
        "stages": [
            [stage.title, f"{stage.seconds:.0f}", f"{stage.training:.0%}"]
            for stage in stages(record)
        ],
        "started": f"{started:%Y-%m-%d %H:%M} UTC",
        "backend": record.tags.get(keys.BACKEND, ""),
        "version": record.tags.get(keys.VERSION, ""),
        "command": record.tags.get(keys.COMMAND, ""),
    }


def _data_uri(file: Path) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(file.read_bytes()).decode()}"


def _write_trials(record: StudyRecord, file: Path) -> None:
    space = record.study.space.names
    head = ["name", "phase", "searcher", "state", "value", "best_epoch", "epochs", "seconds"]
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([*head, "seed", *space, "run_id"])
        for item in record.trials:
            trial, result = item.trial, item.result
            row: list[object] = [trial.name, trial.phase.value, trial.searcher]
            # The value and the epoch may be None, which is an empty cell.
            row += [result.state.value, result.value, result.best_step]
            row += [len(result.measurements), result.duration_s, trial.seed]
            row += [trial.params.get(name) for name in space]
            writer.writerow([*row, item.run_id])
