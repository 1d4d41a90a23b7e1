"""The command line, for any study file; what is heavy is imported once the input is good."""

import argparse
import atexit
import gc
import json
import logging
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tuning
from tuning import commands
from tuning.errors import (
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    EXIT_OK,
    TuningError,
    redact,
)

if TYPE_CHECKING:
    from tuning.reporting import Outcome

_TUNE_EXAMPLES = """examples:
  tuning tune --study study.yaml
  tuning tune --study study.yaml --trials 20 --epochs 8 --seeds 5
  tuning tune --study study.yaml --searchers optuna:tpe+hyperband,keras_tuner:bayesian,random
  tuning tune --study study.yaml --searchers 'optuna:tpe(n_startup_trials=8)+asha'
  tuning tune --study study.yaml --dataset synthetic --timeout 600 --promote never
  tuning tune --study study.yaml --executor ray --ray-address auto
  tuning tune --study study.yaml --resume last

exit codes: 0 done, 2 bad input (nothing was started), 3 promotion refused,
130 interrupted, 1 anything else"""

_SEARCHERS = (
    "comma-separated; optuna[:tpe|gp|cmaes|qmc|random|grid|brute]"
    "[+median|hyperband|asha|wilcoxon|none], keras_tuner[:bayesian|hyperband|random|grid], "
    "random; options in parentheses, as in 'optuna:tpe(n_startup_trials=8)'"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: Arguments without the program's name; None takes the process's own.

    Returns:
        The exit code.
    """
    # Else Python looks through all of Keras and MLflow for garbage before it ends: two seconds.
    atexit.register(gc.freeze)
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except TuningError as error:
        print(f"error: {redact(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as error:
        # What MLflow refuses is no fault in this program, which a traceback would suggest.
        if not type(error).__module__.startswith("mlflow."):
            raise
        print(f"error: MLflow: {redact(str(error))}", file=sys.stderr)
        return EXIT_ERROR


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="tuning",
        description="Tune Keras models with MLflow as the memory; promote only what is better.",
    )
    parser.add_argument("--version", action="version", version=f"tuning {tuning.__version__}")
    verbs = parser.add_subparsers(metavar="command", required=True)

    tune = _command(verbs, "tune", _tune, "search, confirm, compare, report, promote")
    tune.epilog, tune.formatter_class = _TUNE_EXAMPLES, argparse.RawDescriptionHelpFormatter
    _add_training(tune)
    tune.add_argument("--searchers", type=_text, metavar="NAMES", help=_SEARCHERS)
    tune.add_argument("--trials", type=_count, metavar="N", help="trials a searcher")
    tune.add_argument("--top-k", type=_count, metavar="N", help="candidates to confirm")
    tune.add_argument(
        "--long-run",
        type=_count,
        metavar="N",
        help="train baseline and references for N epochs too, with every seed",
    )
    _flag(
        tune,
        "--ablation",
        None,
        "train the winner with each changed hyperparameter set back, with every seed",
    )
    tune.add_argument(
        "--timeout",
        type=_seconds,
        metavar="S",
        help="seconds to train in all, counted over resumes; the search ends in time for what it "
        "found to be confirmed and compared",
    )
    tune.add_argument(
        "--resume", type=_text, metavar="RUN", help="go on with a study: its run id, or last"
    )
    _flag(tune, "--allow-change", False, "let a resumed study have another budget")
    tune.add_argument("--promote", default="gate", metavar="WHEN", help="gate (default) or never")

    baseline = _command(verbs, "baseline", _baseline, "train the baseline alone, every seed")
    _add_training(baseline)

    report = _command(
        verbs, "report", commands.report, "write a study's report again, from MLflow"
    )
    report.add_argument("--run-id", default="last", help="the study's parent run, or last")

    compare = _command(verbs, "compare", commands.compare, "which of several studies found more")
    compare.add_argument(
        "--run-ids", required=True, metavar="A,B", help="parent runs, separated by commas"
    )

    promote = _command(
        verbs, "promote", commands.promote, "make a version champion, if the gate holds"
    )
    promote.add_argument(
        "--target",
        "--to",
        type=_text,
        help="a study's run id, a version, or name/version; the challenger if not given",
    )
    rollback = _command(verbs, "rollback", commands.rollback, "make the former champion it again")
    history = _command(
        verbs, "history", commands.history, "every version, its numbers and the gate's word"
    )
    for parser_ in (promote, rollback):
        _flag(parser_, "--dry-run", False, "say what would happen, and leave everything as it is")
    for parser_ in (rollback, history):
        parser_.add_argument(
            "--name", type=_text, help="registered model; the study's if not given"
        )
    clean = _command(verbs, "clean", commands.clean, "remove trials' models, not their record")
    clean.add_argument("--run-id", default="last", help="the study's parent run, or last")
    clean.add_argument(
        "--keep",
        choices=("all", "confirmed", "first_seeds"),
        default="confirmed",
        help="whose models stay: of the confirmed configurations (default), or their first seeds; "
        "a registered model always stays",
    )
    _flag(clean, "--dry-run", True, "yes (default): list them; no: remove them")
    predict = _command(verbs, "predict", commands.predict, "ask the champion about raw input")
    predict.add_argument("--text", type=_text, help="one input")
    predict.add_argument("--file", type=_text, help="a file of one input a line; - for stdin")
    predict.add_argument("--model", type=_text, help="models:/name@alias, models:/name/version")
    _flag(predict, "--explain", False, "show the words that moved the answer most")
    return parser


def _command(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument("--study", type=Path, required=True, metavar="FILE", help="the study file")
    parser.set_defaults(run=run, parser=parser)
    return parser


def _add_training(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--dataset", default="auto", metavar="NAME", help="a name or path; the task knows which")
    add("--epochs", type=_count, metavar="N", help="most epochs a trial")
    add("--seeds", type=_count, metavar="N", help="fresh seeds for baseline and confirmation")
    add(
        "--workers",
        type=int,
        default=0,
        metavar="N",
        help="trials at once; 0: one a core or GPU share, or what a Ray cluster has room for",
    )
    add("--gpus", default="auto", metavar="IDS", help="auto (default), none, or ids such as 0,1")
    add("--workers-per-gpu", type=int, default=1, metavar="N", help="trials that share a GPU")
    add("--executor", default="local", metavar="NAME", help="local (default), or ray")
    add(
        "--ray-address",
        default="",
        metavar="ADDRESS",
        help="a running Ray cluster, such as auto; without it Ray is started on this machine",
    )
    add("--trial-cpus", type=float, default=1.0, metavar="N", help="Ray's CPUs a trial")
    add("--trial-gpus", type=float, default=0.0, metavar="N", help="Ray's GPUs a trial, as 0.25")
    add("--backend", default="auto", metavar="NAME", help="auto (default), jax, tensorflow, torch")
    add("--seed", type=_whole, metavar="N", help="the study's seed")
    shown = parser.add_mutually_exclusive_group()
    for output, text in (
        ("quiet", "print what was found, and nothing before"),
        ("json", "print one JSON object a line for everything that happens"),
    ):
        shown.add_argument(
            f"--{output}",
            dest="output",
            action="store_const",
            const=output,
            default="auto",
            help=text,
        )
    add(
        "--cache-dir",
        type=Path,
        default=Path(".cache/tuning"),
        metavar="DIR",
        help="where prepared data and compiled programs are kept",
    )


def _count(text: str) -> int | None:
    """A number from 1; 0 stands for "as the study says"."""
    return int(text) or None


def _whole(text: str) -> int | None:
    """A whole number; an empty text stands for "as the study says"."""
    return int(text) if text.strip() else None


def _seconds(text: str) -> float | None:
    """Seconds; 0 stands for "as the study says"."""
    return float(text) or None


_seconds.__name__ = "number of seconds"
_count.__name__ = _whole.__name__ = "whole number"


def _text(text: str) -> str | None:
    """A text; an empty one stands for "not given"."""
    return text.strip() or None


def _flag(parser: argparse.ArgumentParser, name: str, default: bool | None, text: str) -> None:
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
    """Yes or no."""
    known = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"yes or no; got {text!r}")
    return known[text.lower()]


def _tune(options: argparse.Namespace) -> int:
    from tuning.plan import Options, make_plan

    plan = make_plan(
        Options(
            **_training_options(options),
            searchers=options.searchers,
            trials=options.trials,
            top_k=options.top_k,
            long_run=options.long_run,
            ablation=options.ablation,
            timeout=options.timeout,
            promote=options.promote,
            resume=options.resume,
            allow_change=options.allow_change,
        )
    )
    from tuning.phases import tune

    _say_outcome(tune(plan), plan.options.output)
    return EXIT_OK


def _baseline(options: argparse.Namespace) -> int:
    from tuning.plan import Options, make_plan

    plan = make_plan(Options(**_training_options(options)))
    from tuning.phases import train_baseline

    _say_outcome(train_baseline(plan), plan.options.output)
    return EXIT_OK


def _say_outcome(outcome: "Outcome", output: str) -> None:
    from tuning.reporting import say_where

    if output == "json":
        print(json.dumps({"event": "outcome", **asdict(outcome)}), flush=True)
    else:
        say_where(outcome)


def _training_options(options: argparse.Namespace) -> dict[str, Any]:
    names = ["study", "dataset", "epochs", "seeds", "backend", "seed", "cache_dir"]
    names += ["workers", "gpus", "workers_per_gpu", "output"]
    names += ["executor", "ray_address", "trial_cpus", "trial_gpus"]
    return {name: getattr(options, name) for name in names} | {"command": _said(options)}


def _said(options: argparse.Namespace) -> str:
    """The shortest command that says the same; what ``mlflow run`` passes on is mostly default."""
    parser: argparse.ArgumentParser = options.parser
    words = [*parser.prog.split(), "--study", str(options.study)]
    for name, value in vars(options).items():
        if name not in ("study", "run", "parser", "output") and value != parser.get_default(name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


if __name__ == "__main__":
    sys.exit(main())
