"""The tables of the report as rows of texts, for HTML, Markdown and the terminal."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from tuning.core.errors import TuningError
from tuning.core.record import Predictions
from tuning.evaluation.comparison import AgainstBaseline, Comparison, SearchAccount, lengthened
from tuning.evaluation.configurations import Configuration
from tuning.evaluation.effects import Ablation, change_when_set_back
from tuning.evaluation.error_analysis import constant_prediction
from tuning.evaluation.forecasts import quantile_coverage
from tuning.evaluation.intervals import Gain
from tuning.metrics.metric import Metric
from tuning.metrics.scoring import score
from tuning.report.figures.style import test_name
from tuning.study.file import Study
from tuning.study.record import StudyRecord
from tuning.study.sections import Compare
from tuning.tracking import keys


def model_table(comparison: Comparison, rule: Compare) -> list[list[str]]:
    """Returns the table of models: model, test metric, status."""
    metric = rule.deciding
    rows = [["model", test_name(metric), "status"]]
    rows.append(["baseline", _mean_test(metric, comparison.baseline), "to beat"])
    for config in comparison.references:
        status = "reference"
        if config.test and comparison.baseline.test:
            gain = metric.sign * (config.mean_test - comparison.baseline.mean_test)
            status += f"; gain {metric.write_gain(gain)}{metric.unit}"
        rows.append([config.label, _mean_test(metric, config), status])
    if comparison.best is not None:
        best = comparison.best
        status = comparison.verdict.value
        if comparison.gain is not None:
            status += f"; gain {metric.write_gain(comparison.gain.estimate)}{metric.unit}"
        rows.append([f"best ({best.label})", _mean_test(metric, best), status])
    return rows


def change_table(comparison: Comparison) -> list[list[str]]:
    """Returns the table of hyperparameters: name, baseline, best, reason for change."""
    rows = [["hyperparameter", "baseline", "best", "reason for change"]]
    for change in comparison.changes:
        before, after = _value(change.baseline), _value(change.best)
        rows.append([change.name, before, after, change.reason])
    return rows


def headline(comparison: Comparison, rule: Compare) -> str:
    """Returns the verdict in one line."""
    gain, metric = comparison.gain, rule.deciding
    if gain is None:
        return f"Verdict: {comparison.verdict.value}; {comparison.why}."
    interval = "no interval"
    if math.isfinite(gain.low):
        ends = metric.write_interval(gain.low, gain.high)
        interval = f"{100 * rule.confidence:g}% interval {ends}, p = {gain.p_value:.2g}"
    return (
        f"Verdict: {comparison.verdict.value}. Gain in {test_name(metric)} "
        f"{metric.write_gain(gain.estimate)}{metric.unit} ({interval}): {comparison.why}."
    )


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table; the first row is the header."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in escaped]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def yardstick_rows(record: StudyRecord) -> list[list[str]]:
    """Returns the test metric of the simplest prediction and of the task's simple models."""
    predictions, metric = record.predictions, record.study.compare.deciding
    if predictions is None:
        return []
    name, simplest = constant_prediction(predictions)
    every = {name: simplest, **predictions.yardsticks}
    return [[name, _score_or_dash(metric, predictions, each)] for name, each in every.items()]


def coverage_rows(record: StudyRecord, configs: Sequence[Configuration]) -> list[list[str]]:
    """Returns a head, and a row per configuration with the coverage of its quantiles."""
    predictions = record.predictions
    if predictions is None or not predictions.quantiles:
        return []
    levels = predictions.quantiles
    heads = [f"at or below {level:g}" for level in levels]
    rows = [["configuration", *heads, f"between {levels[0]:g} and {levels[-1]:g}"]]
    for config in configs:
        shares = quantile_coverage(predictions, config.trials) if config.test else None
        if shares is not None:
            between = f"{shares[-1] - shares[0]:.1%} of {levels[-1] - levels[0]:.0%}"
            rows.append([config.label, *(f"{share:.1%}" for share in shares), between])
    return rows


