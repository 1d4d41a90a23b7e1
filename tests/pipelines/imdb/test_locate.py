"""Which source a data set's name or path means, and what happens where there is none."""

import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.imdb import locate
from pipelines.imdb.errors import DataError
from pipelines.imdb.locate import NPZ_SHA256, Source, find_word_index, resolve
from tests.pipelines.imdb.files import write_archive, write_folder, write_npz

Env, Patch = dict[str, str], pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def offline(monkeypatch: Patch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.fixture
def env(tmp_path: Path) -> Env:
    """An environment in which nothing can be found."""
    return {"KERAS_HOME": str(tmp_path / "keras")}


def go_online(monkeypatch: Patch, get_file: Callable[..., str]) -> None:
    """Makes the host answer, and Keras call a function instead of downloading."""
    answer = SimpleNamespace(close=lambda: None)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: answer)
    keras = SimpleNamespace(utils=SimpleNamespace(get_file=get_file))
    monkeypatch.setitem(sys.modules, "keras", keras)


def cache_in_keras(env: Env, name: str) -> Path:
    path = Path(env["KERAS_HOME"]) / "datasets" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    return path


def test_every_form_is_known(tmp_path: Path) -> None:
    assert resolve("synthetic", {}) == Source("synthetic", None, "synthetic")
    folder = write_folder(tmp_path)
    for named in (folder, folder.parent):
        assert resolve(str(named), {}) == Source("folder", folder, "imdb")
    endings: dict[str, Any] = {
        ".npz": "npz",
        ".tar.gz": "archive",
        ".TGZ": "archive",
        ".csv": "csv",
    }
    for ending, kind in endings.items():
        file = tmp_path / f"my{ending}"
        file.touch()
        assert resolve(str(file), {}) == Source(kind, file, "imdb")


@pytest.mark.parametrize("name", ["nowhere.npz", "Auto", "imbd", "", "reviews.parquet"])
def test_other_names_and_forms_are_refused(name: str, tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reviews.parquet").touch()
    problem = "in no known form" if name in ("", "reviews.parquet") else "no data set or path"
    with pytest.raises(DataError, match=f"{name!r} is {problem}; accepted are auto, imdb, synth"):
        resolve(name, {})


@pytest.mark.parametrize("dataset", ["auto", "imdb"])
def test_the_named_folder_comes_before_keras(dataset: str, tmp_path: Path, env: Env) -> None:
    cached = cache_in_keras(env, "imdb.npz")
    archive = write_archive(tmp_path)
    for named, source in (
        (tmp_path, Source("archive", archive, "imdb")),
        (tmp_path / "missing", Source("npz", cached, "imdb")),
        (archive, Source("npz", cached, "imdb")),
    ):
        assert resolve(dataset, env | {"TUNING_IMDB_DIR": str(named)}) == source
    npz = Source("npz", write_npz(tmp_path), "imdb")
    assert resolve(dataset, env | {"TUNING_IMDB_DIR": str(tmp_path)}) == npz


def test_a_download_comes_third(env: Env, monkeypatch: Patch) -> None:
    go_online(
        monkeypatch, lambda name, url, file_hash, cache_dir: f"{cache_dir}/{name} {file_hash}"
    )
    path = Path(f"{env['KERAS_HOME']}/imdb.npz {NPZ_SHA256}")
    assert resolve("auto", env) == Source("npz", path, "imdb")


@pytest.mark.parametrize("named", [None, "missing"])
def test_auto_falls_back_and_says_why_where_imdb_fails(env: Env, named: Any) -> None:
    setting = "names 'missing', which holds none" if named else "is not set"
    env |= {"TUNING_IMDB_DIR": named} if named else {}
    source = resolve("auto", env)
    assert (source.kind, source.path, source.label) == ("synthetic", None, "synthetic")
    with pytest.raises(DataError, match=f"IMDB_DIR {setting}.* be reached .no network") as refused:
        resolve("imdb", env)
    assert str(refused.value) == source.fallback_reason
    assert "Point TUNING_IMDB_DIR to a folder that holds" in source.fallback_reason


def test_a_failed_download_is_a_data_error(env: Env, monkeypatch: Patch) -> None:
    def fail(*_: Any, **__: Any) -> str:
        assert socket.getdefaulttimeout() == 10
        raise Exception("URL fetch failure")

    go_online(monkeypatch, fail)
    with pytest.raises(DataError, match="URL fetch failure"):
        resolve("imdb", env)
    assert socket.getdefaulttimeout() is None


def test_a_silent_network_costs_only_the_probe(env: Env, monkeypatch: Patch) -> None:
    monkeypatch.setattr(locate, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: time.sleep(3))
    started = time.monotonic()
    assert "no answer within 0.1 s" in str(resolve("auto", env).fallback_reason)
    assert time.monotonic() - started < 2


def test_places_of_the_word_index(tmp_path: Path, env: Env, monkeypatch: Patch) -> None:
    npz = write_npz(tmp_path)
    assert find_word_index(npz, NPZ_SHA256, env) is None
    go_online(monkeypatch, lambda name, *_, **__: name)
    assert find_word_index(npz, NPZ_SHA256, env) == Path("imdb_word_index.json")
    cached = cache_in_keras(env, "imdb_word_index.json")
    assert find_word_index(npz, NPZ_SHA256, env) == cached
    assert find_word_index(npz, "0" * 64, env) is None
    beside = tmp_path / "imdb_word_index.json"
    beside.write_text("{}")
    assert find_word_index(npz, NPZ_SHA256, env) == find_word_index(npz, "0", env) == beside
