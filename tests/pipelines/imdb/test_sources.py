"""The readers: every form is read, the rest is refused, and nothing in any file is executed."""

import gzip
import io
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.imdb import sources
from pipelines.imdb.errors import DataError
from pipelines.imdb.sources import read_csv, read_npz, read_stanford, read_word_index
from tests.pipelines.imdb.files import (
    TEXTS,
    objects,
    write_archive,
    write_csv,
    write_folder,
    write_npz,
)

Write, Patch = Callable[..., Path], pytest.MonkeyPatch
both_forms = pytest.mark.parametrize("write", [write_archive, write_folder])
RANKS = [[number + 1, 300, 70_000] for number in range(20)]
# What Python 2 and an old NumPy wrote for the rows [1, 2] and [3].
OLD_PICKLE = (
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R"
    b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
    b"\x89](](K\x01K\x02e](K\x03eetb."
)
NEW = "aclImdb/train/neg/77_1.txt"
HEADER = ("review", "sentiment")
OBJECT, FLOAT = np.dtype(object), np.dtype(float)


class Call:
    """Pickles as a call: the function, its arguments and, where there is one, the state."""

    def __init__(self, *parts: object) -> None:
        self.parts = parts

    def __reduce__(self) -> tuple[Any, ...]:
        return self.parts


def array_of(*state: object, made_of: tuple[object, ...] = (np.ndarray, (0,), b"b")) -> Call:
    """An object array of which the pickle may say anything."""
    return Call(objects(1).__reduce__()[0], made_of, *([(1, *state)] if state else []))


