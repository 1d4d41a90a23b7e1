"""A whole study in this process: real store, tracker, report and registry, and no training."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from tests.factories import STUDY
from tests.fakes import Curve, FakeExecutor
from tuning.core.interfaces import Executor, Finished, Measured
from tuning.core.record import Predictions
from tuning.core.trial import Phase, Trial
from tuning.study.record import StudyRecord
from tuning.tracking.reader import read_record
from tuning.workflow.check_study import check_once
from tuning.workflow.phases import train_baseline, tune
from tuning.workflow.plan import Options, make_plan
from tuning.workflow.preparation import PreparedStudy
from tuning.workflow.summary import Outcome

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tuning.evaluation.test_split import TrainedModel

EXAMPLES = 1_000
SPEC = {
    "inputs": [{"dtype": "float32", "shape": [-1, 2]}],
    "outputs": [{"dtype": "float32", "shape": [-1, 1]}],
    "keras_backend": "jax",
}


def learns(trial: Trial) -> list[float]:
    """More units are better, in every epoch and with every seed."""
    units = float(trial.params["units"])
    return [0.5 + 0.02 * units + 0.001 * epoch for epoch in range(trial.epochs)]


class Trainer(FakeExecutor):
    """Gives every completed trial a model: a file with the trial's name."""

    def __init__(self, curve: Curve, folder: Path, before: Callable[[Trial], None]) -> None:
        super().__init__(curve)
        self._folder = folder
        self._before = before

    def submit(self, trial: Trial) -> None:
        self._before(trial)
        super().submit(trial)

    def poll(self, timeout_s: float) -> Sequence[Measured | Finished]:
        return [self._with_model(event) for event in super().poll(timeout_s)]

    def _with_model(self, event: Measured | Finished) -> Measured | Finished:
        if isinstance(event, Measured) or event.result.failure is not None:
            return event
        folder = self._folder / event.name
        folder.mkdir(parents=True, exist_ok=True)
        model, spec = folder / "model.keras", folder / "model_spec.json"
        model.write_text(event.name)
        spec.write_text(json.dumps(SPEC))
        artifacts = {"model": str(model), "model_spec": str(spec)}
        return replace(event, result=replace(event.result, artifacts=artifacts))


class Killed(BaseException):
    """Ends a run in the middle, as nothing in the program expects it."""


@dataclass
class WholeStudy:
    """Runs a study in a folder, as often as a test wants.

    Attributes:
        folder: Folder of the study file, the cache and the store.
        client: Client of the store.
        curve: Values of a trial by epoch.
        right: Share of the test split that the model of a trial gets right, by trial name.
        before: Called before each trial is trained.
        trained: Trials that were trained, in all runs.
        predicted: Trials whose models predicted the test split, by run.
        compared: Trials whose behaviour and texts are compared; first the baseline's.
        executors: Executor of every run.
        checks: Whether the models are checked before, which takes seconds.
    """

    folder: Path
    client: "MlflowClient"
    curve: Curve = learns
    right: Callable[[str], float] = lambda name: 0.8
    before: Callable[[Trial], None] = lambda trial: None
    trained: list[Trial] = field(default_factory=list)
    predicted: list[list[str]] = field(default_factory=list)
    compared: list[str | None] = field(default_factory=list)
    executors: list[Trainer] = field(default_factory=list)
    checks: bool = False

    def write(self, **changes: Any) -> None:
        study = {**yaml.safe_load(STUDY), "task_options": {"servable": True}}
        study = {**study, "keep_models": "confirmed", **changes}
        (self.folder / "study.yaml").write_text(yaml.safe_dump(study))

    def options(self, **options: Any) -> Options:
        return Options(
            study=self.folder / "study.yaml",
            cache_dir=self.folder / "cache",
            output="quiet",
            **options,
        )

    def run(self, **options: Any) -> Outcome:
        env = {"MLFLOW_TRACKING_URI": self.client.tracking_uri}
        return tune(make_plan(self.options(**options), env))

    def run_until(self, step: str, **options: Any) -> None:
        """Runs until a function is called, which ``step`` names with its module."""

        def killed(*arguments: Any) -> None:
            raise Killed

        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            patch.setattr(step, killed)
            self.run(**options)

    def run_baseline(self) -> Outcome:
        env = {"MLFLOW_TRACKING_URI": self.client.tracking_uri}
        return train_baseline(make_plan(self.options(), env))

    def record(self, outcome: Outcome) -> StudyRecord:
        return read_record(self.client, outcome.run_id)

    def in_phase(self, *phases: Phase) -> list[Trial]:
        return [trial for trial in self.trained if trial.phase in phases]

    def start_workers(self, prepared: PreparedStudy) -> Executor:
        def begin(trial: Trial) -> None:
            self.before(trial)
            self.trained.append(trial)

        self.executors.append(Trainer(self.curve, prepared.workspace, begin))
        return self.executors[-1]

    def predict(
        self,
        task: object,
        loader: object,
        rule: object,
        models: "Mapping[str, TrainedModel]",
        baseline: str | None,
        others: Sequence[str],
    ) -> Predictions:
        self.predicted.append(list(models))
        self.compared = [baseline, *others]
        params = {trial.name: trial.params for trial in self.trained}
        for name, model in models.items():
            assert model.file.read_text() == name
            assert name not in params or model.params == params[name]
        truth = np.arange(EXAMPLES) % 2
        outputs = {}
        for number, name in enumerate(models):
            order = np.random.default_rng(number).permutation(EXAMPLES)
            wrong = order >= round(self.right(name) * EXAMPLES)
            outputs[name] = np.where(wrong, 1 - truth, truth).astype("float32")
        return Predictions(truth, outputs)


@contextmanager
def whole_study(
    folder: Path, client: "MlflowClient", patch: pytest.MonkeyPatch, **changes: Any
) -> Iterator[WholeStudy]:
    """A study whose workers train nothing, and whose models are not asked."""
    study = WholeStudy(folder, client)
    study.write(**changes)
    patch.setattr("tuning.workflow.study_run.start_workers", study.start_workers)
    patch.setattr(
        "tuning.workflow.study_run.check_once",
        lambda prepared: check_once(prepared) if study.checks else None,
    )
    patch.setattr("tuning.evaluation.test_split.predict_test", study.predict)
    # Pictures take half of the time, and have tests of their own.
    patch.setattr("tuning.report.report.draw_figures", lambda *arguments: [])
    patch.setattr("tuning.tracking.tracker.draw_curves", lambda *arguments: None)
    yield study
