"""Coverage-guided fuzzing of everything that reads a file from outside.

``python -m tests.fuzz.loaders npz --seconds 300`` (npz, archive, csv, words or study) needs
``pip install atheris`` and is no part of the test suite. Whatever the bytes, a reader returns or
raises BadInputError; it starts nothing, imports nothing by name, and writes nowhere.
"""

import argparse
import gzip
import io
import json
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports():
    import numpy as np

    from pipelines.imdb.sources import read_csv, read_npz, read_stanford, read_word_index
    from tuning.core.errors import BadInputError
    from tuning.study.file import load_study

PROCESSES = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "socket.")
FILES = ("shutil.", "os.remove", "os.rename", "os.mkdir", "os.symlink", "ctypes.", "exec")
FORBIDDEN = (*PROCESSES, *FILES)
MEMBERS = ("x_train.npy", "y_train.npy", "x_test.npy", "y_test.npy")

_reading = False


class HarmError(BaseException):
    """Something was done that no reader may do."""


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not _reading:
        return
    if event.startswith(FORBIDDEN):
        raise HarmError(f"{event} {arguments}")
    if event == "open":
        mode = arguments[1]
        if isinstance(mode, str) and any(letter in mode for letter in "wax+"):
            raise HarmError(f"{event} {arguments}")


def _members() -> dict[str, bytes]:
    rows = np.empty(4, dtype=object)
    rows[:] = [[1, 5, 7], [1, 2], [1, 9], [1, 3, 3]]
    labels = np.array([0, 1, 0, 1])
    contents = {}
    for name in MEMBERS:
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, rows if name[0] == "x" else labels, allow_pickle=True)
        contents[name] = buffer.getvalue()
    return contents


_MEMBERS = _members()


def _npz(data: bytes, file: Path) -> None:
    """The whole file, or, where a checksum would hide it, the content of one member."""
    which, rest = data[0] % 5, data[1:]
    if which == 4:
        file.write_bytes(rest)
    else:
        with zipfile.ZipFile(file, "w") as archive:
            for number, (name, content) in enumerate(_MEMBERS.items()):
                archive.writestr(name, rest if number == which else content)
    _read(read_npz, file)


def _archive(data: bytes, file: Path) -> None:
    file.write_bytes(gzip.compress(data[1:], 1) if data[0] % 2 else data[1:])
    _read(read_stanford, file)


def _plain(read: Callable[[Path], object]) -> Callable[[bytes, Path], None]:
    def target(data: bytes, file: Path) -> None:
        file.write_bytes(data)
        _read(read, file)

    return target


def _read(read: Callable[[Path], object], file: Path) -> None:
    global _reading
    _reading = True
    try:
        read(file)
    except BadInputError:
        pass
    finally:
        _reading = False


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for split in ("train", "test"):
            for category in ("pos", "neg"):
                info = tarfile.TarInfo(f"aclImdb/{split}/{category}/0_7.txt")
                info.size = 5
                archive.addfile(info, io.BytesIO(b"a bad"))
    return buffer.getvalue()


STUDY = Path(__file__).parents[2] / "pipelines" / "imdb" / "study.yaml"
TARGETS: dict[str, tuple[Callable[[bytes, Path], None], list[bytes]]] = {
    "npz": (_npz, [bytes([n]) + content for n, content in enumerate(_MEMBERS.values())]),
    "archive": (_archive, [b"\x01" + _tar(), b"\x00" + gzip.compress(_tar())]),
    "csv": (_plain(read_csv), [b"review,sentiment\ngood,1\nbad,0\nfine,positive\nno,neg\n"]),
    "words": (_plain(read_word_index), [json.dumps({"the": 1, "and": 2}).encode()]),
    "study": (_plain(load_study), [STUDY.read_bytes()]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    target, seeds = TARGETS[options.target]
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for number, seed in enumerate(seeds):
            (corpus / str(number)).write_bytes(seed)
        file = Path(folder, "input")
        for seed in seeds:
            # What is imported on demand is imported now, unwatched.
            target(seed, file)
        sys.addaudithook(_watch)

        def one(data: bytes) -> None:
            if data:
                target(data, file)

        arguments = [sys.argv[0], f"-max_total_time={options.seconds}", "-max_len=20000"]
        arguments += ["-rss_limit_mb=2500", "-timeout=20", "-print_final_stats=1", str(corpus)]
        atheris.Setup(arguments, one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
