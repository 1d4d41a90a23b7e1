"""Prepared arrays: what is in them, who may see them, and the cache that holds them."""

import json
import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.imdb import data, sources, synthetic
from pipelines.imdb.data import DataError, Prepared, Source, load_arrays, prepare, resolve
from pipelines.imdb.text import UNKNOWN, encode_texts
from tests.pipelines.imdb.files import objects, write_csv, write_dir, write_npz, write_tar

Patch = pytest.MonkeyPatch


def prepare_path(path: Path, **parameters: Any) -> Prepared:
    return prepare(resolve(str(path), {}), cache_dir=path.parent / "cache", env={}, **parameters)


def test_what_is_in_the_arrays_and_who_may_see_it(tmp_path: Path) -> None:
    ranks, labels = objects(*[[number + 1] for number in range(20)]), [1, 0, 0, 1] * 5
    path = write_npz(tmp_path, {"x_train": ranks, "y_train": np.array(labels)})
    prepared = prepare_path(path, num_words=30, max_len=8)
    assert prepared.sizes == {"train": 16, "validation": 4, "test": 10}
    assert (prepared.label, prepared.name, prepared.fallback_reason) == ("imdb", "imdb.npz", None)
    assert (prepared.num_words, prepared.max_len) == (30, 8)
    assert pickle.loads(pickle.dumps(prepared)) == prepared
    search, test = load_arrays(prepared, "search"), load_arrays(prepared.folder, "test")
    assert (set(search), set(test)) == ({"train", "validation"}, {"test"})
    for part, (x, y) in (search | test).items():
        rows = prepared.sizes[part]
        assert (x.shape, y.shape) == ((rows, 8), (rows,))
        assert x.dtype == y.dtype == np.int32
        assert x.max() < 30
    seen = np.vstack([np.column_stack(arrays) for arrays in search.values()])
    assert sorted(seen.tolist()) == [[0] * 6 + [1, n + 4, y] for n, y in enumerate(labels)]
    with pytest.raises(ValueError, match="split must be one of search, test"):
        load_arrays(prepared, "train")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="read-only"):
        search["train"][0][0, 0] = 5
    with pytest.raises(DataError, match=r"x_train\.npy is not part of a prepared data set"):
        load_arrays(tmp_path, "search")


def test_decoded_texts_encode_to_the_same_rows(tmp_path: Path) -> None:
    ranks = prepare_path(write_npz(tmp_path), num_words=20, max_len=3)
    assert data.load_test_texts(ranks) is None
    assert data.load_vocabulary(ranks) is None
    words = {f"word{rank}": rank for rank in range(1, 41)}
    (tmp_path / "imdb_word_index.json").write_text(json.dumps(words))
    prepared = prepare_path(tmp_path / "imdb.npz", num_words=20, max_len=3)
    texts, vocabulary = data.load_test_texts(prepared), data.load_vocabulary(prepared)
    assert texts is not None
    assert vocabulary == {word: rank + 3 for word, rank in words.items() if rank < 17}
    x, _ = load_arrays(prepared, "test")["test"]
    assert np.array_equal(encode_texts(texts, vocabulary, 3), x)
    lengths = [len(text.split()) + 1 for text in texts]
    assert data.load_test_lengths(prepared).tolist() == lengths, "before they are cut"


def test_vocabulary_knows_only_words_that_are_trained_on(tmp_path: Path) -> None:
    rows = [(f"film word{number}x", "10"[number % 2]) for number in range(100)]
    prepared = prepare_path(write_csv(tmp_path, [("review", "sentiment"), *rows]))
    assert prepared.sizes == {"train": 40, "validation": 10, "test": 50}
    vocabulary = data.load_vocabulary(prepared)
    assert vocabulary is not None
    assert (len(vocabulary), prepared.num_words) == (1 + 40, 1 + 40 + 4)
    x, _ = load_arrays(prepared, "search")["validation"]
    assert (x[:, -2:] == [vocabulary["film"], UNKNOWN]).all()


def test_raw_reviews_keep_their_labels_in_every_form(tmp_path: Path) -> None:
    archive = prepare_path(write_tar(tmp_path), validation_share=0.5)
    folder = prepare_path(write_dir(tmp_path), validation_share=0.5)
    assert archive.sizes == folder.sizes == {"train": 5, "validation": 5, "test": 10}
    texts, vocabulary = data.load_test_texts(archive), data.load_vocabulary(archive)
    assert texts is not None
    assert vocabulary is not None
    x, y = load_arrays(archive, "test")["test"]
    assert [int("fine" in text) for text in texts] == y.tolist()
    assert np.array_equal(encode_texts(texts, vocabulary, 200), x)
    one, other = load_arrays(archive, "search"), load_arrays(folder, "search")
    assert all(np.array_equal(one[part][i], other[part][i]) for part in one for i in (0, 1))
    assert 0 < one["train"][1].sum() < 5, "rows in label order would leave one class out"


