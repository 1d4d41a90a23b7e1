"""Several threads write the record: each name in order, all of it or a word about it."""

import threading
from collections.abc import Callable, Iterator

import pytest

from tuning.tracking.retry import RetryPolicy, TrackerError
from tuning.tracking.writers import Writers, writers_of

NAMES = [f"trial-{number}" for number in range(12)]


@pytest.fixture
def failures() -> list[None]:
    return []


@pytest.fixture
def writers(failures: list[None]) -> Iterator[Writers]:
    writers = Writers(3, RetryPolicy(sleep=lambda _: None), lambda: failures.append(None))
    yield writers
    writers.close()


def test_what_belongs_to_one_name_is_written_in_order(writers: Writers) -> None:
    written: list[tuple[str, int]] = []

    def write(name: str, number: int) -> Callable[[], None]:
        return lambda: written.append((name, number))

    for number in range(50):
        for name in NAMES:
            writers.put(name, write(name, number))
    writers.flush()
    assert len(written) == 50 * len(NAMES)
    for name in NAMES:
        assert [number for other, number in written if other == name] == list(range(50))


def test_one_that_waits_for_the_store_does_not_keep_the_others_waiting(writers: Writers) -> None:
    together = threading.Barrier(3, timeout=30)
    groups: dict[int, str] = {}

    def note(name: str) -> None:
        groups.setdefault(threading.get_ident(), name)

    for name in NAMES:
        writers.put(name, lambda name=name: note(name))  # type: ignore[misc]
    writers.flush()
    assert len(groups) == 3

    def meet() -> None:
        # Passes only when all three threads are in it.
        together.wait()

    for name in groups.values():
        writers.put(name, meet)
    writers.flush()


def test_a_store_that_refuses_is_told_once_and_nothing_is_written_after_it(
    writers: Writers, failures: list[None]
) -> None:
    written: list[str] = []

    def refuse() -> None:
        raise ValueError("no such table")

    for name in NAMES:
        writers.put(name, refuse)
    with pytest.raises(TrackerError, match="no such table"):
        writers.flush()
    for name in NAMES:
        writers.put(name, lambda: written.append("late"))
    with pytest.raises(TrackerError, match="no such table"):
        writers.flush()
    assert not written
    assert len(failures) == 1


def test_closing_writes_what_was_told(failures: list[None]) -> None:
    written: list[str] = []
    writers = Writers(2, RetryPolicy(), lambda: failures.append(None))
    for name in NAMES:
        writers.put(name, lambda name=name: written.append(name))  # type: ignore[misc]
    writers.close()
    writers.close()
    assert sorted(written) == sorted(NAMES)
    assert not failures


@pytest.mark.parametrize(
    ("uri", "several"),
    [
        ("sqlite:///mlflow.db", False),
        ("http://127.0.0.1:5000", True),
        ("https://mlflow.example.org", True),
        ("postgresql+psycopg2://host/db", False),
    ],
)
def test_only_a_server_is_written_by_several(uri: str, several: bool) -> None:
    assert (writers_of(uri) > 1) is several
