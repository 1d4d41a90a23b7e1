"""Labels that cannot be judged are refused before anything is trained."""

from typing import Any

import numpy as np
import pytest

from tests.toy_task import ToyTask
from tuning.core.errors import BadInputError
from tuning.workflow.check import check_labels

GOOD = np.array([0, 1, 1])


class Labelled(ToyTask):
    """Gives one part the labels of a test, and all others good ones."""

    def __init__(self, part: str, labels: Any) -> None:
        self._given = {"train": GOOD, "validation": GOOD, "test": GOOD, part: labels}

    def load(self, split: Any) -> Any:
        parts = {"search": ("train", "validation"), "test": ("test",)}[split]
        return {part: (np.zeros((3, 2)), self._given[part]) for part in parts}


@pytest.mark.parametrize("labels", [[0, 1, 1], np.array([0.0, 1.0, 1.0]), GOOD.astype(bool)])
def test_zeros_and_ones_of_any_type_can_be_judged(labels: Any) -> None:
    check_labels(Labelled("train", labels))
    check_labels(ToyTask())


@pytest.mark.parametrize("part", ["train", "validation", "test"])
@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (GOOD[:, None], r"have the shape \(3, 1\)"),
        (np.eye(3), r"have the shape \(3, 3\)"),
        ({"a": GOOD}, r"have the shape \(\)"),
        (np.array([0, 1, 2]), "contain 2"),
        (np.array([-1, 1, 1]), "contain -1"),
        (np.array([0.1, 0.9, 1.0]), r"contain 0\.1"),
        (np.array([0.0, np.nan, 1.0]), "contain nan"),
        (np.array(["no", "yes", "no"]), "are of type <U3"),
        (np.array([]), "are empty"),
    ],
)
def test_every_other_label_is_refused_with_its_part(part: str, labels: Any, reason: str) -> None:
    message = f"task: the labels of the part '{part}' {reason}"
    with pytest.raises(BadInputError, match=message):
        check_labels(Labelled(part, labels))


def test_a_baseline_alone_does_not_look_at_the_test_split() -> None:
    check_labels(Labelled("test", np.eye(3)), with_test=False)


def test_a_part_that_is_missing_or_no_pair_is_named() -> None:
    class Without(ToyTask):
        def load(self, split: Any) -> Any:
            return {} if split == "test" else super().load(split)

    with pytest.raises(BadInputError, match=r"load\('test'\) returns no part 'test'"):
        check_labels(Without())

    class Triples(ToyTask):
        def load(self, split: Any) -> Any:
            return {part: (*pair, 1) for part, pair in super().load(split).items()}

    with pytest.raises(BadInputError, match="'train' must be a pair of inputs and labels"):
        check_labels(Triples())


def test_a_label_is_missing() -> None:
    class Short(ToyTask):
        def load(self, split: Any) -> Any:
            return {part: (x, y[1:]) for part, (x, y) in super().load(split).items()}

    with pytest.raises(BadInputError, match="'train' are 199 for 200 inputs"):
        check_labels(Short())