@pytest.mark.parametrize("write", [write_npz, write_tar, write_csv])
def test_a_second_call_reads_nothing(tmp_path: Path, write: Any, monkeypatch: Patch) -> None:
    path = write(tmp_path)
    first = prepare_path(path)
    for name in ("read_npz", "read_stanford", "read_csv"):
        monkeypatch.delattr(sources, name)
    assert prepare_path(path) == first
    with pytest.raises(AttributeError, match="has no attribute 'read_"):
        prepare_path(path, max_len=7)


def test_other_content_or_parameters_get_another_folder(tmp_path: Path) -> None:
    folder = write_dir(tmp_path)
    parameters: list[dict[str, Any]]
    parameters = [{}, {"num_words": 50}, {"max_len": 50}, {"validation_share": 0.3}]
    prepared = {prepare_path(folder, **changed).folder for changed in parameters}
    (folder / "train" / "pos" / "0_9.txt").write_text("A better film.")
    prepared.add(prepare_path(folder).folder)
    assert len(prepared) == 5


@pytest.mark.parametrize("lost", ["meta.json", "x_test.npy"])
def test_an_incomplete_folder_is_replaced(tmp_path: Path, lost: str) -> None:
    prepared = prepare_path(write_npz(tmp_path))
    (prepared.folder / lost).unlink()
    assert prepare_path(tmp_path / "imdb.npz") == prepared
    assert len(load_arrays(prepared, "test")["test"][0]) == 10
    assert list((tmp_path / "cache").iterdir()) == [prepared.folder]


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few reviews: none is left for the train"):
        prepare_path(write_csv(tmp_path), validation_share=0.99)
    assert not list((tmp_path / "cache").iterdir())


def test_processes_may_prepare_at_the_same_time(tmp_path: Path) -> None:
    # Not forked: a backend that an earlier test loaded does not survive a fork.
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        results = list(pool.map(prepare_path, [write_tar(tmp_path)] * 8, timeout=60))
    assert all(result == results[0] for result in results)
    assert list((tmp_path / "cache").iterdir()) == [results[0].folder]


def test_parameters_out_of_range_are_refused(tmp_path: Path) -> None:
    wrong = [("num_words", 4), ("max_len", 0), ("validation_share", 0), ("validation_share", 1)]
    for name, value in wrong:
        with pytest.raises(ValueError, match=f"{name} must .*; got {value}"):
            prepare_path(write_npz(tmp_path), **{name: value})


def test_synthetic_reviews_are_named_so_and_short(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(synthetic, "TRAIN_ROWS", 100)
    monkeypatch.setattr(synthetic, "TEST_ROWS", 50)
    source = Source("synthetic", None, "synthetic", fallback_reason="no network")
    prepared = prepare(source, cache_dir=tmp_path)
    assert (prepared.label, prepared.source) == ("synthetic", "synthetic")
    assert (prepared.fallback_reason, prepared.max_len) == ("no network", synthetic.MAX_LEN)
    assert prepared.sizes == {"train": 80, "validation": 20, "test": 50}
    assert prepare(source, cache_dir=tmp_path, max_len=20).max_len == 20


@pytest.mark.imdb
@pytest.mark.full
@pytest.mark.skipif("TUNING_IMDB_DIR" not in os.environ, reason="needs a folder with imdb.npz")
def test_equals_what_keras_loads(tmp_path: Path, monkeypatch: Patch) -> None:
    import keras

    source = resolve("imdb")
    monkeypatch.setattr("keras.src.datasets.imdb.get_file", lambda **_: str(source.path))
    (x_train, y_train), (x_test, y_test) = keras.datasets.imdb.load_data(num_words=10_000)
    prepared = prepare(source, cache_dir=tmp_path)
    parts = (load_arrays(prepared, "search") | load_arrays(prepared, "test")).values()
    rows = keras.utils.pad_sequences([*x_train, *x_test], maxlen=200)
    assert np.array_equal(np.concatenate([x for x, _ in parts]), rows)
    assert np.array_equal(np.concatenate([y for _, y in parts]), [*y_train, *y_test])
    assert data.load_test_lengths(prepared).tolist() == [len(row) for row in x_test]
