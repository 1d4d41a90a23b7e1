"""The npz reader: what Keras writes is read, and nothing in any file is executed."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.imdb.errors import DataError
from pipelines.imdb.npz import MEMBERS, read_npz, read_word_index

Write = Callable[..., Path]

# What Python 2 and an old numpy wrote for the rows [1, 2] and [3].
OLD_PICKLE = (
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R"
    b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
    b"\x89](](K\x01K\x02e](K\x03eetb."
)


class Call:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., Any], *arguments: object, state: object = None):
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.parts


def row_of(*rows: object) -> np.ndarray:
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array


def reconstruct() -> Callable[..., Any]:
    return np.empty(1, dtype=object).__reduce__()[0]


def read_rows(path: Path) -> list[list[int]]:
    return [row.tolist() for row in read_npz(path)[0].ranks]


def test_reads_what_numpy_writes(write_npz: Write) -> None:
    path = write_npz(x_train=row_of([5, 1], [], [7]), y_train=np.array([1, 0, 1]))
    train, test = read_npz(path)
    assert [row.tolist() for row in train.ranks] == [[5, 1], [], [7]]
    assert train.labels.tolist() == [1, 0, 1]
    assert len(test.ranks) == len(test.labels) == 10


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reads_every_binary_protocol(write_pickled: Write, protocol: int) -> None:
    rows = [[number + 1, 300, 70_000] for number in range(20)]
    path = write_pickled(pickle.dumps(row_of(*rows), protocol=protocol))
    assert read_rows(path) == rows


def test_reads_the_old_name_of_numpy_core(write_pickled: Write) -> None:
    rows = [[number + 1] for number in range(20)]
    new = pickle.dumps(row_of(*rows), protocol=2)
    old = new.replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n")
    assert old != new
    assert read_rows(write_pickled(old)) == rows


def test_reads_a_pickle_of_python_2(write_npz: Write) -> None:
    header = b"\x93NUMPY\x01\x00\x46\x00" + (
        b"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }".ljust(69) + b"\n"
    )
    path = write_npz(x_train=header + OLD_PICKLE, y_train=np.array([0, 1]))
    assert read_rows(path) == [[1, 2], [3]]


@pytest.mark.parametrize("big_endian", [False, True])
def test_reads_labels_of_any_integer_type(write_npz: Write, big_endian: bool) -> None:
    labels = (np.arange(20) % 2).astype(">i2" if big_endian else "u1")
    assert read_npz(write_npz(y_train=labels))[0].labels.tolist() == labels.tolist()


@pytest.mark.parametrize("function", [os.system, eval, exec, open, getattr, np.load, np.fromfile])
def test_refuses_callables_without_calling_them(
    write_pickled: Write, tmp_path: Path, function: Callable[..., Any]
) -> None:
    marker = tmp_path / "executed"
    argument = {os.system: f"touch {marker}", open: str(marker)}.get(
        function, f"open({str(marker)!r}, 'w')"
    )
    arguments = (argument, "w") if function is open else (argument,)
    path = write_pickled(Call(function, *arguments))
    with pytest.raises(DataError, match=r"imdb\.npz: its pickle names .+; refused"):
        read_npz(path)
    assert not marker.exists()


def test_refuses_a_callable_hidden_in_a_row(write_npz: Write, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    rows = [[1], [Call(os.system, f"touch {marker}")], *[[2]] * 18]
    with pytest.raises(DataError, match="system"):
        read_npz(write_npz(x_train=row_of(*rows)))
    assert not marker.exists()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(Call(reconstruct(), np.ndarray, (2**40,), b"b"), id="huge shape"),
        pytest.param(Call(reconstruct(), np.ndarray, (0,), b"d"), id="numbers"),
        pytest.param(Call(reconstruct(), np.dtype, (0,), b"b"), id="other type"),
        pytest.param(Call(reconstruct(), np.ndarray, (0,), b"b"), id="no state"),
        pytest.param(
            Call(
                reconstruct(),
                np.ndarray,
                (0,),
                b"b",
                state=(1, (2**40,), np.dtype(object), False, [[1]]),
            ),
            id="count that is not there",
        ),
        pytest.param(
            Call(
                reconstruct(),
                np.ndarray,
                (0,),
                b"b",
                state=(1, (20,), np.dtype(float), False, b"\0" * 160),
            ),
            id="buffer",
        ),
        pytest.param(np.dtype("i8"), id="dtype"),
        pytest.param(np.arange(20), id="integers"),
        pytest.param([[1]] * 20, id="plain list"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x80\x04\x95", id="cut off"),
        pytest.param(b"\x80\x04N}b.", id="state for None"),
    ],
)
def test_refuses_other_pickles(write_pickled: Write, content: object) -> None:
    with pytest.raises(DataError, match=r"imdb\.npz"):
        read_npz(write_pickled(content))


@pytest.mark.parametrize("name", [b"numpy\ndtype", b"numpy\nndarray", b"_codecs\nencode"])
def test_a_pickle_cannot_change_the_reader(
    write_pickled: Write, write_npz: Write, name: bytes
) -> None:
    setting_an_attribute = b"\x80\x02c" + name + b"\nN}U\x08__call__K\x01s\x86b."
    with pytest.raises(DataError):
        read_npz(write_pickled(setting_an_attribute))
    assert len(read_npz(write_npz())[0].ranks) == 20


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1.5], "review 1 holds a float"),
        ([True], "review 1 holds a bool"),
        (["1"], "review 1 holds a str"),
        ([[1]], "review 1 holds a list"),
        ((1, 2), "review 1 is a tuple"),
        (row_of([1]), "review 1 is a nested array"),
        ([0, 4], "ranks from 0 to"),
        ([-3], "ranks from -3 to"),
        ([2**31], "to 2147483648"),
        ([2**70], "damaged or not a file of word ranks"),
    ],
)
def test_refuses_reviews_that_are_not_ranks(write_npz: Write, row: object, message: str) -> None:
    rows = row_of([1], row, *[[2]] * 18)
    with pytest.raises(DataError, match=message):
        read_npz(write_npz(x_train=rows))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"y_train": np.linspace(0, 1, 20)}, "float64"),
        ({"y_train": np.arange(20) % 2 == 0}, "bool"),
        ({"y_train": np.arange(20)}, "labels must be 0 or 1; found 2"),
        ({"y_train": row_of(*[0, 1] * 10)}, "y_train.npy must be a row of integers"),
        ({"y_train": np.zeros((20, 1), int)}, "of shape"),
        ({"y_train": np.zeros(19, int)}, "20 reviews but 19 labels"),
        ({"x_train": np.ones((20, 3), int)}, "x_train.npy must be an object array"),
        ({"x_test": row_of(), "y_test": np.zeros(0, int)}, "x_test.npy holds no reviews"),
        ({"y_test": None}, "expected exactly"),
        ({"extra": np.zeros(3)}, "found .*extra.npy"),
        ({"y_test": b"not an array"}, "damaged"),
    ],
)
def test_refuses_other_members(write_npz: Write, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as refused:
        read_npz(write_npz(**overrides))
    assert "imdb.npz" in str(refused.value)


def test_refuses_labels_that_the_header_only_announces(write_npz: Write) -> None:
    header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000,), }"
    content = b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + header + b"\n"
    with pytest.raises(DataError, match="does not hold the 1000000000000 labels"):
        read_npz(write_npz(y_train=content + b"\0" * 80))


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.95])
def test_refuses_a_truncated_file(write_npz: Write, kept: float) -> None:
    path = write_npz()
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else int(kept)])
    with pytest.raises(DataError, match=r"imdb\.npz is damaged"):
        read_npz(path)


def test_refuses_a_flipped_byte(write_npz: Write) -> None:
    path = write_npz()
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"imdb\.npz"):
        read_npz(path)


def test_refuses_a_header_on_which_numpy_stumbles(tmp_path: Path) -> None:
    """Found by fuzzing: NumPy lets its tokenizer's error through."""
    header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (4 , "
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    file = tmp_path / "imdb.npz"
    with zipfile.ZipFile(file, "w") as archive:
        for member in MEMBERS:
            archive.writestr(member, content)
    with pytest.raises(DataError, match=r"imdb\.npz: the header of an array is damaged"):
        read_npz(file)


def test_refuses_a_bomb_before_unpacking_it(write_npz: Write) -> None:
    with pytest.raises(DataError, match=r"x_train\.npy is compressed \d+ times"):
        read_npz(write_npz(x_train=b"\0" * (32 * 2**20)))


def test_refuses_a_size_above_the_cap(write_npz: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_npz()
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    monkeypatch.setattr("pipelines.imdb.npz.MAX_UNCOMPRESSED_BYTES", size)
    read_npz(path)
    monkeypatch.setattr("pipelines.imdb.npz.MAX_UNCOMPRESSED_BYTES", size - 1)
    with pytest.raises(DataError, match="unpacks to"):
        read_npz(path)


@pytest.mark.parametrize("content", ["[]", "{", '{"a": "b"}', '{"a": 1.5}', "{}"])
def test_refuses_other_word_indexes(tmp_path: Path, content: str) -> None:
    path = tmp_path / "imdb_word_index.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"imdb_word_index\.json"):
        read_word_index(path)
