"""The report in HTML, Markdown and JSON, and a table of trials, all from a study's record."""

import base64
import csv
import json
import math
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any

from tuning.evaluation.comparison import AgainstBaseline, Comparison, SearchAccount, lengthened
from tuning.evaluation.configurations import Configuration
from tuning.evaluation.effects import Ablation, change_when_set_back
from tuning.evaluation.error_analysis import error_analysis
from tuning.evaluation.statistics import points
from tuning.metrics.binary import scores
from tuning.report.figures import draw_figures
from tuning.report.timeline import stages
from tuning.study.file import Study
from tuning.study.record import StudyRecord
from tuning.tracking import keys

# Schema of comparison.json, see docs/comparison-json.md. Raise it if a field changes its meaning.
SCHEMA = "tuning.comparison/2"

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
        {"title": title, "data": _data_uri(file), "file": f"figures/{file.name}"}
        for title, file in figures.items()
    ]
    context = _context(record, comparison) | {"notice": notice, "figures": pictures}
    for name in ("report.html", "report.md"):
        (folder / name).write_text(_render(name, context), "utf-8")
    document = {
        "schema": SCHEMA,
        "run_id": record.run_id,
        "dataset": record.data.label,
        "dataset_digest": record.data.digest,
        **comparison.to_json(),
    }
    (folder / "comparison.json").write_text(json.dumps(document, indent=2), "utf-8")
    _write_trials(record, folder / "trials.csv")


def model_table(comparison: Comparison) -> list[list[str]]:
    """Returns the table of models: model, test accuracy, status."""
    rows = [["model", "test accuracy", "status"]]
    rows.append(["baseline", _accuracy(comparison.baseline), "to beat"])
    for config in comparison.references:
        status = "reference"
        if config.test_accuracy and comparison.baseline.test_accuracy:
            status += f"; {points(config.mean_test - comparison.baseline.mean_test)} points"
        rows.append([config.label, _accuracy(config), status])
    if comparison.best is not None:
        best = comparison.best
        status = comparison.verdict.value
        if comparison.gain is not None:
            status += f"; {points(comparison.gain.estimate)} points"
        rows.append([f"best ({best.label})", _accuracy(best), status])
    return rows


def change_table(comparison: Comparison) -> list[list[str]]:
    """Returns the table of hyperparameters: name, baseline, best, reason for change."""
    rows = [["hyperparameter", "baseline", "best", "reason for change"]]
    for change in comparison.changes:
        before, after = _value(change.baseline), _value(change.best)
        rows.append([change.name, before, after, change.reason])
    return rows


def headline(comparison: Comparison, confidence: float) -> str:
    """Returns the verdict in one line; ``confidence`` is the confidence level of the interval."""
    gain = comparison.gain
    if gain is None:
        return f"Verdict: {comparison.verdict.value}; {comparison.why}."
    interval = "no interval"
    if math.isfinite(gain.low):
        interval = f"{confidence:.0%} interval {gain.interval}, p = {gain.p_value:.2g}"
    return (
        f"Verdict: {comparison.verdict.value}. Gain on the test split "
        f"{points(gain.estimate)} points ({interval}): {comparison.why}."
    )


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table; the first row is the header."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in escaped]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _render(template: str, context: dict[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=template.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(points=points, table=markdown_table)
    return environment.get_template(f"{template}.j2").render(context)


