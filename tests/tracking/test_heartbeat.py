"""One driver a study across machines."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tuning.core.errors import BadInputError
from tuning.tracking import keys
from tuning.tracking.heartbeat import Heartbeat, check_abandoned

if TYPE_CHECKING:
    from mlflow import MlflowClient

PLACE = "a-folder"
ELSEWHERE = "elsewhere another-folder 0123 7"


@pytest.fixture
def run_id(client: "MlflowClient") -> str:
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    return str(client.create_run(experiment.experiment_id).info.run_id)


def driver(client: "MlflowClient", run_id: str) -> str | None:
    tag: str | None = client.get_run(run_id).data.tags.get(keys.DRIVER)
    return tag


@contextmanager
def kept(heartbeat: Heartbeat) -> Iterator[None]:
    """Keeps a heartbeat that nobody takes; in its thread, a failure would be a warning only."""
    lost: list[bool] = []
    with heartbeat.kept(on_lost=lambda: lost.append(True)):
        yield
    assert not lost


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_a_driver_gives_signs_of_life_and_goes(client: "MlflowClient", run_id: str) -> None:
    with kept(Heartbeat(client, run_id, PLACE, interval_s=0.01)):
        first = driver(client, run_id)
        assert first is not None
        until(lambda: driver(client, run_id) != first, "it is alive")
    assert driver(client, run_id) is None


@pytest.mark.parametrize("now", [ELSEWHERE, None], ids=["drives", "is done"])
def test_a_driver_that_was_replaced_is_told(
    client: "MlflowClient", run_id: str, now: str | None
) -> None:
    told: list[bool] = []

    def replace_and_look() -> bool:
        # Between the driver's look and its own heartbeat, ours may be lost.
        if now is not None:
            client.set_tag(run_id, keys.DRIVER, now)
        elif driver(client, run_id) is not None:
            client.delete_tag(run_id, keys.DRIVER)
        return bool(told)

    heartbeat = Heartbeat(client, run_id, PLACE, interval_s=0.01)
    with heartbeat.kept(on_lost=lambda: told.append(True)):
        until(replace_and_look, "it is told")
    assert told == [True]
    assert heartbeat.lost
    assert driver(client, run_id) == now, "what the new one said stays"


def test_a_study_that_lives_elsewhere_is_refused(client: "MlflowClient", run_id: str) -> None:
    client.set_tag(run_id, keys.DRIVER, ELSEWHERE)

    def sleep(seconds: float) -> None:
        client.set_tag(run_id, keys.DRIVER, f"{ELSEWHERE}1")

    with pytest.raises(BadInputError, match="is running on elsewhere"):
        check_abandoned(client, run_id, PLACE, sleep=sleep)


def test_a_study_that_died_elsewhere_is_taken_over(client: "MlflowClient", run_id: str) -> None:
    said: list[str] = []
    waited: list[float] = []
    client.set_tag(run_id, keys.DRIVER, ELSEWHERE)
    seen = check_abandoned(client, run_id, PLACE, say=said.append, sleep=waited.append, watch_s=60)
    assert sum(waited) >= 60
    assert "the study was running on elsewhere" in said[0]
    with kept(Heartbeat(client, run_id, PLACE, seen)):
        assert driver(client, run_id) != ELSEWHERE


def test_a_study_that_ends_elsewhere_is_free_at_once(client: "MlflowClient", run_id: str) -> None:
    client.set_tag(run_id, keys.DRIVER, ELSEWHERE)

    def sleep(seconds: float) -> None:
        client.delete_tag(run_id, keys.DRIVER)

    assert check_abandoned(client, run_id, PLACE, sleep=sleep) == ""


def test_of_two_that_saw_it_abandoned_the_second_is_refused(
    client: "MlflowClient", run_id: str
) -> None:
    client.set_tag(run_id, keys.DRIVER, ELSEWHERE)
    late = Heartbeat(client, run_id, "another-folder", ELSEWHERE)
    with kept(Heartbeat(client, run_id, PLACE, ELSEWHERE)):
        first = driver(client, run_id)
        with pytest.raises(BadInputError, match="is running on"), kept(late):
            pytest.fail("it does not begin")
        assert driver(client, run_id) == first


def test_nobody_waits_where_there_is_nothing_to_wait_for(
    client: "MlflowClient", run_id: str
) -> None:
    def sleep(seconds: float) -> None:
        pytest.fail("it waits")

    assert check_abandoned(client, run_id, PLACE, sleep=sleep) == ""
    with kept(Heartbeat(client, run_id, PLACE)):
        sign = driver(client, run_id)
        # For one folder there is a lock: who holds it knows that the other is gone.
        assert check_abandoned(client, run_id, PLACE, sleep=sleep) == sign


def test_a_run_that_is_not_there_is_named(client: "MlflowClient") -> None:
    with pytest.raises(BadInputError, match="there is no run 'nothing'"):
        check_abandoned(client, "nothing", PLACE)
