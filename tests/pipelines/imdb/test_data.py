"""Prepared arrays: what is in them, who may see them, and the cache that holds them."""

import json
import multiprocessing
import os
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pipelines.imdb import npz, sources, synthetic
from pipelines.imdb.data import (
    DataError,
    Prepared,
    Source,
    load_arrays,
    load_test_lengths,
    load_test_texts,
    load_vocabulary,
    prepare,
    resolve,
)
from pipelines.imdb.text import UNKNOWN, encode_text, encode_texts

Write = Callable[..., Path]

WORDS = {f"word{rank}": rank for rank in range(1, 41)}


def prepare_path(path: Path, cache: Path, **parameters: float) -> Prepared:
    return prepare(resolve(str(path), {}), cache_dir=cache, env={}, **parameters)  # type: ignore[arg-type]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def npz_with_words(write_npz: Write) -> Path:
    path = write_npz()
    (path.parent / "imdb_word_index.json").write_text(json.dumps(WORDS))
    return path


def test_shapes_sizes_and_types(write_npz: Write, cache: Path) -> None:
    prepared = prepare_path(write_npz(), cache, num_words=30, max_len=8)
    assert prepared.sizes == {"train": 16, "validation": 4, "test": 10}
    assert (prepared.label, prepared.name, prepared.fallback_reason) == ("imdb", "imdb.npz", None)
    assert (prepared.num_words, prepared.max_len) == (30, 8)
    arrays = load_arrays(prepared, "search") | load_arrays(prepared, "test")
    for part, rows in prepared.sizes.items():
        x, y = arrays[part]
        assert x.shape == (rows, 8)
        assert y.shape == (rows,)
        assert x.dtype == y.dtype == np.int32
        assert x.max() < 30
        assert set(y.tolist()) <= {0, 1}
    assert load_test_lengths(prepared).shape == (10,)


def test_a_search_cannot_see_the_test_split(write_npz: Write, cache: Path) -> None:
    prepared = prepare_path(write_npz(), cache)
    assert set(load_arrays(prepared, "search")) == {"train", "validation"}
    assert set(load_arrays(prepared.folder, "test")) == {"test"}
    with pytest.raises(ValueError, match="split must be one of search, test"):
        load_arrays(prepared, "train")  # type: ignore[arg-type]


def test_arrays_are_read_only(write_npz: Write, cache: Path) -> None:
    x, _ = load_arrays(prepare_path(write_npz(), cache), "search")["train"]
    with pytest.raises(ValueError, match="read-only"):
        x[0, 0] = 5


def test_ranks_keep_their_labels_and_their_words(write_npz: Write, cache: Path) -> None:
    rows = [[number + 1] * (number + 1) for number in range(20)]
    ragged = np.empty(20, dtype=object)
    ragged[:] = rows
    labels = np.array([number % 3 == 0 for number in range(20)]).astype(int)
    prepared = prepare_path(write_npz(x_train=ragged, y_train=labels), cache, max_len=30)
    seen = set()
    for x, y in load_arrays(prepared, "search").values():
        for row, label in zip(x.tolist(), y.tolist(), strict=True):
            rank = row[-1] - 3
            assert row == [0] * (29 - rank) + [1] + [rank + 3] * rank
            assert label == labels[rank - 1]
            seen.add(rank)
    assert seen == set(range(1, 21))


def test_lengths_are_those_before_truncation(npz_with_words: Path, cache: Path) -> None:
    prepared = prepare_path(npz_with_words, cache, max_len=3)
    texts = load_test_texts(prepared)
    assert texts is not None
    assert load_test_lengths(prepared).tolist() == [len(text.split()) + 1 for text in texts]


def test_vocabulary_of_ranks_has_the_offset_and_the_bound(
    npz_with_words: Path, cache: Path
) -> None:
    prepared = prepare_path(npz_with_words, cache, num_words=20)
    vocabulary = load_vocabulary(prepared)
    assert vocabulary == {word: rank + 3 for word, rank in WORDS.items() if rank < 17}


def test_decoded_texts_encode_to_the_same_rows(npz_with_words: Path, cache: Path) -> None:
    prepared = prepare_path(npz_with_words, cache, num_words=20, max_len=8)
    texts, vocabulary = load_test_texts(prepared), load_vocabulary(prepared)
    assert texts is not None
    assert vocabulary is not None
    x, _ = load_arrays(prepared, "test")["test"]
    assert np.array_equal(encode_texts(texts, vocabulary, 8), x)


