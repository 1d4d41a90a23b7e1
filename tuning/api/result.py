"""The result of a study, for scripts and notebooks."""

import html
import tempfile
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.core.errors import BadInputError, redact
from tuning.core.trial import Phase, TrialRecord
from tuning.study.record import StudyRecord
from tuning.study.sections import GateRule
from tuning.tracking import keys

if TYPE_CHECKING:
    import keras
    import optuna
    import pandas as pd
    from mlflow import MlflowClient

    from tuning.evaluation.comparison import Comparison
    from tuning.evaluation.intervals import Gain
    from tuning.workflow.plan import Plan


class StudyResult:
    """A study and what it found. Everything is read from MLflow when it is asked for.

    ``tuning.tune`` and ``tuning.load_study`` return it. A notebook shows it as a page.

    Args:
        run_id: Id of the study's parent run.
        tracking_uri: Address of MLflow's store.
        plan: Plan of the study, with its functions; None if only the record is known.

    Attributes:
        run_id: Id of the study's parent run.
        tracking_uri: Address of MLflow's store.
    """

    def __init__(self, run_id: str, tracking_uri: str, plan: "Plan | None" = None) -> None:
        self.run_id = run_id
        self.tracking_uri = tracking_uri
        self._plan = plan

    @cached_property
    def _client(self) -> "MlflowClient":
        from tuning.tracking.retry import retrying
        from tuning.tracking.store import open_store

        return retrying(open_store(self.tracking_uri))

    @cached_property
    def record(self) -> StudyRecord:
        """The whole record of the study."""
        from tuning.tracking.reader import read_record

        return read_record(self._client, self.run_id)

    @cached_property
    def comparison(self) -> "Comparison":
        """The comparison of all models, as in the report.

        Raises:
            BadInputError: The baseline was not trained yet, so nothing can be compared.
        """
        from tuning.evaluation.comparison import compare

        try:
            return compare(self.record)
        except ValueError as error:
            raise BadInputError(f"run {self.run_id}: {error}") from error

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.record.study.name

    @property
    def verdict(self) -> str:
        """``better``, ``inconclusive`` or ``worse``."""
        return self.comparison.verdict.value

    @property
    def gain(self) -> "Gain | None":
        """Gain of the best over the baseline on the test rows, with its interval.

        It is positive if the best is better, and in the unit of the metric; of shares, 0.01 is one
        point. None if there is nothing to compare.
        """
        return self.comparison.gain

    @property
    def baseline_params(self) -> dict[str, Any]:
        """Hyperparameters of the baseline."""
        return dict(self.record.study.baseline)

    @property
    def best_params(self) -> dict[str, Any]:
        """Hyperparameters of the winner; those of the baseline if there is no winner."""
        best = self.comparison.best
        return dict(best.params) if best is not None else self.baseline_params

    def trials(self) -> "pd.DataFrame":
        """Returns a table with a row per trial.

        Its columns are the trial's name, phase, searcher, number, seed, state, value (the
        objective at the best epoch), best epoch, seconds, the test metric, and a column
        ``params.NAME`` per hyperparameter.
        """
        import pandas as pd

        metric = keys.test_metric(self.record.study.compare.deciding.key)
        tested = self._test_values()
        rows = [
            {
                "trial": each.trial.name,
                "phase": each.trial.phase.value,
                "searcher": each.trial.searcher,
                "number": each.trial.number,
                "seed": each.trial.seed,
                "state": each.result.state.value,
                "value": each.result.value,
                "best_epoch": each.result.best_step,
                "seconds": each.result.duration_s,
                metric: tested.get(each.trial.name),
                "failure": each.result.failure.message if each.result.failure else None,
                **{f"params.{name}": value for name, value in each.trial.params.items()},
            }
            for each in self.record.trials
        ]
        return pd.DataFrame(rows)

    def curves(self) -> "pd.DataFrame":
        """Returns a table with a row per trial and epoch, and a column per metric of Keras."""
        import pandas as pd

        rows = [
            {"trial": each.trial.name, "epoch": measurement.step, **measurement.metrics}
            for each in self.record.trials
            for measurement in each.result.measurements
        ]
        return pd.DataFrame(rows)

    def _test_values(self) -> dict[str, float]:
        from tuning.metrics.scoring import score

        predictions, metric = self.record.predictions, self.record.study.compare.deciding
        if predictions is None:
            return {}
        return {
            trial: score(metric, predictions, output)
            for trial, output in predictions.outputs.items()
        }

    def report(self, folder: str | Path | None = None) -> Path:
        """Downloads the report.

        Args:
            folder: Folder for ``report.html``, ``report.md``, ``comparison.json``, ``trials.csv``
                and the figures; None for a new temporary one.

        Returns:
            Path of ``report.html``, one file that needs no network.
        """
        target = Path(folder or tempfile.mkdtemp(prefix="tuning-"))
        target.mkdir(parents=True, exist_ok=True)
        from tuning.report.report import write_report

        write_report(self.record, self.comparison, target)
        return target / "report.html"

    @property
    def figures(self) -> dict[str, Path]:
        """SVG files of the report's figures, by title."""
        from tuning.report.figures import draw_figures

        folder = Path(tempfile.mkdtemp(prefix="tuning-"))
        drawn = draw_figures(self.record, self.comparison, folder)
        return {figure.title: figure.file for figure in drawn}

    def load_model(self) -> "keras.Model":
        """Returns the winner's model of the first fresh seed, or the baseline's without a winner.

        That is the model that is registered: the first seed and not the best one, which would have
        been chosen by luck.

        Raises:
            BadInputError: Its file is gone, or Keras cannot load it without the functions that
                built it.
        """
        best = self.comparison.best or self.comparison.baseline
        return self.model_of(best.trials[0])

    def model_of(self, name: str) -> "keras.Model":
        """Returns the model of a trial, with the weights of its best epoch.

        Args:
            name: Name of the trial.

        Raises:
            BadInputError: As for ``load_model``.
        """
        from tuning.tracking.trial_models import download_keras_file

        first = next((each for each in self.record.trials if each.trial.name == name), None)
        if first is None or not first.model_id:
            raise BadInputError(f"trial {name} has no model in MLflow")
        with tempfile.TemporaryDirectory() as folder:
            file = download_keras_file(first.model_id, Path(folder))
            if self._plan is not None:
                return self._built(first, file)
            import keras

            try:
                model: keras.Model = keras.saving.load_model(file)
            except Exception as error:
                raise BadInputError(
                    f"trial {name}: Keras cannot load the model without its code; name its layers "
                    "(with keras.saving.custom_object_scope({'MyLayer': MyLayer}): …), or run "
                    "tuning.tune(…, resume=…) where its functions are defined"
                ) from error
            return model

    def _built(self, trial: TrialRecord, file: Path) -> "keras.Model":
        from tuning.data.cuts import cut_of
        from tuning.data.loading import Loader
        from tuning.training.fit import rebuild
        from tuning.workflow.plan import make_task

        assert self._plan is not None
        task = make_task(self._plan)
        params, cut = trial.trial.params, cut_of(trial.trial.tags)
        part = Loader(task, self.record.data.classes).load("search", params, cut)["validation"]
        return rebuild(task, params, part, file)

    def promote(self, gate: GateRule | None = None, *, dry_run: bool = False) -> str:
        """Makes the registered model of this study champion, if the gate allows it.

        Args:
            gate: Rule of the gate; None for that of ``tuning.tune``, and for a study that was
                loaded, the default rule: whoever can write to MLflow can change its record.
            dry_run: Whether to say only what would happen.

        Returns:
            Name and version as ``name/version``.

        Raises:
            PromotionRefusedError: The gate refused it; nothing was changed.
            BadInputError: The study has registered no model.
        """
        from tuning.registry.decisions import user_name
        from tuning.registry.promotion import promote
        from tuning.registry.versions import find_version

        study = self.record.study
        rule = gate or (self._plan.study.gate if self._plan is not None else GateRule())
        name, version = find_version(self._client, self.run_id, study.registered_model)
        promote(
            self._client,
            name,
            version,
            rule,
            by=f"{user_name()}, StudyResult.promote",
            confidence=study.compare.confidence,
            dry_run=dry_run,
        )
        return f"{name}/{version}"

    def resume(self, **settings: Any) -> "StudyResult":
        """Goes on with the study, for example with ``resume(trials=40)``.

        Args:
            **settings: Fields of the study that a resumed study may change, by the keywords of
                ``tuning.tune``: ``trials``, ``seeds``, ``top_k``, ``timeout``.

        Raises:
            BadInputError: The functions of the study are not known, or a field cannot change.
        """
        from tuning.api.settings import SHORT
        from tuning.workflow.plan import make_plan

        plan = self._plan_to_resume()
        texts = []
        for name, value in settings.items():
            field = ".".join(SHORT[name]) if name in SHORT else name
            texts.append(f"{field}={value}")
        options = replace(
            plan.options,
            resume=self.run_id,
            settings=(*plan.options.settings, *texts),
            allow_change=bool(texts) or plan.options.allow_change,
        )
        return run(make_plan(options))

    def _plan_to_resume(self) -> "Plan":
        if self._plan is None:
            raise BadInputError(
                f"the functions of run {self.run_id} are not known here; call tuning.tune(…, "
                f'resume="{self.run_id}") with them'
            )
        return self._plan

    def confirm(self, seeds: int) -> "StudyResult":
        """Trains baseline, references and candidates with more fresh seeds, and judges again.

        That is a further look at the test rows, and the report counts it as one.

        Args:
            seeds: Number of fresh seeds in all, with those that were trained already.

        Raises:
            BadInputError: There are that many seeds already.
        """
        now = self.record.study.confirm.seeds
        if seeds <= now:
            raise BadInputError(f"seeds: the study has {now} already; got {seeds}")
        return self.resume(seeds=seeds)

    def to_optuna(self) -> "optuna.Study":
        """Returns the search trials as a study of Optuna, for its plots and dashboard."""
        import optuna

        from tuning.search.optuna_searcher import frozen_trial

        study = self.record.study
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        converted = optuna.create_study(study_name=study.name, direction=study.objective.direction)
        for each in self.record.in_phase(Phase.SEARCH):
            params = study.searched(each.trial.params)
            frozen = frozen_trial(study.space, study.objective, params, each.result)
            frozen.user_attrs = {"trial": each.trial.name, "searcher": each.trial.searcher}
            converted.add_trial(frozen)
        return converted

    def __repr__(self) -> str:
        """Returns the tables of models and hyperparameters, and the verdict."""
        from tuning.workflow.summary import describe

        try:
            text = describe(self.comparison, self.record.study)
        except BadInputError as error:
            text = str(error)
        return f"{text.strip()}\n\nRun {self.run_id} in {redact(self.tracking_uri)}"

    def _repr_html_(self) -> str:
        """Returns the same as a page for a notebook, with a link to MLflow."""
        from tuning.api.page import page

        try:
            return page(self.record, self.comparison, self.tracking_uri)
        except BadInputError as error:
            return f"<p>{html.escape(str(error))}</p>"


def run(plan: "Plan") -> StudyResult:
    """Runs a planned study and returns its result."""
    from tuning.workflow.phases import tune
    from tuning.workflow.summary import say_where

    outcome = tune(plan)
    if plan.options.output == "auto":
        say_where(outcome, plan.tracking_uri)
    return StudyResult(outcome.run_id, plan.tracking_uri, plan)
