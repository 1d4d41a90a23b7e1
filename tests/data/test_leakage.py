"""Rows that stand in two parts are found, counted or refused; others are not."""

from typing import Any

import numpy as np
import pytest

from tuning.core.errors import BadInputError
from tuning.data.dependence import Dependence
from tuning.data.leakage import SharedRows, check_apart, shared_rows
from tuning.data.parts import Part

REVIEW = (
    "I went to this film with low hopes, and for an hour it kept me in my seat: the light is "
    "cold, the words are few, and nobody explains what everybody knows. Then the end comes, which "
    "I will not tell, and two years of a marriage make sense. The girl who plays the daughter "
    "steals every scene; her brother only stands beside her, but how he stands! Go and see it."
)


def parts_of(**inputs: Any) -> dict[str, Part]:
    return {name: Part(name, x, np.zeros(len(x))) for name, x in inputs.items()}


def test_equal_rows_of_numbers_are_counted_whatever_their_labels() -> None:
    random = np.random.default_rng(0)
    train, test = random.normal(size=(50, 3, 2)), random.normal(size=(20, 3, 2))
    test[4], test[7], test[8] = train[1], train[30], train[1]
    found = shared_rows(parts_of(train=train, validation=train[:0] + 0, test=test))
    assert found == [SharedRows("test", "train", 20, 3, 0)]


def test_rows_of_several_inputs_are_equal_only_if_all_are() -> None:
    first = {"a": np.arange(6), "b": np.arange(6.0)}
    second = {"a": np.arange(6), "b": np.array([0.0, 1, 9, 9, 9, 9])}
    parts = {name: Part(name, x) for name, x in (("train", first), ("test", second))}
    assert shared_rows(parts) == [SharedRows("test", "train", 6, 2, 0)]


def test_texts_are_compared_without_case_punctuation_and_spaces() -> None:
    texts = [REVIEW, "Dull.", "Another film about a dog and its long way home to the sea."]
    train = np.array(texts, dtype=object)
    test = np.array(["dull", f"  {REVIEW.upper()}!!", "No dog here, and no sea."], dtype=object)
    assert shared_rows(parts_of(train=train, test=test)) == [SharedRows("test", "train", 3, 2, 0)]


def test_texts_with_another_word_are_nearly_equal() -> None:
    other = REVIEW.replace("Go and see it", "Go and watch it")
    changed = REVIEW.replace(" the ", " a ").replace(" and ", " or ")
    train = np.array([REVIEW, "Something else entirely, about the war and its long end."])
    test = np.array([other, changed, "Nothing of this stands anywhere else in the data at all."])
    assert shared_rows(parts_of(train=train, test=test)) == [SharedRows("test", "train", 3, 0, 1)]


