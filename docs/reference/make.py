"""Fills the pages of the reference from the code: ``python -m docs.reference.make``.

A page has prose, and between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` what this module
makes of the code. ``--check`` only says whether the pages are those of the code.
"""

import argparse
import dataclasses
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import griffe
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from docs import marks
from docs.reference.errors import messages
from tuning.cli.parser import build_parser
from tuning.core import trial
from tuning.core.trial import ParamValue
from tuning.evaluation import comparison, configurations, effects, forecasts, intervals, statistics
from tuning.metrics.catalogue import METRICS
from tuning.metrics.metric import Metric
from tuning.study.file import Study, _StudyFile
from tuning.study.ranges import Choice, Float, Int
from tuning.study.sections import Profile
from tuning.tracking import keys

HERE = Path(__file__).parent
AVERAGES = {
    "macro": " Mean over the classes or labels.",
    "micro": " Of all classes or labels together.",
    "weighted": " Mean over the classes or labels, weighted by their numbers of rows.",
}


def main() -> int:
    """Writes the pages that differ; returns 1 if ``--check`` finds one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    different = 0
    for page in sorted(HERE.glob("*.md")):
        text = page.read_text("utf-8")
        if (new := filled(text)) != text:
            different = 1
            print(f"{page.name} is not what the code says")
            if not options.check:
                page.write_text(new, "utf-8")
    return different if options.check else 0


def filled(text: str) -> str:
    """Returns a page with what the code says between its marks."""

    def content(name: str) -> str:
        kind, _, argument = name.partition("/")
        return "\n".join(MAKERS[kind](*filter(None, [argument])))

    return marks.filled(text, content)


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yields the lines of a table."""
    cells = [*heads]
    yield f"| {' | '.join(cells)} |"
    yield f"|{'---|' * len(cells)}"
    for row in rows:
        yield f"| {' | '.join(_cell(text) for text in row)} |"


def _cell(text: str) -> str:
    # Docstrings have reStructuredText's double backticks.
    return " ".join(text.replace("``", "`").split()).replace("|", "\\|")


def _in_json(text: str) -> str:
    return re.sub(r"\bNone\b", "null", text)


def study_fields() -> Iterator[str]:
    """Yields the lists of every field of a study, from the classes that check it."""
    yield from _fields("", Study, _StudyFile)
    for name, field in Study.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel) and name != "space":
            yield from _fields(name, section)
    yield "\n## profiles\n"
    yield "A profile is a mapping, by the label of the data; it has these fields.\n"
    for name, meaning in attributes(Profile).items():
        yield from item(f"**`{name}`**", "", meaning)
    yield "\n## Hyperparameters of the space\n"
    yield from textwrap.wrap(
        "`space` is a mapping of names to declarations, such as "
        "`units: {type: int, low: 16, high: 128}`. `type` is `int`, `float` or `choice`.",
        98,
        break_on_hyphens=False,
    )
    for kind in (Int, Float, Choice):
        yield f"\n### {kind.__name__.lower()}\n"
        meanings = attributes(kind)
        for name, meaning in meanings.items():
            yield from item(f"**`{name}`**", "", meaning)


def _fields(
    title: str, section: type[BaseModel], file: type[BaseModel] | None = None
) -> Iterator[str]:
    meanings = attributes(section)
    yield f"\n## {title or 'Top level'}\n"
    if title and (text := _description(section)):
        yield "\n".join([*textwrap.wrap(text, 98, break_on_hyphens=False), ""])
    for name in section.model_fields:
        default = _default((file or section).model_fields[name])
        head = f"**`{title}.{name}`**" if title else f"**`{name}`**"
        note = default if default in ("", "required") else f"default {default}"
        yield from item(head, note, meanings[name])


def _description(section: type) -> str:
    """Returns what a docstring says besides its attributes, without its first line."""
    parsed = griffe.Docstring(inspect.getdoc(section) or "").parse("google", warnings=False)
    texts = [part.value for part in parsed if part.kind is griffe.DocstringSectionKind.text]
    _, _, rest = "\n".join(texts).partition("\n")
    return " ".join(rest.replace("``", "`").split())


