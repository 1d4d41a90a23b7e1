"""The keywords of ``tune`` as a study."""

from functools import partial
from typing import Any

import numpy as np
import pytest

import tuning
from tuning.api.loading import offer_recorded
from tuning.api.settings import complete_study, default_name, metric_of, name_of, settings_of
from tuning.core.errors import BadInputError
from tuning.metrics.catalogue import make_metric
from tuning.study.file import Study, parse_study

SPACE = {"units": tuning.Int(8, 64, step=8, default=16), "rate": tuning.Float(0.0, 0.5)}


def whole(space: Any = None, function: Any = None, baseline: Any = None, **keywords: Any) -> Study:
    study = keywords.pop("study", None)
    settings = settings_of(study, {"metric": "rmse", **keywords})
    settings.setdefault("name", "s")
    return complete_study(
        settings,
        task="a:B",
        space=space or SPACE,
        baseline=baseline or {"rate": 0.1},
        fixed={},
        metric=function,
        task_options={"name": "s"},
    )


def cost(truth: Any, prediction: Any) -> float:
    return float(abs(truth - prediction).max())


def test_short_names_and_fields_are_the_same_study_as_a_file() -> None:
    made = whole(
        trials=np.int64(7),
        epochs=3,
        seeds=4,
        top_k=3,
        timeout=60,
        batch_size=16,
        patience=2,
        references={"wide": {"units": 64, "rate": 0.0}},
        enqueue=[{"units": 8, "rate": 0.5}],
        gate={"max_size_mb": 5},
        additional_metrics=["mae"],
    )
    fields = {
        "name": "s",
        "task": "a:B",
        "task_options": {"name": "s"},
        "space": {
            "units": {"type": "int", "low": 8, "high": 64, "step": 8, "default": 16},
            "rate": {"type": "float", "low": 0.0, "high": 0.5},
        },
        "baseline": {"units": 16, "rate": 0.1},
        "references": {"wide": {"units": 64, "rate": 0.0}},
        "enqueue": [{"units": 8, "rate": 0.5}],
        "objective": {"metric": "val_loss"},
        "budget": {"trials": 7, "epochs": 3, "timeout": 60},
        "confirm": {"seeds": 4, "top_k": 3},
        "training": {"batch_size": 16, "patience": 2},
        "compare": {"metric": "rmse", "additional_metrics": ["mae"]},
        "gate": {"max_size_mb": 5},
    }
    assert made == parse_study(fields, "file")
    assert made.registered_model == "s"


def test_a_study_object_gives_fields_and_keywords_have_precedence() -> None:
    study = tuning.Study.model_validate(
        {"name": "mine", "budget": {"trials": 5, "epochs": 9}, "seed": 3}
    )
    made = whole(study=study, trials=6)
    assert (made.name, made.budget.trials, made.budget.epochs, made.seed) == ("mine", 6, 9, 3)


def test_hyperparameters_named_like_options_of_training_are_used_for_them() -> None:
    space = {**SPACE, "batch_size": tuning.Choice([16, 32], default=16)}
    assert whole(space).training.batch_size == "batch_size"


def test_a_baseline_changes_the_defaults() -> None:
    assert whole(baseline={"units": 8, "rate": 0.0}).baseline == {"units": 8, "rate": 0.0}


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"trails": 3}, "there is no keyword 'trails'"),
        ({"metric": None}, "metric: is required, such as accuracy"),
        ({"metric": "rmsle"}, "there is no metric 'rmsle'; did you mean"),
        ({"space": {"rate": tuning.Float(0.0, 1.0)}, "baseline": {"x": 1}}, "rate has no default"),
        ({"trials": 0}, "budget.trials"),
        ({"objective": "loss"}, "val_loss"),
        ({"baseline": {"units": 9, "rate": 0.1}}, "baseline: units: 9 is not one of"),
        ({"task": "x:Y"}, "no keyword 'task'"),
    ],
)
def test_what_is_wrong_is_named(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        whole(**keywords)


def test_a_metric_may_be_a_function_of_a_module() -> None:
    assert name_of(cost) == f"{__name__}:cost"
    made = whole(function=cost, direction="minimize")
    assert made.compare.deciding.compute(np.array([1.0]), np.array([3.0]), None) == 2.0
    with pytest.raises(BadInputError, match=r"direction must be said"):
        metric_of({}, cost)
    functions: list[Any] = [lambda t, p: 0.0, partial(cost)]
    for function in functions:
        with pytest.raises(BadInputError, match=r"must be a function that is defined at the top"):
            name_of(function)


def test_the_name_of_a_study_is_that_of_the_file() -> None:
    assert default_name(cost) == "test_settings"
    assert default_name(eval("lambda: 0")) == "study"


def test_the_metric_of_a_script_can_be_given_again_by_another_process() -> None:
    metric = make_metric("__main__:given_cost", "minimize")
    with pytest.raises(BadInputError, match=r"load_study\(run_id, metric=given_cost\)"):
        metric.compute([1.0], [3.0], None)

    def given_cost(truth: Any, prediction: Any) -> float:
        return float(abs(truth[0] - prediction[0]))

    with pytest.raises(BadInputError, match=r"judged by rmse"):
        offer_recorded(given_cost, "rmse")
    with pytest.raises(BadInputError, match=r"judged by __main__:other"):
        offer_recorded(given_cost, "__main__:other")
    offer_recorded(given_cost, "__main__:given_cost")
    assert metric.compute([1.0], [3.0], None) == 2.0
