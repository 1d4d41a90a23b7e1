"""Tokens, vocabulary, encoding and padding follow Keras's conventions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.imdb.text import (
    PAD,
    START,
    UNKNOWN,
    encode_ranks,
    encode_text,
    encode_texts,
    fit_vocabulary,
    pad,
    tokenize,
)

sequences_of_indexes = st.lists(st.lists(st.integers(1, 10_000), max_size=30), max_size=8)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A GREAT film!", ["a", "great", "film"]),
        ("One.<br /><br />Two.<br>Three<BR/>four", ["one", "two", "three", "four"]),
        ("it's well-made (mostly)...", ["it's", "well", "made", "mostly"]),
        ("tab\tand\nline", ["tab", "and", "line"]),
        ("Amélie, ÉTÉ", ["amélie", "été"]),
        ("  ...  ", []),
        ("", []),
    ],
)
def test_tokenize(text: str, words: list[str]) -> None:
    assert tokenize(text) == words


def test_vocabulary_ranks_by_frequency_then_by_first_appearance() -> None:
    vocabulary = fit_vocabulary(["b a a", "c b a d"], num_words=100)
    assert vocabulary == {"a": 4, "b": 5, "c": 6, "d": 7}


def test_vocabulary_stays_below_num_words() -> None:
    vocabulary = fit_vocabulary(["a a a b b c"], num_words=6)
    assert vocabulary == {"a": 4, "b": 5}
    assert encode_text("a c b zebra", vocabulary) == [START, 4, UNKNOWN, 5, UNKNOWN]


def test_encode_ranks_adds_the_offset_and_cuts_rare_words() -> None:
    encoded = encode_ranks(np.array([1, 6, 7, 90], dtype=np.int32), num_words=10)
    assert encoded.tolist() == [START, 4, 9, UNKNOWN, UNKNOWN]


@given(st.lists(st.integers(1, 50_000)), st.integers(5, 50_000))
def test_encode_ranks_follows_the_rule_of_keras(ranks: list[int], num_words: int) -> None:
    shifted = [1, *[rank + 3 for rank in ranks]]
    expected = [index if 0 <= index < num_words else 2 for index in shifted]
    assert encode_ranks(np.array(ranks, dtype=np.int32), num_words).tolist() == expected


@given(sequences_of_indexes, st.integers(1, 40))
def test_pad_fills_in_front_and_keeps_the_end(sequences: list[list[int]], max_len: int) -> None:
    rows = pad(sequences, max_len)
    assert rows.shape == (len(sequences), max_len)
    assert rows.dtype == np.int32
    for row, sequence in zip(rows.tolist(), sequences, strict=True):
        kept = sequence[-max_len:]
        assert row == [PAD] * (max_len - len(kept)) + kept


@given(sequences_of_indexes, st.integers(1, 40))
def test_pad_takes_lists_and_arrays_alike(sequences: list[list[int]], max_len: int) -> None:
    arrays = [np.array(sequence, dtype=np.int32) for sequence in sequences]
    assert np.array_equal(pad(sequences, max_len), pad(arrays, max_len))


@given(st.lists(st.text(alphabet="abc <>br/.!'\n", max_size=60), max_size=6), st.integers(5, 12))
def test_encoded_texts_hold_valid_indexes(texts: list[str], num_words: int) -> None:
    vocabulary = fit_vocabulary(texts, num_words)
    rows = encode_texts(texts, vocabulary, max_len=100)
    assert rows.shape == (len(texts), 100)
    assert ((rows >= 0) & (rows < num_words) & (rows != 3)).all()
    assert ((rows == START).sum(axis=1) == 1).all()


@given(st.text())
def test_words_are_free_of_separators_and_capitals(text: str) -> None:
    for word in tokenize(text):
        assert word
        assert not set(word) & set(' !"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n')
        assert tokenize(word) == [word]
