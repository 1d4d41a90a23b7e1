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

from pipelines.imdb import data, sources, synthetic
from pipelines.imdb.data import DataError, Prepared, Source, load_arrays, prepare, resolve
from pipelines.imdb.text import UNKNOWN, encode_text, encode_texts
from tests.pipelines.imdb.files import objects, write_archive, write_csv, write_folder, write_npz

WORDS = {f"word{rank}": rank for rank in range(1, 41)}
Write, Patch = Callable[[Path], Path], pytest.MonkeyPatch


def prepare_path(path: Path, **parameters: float) -> Prepared:
    cache = path.parent / "cache"
    return prepare(resolve(str(path), {}), cache_dir=cache, env={}, **parameters)  # type: ignore[arg-type]


def write_npz_with_words(folder: Path) -> Path:
    (folder / "imdb_word_index.json").write_text(json.dumps(WORDS))
    return write_npz(folder)


def words_of(prepared: Prepared) -> tuple[list[str], dict[str, int]]:
    texts, vocabulary = data.load_test_texts(prepared), data.load_vocabulary(prepared)
    assert texts is not None
    assert vocabulary is not None
    return texts, vocabulary


def test_shapes_sizes_and_types(tmp_path: Path) -> None:
    prepared = prepare_path(write_npz(tmp_path), num_words=30, max_len=8)
    assert prepared.sizes == {"train": 16, "validation": 4, "test": 10}
    assert (prepared.label, prepared.name, prepared.fallback_reason) == ("imdb", "imdb.npz", None)
    assert (prepared.num_words, prepared.max_len) == (30, 8)
    assert pickle.loads(pickle.dumps(prepared)) == prepared
    arrays = load_arrays(prepared, "search") | load_arrays(prepared, "test")
    for part, rows in prepared.sizes.items():
        x, y = arrays[part]
        assert (x.shape, y.shape) == ((rows, 8), (rows,))
        assert x.dtype == y.dtype == np.int32
        assert x.max() < 30
        assert set(y.tolist()) <= {0, 1}
    assert data.load_vocabulary(prepared) is data.load_test_texts(prepared) is None


def test_a_search_cannot_see_the_test_split_nor_write(tmp_path: Path) -> None:
    prepared = prepare_path(write_npz(tmp_path))
    assert set(load_arrays(prepared, "search")) == {"train", "validation"}
    assert set(load_arrays(prepared.folder, "test")) == {"test"}
    with pytest.raises(ValueError, match="split must be one of search, test"):
        load_arrays(prepared, "train")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="read-only"):
        load_arrays(prepared, "search")["train"][0][0, 0] = 5
    with pytest.raises(DataError, match=r"x_train\.npy is not part of a prepared data set"):
        load_arrays(tmp_path, "search")


def test_ranks_keep_their_labels_and_their_words(tmp_path: Path) -> None:
    rows = objects(*[[number + 1] * (number + 1) for number in range(20)])
    labels = (np.arange(20) % 3 == 0).astype(int)
    path = write_npz(tmp_path, {"x_train": rows, "y_train": labels})
    seen = set()
    for x, y in load_arrays(prepare_path(path, max_len=30), "search").values():
        for row, label in zip(x.tolist(), y.tolist(), strict=True):
            rank = row[-1] - 3
            assert row == [0] * (29 - rank) + [1] + [rank + 3] * rank
            assert label == labels[rank - 1]
            seen.add(rank)
    assert seen == set(range(1, 21))


def test_decoded_texts_encode_to_the_same_rows(tmp_path: Path) -> None:
    prepared = prepare_path(write_npz_with_words(tmp_path), num_words=20, max_len=3)
    texts, vocabulary = words_of(prepared)
    assert vocabulary == {word: rank + 3 for word, rank in WORDS.items() if rank < 17}
    x, _ = load_arrays(prepared, "test")["test"]
    assert np.array_equal(encode_texts(texts, vocabulary, 3), x)
    lengths = [len(text.split()) + 1 for text in texts]
    assert data.load_test_lengths(prepared).tolist() == lengths, "before they are cut"


def test_vocabulary_knows_only_words_that_are_trained_on(tmp_path: Path) -> None:
    rows = [(f"film word{number}x", "10"[number % 2]) for number in range(100)]
    prepared = prepare_path(write_csv(tmp_path, [("review", "sentiment"), *rows]))
    assert prepared.sizes == {"train": 40, "validation": 10, "test": 50}
    _, vocabulary = words_of(prepared)
    assert (len(vocabulary), prepared.num_words) == (1 + 40, 1 + 40 + 4)
    x, _ = load_arrays(prepared, "search")["validation"]
    assert (x[:, -1] == UNKNOWN).all()
    assert (x[:, -2] == vocabulary["film"]).all()