def item(head: str, note: str, text: str) -> Iterator[str]:
    """Yields the lines of an entry of a list."""
    whole = f"- {head}{f' ({note})' if note else ''}: {' '.join(text.replace('``', '`').split())}"
    yield from textwrap.wrap(
        whole, 98, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _default(field: Any) -> str:
    if field.default_factory is not None or isinstance(field.default, BaseModel):
        return ""
    if field.default is PydanticUndefined:
        return "required"
    if field.default is None:
        return "none"
    return f"`{field.default}`" if field.default != "" else ""


def attributes(described: type) -> dict[str, str]:
    """Returns the meaning of each attribute of a class, from its docstring."""
    parsed = griffe.Docstring(inspect.getdoc(described) or "").parse("google", warnings=False)
    return {
        item.name: item.description
        for section in parsed
        if section.kind is griffe.DocstringSectionKind.attributes
        for item in section.value
    }


def commands() -> Iterator[str]:
    """Yields a section per command: what it does, its options and its examples."""
    kind = argparse._SubParsersAction
    (parsers,) = (each for each in build_parser()._actions if isinstance(each, kind))
    of_tune = [(_option(action), _meaning(action)) for action in _actions(parsers.choices["tune"])]
    for name, parser in parsers.choices.items():
        yield f"\n## `{name}`\n"
        yield "\n".join([*textwrap.wrap(str(parser.description), 98), ""])
        options = [(_option(action), _meaning(action)) for action in _actions(parser)]
        if name != "tune" and len({*options} & {*of_tune}) > 5:
            yield from textwrap.wrap(
                f"It takes these options of `tune`: {', '.join(option for option, _ in options)}.",
                98,
                break_long_words=False,
                break_on_hyphens=False,
            )
        else:
            for option, meaning in options:
                yield from item(option, "", meaning)
        _, found, examples = (parser.epilog or "").partition("examples:\n")
        if found:
            shown = [line.strip() for line in examples.partition("\n\n")[0].splitlines()]
            yield "\n<!-- not run: the files are examples -->"
            yield "\n".join(["```console", *(f"$ {line}" for line in shown if line), "```"])


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if action.dest != "help"]


def _option(action: argparse.Action) -> str:
    value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else "")
    if not action.option_strings:
        return f"`{value}`"
    takes_value = action.nargs != 0
    name = ", ".join(f"`{each}`" for each in action.option_strings)
    return f"{name} `{value or action.dest.upper()}`" if takes_value else name


def _meaning(action: argparse.Action) -> str:
    text = action.help or ""
    if action.required and action.option_strings:
        text += "; required"
    default = action.default
    if default and isinstance(default, str | int | float) and "default" not in text:
        shown = "yes" if default is True else default
        if default != argparse.SUPPRESS and action.nargs != 0:
            text = f"{text}{'; ' if text else ''}default: {shown}"
    return text


def metrics() -> Iterator[str]:
    """Yields the table of all metrics of the catalogue."""
    rows = []
    for name, make in METRICS.items():
        metric = make()
        source = inspect.unwrap(getattr(make, "func", make))
        text = (inspect.getdoc(source) or "").partition("\n")[0]
        text += AVERAGES.get(name.rpartition("_")[2], "")
        better = "larger" if metric.direction == "maximize" else "smaller"
        rows.append([f"`{_called(name, make)}`", better, _kinds(metric), text])
    yield from table(["metric", "better", "for", "value"], rows)


def _called(name: str, make: Any) -> str:
    defaults = [
        f"{each.name}={each.default!r}".replace("''", "…")
        for each in inspect.signature(make).parameters.values()
        if each.name not in ("average", "multi_class")
    ]
    return f"{name}({', '.join(defaults)})" if defaults else name


