"""How long an outage of the store is waited out, and what is not waited for."""

from typing import TYPE_CHECKING

import pytest

from tuning.tracking.retry import RetryPolicy, TrackerError, retrying

if TYPE_CHECKING:
    from mlflow import MlflowClient


def away() -> None:
    raise ConnectionError("the server is away")


def test_an_outage_is_waited_out_for_ten_minutes_a_call() -> None:
    waits: list[float] = []
    retry = RetryPolicy(sleep=waits.append)
    for _ in range(2):
        waits.clear()
        with pytest.raises(TrackerError, match="could not be used for 600 s: the server is away"):
            retry(away)
        assert 9.5 * 60 <= sum(waits) <= 10 * 60
        assert max(waits) <= 30, "it is noticed soon when the store is back"


def test_what_no_wait_can_mend_is_raised_at_once() -> None:
    waits: list[float] = []

    def broken() -> None:
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        RetryPolicy(sleep=waits.append)(broken)
    assert not waits


def test_the_operation_gives_its_answer_once_the_store_is_back() -> None:
    outages = iter([True, True, False])

    def read() -> str:
        if next(outages):
            away()
        return "an answer"

    assert RetryPolicy(sleep=lambda seconds: None)(read) == "an answer"


def test_a_row_that_two_processes_create_at_once_is_found_by_the_second_attempt() -> None:
    from sqlalchemy.exc import IntegrityError

    races = iter([True, False])

    def log_inputs() -> str:
        if next(races):
            reason = Exception("UNIQUE constraint failed: datasets.experiment_id, datasets.name")
            raise IntegrityError("INSERT INTO datasets", {}, reason)
        return "logged"

    assert RetryPolicy(sleep=lambda seconds: None)(log_inputs) == "logged"


def test_a_name_that_exists_already_is_an_answer(client: "MlflowClient") -> None:
    from mlflow.exceptions import MlflowException

    waits: list[float] = []
    own = retrying(client, RetryPolicy(sleep=waits.append))
    for create in (own.create_experiment, own.create_registered_model):
        create("twice")
        with pytest.raises(MlflowException, match="already exists"):
            create("twice")
    assert not waits


def test_an_outage_that_mlflow_calls_an_invalid_parameter_is_waited_out_too() -> None:
    from mlflow.exceptions import MlflowException

    outages = iter([True, False])

    def register() -> str:
        try:
            if next(outages):
                away()
        except ConnectionError as error:
            raise MlflowException.invalid_parameter_value("no access to the model") from error
        return "version 1"

    assert RetryPolicy(sleep=lambda seconds: None)(register) == "version 1"
