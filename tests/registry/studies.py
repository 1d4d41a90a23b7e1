"""Studies that have registered a version, written into a store without any training."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import tuning
from tests.factories import make_study
from tuning.core.record import BehaviourCount, Predictions
from tuning.core.task import DataInfo
from tuning.core.trial import Phase
from tuning.evaluation.comparison import Comparison, compare
from tuning.registry.evidence import version_tags
from tuning.registry.files import describe_files
from tuning.registry.registered import Registration, write_registration
from tuning.registry.versions import registered_name
from tuning.study.record import StudyRecord
from tuning.tracking import keys
from tuning.tracking.looks import record_look
from tuning.tracking.predictions import write_predictions
from tuning.tracking.reader import read_record, write_head

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXAMPLES = 3_000
SEEDS = (1, 2, 3)
ROWS = "e" * 64
BASELINE = {"units": 2, "rate": 0.0}
BEST = {"units": 8, "rate": 0.1}


@dataclass(frozen=True)
class Registered:
    """A registered version and its study.

    Attributes:
        name: Name of the registered model.
        version: Number of the version.
        run_id: Id of the study's parent run.
        files: Folder with the files of the model.
        record: Record of the study.
        comparison: Comparison made from the record.
    """

    name: str
    version: str
    run_id: str
    files: Path
    record: StudyRecord
    comparison: Comparison


def register_study(
    client: "MlflowClient",
    folder: Path,
    right: float = 0.9,
    *,
    baseline: float = 0.8,
    labels: int = 0,
    weights: float | None = None,
    regression: float | None = None,
    measured: Mapping[str, str] | None = None,
    study: Mapping[str, Any] | None = None,
    **data: Any,
) -> Registered:
    """Writes a study and the version that it has registered.

    Args:
        client: Client of the store, with an experiment ``test``.
        folder: Folder for the files of the model.
        right: Share of the test split that the best models get right.
        baseline: The same of the baseline's models.
        labels: Seed of the labels of the test split.
        weights: Weight of the first half of the test split; None for equal weights.
        regression: Failure rate of the best models in a behaviour that the baseline's models never
            fail; None for no behaviours.
        measured: Further facts that were measured at the registration.
        study: Changes to the study file.
        data: Changes to the description of the data.
    """
    known: dict[str, Any] = {
        "label": "toy",
        "name": "toy",
        "source": "generated",
        "digest": "d" * 64,
        "sizes": {"train": 60, "validation": 60, "test": EXAMPLES},
        "test_digest": ROWS,
    }
    info, written = DataInfo(**{**known, **data}), make_study(**(study or {}))
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    tags = {keys.VERSION: tuning.__version__, keys.BACKEND: "jax"}
    run_id = client.create_run(experiment.experiment_id, tags=tags).info.run_id
    write_head(client, run_id, written, written, info)
    client.log_text(run_id, "{}", keys.CODE_FILE)
    names = {}
    for label, params, phase in (
        (keys.BASELINE, BASELINE, Phase.BASELINE),
        ("random-000", BEST, Phase.CONFIRM),
    ):
        for number, seed in enumerate(SEEDS):
            trial = f"{phase.value}-{label}-seed{seed}"
            names[trial] = label
            tags = {
                keys.PARENT: run_id,
                keys.TRIAL: trial,
                keys.PHASE: phase.value,
                keys.SEARCHER: phase.value,
                keys.STATE: "completed",
                keys.CANDIDATE: label,
                keys.NUMBER: str(number),
                keys.SEED: str(seed),
            }
            value = 0.5 + 0.1 * (label != keys.BASELINE)
            metrics = {f"best_{written.objective.metric}": value, "best_epoch": 2.0}
            _write_trial(client, experiment.experiment_id, tags, params, metrics)
    record_look(client, run_id, written.name, info.test_digest or info.digest, list(names))
    shares = {keys.BASELINE: baseline, "random-000": right}
    predictions = _predictions(names, shares, labels, regression)
    if weights is not None:
        halves = np.repeat([weights, 1.0], EXAMPLES // 2)
        predictions = replace(predictions, weights=halves)
    write_predictions(client, run_id, predictions)
    record = read_record(client, run_id, with_curves=False)
    comparison = compare(record)
    name = registered_name(written, info)
    return _register(client, folder, name, record, comparison, measured or {})


def _write_trial(
    client: "MlflowClient",
    experiment_id: str,
    tags: Mapping[str, str],
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
) -> None:
    from mlflow.entities import Metric, Param

    run_id = client.create_run(experiment_id, tags=dict(tags)).info.run_id
    logged = {**params, "batch_size": 16, "epochs": 2}
    client.log_batch(
        run_id,
        [Metric(key, value, 0, 0) for key, value in metrics.items()],
        [Param(key, str(value)) for key, value in logged.items()],
    )
    client.set_terminated(run_id, "FINISHED")


def _predictions(
    names: Mapping[str, str], shares: Mapping[str, float], labels: int, regression: float | None
) -> Predictions:
    truth = np.random.default_rng(labels).integers(0, 2, EXAMPLES)
    outputs, behaviours = {}, {}
    for number, (trial, label) in enumerate(names.items()):
        random = np.random.default_rng([number, round(1e6 * shares[label])])
        is_right = random.random(EXAMPLES) < shares[label]
        outputs[trial] = np.where(is_right == (truth == 1), 0.9, 0.1)
        failures = round(100 * regression) if regression and label != keys.BASELINE else 0
        behaviours[trial] = (BehaviourCount("negation", "negative", "not good", 100, failures),)
    return Predictions(truth, outputs, behaviours=behaviours if regression is not None else {})


def _register(
    client: "MlflowClient",
    folder: Path,
    name: str,
    record: StudyRecord,
    comparison: Comparison,
    measured: Mapping[str, str],
) -> Registered:
    from mlflow.exceptions import MlflowException

    files = folder / f"model-{record.run_id}"
    files.mkdir()
    (files / "MLmodel").write_text("flavors: {}\n")
    (files / "weights").write_text(record.run_id)
    facts = {keys.FILES: describe_files(files).digest, **measured}
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        assert error.error_code == "RESOURCE_ALREADY_EXISTS"
    tags = version_tags(record, comparison)
    version = client.create_model_version(
        name, str(files), run_id=record.run_id, tags={**tags, **facts}
    )
    number = str(version.version)
    write_registration(client, record.run_id, name, Registration("", number, tags, facts))
    return Registered(name, number, record.run_id, files, record, comparison)
