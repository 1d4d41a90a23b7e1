"""Judges the test predictions that a task's own training has kept, of any framework."""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuning.core.errors import BadInputError
from tuning.core.record import Predictions
from tuning.core.trial import TrialRecord
from tuning.evaluation.dependence import with_dependence
from tuning.metrics.given import encode_classes
from tuning.study.record import StudyRecord
from tuning.tracking import keys
from tuning.tracking.looks import record_look
from tuning.tracking.predictions import fetch, write_predictions
from tuning.training.any_model import PREDICTIONS, test_dependence
from tuning.workflow.study_run import StudyRun


def join_predictions(
    study_run: StudyRun, record: StudyRecord, trials: Sequence[TrialRecord]
) -> Predictions:
    """Joins the predictions of all trials; they were written before, and are read here first.

    Raises:
        BadInputError: Two trials have not the same test rows.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = {
            each.trial.name: _file_of(study_run, each, Path(folder, str(number)))
            for number, each in enumerate(trials)
        }
        loaded = {name: _load(file) for name, file in files.items()}
    first_name, first = next(iter(loaded.items()))
    for name, each in loaded.items():
        if not _same(first["truth"], each["truth"]):
            raise BadInputError(
                f"train: the test rows of trial {name} differ from those of {first_name}; train "
                "must return the same rows in the same order for all hyperparameters and seeds"
            )
    rows = hashlib.sha256(
        str(first["truth"].dtype).encode() + first["truth"].tobytes()
    ).hexdigest()
    look = record_look(study_run.client, record.run_id, study_run.study.name, rows, list(loaded))
    study_run.progress.say(
        f"\nTest split: {len(trials)} models, look {look.number} at these rows in this store"
    )
    known = test_dependence(study_run.prepared.task, trials[0].trial.params)
    predictions = with_dependence(_joined(loaded), **known)
    write_predictions(study_run.client, record.run_id, predictions)
    return predictions


def _joined(loaded: Mapping[str, dict[str, Any]]) -> Predictions:
    outputs = {name: each["output"] for name, each in loaded.items()}
    first = next(iter(loaded.values()))
    if str(first["kind"]) == "labels":
        encoded = encode_classes(first["truth"], outputs)
        one = next(iter(encoded.values()))
        outputs = {name: each.output for name, each in encoded.items()}
        return Predictions(one.truth, outputs, one.kind, classes=one.classes)
    kind: Any = str(first["kind"])
    return Predictions(first["truth"], outputs, kind, classes=tuple(map(str, first["classes"])))


def _file_of(study_run: StudyRun, trial: TrialRecord, folder: Path) -> Path:
    local = study_run.prepared.workspace / trial.trial.name / PREDICTIONS
    if local.exists():
        return local
    folder.mkdir()
    file = fetch(study_run.client, trial.run_id, f"{keys.TEST_FOLDER}/{PREDICTIONS}", str(folder))
    if file is None:
        raise BadInputError(f"trial {trial.trial.name} has no predictions of the test rows")
    return file


def _load(file: Path) -> dict[str, Any]:
    import numpy as np

    with np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _same(one: Any, other: Any) -> bool:
    return one.shape == other.shape and bool((one == other).all())
