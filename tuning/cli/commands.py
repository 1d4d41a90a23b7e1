"""One function per command; what is heavy is imported once the input is good."""

import argparse
import json
import os
import shlex
import socket
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.core.errors import EXIT_OK, EXIT_REFUSED, BadInputError, TuningError, redact
from tuning.core.steps import say_step

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tuning.study.file import Study
    from tuning.study.record import StudyRecord
    from tuning.workflow.plan import Options, Plan
    from tuning.workflow.summary import Outcome


def tune(options: argparse.Namespace) -> int:
    """Runs a whole study."""
    plan = _make_plan(options)
    from tuning.workflow.phases import tune

    _print_outcome(tune(plan), plan)
    return EXIT_OK


def check(options: argparse.Namespace) -> int:
    """Checks a study without starting it."""
    plan = _make_plan(options)
    from tuning.workflow.check_study import check_study

    print("\n".join([*check_study(plan), "", "The study can be run."]))
    return EXIT_OK


def baseline(options: argparse.Namespace) -> int:
    """Trains the baseline alone."""
    plan = _make_plan(options)
    from tuning.workflow.phases import train_baseline

    _print_outcome(train_baseline(plan), plan)
    return EXIT_OK


def _make_plan(options: argparse.Namespace) -> "Plan":
    say_step(options.output, f"Reading {options.study}")
    from tuning.workflow.plan import Options

    given = {f.name: getattr(options, f.name) for f in fields(Options) if hasattr(options, f.name)}
    given["settings"] = tuple(filter(None, options.settings))
    given["cache_dir"] = Path(options.cache_dir)
    return _plan_of(Options(**given, command=_shortest_command(options)))


def _plan_of(options: "Options") -> "Plan":
    assert isinstance(options.study, Path)
    if options.study.suffix != ".py":
        from tuning.workflow.plan import make_plan

        return make_plan(options)
    from tuning.api.python_file import plan_file

    return plan_file(options)


def _settings(options: argparse.Namespace) -> "Study":
    """The study that the file defines; of a Python file without its space."""
    if options.study.suffix != ".py":
        from tuning.study.file import load_study

        return load_study(options.study)
    from tuning.api.python_file import read_settings

    return read_settings(options.study)