def test_without_a_word_index_there_are_no_words(write_npz: Write, cache: Path) -> None:
    prepared = prepare_path(write_npz(), cache)
    assert load_vocabulary(prepared) is None
    assert load_test_texts(prepared) is None


def test_vocabulary_knows_only_words_that_are_trained_on(write_csv: Write, cache: Path) -> None:
    rows = [(f"film word{number}x", "10"[number % 2]) for number in range(100)]
    prepared = prepare_path(write_csv(rows), cache)
    assert prepared.sizes == {"train": 40, "validation": 10, "test": 50}
    vocabulary = load_vocabulary(prepared)
    assert vocabulary is not None
    assert len(vocabulary) == 1 + 40
    assert prepared.num_words == 1 + 40 + 4
    x, _ = load_arrays(prepared, "search")["validation"]
    assert (x[:, -1] == UNKNOWN).all()
    assert (x[:, -2] == vocabulary["film"]).all()


def test_raw_reviews_keep_their_labels(write_archive: Write, cache: Path) -> None:
    prepared = prepare_path(write_archive(), cache, validation_share=0.3)
    assert prepared.sizes == {"train": 7, "validation": 3, "test": 10}
    x, y = load_arrays(prepared, "test")["test"]
    texts, vocabulary = load_test_texts(prepared), load_vocabulary(prepared)
    assert texts is not None
    assert vocabulary is not None
    assert [int("fine" in text) for text in texts] == y.tolist()
    assert x[0].tolist()[-8:] == ([0] * 8 + encode_text(texts[0], vocabulary))[-8:]
    _, labels = load_arrays(prepared, "search")["train"]
    assert 0 < labels.sum() < 7, "rows in label order would leave one class out of training"


def test_folder_and_archive_prepare_to_the_same_arrays(
    write_archive: Write, write_folder: Write, cache: Path
) -> None:
    one, other = prepare_path(write_archive(), cache), prepare_path(write_folder(), cache)
    assert one.folder != other.folder
    for part in ("train", "validation"):
        for left, right in zip(
            load_arrays(one, "search")[part], load_arrays(other, "search")[part], strict=True
        ):
            assert np.array_equal(left, right)


