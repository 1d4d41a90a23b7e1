"""A study against a tracking server over HTTP, whose files the server keeps."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.losses import Losses, losses, make_folder
from tests.e2e.process import Tune
from tests.e2e.proxy import FaultyProxy
from tests.e2e.server import Server

pytestmark = pytest.mark.slow

PASSWORD, KEY = "s3cret-passw0rd", "AKIA-very-secret-key"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.kill()


@pytest.mark.full
def test_a_whole_study_over_http(server: Server, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "study")
    address = f"http://me:{PASSWORD}@127.0.0.1:{server.port}"
    process = Tune(folder, uri=address, AWS_SECRET_ACCESS_KEY=KEY)
    assert process.end() == 0, process.output
    assert losses(server.address) == Losses()
    check_secrets(server, process.output)


def check_secrets(server: Server, output: str) -> None:
    """Nothing that was printed or kept holds the password or the key."""
    server.kill()
    with sqlite3.connect(server.folder / "server.db") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    files = [*(server.folder / "files").rglob("*"), *server.folder.glob("server.db*")]
    written = [output.encode(), *(file.read_bytes() for file in files if file.is_file())]
    assert len(written) > 20
    for secret in (PASSWORD, KEY):
        assert not any(secret.encode() in content for content in written)


def test_a_server_that_is_killed_and_comes_back(server: Server, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "study")
    process = Tune(folder, uri=server.address)
    for line in ("baseline-seed1", "Confirmation"):
        assert process.until(line), process.output
        server.kill()
        time.sleep(3)
        server.start()
    assert process.end() == 0, process.output
    assert "MLflow's store does not answer" in process.output
    assert losses(server.address) == Losses()


@pytest.mark.full
def test_a_network_that_fails(server: Server, tmp_path: Path) -> None:
    """Every request may fail, be lost on its way back, or be slow."""
    folder = make_folder(tmp_path / "study")
    proxy = FaultyProxy(server.address, share=0.03, seed=7)
    address = f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}"
    process = Tune(folder, uri=address, AWS_SECRET_ACCESS_KEY=KEY)
    code = process.end()
    proxy.close()
    assert code == 0, process.output
    assert sum(proxy.faults.values()) >= 5, proxy.faults
    assert losses(server.address) == Losses()
    assert any("Authorization" in headers for headers in proxy.headers)
    check_secrets(server, process.output)
