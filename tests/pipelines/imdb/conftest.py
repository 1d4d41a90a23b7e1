"""Small data sets in the forms that the readers accept, and in forms that they must refuse."""

import csv
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def object_array(rows: Sequence[object]) -> np.ndarray:
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def npy_of_pickle(content: bytes, count: int) -> bytes:
    """An .npy file of ``count`` objects whose pickle is ``content``."""
    buffer = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + content


def ranks_of(count: int, seed: int = 0) -> list[list[int]]:
    random = np.random.default_rng(seed)
    return [random.integers(1, 40, random.integers(1, 12)).tolist() for _ in range(count)]


@pytest.fixture
def write_npz(tmp_path: Path) -> Callable[..., Path]:
    """Writes a valid imdb.npz of 20 + 10 reviews, but for the members that are overridden."""

    def write(path: Path | None = None, **overrides: Any) -> Path:
        members: dict[str, Any] = {
            "x_train": object_array(ranks_of(20)),
            "y_train": np.arange(20) % 2,
            "x_test": object_array(ranks_of(10, seed=1)),
            "y_test": np.arange(10) % 2,
        } | overrides
        path = path or tmp_path / "imdb.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                if content is not None:
                    data = content if isinstance(content, bytes) else npy(content)
                    archive.writestr(f"{name}.npy", data)
        return path

    return write


@pytest.fixture
def write_pickled(write_npz: Callable[..., Path]) -> Callable[[object, int], Path]:
    """Writes an imdb.npz whose x_train is the pickle of any object, or a given pickle."""

    def write(content: object, count: int = 20) -> Path:
        data = content if isinstance(content, bytes) else pickle.dumps(content)
        return write_npz(x_train=npy_of_pickle(data, count))

    return write


def stanford_reviews() -> dict[str, str]:
    """Layout path to text, for five reviews of each class in each split."""
    return {
        f"aclImdb/{split}/{category}/{number}_{rating}.txt": (
            f"A {word} film, number {number}.<br /><br />Seen in {split}."
        )
        for split in ("train", "test")
        for category, rating, word in (("pos", 9, "fine"), ("neg", 2, "dire"))
        for number in range(5)
    }


@pytest.fixture
def write_archive(tmp_path: Path) -> Callable[..., Path]:
    def write(
        reviews: dict[str, str | bytes] | None = None, extra: Sequence[tarfile.TarInfo] = ()
    ) -> Path:
        path = tmp_path / "aclImdb_v1.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for info in extra:
                archive.addfile(info)
            for name, text in (stanford_reviews() if reviews is None else reviews).items():
                content = text if isinstance(text, bytes) else text.encode()
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return path

    return write


@pytest.fixture
def write_folder(tmp_path: Path) -> Callable[..., Path]:
    def write(reviews: dict[str, str] | None = None) -> Path:
        for name, text in (stanford_reviews() if reviews is None else reviews).items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        return tmp_path / "aclImdb"

    return write


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[..., Path]:
    def write(
        rows: Sequence[Sequence[str]], header: Sequence[str] = ("review", "sentiment")
    ) -> Path:
        path = tmp_path / "reviews.csv"
        with path.open("w", encoding="utf-8", newline="") as lines:
            csv.writer(lines).writerows([header, *rows])
        return path

    return write


@pytest.fixture
def reviews_by_path() -> dict[str, str]:
    return stanford_reviews()