def _kinds(metric: Metric) -> str:
    names = {
        "binary": "two classes",
        "multiclass": "several classes",
        "multilabel": "labels",
        "regression": "numbers",
    }
    return ", ".join(text for kind, text in names.items() if kind in metric.kinds)


def names(owner: str) -> Iterator[str]:
    """Yields the table of MLflow's names of a trial, a study, a version or a model."""
    rows = []
    for module in (keys, trial):
        for member in _documented(module):
            text = member.docstring.value if member.docstring else ""
            start, found, meaning = text.partition(": ")
            first, _, kind = start.partition(" ")
            also = re.search(rf"\bA(n?d? a)? .*\b{owner}\b.* ha(s|ve) ", meaning)
            if found and (first == owner.capitalize() or also):
                rows.append([f"`{_name(module, member)}`", kind, meaning])
    order = ["metric", "metric by epoch", "metric by trial", "tag", "tags", "file", "folder"]
    rows.sort(key=lambda row: order.index(row[1].partition(",")[0]))
    yield from table(["name", "what", "meaning"], rows)


def _documented(module: Any) -> Iterator[Any]:
    file = Path(module.__file__)
    loaded = griffe.visit(module.__name__, file, file.read_text("utf-8"))
    for member in loaded.members.values():
        if not member.is_alias and member.docstring is not None:
            yield member


def _name(module: Any, member: Any) -> str:
    value = getattr(module, member.name)
    if callable(value):
        (parameter,) = inspect.signature(value).parameters
        return str(value(f"<{parameter}>"))
    return f"{value}…" if value.endswith(".") else str(value)


def document(name: str) -> Iterator[str]:
    """Yields the table of the fields of a class of comparison.json."""
    modules = (comparison, configurations, effects, forecasts, intervals, statistics)
    (described,) = {
        found for module in modules if isinstance(found := getattr(module, name, None), type)
    }
    meanings = attributes(described)
    rows = (
        [f"`{field.name}`", _type(field.type), _in_json(meanings[field.name])]
        for field in dataclasses.fields(described)
    )
    yield from table(["field", "type", "content"], rows)


def _type(annotation: Any) -> str:
    """Returns a type in JSON's words."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = text.replace(inspect.formatannotation(ParamValue), "value")
    text = re.sub(r"\b(?:\w+\.)+", "", text).replace(" | None", ", or null")
    text = re.sub(r"\bVerdict\b", "`better`, `inconclusive` or `worse`", text)
    text = re.sub(r"Literal\[(.*?)\]", lambda match: match[1].replace("'", "`"), text)
    for python, words in (
        (r"\bstr\b", "text"),
        (r"\bint\b", "whole number"),
        (r"\bfloat\b", "number"),
        (r"tuple\[number, number, number\]", "three numbers"),
        (r"dict\[text, (.*)\](?=,|$)", r"\1 by name"),
        (r"list\[(.*?)\]", r"list of \1"),
    ):
        text = re.sub(python, words, text)
    return text


def entry_points() -> Iterator[str]:
    """Yields the table of the entry points of MLproject and their parameters."""
    yaml = importlib.import_module("yaml")
    project = yaml.safe_load((HERE.parents[1] / "MLproject").read_text("utf-8"))
    rows = (
        [f"`{name}`", ", ".join(f"`{each}`" for each in point.get("parameters", {}))]
        for name, point in project["entry_points"].items()
    )
    yield from table(["entry point", "parameters"], rows)


def errors() -> Iterator[str]:
    """Yields a section per topic with the messages of its errors."""
    for topic, texts in messages().items():
        yield f"\n## {topic}\n"
        for text in texts:
            wrapped = textwrap.wrap(
                f"- {' '.join(text.split())}", 98, subsequent_indent="  ", break_on_hyphens=False
            )
            yield from wrapped


MAKERS: dict[str, Callable[..., Iterator[str]]] = {
    "errors": errors,
    "study": study_fields,
    "commands": commands,
    "metrics": metrics,
    "names": names,
    "document": document,
    "entry-points": entry_points,
}

if __name__ == "__main__":
    sys.exit(main())