def test_raw_reviews_keep_their_labels_in_every_form(tmp_path: Path) -> None:
    archive = prepare_path(write_archive(tmp_path), validation_share=0.5)
    folder = prepare_path(write_folder(tmp_path), validation_share=0.5)
    assert archive.sizes == folder.sizes == {"train": 5, "validation": 5, "test": 10}
    assert archive.folder != folder.folder
    texts, vocabulary = words_of(archive)
    x, y = load_arrays(archive, "test")["test"]
    assert [int("fine" in text) for text in texts] == y.tolist()
    assert x[0].tolist()[-8:] == ([0] * 8 + encode_text(texts[0], vocabulary))[-8:]
    one, other = load_arrays(archive, "search"), load_arrays(folder, "search")
    assert all(np.array_equal(one[part][i], other[part][i]) for part in one for i in (0, 1))
    assert 0 < one["train"][1].sum() < 5, "rows in label order would leave one class out"


@pytest.mark.parametrize("write", [write_npz, write_archive, write_csv])
def test_a_second_call_reads_nothing(tmp_path: Path, write: Write, monkeypatch: Patch) -> None:
    path = write(tmp_path)
    first = prepare_path(path)
    for name in ("read_npz", "read_stanford", "read_csv"):
        monkeypatch.delattr(sources, name)
    assert prepare_path(path) == first
    with pytest.raises(AttributeError, match="has no attribute 'read_"):
        prepare_path(path, max_len=7)


def test_other_content_or_parameters_get_another_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    parameters = [{}, {"num_words": 50}, {"max_len": 50}, {"validation_share": 0.3}]
    digests = {prepare_path(folder, **changed).digest for changed in parameters}
    (folder / "train" / "pos" / "0_9.txt").write_text("A better film.")
    digests.add(prepare_path(folder).digest)
    assert len(digests) == 5
    names = {path.name for path in (tmp_path / "cache").iterdir()}
    assert names == {digest[:16] for digest in digests}
    assert data.load_vocabulary(prepare_path(write_npz(tmp_path))) is None
    words_of(prepare_path(write_npz_with_words(tmp_path)))


@pytest.mark.parametrize("lost", ["meta.json", "x_test.npy"])
def test_an_incomplete_folder_is_replaced(tmp_path: Path, lost: str) -> None:
    prepared = prepare_path(write_npz(tmp_path))
    (prepared.folder / lost).unlink()
    assert prepare_path(tmp_path / "imdb.npz") == prepared
    assert len(load_arrays(prepared, "test")["test"][0]) == 10
    assert list((tmp_path / "cache").iterdir()) == [prepared.folder]


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    rows = [("review", "sentiment"), *[("fine", "pos"), ("dire", "neg")] * 2]
    with pytest.raises(DataError, match="too few reviews: none is left for the train"):
        prepare_path(write_csv(tmp_path, rows), validation_share=0.9)
    assert not list((tmp_path / "cache").iterdir())


def test_processes_may_prepare_at_the_same_time(tmp_path: Path) -> None:
    path = write_archive(tmp_path)
    # Not forked: a backend that an earlier test loaded does not survive a fork.
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        results = list(pool.map(prepare_path, [path] * 8, timeout=60))
    assert all(result == results[0] for result in results)
    assert list((tmp_path / "cache").iterdir()) == [results[0].folder]


def test_parameters_out_of_range_are_refused(tmp_path: Path) -> None:
    wrong = [
        ("num_words", 4),
        ("max_len", 0),
        ("validation_share", 0.0),
        ("validation_share", 1.0),
    ]
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
def test_equals_what_keras_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not os.environ.get("TUNING_IMDB_DIR"):
        pytest.skip("TUNING_IMDB_DIR does not name a folder with imdb.npz")
    import keras
    from keras.src.datasets import imdb as keras_imdb

    source = resolve("imdb")
    monkeypatch.setattr(keras_imdb, "get_file", lambda **_: str(source.path))
    (x_train, y_train), (x_test, y_test) = keras.datasets.imdb.load_data(num_words=10_000)
    prepared = prepare(source, cache_dir=tmp_path)
    search, test = load_arrays(prepared, "search"), load_arrays(prepared, "test")["test"]
    for place, expected in enumerate((keras.utils.pad_sequences(x_train, maxlen=200), y_train)):
        parts = [search[part][place] for part in ("train", "validation")]
        assert np.array_equal(np.concatenate(parts), expected)
    assert np.array_equal(test[0], keras.utils.pad_sequences(x_test, maxlen=200))
    assert np.array_equal(test[1], y_test)
    assert data.load_test_lengths(prepared).tolist() == [len(row) for row in x_test]


@pytest.mark.imdb
def test_the_real_archive_is_read_in_full(tmp_path: Path) -> None:
    archive = Path(os.environ.get("TUNING_IMDB_DIR", os.devnull)) / "aclImdb_v1.tar.gz"
    if not archive.is_file():
        pytest.skip("TUNING_IMDB_DIR does not name a folder with aclImdb_v1.tar.gz")
    prepared = prepare(resolve(str(archive)), cache_dir=tmp_path)
    assert prepared.sizes == {"train": 20_000, "validation": 5_000, "test": 25_000}
    assert 0.45 < load_arrays(prepared, "search")["validation"][1].mean() < 0.55
    _, vocabulary = words_of(prepared)
    assert next(iter(vocabulary)) == "the"
    assert "br" not in vocabulary
    assert prepared.num_words == 10_000
