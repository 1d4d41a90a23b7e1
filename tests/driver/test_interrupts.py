"""Ctrl-C once, twice and three times, and the SIGTERM that `mlflow run` sends after it."""

import os
import signal
import threading
import time

import pytest

from tuning.driver.interrupts import SAME_REQUEST_SECONDS, StopSignal, listening


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def test_the_first_ctrl_c_lets_the_epochs_end_and_the_second_does_not(
    capfd: pytest.CaptureFixture[str],
) -> None:
    stop = StopSignal(in_loop=True)
    with listening(stop):
        send(signal.SIGINT)
        assert stop.level == 1
        assert (
            "Stopping after the running epochs; Ctrl-C again stops now" in capfd.readouterr().err
        )
        send(signal.SIGINT)
        assert stop.level == 2
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_a_sigterm_stops_now() -> None:
    stop = StopSignal(in_loop=True)
    with listening(stop):
        send(signal.SIGTERM)
    assert stop.level == 2


def test_the_sigterm_that_follows_a_ctrl_c_is_the_same_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("tuning.driver.interrupts.time.monotonic", lambda: now)
    stop = StopSignal(in_loop=True)
    with listening(stop):
        send(signal.SIGINT)
        now += SAME_REQUEST_SECONDS / 2
        send(signal.SIGTERM)
        assert stop.level == 1
        now += 2 * SAME_REQUEST_SECONDS
        send(signal.SIGTERM)
        assert stop.level == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_where_no_driver_runs_the_command_ends_at_once(number: signal.Signals) -> None:
    with listening(StopSignal()), pytest.raises(KeyboardInterrupt):
        send(number)


def test_the_handlers_of_before_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with listening(StopSignal()):
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_in_another_thread_signals_are_left_alone() -> None:
    seen: list[object] = []

    def listen() -> None:
        with listening(StopSignal()):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_an_error_that_a_signal_has_caused_is_the_interrupt_itself() -> None:
    with pytest.raises(KeyboardInterrupt) as caught, listening(StopSignal()):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except KeyboardInterrupt:
            raise RuntimeError("the transaction is not on the list") from None
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_another_error_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="a defect"), listening(StopSignal()):
        raise RuntimeError("a defect")