def exact_jaccard(first: Any, second: Any) -> float:
    sets = [{tuple(row[i : i + 4]) for i in range(len(row) - 3)} for row in (first, second)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def test_similar_rows_of_tokens_are_exactly_those_of_a_comparison_of_all_pairs() -> None:
    random = np.random.default_rng(1)
    train = random.integers(1, 300, (150, 120)).astype(np.int32)
    test = random.integers(1, 300, (60, 120)).astype(np.int32)
    for row in range(40):  # from an equal row to one with eight other tokens
        test[row] = train[row * 3]
        places = random.choice(120, row % 9, replace=False)
        test[row, places] = random.integers(1, 300, len(places))
    index = [[exact_jaccard(a, b) for b in train] for a in test]
    near = int((np.max(index, axis=1) >= 0.9).sum())
    equal = int((test[:, None] == train[None]).all(axis=2).any(axis=1).sum())
    assert 0 < equal < near < 40
    found = shared_rows(parts_of(train=train, test=test))
    assert found == [SharedRows("test", "train", 60, equal, near - equal)]


def test_padding_is_no_token_and_pictures_are_no_texts() -> None:
    zeros = np.zeros((5, 40), np.int64)
    zeros[:, :14] = np.arange(70).reshape(5, 14) + 1
    shifted = np.roll(zeros, 3, axis=1)
    found = shared_rows(parts_of(train=zeros, test=shifted))
    assert found == [SharedRows("test", "train", 5, 0, 5)]
    pictures = [each.astype(np.uint8) for each in (zeros, shifted)]
    assert shared_rows(parts_of(train=pictures[0], test=pictures[1])) == []


def test_data_sets_are_left_out() -> None:
    parts = {"train": Part("train", dataset=object()), **parts_of(test=np.zeros((3, 1)))}
    assert shared_rows(parts) == []


def spans(begin: int, end: int, horizon: int = 1) -> Dependence:
    first = np.arange(begin, end - horizon + 1)
    return Dependence(times=np.stack([first, first + horizon - 1], axis=1))


def test_a_window_that_reaches_over_a_border_is_refused() -> None:
    check_apart({"train": spans(0, 60, 24), "test": spans(60, 90, 24)})
    with pytest.raises(BadInputError, match=r"window of train reaches over .* until 60, .* at 60"):
        check_apart({"train": spans(0, 61, 24), "test": spans(60, 90, 24)})
    with pytest.raises(BadInputError, match="window of validation reaches"):
        check_apart({"train": spans(0, 9), "validation": spans(9, 30), "test": spans(20, 40)})


def test_a_group_in_two_parts_is_refused() -> None:
    groups = {
        n: Dependence(groups=np.array(list(g))) for n, g in (("train", "xxy"), ("test", "z"))
    }
    check_apart(groups)
    groups["test"] = Dependence(groups=np.array(["z", "y"]))
    with pytest.raises(
        BadInputError, match=r"groups: 1 stand in both train and test, such as .*y"
    ):
        check_apart(groups)


def test_flags_and_small_counts_are_not_taken_for_texts() -> None:
    random = np.random.default_rng(0)
    flags, counts = random.integers(0, 2, (1_300, 30)), random.poisson(0.3, (1_300, 40))
    for rows in (flags, counts):
        found = shared_rows(parts_of(train=rows[:1_000], test=rows[1_000:]))
        assert sum(each.similar for each in found) == 0


def test_texts_from_a_few_templates_end_and_are_counted_at_least() -> None:
    words = [f"word{number}" for number in range(60)]

    def filled(random: Any, count: int) -> Any:
        rows = [[*words[:20], *random.choice(words, 3), *words[20:]] for _ in range(count)]
        return np.array([" ".join(row) for row in rows], dtype=object)

    random = np.random.default_rng(0)
    (found,) = shared_rows(parts_of(train=filled(random, 3_000), test=filled(random, 1_000)))
    assert found.equal + found.similar > 0
    distinct = filled(random, 40)
    many = np.array([f"{text} {number}" for number, text in enumerate(distinct)], dtype=object)
    assert not any(each.at_least for each in shared_rows(parts_of(train=many, test=many[:5])))


def test_rows_are_equal_by_their_numbers_not_by_their_type_or_their_picture_in_print() -> None:
    random = np.random.default_rng(0)
    numbers = random.normal(size=(30, 4))
    found = shared_rows(parts_of(train=numbers, test=numbers[:9].astype(np.float32)))
    assert found == [SharedRows("test", "train", 9, 9, 0)]
    ragged = np.empty(30, dtype=object)
    for row in range(30):
        ragged[row] = np.concatenate([[0.0] * 4, random.normal(size=2_000), [0.0] * 4])
    assert shared_rows(parts_of(train=ragged[:20], test=ragged[20:])) == []
    assert shared_rows(parts_of(train=ragged[:20], test=ragged[19:])) != []
    faces = np.array(["👍", "!!!", "good film"], dtype=object)
    others = np.array(["😡", "???", "bad film"], dtype=object)
    assert shared_rows(parts_of(train=faces, test=others)) == []
