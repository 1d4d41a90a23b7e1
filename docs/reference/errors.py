"""Finds the messages of all errors of the library in its code, for the page of errors."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import tuning

PACKAGE = Path(tuning.__file__).parent
RAISED = (
    "BadInputError",
    "TuningError",
    "TrackerError",
    "StudyFailedError",
    "PromotionRefusedError",
    "FatalTrialError",
)
# A study file and a metric are refused by ValueErrors, which name the field.
VALUES = ("study", "metrics")
FIELD = re.compile(r"^([a-z_]+(?:\.[a-z_]+)?): ")
OTHERS = {
    "api": "Studies from Python",
    "data": "Data",
    "driver": "While a study runs",
    "executors": "While a study runs",
    "integrations": "KerasTuner and Optuna",
    "metrics": "Metrics",
    "registry": "The registry",
    "search": "Searchers",
    "study": "The study file",
    "tracking": "MLflow's store",
    "training": "Models and training",
    "workflow": "Going on with a study",
    "cli": "Commands",
}


def messages() -> dict[str, list[str]]:
    """Returns the messages by topic, each with ``…`` for what it names."""
    found: dict[str, set[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        room = file.relative_to(PACKAGE).parts[0]
        for text in _raised(ast.parse(file.read_text("utf-8")), values=room in VALUES):
            match = FIELD.match(text)
            topic = f"`{match.group(1)}`" if match else OTHERS.get(room, "Others")
            found.setdefault(topic, set()).add(text)
    named = sorted(topic for topic in found if topic.startswith("`"))
    others = sorted(topic for topic in found if not topic.startswith("`"))
    return {topic: sorted(found[topic]) for topic in [*named, *others]}


def _raised(tree: ast.AST, *, values: bool) -> Iterator[str]:
    names = (*RAISED, "ValueError") if values else RAISED
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = ast.unparse(node.func)
        text = _pattern(node.args[0]) if called in names or called.endswith("parser.error") else ""
        # Others only pass a message on.
        if FIELD.match(text) or len(re.findall(r"\w+", text)) > 2:
            yield text


def _pattern(node: ast.expr) -> str:
    """Returns a text with ``…`` for each part that is known only when it is raised."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        text = "".join(_pattern(part) for part in node.values)
        text = re.sub(r"(\w)…", r"\1 …", " ".join(text.split()))
        return re.sub(r"(…['\"]?,? ?)+…", "…", text)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        # Lines that are joined.
        lines = node.args[0].elts if isinstance(node.args[0], ast.List) else []
        return " ".join(_pattern(each) for each in lines) or "…"
    if isinstance(node, ast.Starred):
        return "…"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _pattern(node.left) + _pattern(node.right)
    return "…"