def _context(record: StudyRecord, comparison: Comparison) -> dict[str, Any]:
    study, gain = record.study, comparison.gain
    key = study.objective.key
    candidates = sorted(comparison.candidates, key=lambda config: key(config.mean_validation))
    configs = [comparison.baseline, *comparison.references, *candidates]
    started = datetime.fromtimestamp(record.started_ms / 1000, UTC)
    return {
        "record": record,
        "study": study,
        "data": record.data,
        "comparison": comparison,
        "headline": headline(comparison, study.compare.confidence),
        "models": model_table(comparison),
        "changes": change_table(comparison),
        "configurations": [_configuration_row(config, comparison) for config in configs],
        "seeds": _seed_rows(configs),
        "gain": gain if gain is not None and math.isfinite(gain.low) else None,
        "detectable": _finite(comparison.detectable),
        "yardsticks": _yardsticks(record),
        "simplest": _simplest(study, configs),
        "against": [_against_row(against) for against in comparison.against_baseline],
        "errors": error_analysis(record, comparison),
        "long_runs": _long_rows(record, comparison),
        "ablation": [_ablation_row(record.study, ablation) for ablation in comparison.ablation],
        "searches": _search_rows(comparison.searches),
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


def _yardsticks(record: StudyRecord) -> list[list[str]]:
    """Returns the test accuracy of the majority class and of the task's simple models."""
    if record.predictions is None:
        return []
    positive = float((record.predictions.labels == 1).mean())
    rows = [["always the majority class", f"{100 * max(positive, 1 - positive):.2f}%"]]
    for name, probability in record.predictions.yardsticks.items():
        accuracy = scores(record.predictions.labels, probability)["test_accuracy"]
        rows.append([name, f"{100 * accuracy:.2f}%"])
    return rows


def _simplest(study: Study, configs: Sequence[Configuration]) -> Configuration | None:
    """Returns the smallest model within one standard error of the best mean on validation.

    This is the rule of Breiman et al., "Classification and Regression Trees", 1984.
    """
    whole = [config for config in configs if len(config.validation) > 1]
    if not whole:
        return None
    key = study.objective.key
    best = min(whole, key=lambda config: key(config.mean_validation))
    error = statistics.stdev(best.validation) / len(best.validation) ** 0.5
    limit = key(best.mean_validation) + error
    near = [config for config in whole if key(config.mean_validation) <= limit]
    return min(near, key=lambda config: config.parameter_count)


def _against_row(against: AgainstBaseline) -> list[str]:
    gain = against.gain
    has_interval = math.isfinite(gain.low)
    return [
        against.label,
        points(gain.estimate),
        gain.interval if has_interval else "unknown",
        f"{against.p_value:.2g}" if has_interval else "–",
    ]


def _ablation_row(study: Study, ablation: Ablation) -> list[str]:
    change, low, high = change_when_set_back(study, ablation)
    return [
        ablation.name,
        f"{ablation.after} → {ablation.before}",
        f"{change:+.4f}",
        f"{low:+.4f} to {high:+.4f}" if math.isfinite(low) else "unknown",
    ]


def _long_rows(record: StudyRecord, comparison: Comparison) -> list[list[str]]:
    """Returns, per configuration, a row of its usual training and a row of its longer training."""
    return [
        [
            config.label,
            str(max_epochs),
            f"{sum(config.best_steps) / len(config.best_steps):.1f}",
            f"{config.mean_validation:.4f}",
            _accuracy(config),
        ]
        for configs in lengthened(record.study, comparison)
        for config, max_epochs in configs
    ]


def _search_rows(accounts: Sequence[SearchAccount]) -> list[list[str]]:
    # Fields of SearchAccount, whose names are the heads of the columns too.
    counts = ["trials", "completed", "pruned", "failed", "reused", "epochs"]
    counts += ["saved_by_pruning", "saved_by_continuing", "saved_by_reuse"]
    heads = [name.replace("_", " ") for name in counts]
    rows = [["searcher", "best", "best trial", *heads, "training (s)"]]
    for account in accounts:
        best = "–" if account.best_value is None else f"{account.best_value:.4f}"
        numbers = [getattr(account, name) for name in counts] + [round(account.train_seconds)]
        rows.append([account.searcher, best, account.best_trial, *map(str, numbers)])
    return rows


def _configuration_row(config: Configuration, comparison: Comparison) -> list[str]:
    chosen = comparison.best is not None and config.label == comparison.best.label
    search = f"{config.search_value:.4f}" if config.search_value is not None else "–"
    return [
        f"{config.label} (chosen)" if chosen else config.label,
        search,
        f"{config.mean_validation:.4f}",
        f"{100 * config.mean_test:.2f}" if config.test_accuracy else "–",
        f"{100 * config.sd_test:.2f}" if len(config.test_accuracy) > 1 else "–",
        f"{sum(config.test_loss) / len(config.test_loss):.4f}" if config.test_loss else "–",
        f"{config.parameter_count:,}",
        f"{config.train_seconds:.0f}",
    ]


def _seed_rows(configs: Sequence[Configuration]) -> list[list[str]]:
    return [
        [name, f"{value:.4f}", "–" if test is None else f"{100 * test:.2f}"]
        for config in configs
        for name, value, test in zip_longest(
            config.trials, config.validation, config.test_accuracy
        )
    ]


def _accuracy(config: Configuration) -> str:
    if not config.test_accuracy:
        return "not read"
    if len(config.test_accuracy) == 1:
        return f"{100 * config.mean_test:.2f}%"
    return f"{100 * config.mean_test:.2f}% ± {100 * config.sd_test:.2f}"


def _value(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) and value != round(value, 4) else str(value)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


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
