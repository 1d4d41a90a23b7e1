"""The training and validation rows of each fresh seed and of each fold of the search."""

from collections.abc import Sequence

from tuning.core.errors import BadInputError
from tuning.core.task import Trains
from tuning.core.trial import TrialRecord
from tuning.data.cuts import Cut, cut_of, overlap_of
from tuning.data.loading import Loader
from tuning.study.file import Study
from tuning.workflow.preparation import PreparedStudy


def cut_for(study: Study, number: int) -> Cut | None:
    """Returns the cut of a fresh seed by its number from 1; None for the task's own."""
    confirm = study.confirm
    if confirm.resample == "none":
        return None
    return Cut(
        method=confirm.resample,
        number=number,
        folds=confirm.folds,
        gap=confirm.gap,
        embargo=confirm.embargo,
        seed=study.seed,
    )


def cut_tag(study: Study, number: int) -> dict[str, str]:
    """Returns the tag of the trials of a fresh seed; empty for the task's own cut."""
    cut = cut_for(study, number)
    return {} if cut is None else cut.tag()


def fold_for(study: Study, repeat: int, *, with_times: bool) -> Cut | None:
    """Returns the cut of a search trial by its number from 0 among those of its configuration."""
    if study.search.folds is None:
        return None
    return Cut(
        method="rolling" if with_times else "folds",
        number=repeat % study.search.folds + 1,
        folds=study.search.folds,
        gap=study.confirm.gap,
        embargo=study.confirm.embargo,
        seed=study.seed,
    )


def fold_tag(study: Study, repeat: int, *, with_times: bool) -> dict[str, str]:
    """Returns the tag of such a search trial; empty for the task's own cut."""
    fold = fold_for(study, repeat, with_times=with_times)
    return {} if fold is None else fold.tag()


def check_cuts(prepared: PreparedStudy) -> None:
    """Makes every cut of a study once, so that rows that do not fit are refused before any work.

    Raises:
        BadInputError: A cut cannot be made.
    """
    study = prepared.study
    folds = range(study.search.folds or 0)
    cuts = [cut_for(study, number) for number in range(1, study.confirm.seeds + 1)]
    cuts += [fold_for(study, fold, with_times=prepared.has_times) for fold in folds]
    wanted = [cut for cut in cuts if cut is not None]
    if wanted and isinstance(prepared.task, Trains):
        raise BadInputError(
            "confirm.resample and search.folds need the rows, but a function train has its own; "
            "choose them by its seed"
        )
    params = study.hyperparameters(study.baseline)
    for cut in wanted:
        prepared.loader.rows(cut, params)


def overlap_between(loader: Loader, study: Study, trials: Sequence[TrialRecord]) -> float:
    """Returns the share of training rows that two fresh seeds have in common; 1 without cuts."""
    cuts = {cut for trial in trials if (cut := cut_of(trial.trial.tags)) is not None}
    if not cuts:
        return 1.0
    params = study.hyperparameters(study.baseline)
    return overlap_of([loader.rows(cut, params)[0] for cut in cuts])
