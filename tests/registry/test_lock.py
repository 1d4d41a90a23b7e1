"""The lock of the registry: one process at a time, on whatever machine, and no lock for ever."""

import json
import subprocess
import sys
import time
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from tuning.core.errors import TuningError
from tuning.registry import lock
from tuning.registry.lock import RegistryLock, registry_lock
from tuning.tracking import keys

if TYPE_CHECKING:
    from mlflow import MlflowClient


@pytest.fixture(autouse=True)
def model(client: "MlflowClient") -> None:
    client.create_registered_model("toy")


def locks(client: "MlflowClient") -> list[str]:
    return [key for key in client.get_registered_model("toy").tags if key.startswith(keys.LOCK)]


def test_it_is_held_and_released(client: "MlflowClient") -> None:
    with registry_lock(client, "toy"):
        assert len(locks(client)) == 1
    assert not locks(client)
    with pytest.raises(ValueError, match="inside"), registry_lock(client, "toy"):
        raise ValueError("inside")
    assert not locks(client)


@pytest.mark.slow
def test_no_two_are_inside(client: "MlflowClient") -> None:
    inside, most, entered = 0, 0, 0

    def enter() -> None:
        nonlocal inside, most, entered
        for _ in range(5):
            with registry_lock(client, "toy"):
                inside += 1
                entered += 1
                most = max(most, inside)
                inside -= 1

    threads = [Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, entered) == (1, 20)


def test_a_process_that_never_ends_is_waited_for_and_named(client: "MlflowClient") -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += 5.0
        other.renew()  # it works on

    other = RegistryLock(client, "toy")
    other.renew()
    with (
        pytest.raises(TuningError, match="another process has been using the registry for 180 s"),
        registry_lock(client, "toy", sleep, lambda: now),
    ):
        pass
    assert len(locks(client)) == 1, "the other one keeps it"


def test_a_lock_of_another_machine_that_does_nothing_is_taken_after_a_minute(
    client: "MlflowClient",
) -> None:
    client.set_registered_model_tag("toy", f"{keys.LOCK}x", json.dumps({"place": "far", "pid": 1}))
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += 5.0

    with registry_lock(client, "toy", sleep, lambda: now):
        assert 60 <= now <= 75
        assert len(locks(client)) == 1


def test_a_lock_of_a_process_that_has_died_here_is_taken_at_once(client: "MlflowClient") -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    holder = {"place": lock._place(), "pid": dead.pid, "started": 1.0}
    client.set_registered_model_tag("toy", f"{keys.LOCK}x", json.dumps(holder))
    waits: list[float] = []
    with registry_lock(client, "toy", waits.append, lambda: 0.0):
        assert len(waits) <= 2


def test_whoever_slept_while_another_took_the_lock_writes_nothing(client: "MlflowClient") -> None:
    with registry_lock(client, "toy") as held:
        for key in locks(client):
            client.delete_registered_model_tag("toy", key)
        with pytest.raises(TuningError, match="paused for so long that another one may have"):
            held.renew()


def test_a_process_that_waits_too_is_not_taken_for_dead(client: "MlflowClient") -> None:
    """It tries and withdraws again and again, and comes in first after a minute."""
    now = 0.0
    other = RegistryLock(client, "toy")
    tags: list[str] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += 20.0
        if now < 140:
            other.renew()
            tags.extend(other.others(include_own=True).values())
        else:
            other.release()

    other.renew()
    with registry_lock(client, "toy", sleep, lambda: now):
        assert now == 140, "it was waited for, and never taken away"
    assert len(set(tags)) == len(tags), "every attempt looks different"


def test_a_clock_that_is_set_takes_no_lock_away(
    client: "MlflowClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    with registry_lock(client, "toy"):
        (value,) = (client.get_registered_model("toy").tags[key] for key in locks(client))
        monkeypatch.setattr("time.time", lambda: 0.0)
        monkeypatch.setattr("psutil.Process.create_time", lambda self: 1.0)
        assert not lock._is_abandoned(value)


@pytest.mark.slow
def test_long_work_is_renewed_meanwhile(
    client: "MlflowClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuning.registry.lock.RENEW_SECONDS", 0.05)
    with registry_lock(client, "toy"):
        (key,) = locks(client)
        first = client.get_registered_model("toy").tags[key]
        time.sleep(0.5)
        assert client.get_registered_model("toy").tags[key] != first