@pytest.mark.parametrize("form", ["npz", "archive", "csv"])
def test_a_second_call_does_not_read_the_reviews(
    form: str,
    write_npz: Write,
    write_archive: Write,
    write_csv: Write,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = {
        "npz": write_npz,
        "archive": write_archive,
        "csv": lambda: write_csv([("fine film", "pos"), ("dire film", "neg")] * 10),
    }[form]()
    first = prepare_path(path, cache)

    def refuse(_: Path) -> None:
        raise AssertionError("the reviews were read again")

    for module, name in ((npz, "read_npz"), (sources, "read_archive"), (sources, "read_csv")):
        monkeypatch.setattr(module, name, refuse)
    assert prepare_path(path, cache) == first
    with pytest.raises(AssertionError, match="read again"):
        prepare_path(path, cache, max_len=7)


def test_other_content_or_parameters_get_another_folder(write_folder: Write, cache: Path) -> None:
    folder = write_folder()
    digests = {prepare_path(folder, cache).digest}
    digests.add(prepare_path(folder, cache, num_words=50).digest)
    digests.add(prepare_path(folder, cache, max_len=50).digest)
    digests.add(prepare_path(folder, cache, validation_share=0.3).digest)
    (folder / "train" / "pos" / "0_9.txt").write_text("A better film.")
    digests.add(prepare_path(folder, cache).digest)
    assert len(digests) == 5
    assert {path.name for path in cache.iterdir()} == {digest[:16] for digest in digests}


def test_a_word_index_that_appears_later_is_used(write_npz: Write, cache: Path) -> None:
    path = write_npz()
    assert load_vocabulary(prepare_path(path, cache)) is None
    (path.parent / "imdb_word_index.json").write_text(json.dumps(WORDS))
    assert load_vocabulary(prepare_path(path, cache)) is not None


@pytest.mark.parametrize("lost", ["meta.json", "x_test.npy"])
def test_an_incomplete_folder_is_replaced(write_npz: Write, cache: Path, lost: str) -> None:
    path = write_npz()
    prepared = prepare_path(path, cache)
    (prepared.folder / lost).unlink()
    assert prepare_path(path, cache) == prepared
    assert len(load_arrays(prepared, "test")["test"][0]) == 10
    assert [folder.name for folder in cache.iterdir()] == [prepared.digest[:16]]


def test_a_failure_leaves_nothing_behind(write_csv: Write, cache: Path) -> None:
    path = write_csv([("fine", "pos"), ("dire", "neg")] * 2)
    with pytest.raises(DataError, match="too few reviews: none is left for the train"):
        prepare_path(path, cache, validation_share=0.9)
    assert list(cache.iterdir()) == []


def test_processes_may_prepare_at_the_same_time(write_archive: Write, cache: Path) -> None:
    source = resolve(str(write_archive()), {})
    # Not forked: a backend that an earlier test loaded does not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=context) as pool:
        jobs = [pool.submit(prepare, source, cache_dir=cache, env={}) for _ in range(8)]
        results = [job.result(timeout=60) for job in jobs]
    assert all(result == results[0] for result in results)
    assert [folder.name for folder in cache.iterdir()] == [results[0].digest[:16]]


def test_prepared_survives_pickling(write_npz: Write, cache: Path) -> None:
    prepared = prepare_path(write_npz(), cache)
    assert pickle.loads(pickle.dumps(prepared)) == prepared


@pytest.mark.parametrize(
    "parameters",
    [{"num_words": 4}, {"max_len": 0}, {"validation_share": 0.0}, {"validation_share": 1.0}],
)
def test_parameters_out_of_range_are_refused(
    write_npz: Write, cache: Path, parameters: dict[str, float]
) -> None:
    with pytest.raises(ValueError, match=next(iter(parameters))):
        prepare_path(write_npz(), cache, **parameters)


def test_a_folder_that_is_no_prepared_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x_train\.npy is not part of a prepared data set"):
        load_arrays(tmp_path, "search")


def test_synthetic_reviews_are_labelled_so_and_short(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthetic, "TRAIN_ROWS", 100)
    monkeypatch.setattr(synthetic, "TEST_ROWS", 50)
    source = Source("synthetic", None, "synthetic", fallback_reason="no network")
    prepared = prepare(source, cache_dir=cache)
    assert (prepared.label, prepared.source) == ("synthetic", "synthetic")
    assert prepared.fallback_reason == "no network"
    assert prepared.max_len == synthetic.MAX_LEN
    assert prepared.sizes == {"train": 80, "validation": 20, "test": 50}
    assert prepare(source, cache_dir=cache, max_len=20).max_len == 20


@pytest.mark.imdb
def test_equals_what_keras_loads(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not os.environ.get("TUNING_IMDB_DIR"):
        pytest.skip("TUNING_IMDB_DIR does not name a folder with imdb.npz")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    import keras
    from keras.src.datasets import imdb as keras_imdb

    source = resolve("imdb")
    assert source.kind == "npz"
    monkeypatch.setattr(keras_imdb, "get_file", lambda **_: str(source.path))
    (x_train, y_train), (x_test, y_test) = keras.datasets.imdb.load_data(num_words=10_000)
    expected = keras.utils.pad_sequences(x_train, maxlen=200)

    prepared = prepare(source, cache_dir=cache)
    search, test = load_arrays(prepared, "search"), load_arrays(prepared, "test")["test"]
    assert np.array_equal(search["train"][0], expected[:20_000])
    assert np.array_equal(search["validation"][0], expected[20_000:])
    assert np.array_equal(np.concatenate([search[part][1] for part in search]), y_train)
    assert np.array_equal(test[0], keras.utils.pad_sequences(x_test, maxlen=200))
    assert np.array_equal(test[1], y_test)
    assert load_test_lengths(prepared).tolist() == [len(row) for row in x_test]


@pytest.mark.imdb
def test_the_real_archive_is_read_in_full(cache: Path) -> None:
    named = os.environ.get("TUNING_IMDB_DIR")
    if not named or not (archive := Path(named) / "aclImdb_v1.tar.gz").is_file():
        pytest.skip("TUNING_IMDB_DIR does not name a folder with aclImdb_v1.tar.gz")
    prepared = prepare_path(archive, cache)
    assert prepared.sizes == {"train": 20_000, "validation": 5_000, "test": 25_000}
    _, labels = load_arrays(prepared, "search")["validation"]
    assert 0.45 < labels.mean() < 0.55
    vocabulary = load_vocabulary(prepared)
    assert vocabulary is not None
    assert next(iter(vocabulary)) == "the"
    assert "br" not in vocabulary
    assert prepared.num_words == 10_000
