"""Data, labels and models that cannot be judged are refused before anything is trained."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.factories import make_study
from tests.toy_task import ToyTask
from tuning.core.errors import BadInputError
from tuning.data.loading import Loader
from tuning.data.parts import Part
from tuning.metrics.outputs import OutputForm
from tuning.study.file import Study
from tuning.workflow.check import check_models, load_parts

if TYPE_CHECKING:
    import keras

STUDY = make_study()
GOOD = np.array([0, 1, 1])


class Labelled(ToyTask):
    """Gives one part the labels of a test, and all others good ones."""

    def __init__(self, part: str, labels: Any) -> None:
        super().__init__()
        self._given = {"train": GOOD, "validation": GOOD, "test": GOOD, part: labels}

    def load(self, split: Any) -> Any:
        parts = {"search": ("train", "validation"), "test": ("test",)}[split]
        return {part: (np.zeros((3, 2), "f4"), self._given[part]) for part in parts}


def load(task: ToyTask, study: Study = STUDY, *, with_test: bool = True) -> dict[str, Part]:
    return load_parts(Loader(task), study, with_test=with_test)


def check(task: ToyTask, study: Study = STUDY, *, with_test: bool = True) -> OutputForm:
    return check_models(task, study, load(task, study, with_test=with_test))


@pytest.mark.slow
@pytest.mark.parametrize(
    "labels", [[0, 1, 1], np.array([0.0, 1.0, 1.0]), GOOD.astype(bool), GOOD[:, None]]
)
def test_zeros_and_ones_of_any_type_can_be_judged(labels: Any) -> None:
    assert check(Labelled("train", labels)).kind == "binary"


@pytest.mark.slow
def test_the_toy_can_be_judged() -> None:
    form = check(ToyTask())
    assert (form.kind, form.meaning) == ("binary", "probabilities")


@pytest.mark.slow
@pytest.mark.parametrize("part", ["train", "validation", "test"])
@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (np.eye(3), r"shape \(3, 3\)"),
        (np.array([0, 1, 2]), "contain 2"),
        (np.array([-1, 1, 1]), "contain -1"),
        (np.array([0.1, 0.9, 1.0]), r"contain 0\.1"),
        (np.array([0.0, np.nan, 1.0]), "contain values that are not finite"),
        (np.array([None, 1, 0]), "are of type object"),
    ],
)
def test_every_other_label_is_refused_with_its_part(part: str, labels: Any, reason: str) -> None:
    with pytest.raises(BadInputError, match=f"labels of the part '{part}' .*{reason}"):
        check(Labelled(part, labels))


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_part_without_labels_is_refused(part: str) -> None:
    with pytest.raises(BadInputError, match=f"the part '{part}' has no examples"):
        load(Labelled(part, np.array([])))


def test_labels_may_be_texts_which_are_all_known_in_training() -> None:
    texts = np.array(["no", "yes", "yes"])

    class Texts(Labelled):
        def load(self, split: Any) -> Any:
            return {part: (x, texts) for part, (x, _) in super().load(split).items()}

    for part in load(Texts("train", GOOD)).values():
        assert part.y.tolist() == GOOD.tolist()

    class Unknown(Texts):
        def load(self, split: Any) -> Any:
            parts = super().load(split)
            return parts if split == "search" else {"test": (parts["test"][0], texts[::-1][:3])}

    texts = np.array(["no", "yes", "yes"])
    assert set(load(Unknown("train", GOOD))) == {"train", "validation", "test"}

    class Other(Texts):
        def load(self, split: Any) -> Any:
            parts = super().load(split)
            other = np.array(["no", "maybe", "yes"])
            return parts if split == "search" else {"test": (parts["test"][0], other)}

    with pytest.raises(BadInputError, match="part 'test' contain 'maybe', which no training la"):
        load(Other("train", GOOD))


@pytest.mark.slow
def test_a_baseline_alone_does_not_look_at_the_test_split(loaded: list[Any]) -> None:
    check(Labelled("test", np.eye(3)), with_test=False)
    load(ToyTask(), with_test=False)
    assert loaded == ["search"]


def test_a_part_that_is_missing_or_of_another_form_is_named() -> None:
    class Without(ToyTask):
        def load(self, split: Any) -> Any:
            return {} if split == "test" else super().load(split)

    with pytest.raises(BadInputError, match=r"load\('test'\) returns no part 'test'"):
        load(Without())

    class Four(ToyTask):
        def load(self, split: Any) -> Any:
            return {part: (*pair, 1, 2) for part, pair in super().load(split).items()}

    with pytest.raises(BadInputError, match="'train' must be a pair of inputs and labels, a trip"):
        load(Four())

    class Triples(ToyTask):
        def load(self, split: Any) -> Any:
            return {part: (*pair, np.ones(7)) for part, pair in super().load(split).items()}

    with pytest.raises(BadInputError, match=r"weights of the part 'train' have the shape \(7,\)"):
        load(Triples())

    class NoMapping(ToyTask):
        def load(self, split: Any) -> Any:
            return list(super().load(split).values())

    with pytest.raises(BadInputError, match=r"load\('search'\) must return a mapping"):
        load(NoMapping())


def test_a_label_is_missing() -> None:
    class Short(ToyTask):
        def load(self, split: Any) -> Any:
            return {part: (x, y[1:]) for part, (x, y) in super().load(split).items()}

    with pytest.raises(BadInputError, match="'train' are 199 for 200 inputs"):
        load(Short())


class Built(ToyTask):
    """A task with a model of the test's own."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        self._make = make

    def build(self, params: Mapping[str, Any]) -> "keras.Model":
        return self._make(super().build, params)


