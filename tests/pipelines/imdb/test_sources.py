"""The readers: every form is read, the rest is refused, and nothing in any file is executed."""

import io
import os
import pickle
import tarfile
from base64 import encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from pipelines.imdb import sources
from pipelines.imdb.errors import DataError
from pipelines.imdb.sources import read_csv, read_npz, read_stanford, read_word_index
from tests.pipelines.imdb.files import TEXTS, objects, write_csv, write_dir, write_npz, write_tar

Write: TypeAlias = Callable[..., Path]
Patch: TypeAlias = pytest.MonkeyPatch
RANKS = [[number + 1, 300, 70_000] for number in range(20)]
# What Python 2 and an old NumPy wrote for the rows [1, 2] and [3].
OLD_PICKLE = (
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R"
    b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89](](K\x01K\x02e](K\x03eetb."
)
NEW = "aclImdb/train/neg/77_1.txt"
HEADER = ("review", "sentiment")


class Call(tuple[Any, ...]):
    """Pickles as a call: the function, its arguments and, where there is one, the state."""

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple(self)


def npy(content: bytes, descr: str = "|O", shape: str = "(20,), }\n", version: int = 1) -> bytes:
    """An .npy file whose header and content may be wrong."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}".encode()
    return b"\x93NUMPY%c\0" % version + len(header).to_bytes(2, "little") + header + content


def pickled(content: object) -> dict[str, bytes]:
    return {"x_train": npy(pickle.dumps(content))}


def array_of(shape: Any, rows: object, dtype: type = object, made_with: int = 0) -> Any:
    """An array of which the pickle may say anything."""
    state = (1, shape, np.dtype(dtype), False, rows)
    return pickled(Call((objects().__reduce__()[0], (np.ndarray, (made_with,), b"b"), state)))


def second_row(row: object) -> dict[str, object]:
    return {"x_train": objects([1], row, *RANKS[2:])}


def read(path: Path) -> Any:
    return {".npz": read_npz, ".csv": read_csv}.get(path.suffix, read_stanford)(path)


@pytest.mark.parametrize("content", [pickle.dumps(objects(*RANKS), 2), OLD_PICKLE])
def test_members_of_every_age_are_read(tmp_path: Path, content: bytes) -> None:
    rows = [[1, 2], [3]] if content == OLD_PICKLE else RANKS
    labels, buffer = (np.arange(len(rows)) % 2).astype(">u2"), io.BytesIO()
    np.lib.format.write_array(buffer, labels, version=(2, 0))
    members = {"x_train": npy(content, shape=f"({len(rows)},), }}\n")}
    train, _ = read(write_npz(tmp_path, members | {"y_train": buffer.getvalue()}))
    assert [row.tolist() for row in train.rows] == rows
    assert train.labels == labels.tolist()


@pytest.mark.parametrize("function", [os.system, eval, exec, open, getattr, np.load, encode])
def test_callables_are_not_called(tmp_path: Path, monkeypatch: Patch, function: Any) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = {os.system: ("touch executed",), open: ("executed", "w")}
    call = Call((function, arguments.get(function, ("open('executed', 'w')",))))
    for content in (call, objects([1], [call], *RANKS[2:])):
        path = write_npz(tmp_path, pickled(content))
        with pytest.raises(DataError, match=rf"npz: its pickle names .+{function.__name__}; ref"):
            read(path)
    assert not Path("executed").exists()


@pytest.mark.parametrize("name", [b"numpy\ndtype", b"numpy\nndarray", b"_codecs\nencode"])
def test_a_pickle_cannot_change_the_reader(tmp_path: Path, name: bytes) -> None:
    setting_an_attribute = b"\x80\x02c" + name + b"\nN}U\x08__call__K\x01s\x86b."
    with pytest.raises(DataError):
        read_npz(write_npz(tmp_path, {"x_train": npy(setting_an_attribute)}))
    content = npy(pickle.dumps(objects(*RANKS), protocol=2))
    assert read(write_npz(tmp_path, {"x_train": content}))[0].rows[19].tolist() == RANKS[19]


REFUSED: list[tuple[Write, Any, str]] = [
    (write_npz, array_of((20,), RANKS, made_with=2**40), "its pickle is not one flat"),
    (write_npz, array_of((2**40,), RANKS), "its pickle is not one flat"),
    (write_npz, array_of((20, 1), RANKS), "its pickle is not one flat"),
    (write_npz, array_of((20,), b"\1" * 20), "its pickle is not one flat"),
    (write_npz, array_of((20,), RANKS, float), "its pickle is not one flat"),
    (write_npz, pickled(RANKS), "its pickle is not one flat"),
    (write_npz, {"x_train": npy(b"\x80\x02cnumpy\nndarray\n)\x81.")}, "is damaged"),
    (write_npz, pickled(objects(*RANKS[1:])), "19 reviews; its header announces 20"),
    (write_npz, second_row([1.5]), "x_train.npy: review 1 holds a float"),
    (write_npz, second_row([True]), "review 1 holds a bool"),
    (write_npz, second_row((1, 2)), "review 1 is a tuple"),
    (write_npz, second_row([0, 4]), "ranks from 0 to"),
    (write_npz, second_row([2**31 - 3]), "to 2147483645"),
    (write_npz, {"x_train": np.ones(20, int)}, "x_train.npy must be a row of lists"),
    (write_npz, {"x_train": b"\0" * 2**25}, r"x_train\.npy is compressed \d+ times"),
    (write_npz, {"x_test": objects(), "y_test": np.zeros(0, int)}, "x_test.npy holds 0 reviews"),
    (write_npz, {"y_train": np.arange(20) % 2 == 0}, "must be a row of integers; found bool"),
    (write_npz, {"y_train": np.zeros((20, 1), int)}, "of shape"),
    (write_npz, {"y_train": np.arange(20)}, "labels must be 0 or 1; found 2"),
    (write_npz, {"y_train": np.zeros(19, int)}, "train: 20 reviews but 19 labels"),
    (write_npz, {"y_test": npy(b"", version=3)}, r"unsupported .npy version \(3, 0"),
    (write_npz, {"y_test": npy(b"\0" * 80, "<i8", f"({2**40},), }}\n")}, f"the {2**40} labels"),
    # Found by fuzzing: NumPy lets its tokenizer's error through.
    (write_npz, {"y_test": npy(b"", "<i8", "(4 , ")}, "is damaged"),
    (write_npz, {"extra": np.zeros(3)}, "must hold x and y of train and test; found extra.npy"),
    (write_csv, [HEADER, ("fine", "1"), ("so", "neutral" * 9)], "row 2: .*'[neutral]{59}, none"),
    (write_csv, [HEADER, ("fine",)], "row 1: unknown sentiment None"),
    (write_csv, [HEADER, ("12.5", "0")], "row 1: the review is not a text: '12.5'"),
    (write_csv, [HEADER[::-1], ("1",)], "row 1: the review is not a text: None"),
    (write_csv, [HEADER, ("a", "film", "1")], "row 1: more fields than columns; quote"),
    (write_csv, [HEADER, *[("fine", "1")] * 4, ("dire", "0")], "two negative reviews; found 1"),
    (write_csv, [("review", "label")], r"lacks the column 'sentiment'; its columns are \['review"),
    (write_csv, [], "lacks the column 'review'"),
]


@pytest.mark.parametrize(("write", "content", "message"), REFUSED)
def test_refusals_say_why(tmp_path: Path, write: Write, content: Any, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=rf"{path.name}.*{message}"):
        read(path)


@pytest.mark.parametrize("write", [write_npz, write_tar])
def test_a_damaged_file_is_refused(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path)
    content = path.read_bytes()
    for damaged in (b"", b"text", content[:-99], content[:200] + b"damaged" + content[207:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=rf"{path.name} is damaged"):
            read(path)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(sources, "MAX_TOTAL_BYTES", 1_000_000)
    read(write_npz(tmp_path, {"x_train": objects(*[[1]] * 9999), "y_train": np.zeros(9999, int)}))
    with pytest.raises(DataError, match=r"npz: unpacks to 1,[0-9,]+ bytes; at most 1,000,000"):
        read_npz(write_npz(tmp_path, {"x_train": b"\0" * 1_000_000}))
    with pytest.raises(DataError, match=r"gz: unpacks to more than 1,000,000 bytes"):
        read_stanford(write_tar(tmp_path, {**TEXTS, "padding": b"x" * 2_000_000}))


@pytest.mark.parametrize("content", ["[]", "{", '{"a": "b"}', '{"a": true}', "{}"])
def test_other_word_indexes_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "imdb_word_index.json").write_text(content)
    with pytest.raises(DataError, match=r"index\.json(: not a JSON object| is .+JSONDecodeErr)"):
        read_word_index(tmp_path / "imdb_word_index.json")


def test_archive_and_folder_give_the_same_in_whatever_order(tmp_path: Path) -> None:
    train, test = read_stanford(write_tar(tmp_path))
    assert read_stanford(write_dir(tmp_path)) == (train, test)
    outside = [f"/{NEW}", f"x/{NEW}", NEW.replace("neg", "unsup"), NEW.replace("77_1", "readme")]
    outside.append("aclImdb/train/pos/../../../77_9.txt")
    backwards = dict(reversed([*TEXTS.items()])) | dict.fromkeys(outside, b"ignored")
    assert read_stanford(write_tar(tmp_path, backwards)) == (train, test)
    for split, reviews in (("train", train), ("test", test)):
        names = sorted(name for name in TEXTS if split in name)
        assert reviews.rows == [TEXTS[name].decode() for name in names]
        assert reviews.labels == [int("pos" in name) for name in names]


def test_links_and_devices_are_ignored(tmp_path: Path) -> None:
    folder, archive = write_dir(tmp_path), write_tar(tmp_path)
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
        elsewhere = (folder / linked).rename(tmp_path / linked.replace("/", "-"))
        (folder / linked).symlink_to(elsewhere)
        with pytest.raises(DataError, match=f"aclImdb: holds no reviews in {linked}"):
            read_stanford(folder)


@pytest.mark.parametrize("write", [write_tar, write_dir])
@pytest.mark.parametrize("missing", ["train/pos", "train/neg", "test/pos", "test/neg"])
def test_a_missing_class_is_named(tmp_path: Path, write: Write, missing: str) -> None:
    reviews = {name: text for name, text in TEXTS.items() if missing not in name}
    with pytest.raises(DataError, match=rf"aclImdb.* holds no reviews in {missing}"):
        read_stanford(write(tmp_path, reviews))


@pytest.mark.parametrize("write", [write_tar, write_dir])
def test_the_largest_review_and_odd_bytes_are_read(tmp_path: Path, write: Write) -> None:
    largest = b"caf\xe9 noir".ljust(sources.MAX_REVIEW_BYTES)
    train, _ = read_stanford(write(tmp_path, {**TEXTS, NEW: largest}))
    assert any(text.startswith("caf\N{REPLACEMENT CHARACTER} noir ") for text in train.rows)
    with pytest.raises(DataError, match=r"aclImdb.*: .*train/neg/77_1\.txt has 1,048,577 bytes"):
        read_stanford(write(tmp_path, {**TEXTS, NEW: largest + b"x"}))


def test_csv_halves_are_disjoint_balanced_shuffled_and_reproducible(tmp_path: Path) -> None:
    sentiments = ["negative", "positive", "neg", "pos", "0 ", "1", "NEG", "Positive"] * 5
    rows = [("id", word, f'Review "{n}", a film') for n, word in enumerate(sentiments)]
    path = write_csv(tmp_path, [("id", "sentiment", "review"), *rows])
    train, test = read_csv(path)
    assert sum(train.labels) == sum(test.labels) == 10
    assert sorted(train.rows + test.rows) == sorted(text for *_, text in rows)
    assert set(train.rows) != {text for *_, text in rows[:20]}
    assert read_csv(path) == (train, test)
    assert [int(text.split('"')[1]) % 2 for text in train.rows] == train.labels