def _shortest_command(options: argparse.Namespace) -> str:
    """The shortest command that says the same; ``mlflow run`` passes on mostly defaults."""
    parser: argparse.ArgumentParser = options.parser
    words = [*parser.prog.split(), "--study", str(options.study)]
    for setting in filter(None, options.settings):
        words += ["--set", setting]
    for name, value in vars(options).items():
        if name in ("study", "settings", "run", "parser", "output", "needs_study"):
            continue
        if value != parser.get_default(name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def _print_outcome(outcome: "Outcome", plan: "Plan") -> None:
    from tuning.workflow.summary import say_where

    if plan.options.output == "json":
        print(json.dumps({"event": "outcome", **asdict(outcome)}), flush=True)
    else:
        say_where(outcome, plan.tracking_uri)


def report(options: argparse.Namespace) -> int:
    """Writes a study's report again, from MLflow's record."""
    client, record = _open_record(options)
    from tuning.workflow.summary import Outcome, describe, make_report, say_where

    try:
        comparison = make_report(client, record)
    except ValueError as error:
        raise TuningError(f"no report can be made of run {record.run_id}: {error}") from error
    print(describe(comparison, record.study))
    say_where(Outcome(record.run_id, record.experiment_id), client.tracking_uri)
    return EXIT_OK


def compare(options: argparse.Namespace) -> int:
    """Says which of several studies found more."""
    run_ids = [part.strip() for part in options.run_ids.split(",") if part.strip()]
    if len(set(run_ids)) < 2:
        raise BadInputError(
            f"run_ids: two or more parent runs, separated by commas; got {options.run_ids!r}"
        )
    client = _open_store()
    from tuning.evaluation.studies import differences, read_all, studies_table
    from tuning.report.text import columns
    from tuning.tracking.reader import read_record

    records = [read_record(client, run_id) for run_id in dict.fromkeys(run_ids)]
    try:
        studies = read_all(records)
    except ValueError as error:
        raise TuningError(f"they cannot be compared: {error}") from error
    print(columns(studies_table(studies)), "", *differences(studies), sep="\n")
    return EXIT_OK


def judge(options: argparse.Namespace) -> int:
    """Compares two groups of runs that are in MLflow already."""
    from tuning.api.judge import judge

    os.environ.pop("MLFLOW_RUN_ID", None)
    print(
        judge(
            options.baseline,
            options.candidate,
            metric=options.metric,
            direction=options.direction,
            predictions=options.predictions or "",
            experiments=options.experiment,
            min_gain=options.min_gain,
            confidence=options.confidence,
        )
    )
    return EXIT_OK


def init(options: argparse.Namespace) -> int:
    """Writes a new project."""
    from tuning.api.project import write_project

    for file in write_project(options.folder, options.source or ""):
        print(f"wrote {file}")
    print(f"\nNow: cd {shlex.quote(str(options.folder))} && tuning tune study.py")
    return EXIT_OK


def clean(options: argparse.Namespace) -> int:
    """Lists the models that are no longer worth their disk, and removes them if told to."""
    client, record = _open_record(options)
    from tuning.tracking.retention import removable, remove

    models = removable(client, record, options.keep)
    for model in models:
        size = "" if model.bytes is None else f"  {model.bytes / 1e6:.1f} MB"
        print(f"{model.trial:<32} {model.model_id}{size}")
    total = sum(model.bytes or 0 for model in models) / 1e6
    if options.dry_run:
        print(f"Would remove {len(models)} models, {total:.1f} MB; pass --dry-run no to do so")
    else:
        remove(client, models)
        print(f"Removed {len(models)} models, {total:.1f} MB")
    return EXIT_OK


def promote(options: argparse.Namespace) -> int:
    """Makes a version champion, if the gate allows it."""
    study = _settings(options)
    client = _open_store()
    from tuning.registry.decisions import user_name
    from tuning.registry.promotion import promote
    from tuning.registry.versions import find_version
    from tuning.tracking.keys import CHAMPION

    name, version = find_version(client, options.target, study.registered_model)
    gate = promote(
        client,
        name,
        version,
        study.gate,
        by=f"{user_name()}, tuning promote",
        confidence=study.compare.confidence,
        dry_run=options.dry_run,
    )
    reasons = "; ".join(gate.reasons)
    if options.dry_run:
        would = "would become" if gate.passed else "would not become"
        print(f"{name} version {version} {would} {CHAMPION}: {reasons}")
        return EXIT_OK if gate.passed else EXIT_REFUSED
    print(f"{name} version {version} is {CHAMPION}: {reasons}")
    return EXIT_OK


def rollback(options: argparse.Namespace) -> int:
    """Makes the champion's predecessor champion again."""
    name, client = _open_registered(options)
    from tuning.registry.decisions import user_name
    from tuning.registry.promotion import rollback
    from tuning.tracking.keys import CHAMPION

    by = f"{user_name()}, tuning rollback"
    version, passed_over = rollback(client, name, by=by, dry_run=options.dry_run)
    for sentence in passed_over:
        print(f"Passed over: {sentence}")
    print(f"{name} version {version} {'would be' if options.dry_run else 'is'} {CHAMPION} again")
    return EXIT_OK


def history(options: argparse.Namespace) -> int:
    """Prints every version of a registered model."""
    name, client = _open_registered(options)
    from tuning.registry.history import audit, history
    from tuning.report.text import columns

    print(columns(history(client, name)), "", *audit(client, name), sep="\n")
    return EXIT_OK


def predict(options: argparse.Namespace) -> int:
    """Asks a registered model about raw input."""
    study = _settings(options)
    values = _inputs(options)
    explain = None
    if options.explain:
        from tuning.core.task_class import import_task

        explain = getattr(import_task(study.task), "explain", None)
        if explain is None:
            raise BadInputError(f"explain: the task {study.task} has no method explain")
    client = _open_store()
    from tuning.registry.prediction import predict

    def rebuild(address: str) -> Any:
        return _built_model(options.study, client, address)

    for line in predict(client, options.model, study, values, explain=explain, rebuild=rebuild):
        print(line)
    return EXIT_OK


def _built_model(study: Path, client: "MlflowClient", address: str) -> Any:
    """Builds the model of a version by the code of the study file, and loads its weights."""
    from tuning.api.result import StudyResult
    from tuning.registry.versions import version_of
    from tuning.tracking import keys
    from tuning.workflow.plan import Options

    tags = version_of(client, address).tags
    if keys.PARENT_RUN not in tags or keys.TRIAL not in tags:
        raise BadInputError(f"model: {address} does not say which study it comes from")
    plan = _plan_of(Options(study=study, output="quiet"))
    result = StudyResult(tags[keys.PARENT_RUN], client.tracking_uri, plan)
    return result.model_of(tags[keys.TRIAL])


def _inputs(options: argparse.Namespace) -> Any:
    if (options.text is None) == (options.file is None):
        raise BadInputError("give either a text, or a file: CSV, JSON, npz, or one text per line")
    if options.text is not None:
        return [options.text]
    from tuning.registry.inputs import read_file

    return read_file(options.file)


def ui(options: argparse.Namespace) -> int:
    """Prints the links to the leaderboards and becomes the MLflow server."""
    study = _settings(options) if options.study is not None else None
    from tuning.tracking.leaderboard import (
        experiments_with_studies,
        leaderboard_link,
        page_address,
    )
    from tuning.tracking.store import get_experiment, is_server, open_store, resolve_uri

    uri = resolve_uri()
    client = open_store(uri)
    # The experiment is made here, by a client: one that the server makes could be written through
    # the server only.
    found = {study.name: get_experiment(client, study.name)} if study is not None else {}
    found |= experiments_with_studies(client)
    served = is_server(uri)
    address = page_address(uri) if served else f"http://{options.host}:{options.port}"
    if not served:
        _check_port(options.host, options.port)
    print(f"MLflow on {redact(uri)}")
    for name, experiment_id in found.items():
        print(f"{name}: {leaderboard_link(experiment_id, redact(address))}")
    if not found:
        print(f"It has no study yet: {redact(address)}")
    if served:
        return EXIT_OK
    if options.host not in ("127.0.0.1", "::1", "localhost"):
        print(
            f"warning: whoever reaches {options.host} can change runs and registry "
            "(docs/background/security.md)"
        )
    sys.stdout.flush()
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    # Not an option: every user of the machine can read the command line, and so a password in it.
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri
    command = [sys.executable, "-m", "mlflow", "ui", "--workers", "1"]
    command += ["--host", options.host, "--port", str(options.port)]
    os.execv(command[0], command)


def _check_port(host: str, port: int) -> None:
    """Refuses a port that is taken, for the links would lead to whatever answers there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BadInputError(
                f"port: {host}:{port} cannot be used ({error.strerror}); pass --port, such as "
                f"{port + 1}"
            ) from None


def _open_record(options: argparse.Namespace) -> "tuple[MlflowClient, StudyRecord]":
    """The study that ``--run-id`` names."""
    study = _settings(options)
    client = _open_store()
    from tuning.tracking.reader import read_record
    from tuning.workflow.resume import find_run

    return client, read_record(client, find_run(client, options.run_id, study.name))


def _open_registered(options: argparse.Namespace) -> "tuple[str, MlflowClient]":
    """The registered model that ``--name`` or the study names."""
    name = options.name or _settings(options).registered_model
    return name, _open_store()


def _open_store() -> "MlflowClient":
    from tuning.tracking.retry import retrying
    from tuning.tracking.store import open_store, resolve_uri

    # The run that `mlflow run` opened for this command is not the one that it is about.
    os.environ.pop("MLFLOW_RUN_ID", None)
    return retrying(open_store(resolve_uri()))