def _score_or_dash(metric: Metric, predictions: Predictions, output: Any) -> str:
    try:
        value = score(metric, predictions, output)
    except (ValueError, TuningError):  # the metric does not take constant predictions
        return "–"
    return metric.write(value) if math.isfinite(value) else "–"


def simplest(study: Study, configs: Sequence[Configuration]) -> Configuration | None:
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


def against_row(metric: Metric, against: AgainstBaseline) -> list[str]:
    """Returns the row of a configuration that is compared with the baseline."""
    gain = against.gain
    has_interval = math.isfinite(gain.low)
    return [
        against.label,
        metric.write_gain(gain.estimate),
        metric.write_interval(gain.low, gain.high) if has_interval else "unknown",
        f"{against.p_value:.2g}" if has_interval else "–",
    ]


def ablation_row(study: Study, ablation: Ablation) -> list[str]:
    """Returns the row of a hyperparameter that was set back."""
    change, low, high = change_when_set_back(study, ablation)
    return [
        ablation.name,
        f"{ablation.after} → {ablation.before}",
        f"{change:+.4f}",
        f"{low:+.4f} to {high:+.4f}" if math.isfinite(low) else "unknown",
    ]


def long_rows(record: StudyRecord, comparison: Comparison) -> list[list[str]]:
    """Returns, per configuration, a row of its usual training and a row of its longer training."""
    return [
        [
            config.label,
            str(max_epochs),
            f"{sum(config.best_steps) / len(config.best_steps):.1f}",
            f"{config.mean_validation:.4f}",
            _mean_test(record.study.compare.deciding, config),
        ]
        for configs in lengthened(record.study, comparison)
        for config, max_epochs in configs
    ]


def search_rows(accounts: Sequence[SearchAccount]) -> list[list[str]]:
    """Returns a head, and a row per searcher."""
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


def configuration_heads(rule: Compare) -> list[str]:
    """Returns the head of the table of configurations."""
    heads = ["configuration", "value in search", "validation"]
    heads += [f"{test_name(rule.deciding)}, mean", "sd over seeds"]
    heads += [test_name(metric) for metric in rule.additional]
    return [*heads, "parameters", "seconds"]


def configuration_row(config: Configuration, comparison: Comparison, rule: Compare) -> list[str]:
    """Returns the row of a confirmed configuration."""
    metric = rule.deciding
    chosen = comparison.best is not None and config.label == comparison.best.label
    search = f"{config.search_value:.4f}" if config.search_value is not None else "–"
    return [
        f"{config.label} (chosen)" if chosen else config.label,
        search,
        f"{config.mean_validation:.4f}",
        metric.write(config.mean_test) if config.test else "–",
        metric.write_spread(config.sd_test) if len(config.test) > 1 else "–",
        *(_mean_of(each, config.additional.get(each.name, [])) for each in rule.additional),
        f"{config.parameter_count:,}",
        f"{config.train_seconds:.0f}",
    ]


def seed_rows(configs: Sequence[Configuration], rule: Compare) -> list[list[str]]:
    """Returns a head, and a row per seed with every test metric."""
    metrics = [rule.deciding, *rule.additional]
    rows = [["trial", "validation", *map(test_name, metrics)]]
    for config in configs:
        values = [config.test, *(config.additional.get(each.name, []) for each in metrics[1:])]
        for index, (name, validation) in enumerate(
            zip(config.trials, config.validation, strict=True)
        ):
            tests = [
                metric.write(own[index]) if own else "–"
                for metric, own in zip(metrics, values, strict=True)
            ]
            rows.append([name, f"{validation:.4f}", *tests])
    return rows


def _mean_test(metric: Metric, config: Configuration) -> str:
    if not config.test:
        return "not read"
    if len(config.test) == 1:
        return metric.write(config.mean_test)
    return f"{metric.write(config.mean_test)} ± {metric.write_spread(config.sd_test)}"


def _mean_of(metric: Metric, values: Sequence[float]) -> str:
    return metric.write(sum(values) / len(values)) if values else "–"


def _value(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) and value != round(value, 4) else str(value)


