"""A study as a page of a notebook."""

import html

from tuning.core.errors import redact
from tuning.evaluation.comparison import Comparison
from tuning.report.tables import change_table, headline, model_table
from tuning.study.record import StudyRecord
from tuning.tracking.leaderboard import leaderboard_link, page_address


def page(record: StudyRecord, comparison: Comparison, tracking_uri: str) -> str:
    """Returns the verdict, the tables of models and hyperparameters, and a link, as HTML."""
    rule = record.study.compare
    tables = [model_table(comparison, rule), change_table(comparison)]
    link = html.escape(leaderboard_link(record.experiment_id, redact(page_address(tracking_uri))))
    parts = [f"<p><strong>{html.escape(headline(comparison, rule))}</strong></p>"]
    parts += [_html_table(rows) for rows in tables if rows[1:]]
    parts.append(
        f"<p>Run <code>{record.run_id}</code>. <code>tuning ui</code> shows it "
        f'<a href="{link}">on the leaderboard</a>; <code>.report()</code> writes the report.</p>'
    )
    return "\n".join(parts)


def _html_table(rows: list[list[str]]) -> str:
    head, *body = ([html.escape(cell) for cell in row] for row in rows)
    lines = ["<table><thead><tr>", *(f"<th>{cell}</th>" for cell in head), "</tr></thead><tbody>"]
    for row in body:
        lines += ["<tr>", *(f'<td style="text-align:left">{cell}</td>' for cell in row), "</tr>"]
    return "".join([*lines, "</tbody></table>"])
