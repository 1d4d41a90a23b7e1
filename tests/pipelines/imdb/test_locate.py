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

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing can be found."""
    return {"KERAS_HOME": str(tmp_path / "keras")}


@pytest.fixture
def fake_download(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Makes the host answer, and Keras note its calls instead of downloading."""
    calls: list[dict[str, Any]] = []

    def get_file(**arguments: Any) -> str:
        calls.append(arguments)
        return str(Path(arguments["cache_dir"]) / "datasets" / arguments["fname"])

    monkeypatch.setattr(
        socket, "create_connection", lambda *_, **__: SimpleNamespace(close=lambda: None)
    )
    keras = SimpleNamespace(utils=SimpleNamespace(get_file=get_file))
    monkeypatch.setitem(sys.modules, "keras", keras)
    return calls


def cache_in_keras(env: dict[str, str], name: str) -> Path:
    path = Path(env["KERAS_HOME"]) / "datasets" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    return path


def test_synthetic_needs_nothing() -> None:
    assert resolve("synthetic", {}) == Source("synthetic", None, "synthetic")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("imdb.npz", "npz"),
        ("aclImdb_v1.tar.gz", "archive"),
        ("my.TGZ", "archive"),
        ("a.csv", "csv"),
    ],
)
def test_a_file_is_known_by_its_ending(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    path.touch()
    assert resolve(str(path), {}) == Source(kind, path, "imdb")  # type: ignore[arg-type]


def test_an_unpacked_folder_or_its_parent_may_be_named(write_folder: Write) -> None:
    folder = write_folder()
    assert resolve(str(folder), {}) == Source("folder", folder, "imdb")
    assert resolve(str(folder.parent), {}) == Source("folder", folder, "imdb")


@pytest.mark.parametrize("name", ["nowhere.npz", "Auto", "imbd", ""])
def test_an_unknown_name_is_named_with_what_is_accepted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"{name!r}.*accepted are auto, imdb, synthetic"):
        resolve(name, {})


def test_an_unknown_form_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "reviews.parquet"
    path.touch()
    with pytest.raises(DataError, match=r"reviews\.parquet' is in no known form; accepted are"):
        resolve(str(path), {})


@pytest.mark.parametrize("dataset", ["auto", "imdb"])
def test_the_named_folder_comes_first(
    dataset: str, write_npz: Write, write_archive: Write, env: dict[str, str]
) -> None:
    archive = write_archive()
    cache_in_keras(env, "imdb.npz")
    env["TUNING_IMDB_DIR"] = str(archive.parent)
    assert resolve(dataset, env) == Source("archive", archive, "imdb")
    npz = write_npz()
    assert resolve(dataset, env) == Source("npz", npz, "imdb")


def test_the_cache_of_keras_comes_second(env: dict[str, str], tmp_path: Path) -> None:
    cached = cache_in_keras(env, "imdb.npz")
    env["TUNING_IMDB_DIR"] = str(tmp_path / "missing")
    assert resolve("auto", env) == Source("npz", cached, "imdb")


def test_a_download_comes_third(env: dict[str, str], fake_download: list[dict[str, Any]]) -> None:
    source = resolve("auto", env)
    assert source == Source("npz", Path(env["KERAS_HOME"]) / "datasets" / "imdb.npz", "imdb")
    assert [(call["fname"], call["file_hash"]) for call in fake_download] == [
        ("imdb.npz", NPZ_SHA256)
    ]


def test_auto_falls_back_and_says_why(env: dict[str, str]) -> None:
    source = resolve("auto", env)
    assert (source.kind, source.path, source.label) == ("synthetic", None, "synthetic")
    assert source.fallback_reason is not None
    assert "TUNING_IMDB_DIR is not set" in source.fallback_reason
    assert "cannot be reached (no network in tests)" in source.fallback_reason


def test_a_named_folder_without_reviews_is_named(env: dict[str, str], tmp_path: Path) -> None:
    env["TUNING_IMDB_DIR"] = str(tmp_path / "missing")
    assert "missing', which holds none" in str(resolve("auto", env).fallback_reason)


def test_imdb_does_not_fall_back_and_names_the_cure(env: dict[str, str]) -> None:
    with pytest.raises(DataError, match="Point TUNING_IMDB_DIR to a folder that holds"):
        resolve("imdb", env)


def test_a_failed_download_is_a_data_error(
    env: dict[str, str], fake_download: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> str:
        raise Exception("URL fetch failure")

    monkeypatch.setattr(sys.modules["keras"].utils, "get_file", fail)
    with pytest.raises(DataError, match="URL fetch failure"):
        resolve("imdb", env)
    assert socket.getdefaulttimeout() is None


def test_a_silent_network_costs_only_the_probe(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locate, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: time.sleep(5))
    started = time.monotonic()
    assert "no answer within 0.1 s" in str(resolve("auto", env).fallback_reason)
    assert time.monotonic() - started < 2


def test_the_word_index_beside_the_file_is_its_own(write_npz: Write, env: dict[str, str]) -> None:
    npz = write_npz()
    cache_in_keras(env, "imdb_word_index.json")
    beside = npz.parent / "imdb_word_index.json"
    beside.write_text("{}")
    assert find_word_index(npz, "any digest", env) == beside


def test_the_word_index_of_keras_fits_only_the_file_of_keras(
    write_npz: Write, env: dict[str, str]
) -> None:
    cached = cache_in_keras(env, "imdb_word_index.json")
    assert find_word_index(write_npz(), NPZ_SHA256, env) == cached
    assert find_word_index(write_npz(), "0" * 64, env) is None


def test_the_word_index_is_downloaded_or_absent(
    write_npz: Write, env: dict[str, str], fake_download: list[dict[str, Any]]
) -> None:
    found = find_word_index(write_npz(), NPZ_SHA256, env)
    assert found == Path(env["KERAS_HOME"]) / "datasets" / "imdb_word_index.json"


def test_a_word_index_that_cannot_be_had_is_none(write_npz: Write, env: dict[str, str]) -> None:
    assert find_word_index(write_npz(), NPZ_SHA256, env) is None
