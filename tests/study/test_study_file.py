"""The study file: what it accepts, and how it says what it does not."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.factories import STUDY, make_study
from tuning.core.errors import BadInputError
from tuning.study.file import load_study, parse_study
from tuning.study.sections import Objective

FLAGSHIP = Path(__file__).parents[2] / "pipelines" / "imdb" / "study.yaml"


def test_the_flagship_study_is_the_notebooks() -> None:
    study = load_study(FLAGSHIP)
    assert study.baseline == {
        "embedding_dim": 32,
        "units": 32,
        "spatial_dropout": 0.0,
        "dropout": 0.0,
        "recurrent_dropout": 0.0,
    }
    assert study.references["notebook-tuned"] == {
        "embedding_dim": 128,
        "units": 64,
        "spatial_dropout": 0.3,
        "dropout": 0.2,
        "recurrent_dropout": 0.2,
    }
    for name in ("spatial_dropout", "dropout", "recurrent_dropout"):
        grid = study.space[name].grid()
        assert grid is not None
        assert 0.0 in grid


def test_a_study_survives_its_own_yaml() -> None:
    study = load_study(FLAGSHIP)
    assert parse_study(yaml.safe_load(study.to_yaml()), "again") == study


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": {"trials": 0}}, r"budget\.trials: .*greater than or equal to 1; got 0"),
        ({"baseline": {"units": 3, "rate": 0.0}}, r"baseline: units: 3 is not one of whole"),
        ({"baseline": {"units": 2}}, r"baseline: rate is missing; accepted are numbers from 0"),
        ({"baseline": {"units": 2, "rate": 0.0, "x": 1}}, r"baseline: x is not in the search"),
        ({"bugdet": {}}, r"bugdet: there is no such field; did you mean budget\?"),
        ({"objective": {"direction": "up"}}, r"objective\.direction: .*'maximize'.*got 'up'"),
        ({"fixed": {"units": 2}}, r"units is both fixed and in the search space"),
        ({"name": "a/b"}, r"name: .*pattern.*got 'a/b'"),
        ({"task": "os.system('x')"}, r"task: .*pattern"),
        ({"searchers": []}, r"searchers: .*at least 1"),
        ({"seed": -1}, r"seed: .*got -1"),
        ({"space": {"units": {"type": "int", "low": 8, "high": 2}}}, r"space\.units: low must be"),
        ({"space": {"u": {"type": "what"}}}, r"space\.u: .*'int'"),
        ({"references": {"r": {"units": 2, "rate": 9}}}, r"references\.r: rate: 9"),
    ],
)
def test_an_error_names_field_and_value(changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        make_study(**changes)


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(BadInputError) as caught:
        make_study(seed=-1, budget={"trials": 0}, extra=1)
    assert all(field in str(caught.value) for field in ("seed", "budget.trials", "extra"))


@pytest.mark.parametrize("text", ["- a\n- b\n", "5", "", "a: [", "a: !!python/object:os.system x"])
def test_what_is_not_a_study_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(text)
    with pytest.raises(BadInputError, match=r"study\.yaml"):
        load_study(file)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(BadInputError, match=r"'nowhere\.yaml' cannot be read"):
        load_study(Path("nowhere.yaml"))


def test_the_command_line_overrides_the_budget() -> None:
    study = make_study().change(
        [
            "budget.trials=9",
            "budget.epochs=4",
            "confirm.seeds=5",
            "confirm.top_k=3",
            "searchers=a, b",
            "seed=8",
        ]
    )
    assert (study.budget.trials, study.budget.epochs) == (9, 4)
    assert (study.confirm.seeds, study.confirm.top_k) == (5, 3)
    assert (study.searchers, study.seed) == (["a", "b"], 8)
    assert make_study().change([]) == make_study()


def test_a_profile_applies_to_its_data_only() -> None:
    study = make_study(profiles={"small": {"budget": {"trials": 1}}})
    small = study.for_dataset("small").budget
    assert (small.trials, small.epochs) == (1, study.budget.epochs)
    assert study.for_dataset("other").budget.trials == yaml.safe_load(STUDY)["budget"]["trials"]


def test_what_better_means_depends_on_the_direction() -> None:
    up, down = Objective(), Objective(metric="val_loss", direction="minimize")
    assert up.better(0.2, 0.1)
    assert not down.better(0.2, 0.1)
    assert up.better(0.0, None)
    assert sorted([0.1, 0.3, 0.2], key=up.key) == [0.3, 0.2, 0.1]
    assert sorted([0.1, 0.3, 0.2], key=down.key) == [0.1, 0.2, 0.3]


def test_a_configuration_is_told_by_its_searched_part() -> None:
    study = make_study()
    params = study.hyperparameters(study.baseline)
    assert study.config_id(params) == study.config_id(study.baseline)
    assert study.config_id(study.baseline) != study.config_id({"units": 4, "rate": 0.0})


@pytest.mark.parametrize(
    "metric",
    ["val_loss", "val_mse", "val_mean_absolute_error", "val_binary_crossentropy", "val_log_loss"],
)
def test_a_loss_is_not_maximised(metric: str) -> None:
    with pytest.raises(BadInputError, match=f"{metric} is to minimize.*direction: minimize"):
        make_study(objective={"metric": metric, "direction": "maximize"})
    for direction in ({"direction": "minimize"}, {}):
        study = make_study(objective={"metric": metric, **direction})
        assert study.objective.direction == "minimize"


@pytest.mark.parametrize("metric", ["val_accuracy", "val_auc", "val_f1", "val_true_positives"])
def test_what_is_no_loss_is_maximised(metric: str) -> None:
    assert make_study(objective={"metric": metric}).objective.direction == "maximize"
    with pytest.raises(BadInputError, match=f"{metric} is to maximize.*direction: maximize"):
        make_study(objective={"metric": metric, "direction": "minimize"})


@pytest.mark.parametrize("metric", ["val_cosine_similarity", "val_profit", "val_neg_profit"])
def test_the_direction_of_an_unknown_metric_must_be_said(metric: str) -> None:
    with pytest.raises(BadInputError, match=f"whether larger values of {metric} are better"):
        make_study(objective={"metric": metric})
    for direction in ("maximize", "minimize"):
        study = make_study(objective={"metric": metric, "direction": direction})
        assert study.objective.direction == direction


@pytest.mark.parametrize("metric", ["accuracy", "loss", "test_accuracy"])
def test_the_objective_is_measured_on_validation(metric: str) -> None:
    with pytest.raises(BadInputError, match=f"training rows.*write metric: val_{metric}"):
        make_study(objective={"metric": metric})


def test_the_metric_of_the_verdict_decides_its_direction_and_its_unit() -> None:
    rule = make_study().compare
    assert (rule.deciding.name, rule.deciding.sign, rule.additional) == ("accuracy", 1, [])
    rule = make_study(compare={"metric": "rmse", "additional_metrics": ["mae", "rmse"]}).compare
    assert (rule.deciding.name, rule.deciding.sign) == ("rmse", -1)
    assert [metric.name for metric in rule.additional] == ["mae"]
    assert make_study(compare={"metric": "top_k"}).compare.metric == "top_k(k=5)"
    # A share of more than 1 is a mistake; the gain of an error may be any number.
    with pytest.raises(BadInputError, match=r"0\.01 is one point"):
        make_study(compare={"min_gain": 2})
    assert make_study(compare={"metric": "mse", "min_gain": 2}).compare.min_gain == 2


@pytest.mark.parametrize(
    ("compare", "message"),
    [
        ({"metric": "acuracy"}, "did you mean accuracy"),
        ({"metric": "rmse", "direction": "maximize"}, "rmse is to minimize"),
        ({"metric": "own.module:cost"}, "direction must be said"),
        ({"metric": "top_k(k=0)"}, "k must be a whole number from 1"),
        ({"metric": "top_k(n=1)"}, "top_k has only k"),
        ({"metric": "accuracy(1)"}, "accuracy has no parameters"),
        ({"metric": "pinball(quantile=2)"}, "between 0 and 1"),
        (
            {"metric": "a.b:cost", "direction": "minimize", "additional_metrics": ["c.d:cost"]},
            "the same name in MLflow",
        ),
    ],
)
def test_a_metric_that_cannot_be_is_explained(compare: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        make_study(compare=compare)


def test_training_options_are_numbers_or_hyperparameters() -> None:
    fixed = make_study(fixed={}, training={"batch_size": 64, "patience": 3}).training
    assert fixed.resolve({"units": 2}) == {"batch_size": 64, "patience": 3}
    space = {
        "units": {"type": "int", "low": 2, "high": 8},
        "size": {"type": "int", "low": 8, "high": 64},
    }
    named = make_study(
        space=space,
        baseline={"units": 2, "size": 16},
        references={},
        fixed={"epochs_to_wait": 4},
        training={"batch_size": "size", "patience": "epochs_to_wait"},
    ).training
    assert named.resolve({"size": 16, "epochs_to_wait": 4}) == {"batch_size": 16, "patience": 4}
    assert make_study(fixed={}, training={}).training.resolve({}) == {"batch_size": 32}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"fixed": {"batch_size": 16}, "training": {}},
            r"add training: \{batch_size: batch_size\}",
        ),
        (
            {"fixed": {"patience": 2}, "training": {}},
            r"add training: \{patience: patience\} \(or null",
        ),
        (
            {"fixed": {}, "training": {"batch_size": "size"}},
            "training.batch_size: a number, or a hyp",
        ),
        (
            {"fixed": {}, "training": {"batch_size": 0}},
            "training.batch_size: a whole number from 1; got 0",
        ),
        (
            {"fixed": {}, "training": {"patience": "rate"}},
            "every value of rate must be a whole number",
        ),
        (
            {"fixed": {"batch_size": 16}, "training": {"batch_size": 32}},
            "training.batch_size is 32, but there is a hyperparameter of that name",
        ),
    ],
)
def test_a_training_option_has_one_meaning(changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        make_study(**changes)


def test_a_patience_of_the_task_is_no_early_stopping() -> None:
    study = make_study(fixed={"patience": 2}, training={"patience": None})
    assert study.training.resolve({"patience": 2}) == {"batch_size": 32}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"fixed": {"patience": 2}, "training": {"patience": None}},
        {"gate": {"max_behaviour_regression": None, "max_size_mb": 3}},
        {"profiles": {"small": {"budget": None, "confirm": {"seeds": 1}}}},
        {"limits": {"memory_mb": 800}, "resources": {"trial_gpus": 0.25}},
    ],
)
def test_a_study_is_read_back_as_it_was_written(changes: dict[str, object]) -> None:
    study = make_study(**changes)
    again = parse_study(yaml.safe_load(study.to_yaml()), "again")
    assert again == study
    assert again.for_dataset("small") == study.for_dataset("small")
