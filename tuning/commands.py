"""The commands that read or change what is there: report, compare, promote and their kin."""

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.errors import EXIT_OK, EXIT_REFUSED, BadInputError, TuningError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tuning.tracking.record import StudyRecord


def report(options: argparse.Namespace) -> int:
    """Writes a study's report again, from MLflow's record."""
    client, record = _open_record(options)
    from tuning.reporting import Outcome, describe, make_report, say_where

    try:
        comparison = make_report(client, record)
    except ValueError as error:
        raise TuningError(f"no report can be made of run {record.run_id}: {error}") from error
    print(describe(comparison, record.study))
    say_where(Outcome(record.run_id, record.experiment_id))
    return EXIT_OK


def compare(options: argparse.Namespace) -> int:
    """Says which of several studies found more."""
    wanted = [part.strip() for part in options.run_ids.split(",") if part.strip()]
    if len(set(wanted)) < 2:
        raise BadInputError(
            f"run_ids: two or more parent runs, separated by commas; got {options.run_ids!r}"
        )
    client = _open()
    from tuning.compare.studies import differences, read_all, studies_table
    from tuning.reporting import columns
    from tuning.tracking.record import read_record

    records = [read_record(client, run_id) for run_id in dict.fromkeys(wanted)]
    try:
        studies = read_all(records)
    except ValueError as error:
        raise TuningError(f"they cannot be compared: {error}") from error
    print(columns(studies_table(studies)), "", *differences(studies), sep="\n")
    return EXIT_OK


def promote(options: argparse.Namespace) -> int:
    """Makes a version champion, if the gate lets it."""
    from tuning.study import load_study

    study = load_study(options.study)
    client = _open()
    from tuning import promotion, registry

    name, version = registry.find_version(client, options.target, study.registered_model)
    gate = promotion.promote(
        client,
        name,
        version,
        study.gate,
        by=f"{getpass.getuser()}, tuning promote",
        confidence=study.compare.confidence,
        dry_run=options.dry_run,
    )
    reasons = "; ".join(gate.reasons)
    if options.dry_run:
        would = "would become" if gate.passed else "would not become"
        print(f"{name} version {version} {would} {registry.CHAMPION}: {reasons}")
        return EXIT_OK if gate.passed else EXIT_REFUSED
    print(f"{name} version {version} is {registry.CHAMPION}: {reasons}")
    return EXIT_OK


def rollback(options: argparse.Namespace) -> int:
    """Makes the former champion it again."""
    from tuning.study import load_study

    name = options.name or load_study(options.study).registered_model
    client = _open()
    from tuning import promotion
    from tuning.registry import CHAMPION

    by = f"{getpass.getuser()}, tuning rollback"
    version = promotion.rollback(client, name, by=by, dry_run=options.dry_run)
    print(f"{name} version {version} {'would be' if options.dry_run else 'is'} {CHAMPION} again")
    return EXIT_OK


def history(options: argparse.Namespace) -> int:
    """Prints every version of a registered model."""
    from tuning.study import load_study

    name = options.name or load_study(options.study).registered_model
    client = _open()
    from tuning import promotion
    from tuning.reporting import columns

    print(columns(promotion.history(client, name)))
    return EXIT_OK


def predict(options: argparse.Namespace) -> int:
    """Asks a registered model about raw input."""
    from tuning.study import load_study

    study = load_study(options.study)
    texts = _inputs(options)
    client = _open()
    from tuning import registry

    for line in registry.predict(client, options.model, study, texts, explain=options.explain):
        print(line)
    return EXIT_OK


def _inputs(options: argparse.Namespace) -> list[str]:
    if (options.text is None) == (options.file is None):
        raise BadInputError("give either a text or a file of texts, one a line")
    if options.text is not None:
        return [options.text]
    try:
        if options.file == "-":
            lines = sys.stdin.read().splitlines()
        else:
            lines = Path(options.file).read_text("utf-8", errors="replace").splitlines()
    except OSError as error:
        raise BadInputError(f"file: {options.file!r} cannot be read ({error})") from error
    texts = [line for line in lines if line.strip()]
    if not texts:
        raise BadInputError(f"file: {options.file!r} holds no text")
    return texts


def _open_record(options: argparse.Namespace) -> "tuple[MlflowClient, StudyRecord]":
    """The study that ``--run-id`` names."""
    from tuning.study import load_study

    study = load_study(options.study)
    client = _open()
    from tuning.tracking.record import read_record
    from tuning.tracking.resume import find_run

    return client, read_record(client, find_run(client, options.run_id, study.name))


def _open() -> "MlflowClient":
    from tuning.tracking.patience import patient
    from tuning.tracking.store import open_store, resolve_uri

    # The run that `mlflow run` opened for this command is not the one that it is about.
    os.environ.pop("MLFLOW_RUN_ID", None)
    return patient(open_store(resolve_uri()))


def clean(options: argparse.Namespace) -> int:
    """Removes models that are no longer worth their disk; says which, unless told to go on."""
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