def looks_text(record: StudyRecord) -> str:
    """Says how often the test rows were read, by this study and by others in the store."""
    chosen = "The winner was chosen on validation."
    if not record.looks:
        if record.predictions is None:
            return "Not read."
        return f"Predicted by a version that did not count looks at these rows. {chosen}"
    numbers = [look.number for look in record.looks]
    last = record.looks[-1]
    models = f"{len(last.models)} model{'s' if len(last.models) > 1 else ''}"
    if numbers == [1]:
        return f"Predicted only once, by {models} of this study: look 1 at these rows. {chosen}"
    if len(numbers) == 1:
        earlier = numbers[0] - 1
        others = f"{earlier} earlier look{'s' if earlier > 1 else ''} in this store"
        return (
            f"Look {numbers[0]} at these rows, by {models} of this study, after {others}, each of "
            f"which may have led to this one. {chosen}"
        )
    return (
        f"Predicted {len(numbers)} times by this study, which went on after a look: looks "
        f"{', '.join(map(str, numbers))} at these rows in this store. {chosen}"
    )


def test_rows(comparison: Comparison, rule: Compare) -> list[list[str]]:
    """Returns a head, and a row per statistical test; only the head without a gain."""
    gain, metric = comparison.gain, rule.deciding
    rows = [["level", "quantity", "result"]]
    if gain is None or not math.isfinite(gain.low):
        return rows
    interval = metric.write_interval(gain.low, gain.high)
    value = f"{metric.write_gain(gain.estimate)}{metric.unit}, {interval}, p = {gain.p_value:.2g}"
    level = "seeds and examples" if gain.overlap == 1 else "seeds, training rows and examples"
    rows.append([level, f"gain of the mean {test_name(metric)}", value])
    if comparison.improvement is not None:
        chance = "{:.2f}, {:.2f} to {:.2f}".format(*comparison.improvement)
        rows.append(["seeds", "P(best is better), one training of each", chance])
    if (mcnemar := comparison.mcnemar) is not None:
        ends = f"{100 * mcnemar.low:+.2f} to {100 * mcnemar.high:+.2f}"
        result = f"{100 * mcnemar.difference:+.2f} points, {ends}, p = {mcnemar.p_value:.2g}"
        quantity = "exact McNemar test of accuracy, models of the first seed"
        rows.append(["examples", quantity, result])
    if (forecasts := comparison.diebold_mariano) is not None:
        result = (
            f"{forecasts.statistic:+.2f} (positive: best is better), p = {forecasts.p_value:.2g}, "
            f"{forecasts.lags} lags"
        )
        quantity = "Diebold–Mariano statistic, models of the first seed"
        rows.append(["times", quantity, result])
    return rows


def variances_text(gain: Gain | None) -> str:
    """Says which variances the interval of a gain holds; empty without a gain."""
    if gain is None or not math.isfinite(gain.low):
        return ""
    training = "the same training rows"
    if gain.overlap < 1:
        training = f"other training rows (two trainings share {gain.overlap:.0%} of theirs)"
    rows, test = gain.rows, "other test rows"
    if rows is not None and rows.unit == "group":
        test = f"other test groups ({rows.units:,}, each drawn as a whole)"
    elif rows is not None and rows.unit == "time":
        length = rows.block_length
        how = f"in blocks of {length}, because their errors have a memory"
        if length == 1:
            how = "one by one, because their differences have no memory"
        test = f"other test times ({rows.units:,}, drawn {how})"
    return f"The interval holds for other seeds, {training}, and {test}."


def shared_rows_text(record: StudyRecord) -> str:
    """Says which rows stand in two parts of the data; empty if nobody has looked."""
    found = record.tags.get(keys.SHARED_ROWS, "")
    return "No row stands in two parts of the data." if found == "none" else found


def detectable_text(metric: Metric, value: float | None) -> str | None:
    """Writes the gain that the comparison detects; None if it is unknown."""
    if value is None or not math.isfinite(value):
        return None
    return f"{metric.write_gain(value).lstrip('+')}{metric.unit}"
