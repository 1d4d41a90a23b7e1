"""Judges the confirmed models on the test split; every reading of it is recorded."""

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tuning.core.record import Predictions
from tuning.core.task import Trains
from tuning.core.trial import TrialRecord
from tuning.data.cuts import cut_of
from tuning.metrics.metric import rounded
from tuning.metrics.scoring import score
from tuning.study.record import StudyRecord
from tuning.tracking import keys
from tuning.tracking.looks import record_look
from tuning.tracking.predictions import write_predictions
from tuning.tracking.trial_models import download_keras_file
from tuning.workflow.cuts import overlap_between
from tuning.workflow.judge_any import join_predictions
from tuning.workflow.study_run import StudyRun


def judge_models(study_run: StudyRun) -> None:
    """Predicts the test split with every confirmed model and logs the scores.

    If the record has predictions of every model already, they are used.
    """
    record = study_run.read()
    trains = isinstance(study_run.prepared.task, Trains)
    trials = [t for t in record.in_phase(*keys.TESTED) if (t.completed if trains else t.model_id)]
    predictions = record.predictions
    if predictions is None or any(t.trial.name not in predictions.outputs for t in trials):
        join = join_predictions if trains else _predict
        predictions = join(study_run, record, trials)
    # An earlier driver may have been killed after it wrote the predictions and before it logged
    # the scores. Logging the same scores again changes nothing.
    rule = study_run.study.compare
    for trial in trials:
        for metric in (rule.deciding, *rule.additional):
            value = score(metric, predictions, predictions.outputs[trial.trial.name])
            if not math.isfinite(value):
                continue  # MLflow's stores differ in what they make of such a number
            study_run.client.log_metric(
                trial.run_id,
                keys.test_metric(metric.key),
                rounded(value),
                step=trial.result.best_step or 0,
                model_id=trial.model_id or None,
            )


def _predict(
    study_run: StudyRun, record: StudyRecord, trials: Sequence[TrialRecord]
) -> Predictions:
    from tuning.evaluation.test_split import TrainedModel, predict_test

    prepared, study = study_run.prepared, study_run.study
    names = [trial.trial.name for trial in trials]
    rows = prepared.data.test_digest
    look = record_look(study_run.client, record.run_id, study.name, rows, names)
    study_run.progress.say(
        f"\nTest split: {len(trials)} models, look {look.number} at these rows in this store"
    )
    with model_files(study_run, trials) as files:
        models = {
            trial.trial.name: TrainedModel(
                trial.trial.params, files[trial.trial.name], cut_of(trial.trial.tags)
            )
            for trial in trials
        }
        predictions = predict_test(
            prepared.task, prepared.loader, study.compare, models, *_compared(trials)
        )
    predictions = replace(
        predictions,
        classes=tuple(prepared.data.classes),
        overlap=overlap_between(prepared.loader, study, trials),
    )
    write_predictions(study_run.client, record.run_id, predictions)
    return predictions


def _compared(trials: Sequence[TrialRecord]) -> tuple[str | None, list[str]]:
    """Returns the first trial of the baseline and the first trial of every other configuration."""
    first: dict[str, str] = {}
    for trial in sorted(trials, key=lambda trial: trial.trial.number):
        first.setdefault(trial.trial.tags.get(keys.CANDIDATE, keys.BASELINE), trial.trial.name)
    return first.pop(keys.BASELINE, None), list(first.values())


@contextmanager
def model_files(study_run: StudyRun, trials: Sequence[TrialRecord]) -> Iterator[dict[str, Path]]:
    """Yields the ``.keras`` files of the trials, by trial name.

    The model of a trial that this driver has trained is usually still in the workspace. The other
    models are downloaded, and their copies are deleted when the context ends.
    """
    local_files = {
        record.trial.name: Path(record.result.artifacts["model"])
        for record in study_run.driver.records
        if "model" in record.result.artifacts
    }
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for trial in trials:
            file = local_files.get(trial.trial.name)
            if file is None or not file.exists():
                file = download_keras_file(trial.model_id, Path(folder))
            files[trial.trial.name] = file
        yield files