def npy(content: bytes, descr: str = "|O", shape: str = "(20,), }\n", version: int = 1) -> bytes:
    """An .npy file whose header and content may be wrong."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}".encode()
    return b"\x93NUMPY%c\0" % version + len(header).to_bytes(2, "little") + header + content


def read(path: Path) -> Any:
    return {".npz": read_npz, ".csv": read_csv}.get(path.suffix, read_stanford)(path)


RANKS_READ = {f"protocol {n}": pickle.dumps(objects(*RANKS), protocol=n) for n in (2, 3, 4, 5)}
CORE, OLD_CORE = b"numpy._core.multiarray\n", b"numpy.core.multiarray\n"
RANKS_READ["old name of NumPy's core"] = RANKS_READ["protocol 2"].replace(CORE, OLD_CORE)
RANKS_READ["Python 2"] = OLD_PICKLE


@pytest.mark.parametrize("content", RANKS_READ.values(), ids=RANKS_READ)
def test_pickles_of_every_age_are_read(tmp_path: Path, content: bytes) -> None:
    rows = [[1, 2], [3]] if content == OLD_PICKLE else RANKS
    members = {"x_train": npy(content, shape=f"({len(rows)},), }}\n")}
    train, _ = read(write_npz(tmp_path, members | {"y_train": np.arange(len(rows)) % 2}))
    assert [row.tolist() for row in train.rows] == rows


@pytest.mark.parametrize(("dtype", "version"), [(">i2", (1, 0)), ("u1", (1, 0)), ("i8", (2, 0))])
def test_labels_of_any_integer_type_are_read(tmp_path: Path, dtype: str, version: Any) -> None:
    labels, buffer = (np.arange(20) % 2).astype(dtype), io.BytesIO()
    np.lib.format.write_array(buffer, labels, version=version)
    train, test = read_npz(write_npz(tmp_path, {"y_train": buffer.getvalue()}))
    assert train.labels == labels.tolist()
    assert len(test.rows) == len(test.labels) == 10


@pytest.mark.parametrize("function", [os.system, eval, exec, open, getattr, np.load, np.fromfile])
def test_callables_are_not_called(tmp_path: Path, monkeypatch: Patch, function: Any) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = {os.system: ("touch executed",), open: ("executed", "w")}
    call = Call(function, arguments.get(function, ("open('executed', 'w')",)))
    for content in (call, objects([1], [call], *RANKS[2:])):
        path = write_npz(tmp_path, {"x_train": npy(pickle.dumps(content))})
        with pytest.raises(DataError, match=rf"npz: its pickle names .+{function.__name__}; ref"):
            read(path)
    assert not Path("executed").exists()


@pytest.mark.parametrize("name", [b"numpy\ndtype", b"numpy\nndarray", b"_codecs\nencode"])
def test_a_pickle_cannot_change_the_reader(tmp_path: Path, name: bytes) -> None:
    setting_an_attribute = b"\x80\x02c" + name + b"\nN}U\x08__call__K\x01s\x86b."
    with pytest.raises(DataError):
        read_npz(write_npz(tmp_path, {"x_train": npy(setting_an_attribute)}))
    content = pickle.dumps(array_of((20,), OBJECT, False, RANKS), protocol=2)
    assert read(write_npz(tmp_path, {"x_train": npy(content)}))[0].rows[19].tolist() == RANKS[19]


PICKLES = {
    "huge shape": array_of((20,), OBJECT, False, RANKS, made_of=(np.ndarray, (2**40,), b"b")),
    "numbers": array_of((20,), OBJECT, False, RANKS, made_of=(np.ndarray, (0,), b"d")),
    "other type": array_of((20,), OBJECT, False, RANKS, made_of=(np.dtype, (0,), b"b")),
    "no state": array_of(),
    "count that is not there": array_of((2**40,), OBJECT, False, RANKS),
    "two dimensions": array_of((4, 5), OBJECT, False, RANKS),
    "buffer": array_of((20,), FLOAT, False, b"\0" * 160),
    "list of numbers": array_of((20,), FLOAT, False, RANKS),
    "dtype": np.dtype("i8"),
    "integers": np.arange(20),
    "plain list": RANKS,
    "nothing": b"",
    "cut off": b"\x80\x04\x95",
    "state for None": b"\x80\x04N}b.",
    "new object": b"\x80\x02cnumpy\nndarray\n)\x81.",
    "persistent id": b"\x80\x02K\x01Q.",
}


def ranks(*row: object) -> dict[str, object]:
    return {"x_train": objects([1], list(row), *RANKS[2:])}


REFUSED: list[tuple[Write, Any, str]] = [
    (write_npz, ranks(1.5), "x_train.npy: review 1 holds a float"),
    (write_npz, ranks(True), "review 1 holds a bool"),
    (write_npz, ranks("1"), "review 1 holds a str"),
    (write_npz, ranks([1]), "review 1 holds a list"),
    (write_npz, {"x_train": objects([1], (1, 2), *RANKS[2:])}, "review 1 is a tuple"),
    (write_npz, {"x_train": objects([1], objects([1]), *RANKS[2:])}, "review 1 is a NumpyObject"),
    (write_npz, ranks(0, 4), "ranks from 0 to"),
    (write_npz, ranks(-3), "ranks from -3 to"),
    (write_npz, ranks(2**31 - 3), "to 2147483645"),
    (write_npz, ranks(2**70), "is damaged or cannot be read"),
    (write_npz, {"y_train": np.linspace(0, 1, 20)}, "found float64"),
    (write_npz, {"y_train": np.arange(20) % 2 == 0}, "found bool"),
    (write_npz, {"y_train": np.arange(20)}, "labels must be 0 or 1; found 2"),
    (write_npz, {"y_train": objects(*[0, 1] * 10)}, "y_train.npy must be a row of integers"),
    (write_npz, {"y_train": np.zeros((20, 1), int)}, "of shape"),
    (write_npz, {"y_train": np.zeros(19, int)}, "train: 20 reviews but 19 labels"),
    (write_npz, {"x_train": np.ones((20, 3), int)}, "x_train.npy must be a row of lists"),
    (write_npz, {"x_train": npy(pickle.dumps(objects(*RANKS[1:])))}, "19 reviews; its header ann"),
    (write_npz, {"x_test": objects(), "y_test": np.zeros(0, int)}, "x_test.npy holds 0 reviews"),
    (write_npz, {"y_test": None}, "expected exactly"),
    (write_npz, {"extra": np.zeros(3)}, "found extra.npy"),
    (write_npz, {"y_test": b"not an array"}, "is damaged"),
    (write_npz, {"y_test": npy(b"", version=3)}, r"unsupported .npy version \(3, 0"),
    (write_npz, {"y_test": npy(b"\0" * 80, "<i8", "(9,), }\n")}, "not hold the 9 labels"),
    (write_npz, {"y_test": npy(b"\0" * 80, "<i8", f"({2**40},), }}\n")}, f"the {2**40} labels"),
    # Found by fuzzing: NumPy lets its tokenizer's error through.
    (write_npz, {"y_test": npy(b"", "<i8", "(4 , ")}, "is damaged"),
    (write_npz, {"x_train": b"\0" * 2**25}, r"x_train\.npy is compressed \d+ times"),
    (write_archive, {"something/else.txt": "text"}, "holds no reviews in test/neg"),
    (write_folder, {"aclImdb/else.txt": "text"}, "holds no reviews in test/neg"),
    (write_csv, [HEADER, ("fine", "1"), ("so so", "neutral")], "row 2: unknown sentiment 'neutr"),
    (write_csv, [HEADER, ("fine", "")], "row 1: unknown sentiment ''"),
    (write_csv, [HEADER, ("fine",)], "row 1: unknown sentiment None"),
    (write_csv, [HEADER, ("fine", "long" * 9_999)], "unknown sentiment 'long[^,]{55}, none of"),
    (write_csv, [HEADER, ("", "1")], "row 1: the review is not a text: ''"),
    (write_csv, [HEADER, ("fine", "1"), ("12.5", "0")], "row 2: the review is not a text: '12.5'"),
    (write_csv, [HEADER, ("a", "film", "1")], "row 1: more fields than columns; quote"),
    (write_csv, [HEADER], "at least two negative reviews; found 0"),
    (write_csv, [HEADER, *[("fine", "1")] * 4], "at least two negative reviews; found 0"),
    (write_csv, [HEADER, ("x " * 100_000, "1")], "field larger than field limit"),
    (write_csv, [("review", "label")], r"lacks the column 'sentiment'; its columns are \['review"),
    (write_csv, [], "lacks the column 'review'"),
]


IDS = [message for _, _, message in REFUSED] + list(PICKLES)
for content in PICKLES.values():
    pickled = npy(content if isinstance(content, bytes) else pickle.dumps(content))
    REFUSED.append((write_npz, {"x_train": pickled}, "(its pickle is not one|is damaged)"))


@pytest.mark.parametrize(("write", "content", "message"), REFUSED, ids=IDS)
def test_refusals_say_why(tmp_path: Path, write: Write, content: Any, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=rf"{path.name}.*{message}"):
        read(path)


@pytest.mark.parametrize("write", [write_npz, write_archive])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.95, b"text", gzip.compress(b"text"), None])
def test_a_damaged_file_is_refused(tmp_path: Path, write: Write, kept: Any) -> None:
    path = write(tmp_path)
    content = path.read_bytes()
    flipped = content[:200] + bytes([content[200] ^ 0xFF]) + content[201:]
    cut_off = content[: int(len(content) * kept)] if isinstance(kept, float) else kept
    path.write_bytes(flipped if cut_off is None else cut_off)
    with pytest.raises(DataError, match=rf"{path.name} is damaged"):
        read(path)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(sources, "MAX_TOTAL_BYTES", 1_000_000)
    for write in (write_npz, write_archive):
        read(write(tmp_path))
    with pytest.raises(DataError, match=r"npz: unpacks to 1,[0-9,]+ bytes; at most 1,000,000"):
        read_npz(write_npz(tmp_path, {"x_train": b"\0" * 1_000_000}))
    with pytest.raises(DataError, match=r"gz: unpacks to more than 1,000,000 bytes"):
        read_stanford(write_archive(tmp_path, {**TEXTS, "padding": "x" * 2_000_000}))


@pytest.mark.parametrize("content", ["[]", "{", '{"a": "b"}', '{"a": 1.5}', "{}", '{"a": true}'])
def test_other_word_indexes_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "imdb_word_index.json").write_text(content)
    with pytest.raises(DataError, match=r"imdb_word_index\.json"):
        read_word_index(tmp_path / "imdb_word_index.json")


def test_archive_and_folder_give_the_same_in_whatever_order(tmp_path: Path) -> None:
    train, test = read_stanford(write_archive(tmp_path))
    assert read_stanford(write_folder(tmp_path)) == (train, test)
    backwards = dict(reversed(TEXTS.items()))
    assert read_stanford(write_archive(tmp_path, backwards)) == (train, test)
    for split, reviews in (("train", train), ("test", test)):
        names = sorted(name for name in TEXTS if split in name)
        assert reviews.rows == [TEXTS[name] for name in names]
        assert reviews.labels == [int("pos" in name) for name in names]


def test_what_is_outside_the_layout_is_ignored(tmp_path: Path) -> None:
    expected = read(write_archive(tmp_path))
    for folder in ("/aclImdb/train/pos", "x/aclImdb/train/pos", "other/train/pos"):
        assert read(write_archive(tmp_path, {**TEXTS, f"{folder}/77_9.txt": "x"})) == expected
    for name in ("unsup/77_9.txt", "pos/readme.txt", "pos/../../../77_9.txt"):
        assert read(write_archive(tmp_path, {**TEXTS, f"aclImdb/train/{name}": "x"})) == expected


def test_links_and_devices_are_ignored(tmp_path: Path) -> None:
    folder, archive = write_folder(tmp_path), write_archive(tmp_path)
    expected = read_stanford(folder)
    with tarfile.open(archive, "w:gz") as members:
        members.add(folder, "aclImdb")
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE):
            link = tarfile.TarInfo(NEW)
            link.type, link.linkname = kind, "/etc/passwd"
            members.addfile(link)
    assert read_stanford(archive) == expected
    (tmp_path / NEW).symlink_to(folder / "train" / "neg" / "0_2.txt")
    assert read_stanford(folder) == expected
    for linked in ("train/pos", "test"):
        (folder / linked).rename(tmp_path / "elsewhere")
        (folder / linked).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(DataError, match=f"aclImdb: holds no reviews in {linked}"):
            read_stanford(folder)
        (folder / linked).unlink()
        (tmp_path / "elsewhere").rename(folder / linked)


@both_forms
@pytest.mark.parametrize("missing", ["train/pos", "train/neg", "test/pos", "test/neg"])
def test_a_missing_class_is_named(tmp_path: Path, write: Write, missing: str) -> None:
    reviews = {name: text for name, text in TEXTS.items() if missing not in name}
    with pytest.raises(DataError, match=rf"aclImdb.* holds no reviews in {missing}"):
        read_stanford(write(tmp_path, reviews))


@both_forms
def test_the_largest_review_and_odd_bytes_are_read(tmp_path: Path, write: Write) -> None:
    largest = b"caf\xe9 noir".ljust(sources.MAX_REVIEW_BYTES)
    train, _ = read_stanford(write(tmp_path, {**TEXTS, NEW: largest}))
    assert any(text.startswith("caf\N{REPLACEMENT CHARACTER} noir ") for text in train.rows)
    with pytest.raises(DataError, match=r"aclImdb.*: .*train/neg/77_1\.txt has 1,048,577 bytes"):
        read_stanford(write(tmp_path, {**TEXTS, NEW: largest + b"x"}))


def test_csv_halves_are_disjoint_balanced_shuffled_and_reproducible(tmp_path: Path) -> None:
    rows = [(f'Review "{n}", a film', "positive" if n % 2 else "negative") for n in range(40)]
    path = write_csv(tmp_path, [HEADER, *rows])
    train, test = read_csv(path)
    assert sum(train.labels) == sum(test.labels) == 10
    assert sorted(train.rows + test.rows) == sorted(text for text, _ in rows)
    assert set(train.rows) != {text for text, _ in rows[:20]}
    assert read_csv(path) == (train, test)
    assert [int(text.split('"')[1]) % 2 for text in train.rows] == train.labels


@pytest.mark.parametrize(
    ("positive", "negative"), [("positive", "negative"), ("1", "0"), ("pos", "neg"), ("POS", "0 ")]
)
def test_csv_may_be_written_in_several_ways(tmp_path: Path, positive: str, negative: str) -> None:
    rows = [("id", "sentiment", "review"), *[("0", positive, "good"), ("1", negative, "bad")] * 2]
    for half in read_csv(write_csv(tmp_path, rows)):
        assert sorted(zip(half.rows, half.labels, strict=True)) == [("bad", 0), ("good", 1)]
