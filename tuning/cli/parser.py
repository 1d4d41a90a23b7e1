"""The options of every command; a command itself is a function of ``tuning.cli.commands``."""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.cli import commands, texts
from tuning.core.errors import EXIT_BAD_INPUT
from tuning.core.version import VERSION

_SEARCHERS = (
    "comma-separated; optuna[:tpe|gp|cmaes|qmc|random|grid|brute]"
    "[+median|hyperband|asha|wilcoxon|none], keras_tuner[:bayesian|hyperband|random|grid], "
    "random; options in parentheses, as in 'optuna:tpe(n_startup_trials=8)'"
)

Command = Callable[[argparse.Namespace], int]
if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the arguments of a command; a study file may be given with or without its name."""
    parser = build_parser()
    options = parser.parse_args(argv)
    if not hasattr(options, "run"):
        parser.print_help(sys.stderr)
        parser.exit(EXIT_BAD_INPUT)
    if not hasattr(options, "study_file"):
        return options
    file = options.__dict__.pop("study_file")
    if file is not None and options.study is not None:
        options.parser.error(f"the study file is given twice: {file}, and --study {options.study}")
    options.study = options.study or file
    if options.study is None and options.needs_study:
        options.parser.error("the study file is missing: FILE, or --study FILE")
    return options


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="tuning",
        usage="tuning COMMAND [FILE] [OPTIONS]",
        epilog=texts.MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tuning {VERSION}")
    # The list of commands is in the description, by groups.
    parsers = parser.add_subparsers(prog="tuning", metavar="COMMAND", help=argparse.SUPPRESS)
    parts = [texts.HELP]
    for title, add in (
        ("studies", _add_training_commands),
        ("without a study", _add_free_commands),
        ("what came of a study", _add_reading_commands),
        ("the registry", _add_registry_commands),
    ):
        before = len(parsers.choices)
        add(parsers)
        added = [*parsers.choices.items()][before:]
        lines = [f"  {name:<10}{command.get_default('summary')}" for name, command in added]
        parts.append("\n".join([f"{title}:", *lines]))
    parser.description = "\n\n".join(parts)
    return parser


def _add_training_commands(parsers: "_Commands") -> None:
    tune = _command(parsers, "tune", commands.tune, "search, confirm, compare, report, promote")
    tune.epilog, tune.formatter_class = texts.TUNE, argparse.RawDescriptionHelpFormatter
    _add_field(tune, "--searchers", "searchers", "NAMES", _SEARCHERS)
    _add_field(tune, "--trials", "budget.trials", "N", "trials per searcher")
    _add_field(
        tune,
        "--timeout",
        "budget.timeout",
        "SECONDS",
        "time for the training of every phase; the search ends early enough for its best to be "
        "confirmed and compared",
    )
    _add_run_options(tune)
    tune.add_argument(
        "--resume", type=_text, metavar="RUN", help="go on with a study: its run id, or last"
    )
    _add_flag(
        tune,
        "--allow-change",
        False,
        "let a resumed study have another budget, confirmation, gate, limits or code",
    )
    _add_text(tune, "--promote", "gate", "WHEN", "gate (default), never")
    check = _command(
        parsers,
        "check",
        commands.check,
        "check the study, its data and its models; trains no trial",
    )
    check.epilog, check.formatter_class = texts.CHECK, argparse.RawDescriptionHelpFormatter
    _add_run_options(check)
    baseline = _command(
        parsers, "baseline", commands.baseline, "train the baseline alone, every seed"
    )
    _add_run_options(baseline)


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    """What ``tune`` and ``baseline`` share."""
    _add_field(parser, "--epochs", "budget.epochs", "N", "maximum epochs per trial")
    _add_field(parser, "--seeds", "confirm.seeds", "N", "fresh seeds per configuration")
    _add_settings(parser)
    parser.add_argument(
        "--workers",
        type=_count,
        default=0,
        metavar="N",
        help="trials at once; 0: one per core or GPU share, or what a Ray cluster has room for",
    )
    for option, default, metavar, text in (
        ("--dataset", "auto", "NAME", "a name or path that the task understands"),
        ("--gpus", "auto", "IDS", "auto (default), none, or ids such as 0,1"),
        ("--executor", "local", "NAME", "local (default), or ray"),
        (
            "--ray-address",
            "",
            "ADDRESS",
            "a running Ray cluster, such as auto; default: a new one",
        ),
        ("--backend", "auto", "NAME", "auto (default), jax, tensorflow, torch"),
        ("--cache-dir", ".cache/tuning", "DIR", "folder of prepared data and compiled programs"),
    ):
        _add_text(parser, option, default, metavar, text)
    shown = parser.add_mutually_exclusive_group()
    for output, text in (
        ("quiet", "print the result, and nothing before"),
        ("json", "print one JSON object per line for everything that happens"),
    ):
        shown.add_argument(
            f"--{output}",
            dest="output",
            action="store_const",
            const=output,
            default="auto",
            help=text,
        )


def _add_text(
    parser: argparse.ArgumentParser, option: str, default: str, metavar: str, text: str
) -> None:
    """Adds an option whose default also stands for an empty text."""
    parser.add_argument(
        option,
        type=lambda value: value.strip() or default,
        default=default,
        metavar=metavar,
        help=text,
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="a field of the study, such as confirm.top_k=3; repeatable; the value is YAML",
    )
    parser.add_argument(
        "--set-all",
        dest="settings",
        action="extend",
        default=[],
        type=shlex.split,
        metavar="TEXT",
        help="several of them in one text, separated as by a shell",
    )


def _add_field(
    parser: argparse.ArgumentParser, option: str, field: str, metavar: str, text: str
) -> None:
    """Adds a short option for a field of the study that people often set."""
    parser.add_argument(
        option,
        dest="settings",
        action="append",
        default=[],
        type=lambda value: f"{field}={value}" if value.strip() else "",
        metavar=metavar,
        help=text,
    )


def _add_free_commands(parsers: "_Commands") -> None:
    """Commands that need no study file."""
    init = parsers.add_parser(
        "init",
        description="Writes a project: study.py with a model and data to replace, MLproject with "
        "the entry point tune, exact requirements, and a test.",
        epilog="examples:\n  tuning init churn\n  cd churn\n  mlflow run . -e tune",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    init.add_argument("folder", type=Path, metavar="FOLDER", help="a new folder")
    init.add_argument(
        "--source",
        type=_text,
        metavar="WHERE",
        help="where others install this library from: a wheel, or git+https://…; default: where "
        "it was installed from here",
    )
    init.set_defaults(run=commands.init, parser=init, summary="write a new project with a study")
    judge = parsers.add_parser(
        "judge",
        description="Compares two groups of runs, each of one configuration with several seeds, "
        "by the same interval and verdict as a study, and says what could not be known.",
        epilog=texts.JUDGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    judge.add_argument("baseline", metavar="RUNS", help="a filter of MLflow, or run ids: to beat")
    judge.add_argument("candidate", metavar="RUNS", help="a filter of MLflow, or run ids")
    judge.add_argument("--metric", required=True, metavar="NAME", help="a metric of the runs")
    judge.add_argument(
        "--direction",
        choices=("maximize", "minimize"),
        help="whether larger or smaller is better; needed if the name does not tell",
    )
    judge.add_argument(
        "--predictions",
        type=_text,
        metavar="PATH",
        help="artifact of every run with truth and prediction (.npz or .csv); the interval then "
        "covers other test examples too",
    )
    judge.add_argument(
        "--experiment",
        action="append",
        default=[],
        metavar="NAME",
        help="experiment of the runs; repeatable; all of them if not given",
    )
    judge.add_argument(
        "--min-gain",
        type=float,
        default=0.0,
        metavar="GAIN",
        help="least gain that counts as better, in the unit of the metric; default: 0",
    )
    judge.add_argument(
        "--confidence",
        type=float,
        default=0.95,
        metavar="LEVEL",
        help="level of the interval; default: 0.95",
    )
    summary = "compare two groups of runs that are in MLflow already"
    judge.set_defaults(run=commands.judge, parser=judge, summary=summary)


def _add_reading_commands(parsers: "_Commands") -> None:
    report = _command(
        parsers, "report", commands.report, "write a study's report again, from MLflow"
    )
    compare = _command(parsers, "compare", commands.compare, "which of several studies found more")
    compare.set_defaults(needs_study=False)
    compare.add_argument(
        "--run-ids", required=True, metavar="A,B", help="parent runs, separated by commas"
    )
    clean = _command(parsers, "clean", commands.clean, "remove trials' models, not their record")
    clean.add_argument(
        "--keep",
        choices=("all", "confirmed", "first_seeds"),
        default="confirmed",
        help="the models that stay: those of the confirmed configurations (default), or of their "
        "first seeds; a registered model always stays",
    )
    _add_flag(clean, "--dry-run", True, "yes (default): list them; no: remove them")
    for parser in (report, clean):
        parser.add_argument("--run-id", default="last", help="the study's parent run, or last")
    ui = _command(
        parsers, "ui", commands.ui, "open MLflow on the store, and print the leaderboards"
    )
    ui.set_defaults(needs_study=False)
    ui.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen at; default: 127.0.0.1, this machine only",
    )
    ui.add_argument("--port", type=int, default=5000, metavar="N", help="default: 5000")


def _add_registry_commands(parsers: "_Commands") -> None:
    promote = _command(
        parsers, "promote", commands.promote, "make a version champion, if the gate allows it"
    )
    promote.add_argument(
        "--target",
        "--to",
        type=_text,
        help="a study's run id, a version, or name/version; the challenger if not given",
    )
    rollback = _command(
        parsers, "rollback", commands.rollback, "make the champion's predecessor champion again"
    )
    history = _command(
        parsers, "history", commands.history, "every version, its numbers and the gate's decision"
    )
    for parser in (promote, rollback):
        _add_flag(parser, "--dry-run", False, "say what would happen, and change nothing")
    for parser in (rollback, history):
        parser.add_argument(
            "--name", type=_text, help="registered model; the study's if not given"
        )
    predict = _command(
        parsers, "predict", commands.predict, "ask the champion, or the challenger, about inputs"
    )
    predict.add_argument("--text", type=_text, help="one input")
    predict.add_argument(
        "--file", type=_text, help="a file: CSV, JSON, npz, or one text per line; - for stdin"
    )
    predict.add_argument("--model", type=_text, help="models:/name@alias, models:/name/version")
    _add_flag(predict, "--explain", False, "show what moved each answer, if the task can tell")


def _command(parsers: "_Commands", name: str, run: Command, text: str) -> argparse.ArgumentParser:
    parser = parsers.add_parser(name, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument(
        "study_file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="a study file (YAML), or a Python file that defines build and data",
    )
    parser.add_argument("--study", type=Path, metavar="FILE", help="the same, by name")
    parser.set_defaults(run=run, parser=parser, summary=text, needs_study=True)
    return parser


def _add_flag(parser: argparse.ArgumentParser, name: str, default: bool, text: str) -> None:
    """Adds an option of yes or no; an empty text, as of MLproject, stands for the default."""
    parser.add_argument(
        name,
        nargs="?",
        type=lambda value: _truth(value) if value else default,
        const=True,
        default=default,
        metavar="yes|no",
        help=text,
    )


def _truth(text: str) -> bool:
    values = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"yes or no; got {text!r}")
    return values[text.lower()]


def _text(text: str) -> str | None:
    """A text; an empty one stands for "not given"."""
    return text.strip() or None


def _count(text: str) -> int:
    try:
        return int(text or 0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a whole number; got {text!r}") from None
