"""Small files in the forms that the readers accept; each function returns the path it wrote."""

import csv
import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

TEXTS: Mapping[str, bytes] = {
    f"aclImdb/{split}/{category}/{number}_{rating}.txt": f"A {word} film, {number}.".encode()
    for split in ("train", "test")
    for category, rating, word in (("pos", 9, "fine"), ("neg", 2, "dire"))
    for number in range(5)
}
TABLE = [("review", "sentiment"), *[("fine film", "pos"), ("dire film", "neg")] * 10]


def objects(*rows: object) -> np.ndarray:
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array


def write_npz(folder: Path, overrides: Mapping[str, Any] = {}) -> Path:
    """An imdb.npz of 20 + 10 reviews, but for arrays or bytes in place of members."""
    random = np.random.default_rng(0)
    rows = [random.integers(1, 40, random.integers(1, 12)).tolist() for _ in range(30)]
    members: dict[str, Any] = {"x_train": objects(*rows[:20]), "y_train": np.arange(20) % 2}
    members |= {"x_test": objects(*rows[20:]), "y_test": np.arange(10) % 2, **overrides}
    with zipfile.ZipFile(folder / "imdb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            if isinstance(content, np.ndarray):
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, content, allow_pickle=True)
                content = buffer.getvalue()
            archive.writestr(f"{name}.npy", content)
    return folder / "imdb.npz"


def write_tar(folder: Path, reviews: Mapping[str, bytes] = TEXTS) -> Path:
    with tarfile.open(folder / "aclImdb_v1.tar.gz", "w:gz") as archive:
        for name, text in reviews.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    return folder / "aclImdb_v1.tar.gz"


def write_dir(folder: Path, reviews: Mapping[str, bytes] = TEXTS) -> Path:
    for name, text in reviews.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text)
    return folder / "aclImdb"


def write_csv(folder: Path, rows: Iterable[Iterable[str]] = TABLE) -> Path:
    with (folder / "reviews.csv").open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines).writerows(rows)
    return folder / "reviews.csv"