def broken(build: Any, params: Any) -> Any:
    raise ValueError("no layer fits")


def not_compiled(build: Any, params: Any) -> Any:
    import keras

    return keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1, "sigmoid")])


def other_inputs(build: Any, params: Any) -> Any:
    import keras

    model = keras.Sequential([keras.layers.Input((7,)), keras.layers.Dense(1, "sigmoid")])
    model.compile(loss="binary_crossentropy", metrics=["accuracy"])
    return model


def two_units(build: Any, params: Any) -> Any:
    import keras

    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(2, "sigmoid")])
    model.compile(loss="binary_crossentropy", metrics=["accuracy"])
    return model


def other_layers_each_time(build: Any, params: Any) -> Any:
    units = iter((4, 6))

    def make(build: Any, params: Any) -> Any:
        return build({**params, "units": next(units)})

    return make


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda build, params: build({**params, "units": 101}),
            "baseline: its model cannot be bu",
        ),
        (broken, "task: build fails for the baseline: ValueError: no layer fits"),
        (lambda build, params: "no model", r"build must return a keras\.Model; got str"),
        (not_compiled, "task: the model is not compiled"),
        (other_inputs, "task: the baseline's model cannot be trained"),
        (two_units, "2 units with a sigmoid each"),
        (
            other_layers_each_time(None, None),
            "(?s)cannot be loaded again.*the same layers every time",
        ),
    ],
)
def test_a_model_that_cannot_be_trained_or_saved_is_refused(make: Any, reason: str) -> None:
    with pytest.raises(BadInputError, match=reason):
        check(Built(make))


@pytest.mark.slow
def test_a_model_that_ends_in_no_probability_is_refused() -> None:
    with pytest.raises(BadInputError, match="is linear, but its loss takes probabilities"):
        check(ToyTask(), make_study(space={**SPACE, "units": UNITS}, baseline=LINEAR))


UNITS = {"type": "int", "low": 2, "high": 96, "step": 2}
SPACE = {"rate": {"type": "float", "low": 0.0, "high": 0.3, "step": 0.1}}
LINEAR = {"units": 96, "rate": 0.0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"objective": {"metric": "val_auc"}}, r"objective\.metric: 'val_auc' is not among"),
        ({"compare": {"metric": "top_k(k=2)"}}, "top_k.* judges multiclass.*are binary"),
        (
            {"compare": {"additional_metrics": ["rmse"]}},
            "additional_metrics: rmse judges regressi",
        ),
        ({"compare": {"output": "age"}}, "the model has no output 'age'"),
        (
            {"compare": {"metric": "tests.no_module:cost", "direction": "minimize"}},
            "'tests.no_module:cost' cannot be imported",
        ),
    ],
)
def test_a_metric_that_does_not_fit_the_model_is_refused(
    changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BadInputError, match=reason):
        check(ToyTask(), make_study(**changes))


@pytest.mark.slow
def test_a_metric_that_the_test_labels_do_not_allow_is_refused() -> None:
    study = make_study(compare={"metric": "roc_auc"})
    check(ToyTask(), study)
    with pytest.raises(BadInputError, match="roc_auc cannot be computed on the test rows"):
        check(Labelled("test", np.zeros(3, int)), study)
