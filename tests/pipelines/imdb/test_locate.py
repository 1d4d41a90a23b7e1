"""Which source a data set's name or path means, and what happens where there is none."""

import socket
import sys
import time
from pathlib import Path
from typing import Any, TypeAlias
from unittest.mock import Mock

import pytest

from pipelines.imdb import locate
from pipelines.imdb.errors import DataError
from pipelines.imdb.locate import NPZ_SHA256, Source, find_word_index, resolve
from tests.pipelines.imdb.files import write_dir, write_npz, write_tar

Env: TypeAlias = dict[str, str]
Patch: TypeAlias = pytest.MonkeyPatch


@pytest.fixture
def env(tmp_path: Path, monkeypatch: Patch) -> Env:
    """An environment in which nothing can be found, with an empty cache of Keras."""
    monkeypatch.setattr(socket, "create_connection", Mock(side_effect=OSError("no network")))
    (tmp_path / "keras" / "datasets").mkdir(parents=True)
    return {"KERAS_HOME": str(tmp_path / "keras")}


def go_online(monkeypatch: Patch, get_file: Any) -> None:
    """Makes the host answer, and Keras call a function instead of downloading."""
    monkeypatch.setattr(socket, "create_connection", Mock())
    monkeypatch.setitem(sys.modules, "keras", Mock(**{"utils.get_file": get_file}))


def test_every_form_is_known(tmp_path: Path) -> None:
    assert resolve("synthetic", {}) == Source("synthetic", None, "synthetic")
    folder = write_dir(tmp_path)
    for named in (folder, folder.parent):
        assert resolve(str(named), {}) == Source("folder", folder, "imdb")
    kinds: Any = {"my.npz": "npz", "my.tar.gz": "archive", "my.TGZ": "archive", "my.csv": "csv"}
    for name, kind in kinds.items():
        (tmp_path / name).touch()
        assert resolve(str(tmp_path / name), {}) == Source(kind, tmp_path / name, "imdb")


@pytest.mark.parametrize("name", ["nowhere.npz", "Auto", "", "reviews.parquet"])
def test_other_names_and_forms_are_refused(name: str, tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reviews.parquet").touch()
    problem = "in no known form" if name in ("", "reviews.parquet") else "no data set or path"
    with pytest.raises(DataError, match=f"{name!r} is {problem}; accepted are auto, imdb, synth"):
        resolve(name, {})


@pytest.mark.parametrize("dataset", ["auto", "imdb"])
def test_order_of_the_places(dataset: str, tmp_path: Path, env: Env, monkeypatch: Patch) -> None:
    def get_file(name: str, url: str, file_hash: str, cache_dir: str) -> str:
        assert socket.getdefaulttimeout() == 10
        return f"{cache_dir}/{name} {file_hash}"

    go_online(monkeypatch, get_file)
    downloaded = tmp_path / "keras" / f"imdb.npz {NPZ_SHA256}"
    assert resolve(dataset, env) == Source("npz", downloaded, "imdb")
    cached, archive = tmp_path / "keras" / "datasets" / "imdb.npz", write_tar(tmp_path)
    cached.touch()
    for named in (tmp_path / "missing", archive):
        env["TUNING_IMDB_DIR"] = str(named)
        assert resolve(dataset, env) == Source("npz", cached, "imdb")
    env["TUNING_IMDB_DIR"] = str(tmp_path)
    assert resolve(dataset, env) == Source("archive", archive, "imdb")
    npz = write_npz(tmp_path)
    assert resolve(dataset, env) == Source("npz", npz, "imdb"), "before the archive beside it"


@pytest.mark.parametrize("named", [{}, {"TUNING_IMDB_DIR": "missing"}])
def test_auto_falls_back_and_says_why_where_imdb_fails(env: Env, named: Env) -> None:
    setting = "names 'missing', which holds none" if named else "is not set"
    with pytest.raises(DataError, match=f"IMDB_DIR {setting}.* be reached .no network") as refused:
        resolve("imdb", env | named)
    reason = str(refused.value)
    assert "Point TUNING_IMDB_DIR to a folder that holds" in reason
    assert resolve("auto", env | named) == Source("synthetic", None, "synthetic", reason)


def test_a_failed_download_is_a_data_error(env: Env, monkeypatch: Patch) -> None:
    go_online(monkeypatch, Mock(side_effect=Exception("URL fetch failure")))
    with pytest.raises(DataError, match="URL fetch failure"):
        resolve("imdb", env)
    assert socket.getdefaulttimeout() is None


def test_a_silent_network_costs_only_the_probe(env: Env, monkeypatch: Patch) -> None:
    def connect(*_: object) -> Mock:
        time.sleep(3)
        return Mock()

    monkeypatch.setattr(locate, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(socket, "create_connection", connect)
    started = time.monotonic()
    assert "no answer within 0.1 s" in str(resolve("auto", env).fallback_reason)
    assert time.monotonic() - started < 2


def test_places_of_the_word_index(tmp_path: Path, env: Env, monkeypatch: Patch) -> None:
    npz = write_npz(tmp_path)
    assert find_word_index(npz, NPZ_SHA256, env) is None
    go_online(monkeypatch, lambda name, *_, **__: name)
    assert find_word_index(npz, NPZ_SHA256, env) == Path("imdb_word_index.json")
    cached = tmp_path / "keras" / "datasets" / "imdb_word_index.json"
    cached.touch()
    assert find_word_index(npz, NPZ_SHA256, env) == cached
    assert find_word_index(npz, "0" * 64, env) is None
    beside = tmp_path / "imdb_word_index.json"
    beside.touch()
    assert find_word_index(npz, NPZ_SHA256, env) == find_word_index(npz, "0", env) == beside
