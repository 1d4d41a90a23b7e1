"""Registers the best model of a study, and promotes it if the gate allows it."""

from pathlib import Path
from typing import TYPE_CHECKING

from tuning.core.errors import PromotionRefusedError, TuningError
from tuning.core.forms import KerasForm
from tuning.core.task import Serves
from tuning.core.trial import TrialRecord
from tuning.data.cuts import cut_of
from tuning.data.loading import asked
from tuning.study.record import StudyRecord
from tuning.tracking import keys
from tuning.tracking.retry import RetryPolicy
from tuning.workflow.judge import model_files
from tuning.workflow.study_run import StudyRun

if TYPE_CHECKING:
    from tuning.core.forms import Form
    from tuning.evaluation.comparison import Comparison


EXAMPLES = 3  # stored with a registered Keras model


def register_best(
    study_run: StudyRun, record: StudyRecord, comparison: "Comparison"
) -> tuple[str, bool]:
    """Registers the best configuration's model of the first seed as challenger.

    Then promotes it to champion if the gate allows it and the options do not forbid it.

    Returns:
        Name and version as ``name/version``, empty if nothing is registered; and whether the
        version was promoted to champion.
    """
    best = comparison.best
    if best is None or comparison.gain is None:
        return "", False
    if record.data.cannot_serve:
        study_run.progress.say(f"\nNothing is registered: {record.data.cannot_serve}")
        return "", False
    # The first seed, not the best one: the best seed would have been chosen by luck.
    first = next(trial for trial in record.trials if trial.trial.name == best.trials[0])
    study_run.progress.say("Registering the best model, and trying it …")
    try:
        name, version = _register(study_run, record, comparison, first)
    except PromotionRefusedError as refusal:
        study_run.progress.say(f"\n{refusal}")
        return "", False
    study_run.progress.say(f"\nRegistered {name} version {version} as {keys.CHALLENGER}")
    if study_run.prepared.plan.options.promote == "never":
        return f"{name}/{version}", False
    return f"{name}/{version}", _promote(study_run, record, name, version)


def _register(
    study_run: StudyRun, record: StudyRecord, comparison: "Comparison", first: TrialRecord
) -> tuple[str, str]:
    from tuning.registry.evidence import version_tags
    from tuning.registry.registration import register
    from tuning.registry.versions import registered_name
    from tuning.report.model_card import model_card

    name = registered_name(study_run.study, record.data)
    with model_files(study_run, [first]) as files:
        model_file = files[first.trial.name]
        version = RetryPolicy()(
            lambda: register(
                study_run.client,
                name=name,
                run_id=record.run_id,
                make=lambda folder: _make_form(study_run, first, model_file, folder),
                tags=version_tags(record, comparison),
                card=lambda form: model_card(record, comparison, name, form),
                stand_in_for=study_run.study.registered_model if record.data.stand_in else "",
            )
        )
    return name, version


def _make_form(study_run: StudyRun, first: TrialRecord, model_file: Path, folder: Path) -> "Form":
    """Makes the model that is registered: one of raw input if the task makes one."""
    task = study_run.prepared.task
    params, cut = first.trial.params, cut_of(first.trial.tags)
    if isinstance(task, Serves):
        return task.serve(model_file, folder, **asked(task.serve, params=params, cut=cut))
    from tuning.training.fit import rebuild
    from tuning.training.saved_model import save_model

    part = study_run.prepared.loader.load("search", params, cut)["validation"]
    model = rebuild(task, params, part, model_file)
    example = part.head(EXAMPLES)[0]
    saved = save_model(model, folder, example)
    return KerasForm(
        model_file=model_file,
        spec_file=Path(saved["model_spec"]),
        example=example,
        step=first.result.best_step or 0,
        params=repr(dict(params)),
    )


def _promote(study_run: StudyRun, record: StudyRecord, name: str, version: str) -> bool:
    from tuning.registry.promotion import promote

    study, say = study_run.study, study_run.progress.say
    try:
        promote(
            study_run.client,
            name,
            version,
            study.gate,
            by=f"tune {record.run_id}",
            confidence=study.compare.confidence,
        )
    except PromotionRefusedError as refusal:
        say(str(refusal))
        return False
    except TuningError as error:  # the study is done, and what it found is registered
        say(f"Not promoted: {error}; `tuning promote` tries it again")
        return False
    say(f"Promoted {name} version {version} to {keys.CHAMPION}")
    return True
