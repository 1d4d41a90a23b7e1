"""The way of a trained model out of a node: to the artifact store, or else to the driver.

A slot is free as soon as its trial has been trained; meanwhile one process a node takes the model
away. The trial has not finished before that is done, so a node that is lost with a model in it is
the loss of a worker like any other: the trial is trained again with the same seed.
"""

import logging
from collections.abc import Collection
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tuning.errors import redact
from tuning.executors.local import lost_result
from tuning.executors.ray_connection import brief
from tuning.protocols import Destination, Destinations, Finished
from tuning.trial import Failure, FailureKind, Trial

# Of one courier, until the model that it should take is given up.
MAX_TRIES = 2

_log = logging.getLogger(__name__)


class Courier:
    """The far side: an actor that needs no CPU of its own, beside the slots of its node."""

    def upload(self, file: str, destination: Destination) -> None:
        """Takes a model to the artifact store and removes it here."""
        destination.take(file)
        _remove(Path(file))

    def fetch(self, file: str) -> bytes:
        """Gives a model away and removes it here."""
        content = Path(file).read_bytes()
        _remove(Path(file))
        return content


def _remove(file: Path) -> None:
    file.unlink()
    with suppress(OSError):
        file.parent.rmdir()


@dataclass
class _Delivery:
    """A trial whose model is still on its node.

    ``destination`` is open until somebody knows where the model goes; ``question`` while
    ``courier`` is at work. ``shared`` says that the driver sees the file, and ``fetching`` that it
    is the driver who wants it.
    """

    trial: Trial
    event: Finished
    node: str
    shared: bool
    destination: "Future[Destination | None] | None" = None
    courier: Any = None
    question: Any = None
    fetching: bool = False
    tries: int = 0

    @property
    def file(self) -> str:
        return self.event.result.artifacts["model"]


class Deliveries:
    """The near side: what is on its way, and the couriers.

    Args:
        folder: The driver's, where each trial has a folder of its name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._couriers: dict[str, Any] = {}
        self._open: list[_Delivery] = []
        self._cut_off: set[str] = set()
        self.destinations: Destinations | None = None

    def add(self, trial: Trial, event: Finished, node: str, shared: bool) -> None:
        """Takes a finished trial whose artifact ``model`` is a file of a node."""
        fetching = self.destinations is None or node in self._cut_off
        self._open.append(_Delivery(trial, event, node, shared, fetching=fetching))

    def begin(self) -> list[Any]:
        """Sends couriers for what came before; returns the questions that are open."""
        for delivery in self._open:
            if delivery.question is None and not (delivery.fetching and delivery.shared):
                self._begin(delivery)
        return [delivery.question for delivery in self._open if delivery.question is not None]

    def read(self, answered: Collection[Any]) -> list[Finished]:
        """The trials that have finished with these answers, or need none."""
        done = [
            (delivery, event)
            for delivery in self._open
            if (event := self._read(delivery, answered)) is not None
        ]
        for delivery, _ in done:
            self._open.remove(delivery)
        return [event for _, event in done]

    def hurry(self, name: str) -> None:
        """Brings a trial's model to the driver, whatever keeps it from the store."""
        import ray

        for delivery in self._open:
            if delivery.trial.name == name and not delivery.fetching:
                delivery.fetching = True
                if delivery.question is not None:
                    # It may hang; others that it had in hand are taken by the next one.
                    ray.kill(delivery.courier)

    def close(self) -> None:
        """Ends the couriers."""
        import ray

        for courier in self._couriers.values():
            with suppress(Exception):
                ray.kill(courier)

    def _begin(self, delivery: _Delivery) -> None:
        if not delivery.fetching:
            # Not when it was added: the driver had not heard of its last epochs then.
            if delivery.destination is None and self.destinations is not None:
                delivery.destination = self.destinations(delivery.trial, delivery.event.result)
            if delivery.destination is None or not delivery.destination.done():
                return
            destination = delivery.destination.result()
            if destination is not None:
                delivery.courier = self._courier(delivery.node)
                delivery.question = delivery.courier.upload.remote(delivery.file, destination)
                return
            delivery.fetching = True
            if delivery.shared:
                return
        delivery.courier = self._courier(delivery.node)
        delivery.question = delivery.courier.fetch.remote(delivery.file)

    def _courier(self, node: str) -> Any:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        if node not in self._couriers:
            here = NodeAffinitySchedulingStrategy(node, soft=False)
            actor = ray.remote(num_cpus=0)(Courier)
            self._couriers[node] = actor.options(scheduling_strategy=here).remote()
        return self._couriers[node]

    def _read(self, delivery: _Delivery, answered: Collection[Any]) -> Finished | None:
        import ray

        if delivery.fetching and delivery.shared and delivery.question is None:
            return delivery.event
        if delivery.question not in answered:
            return None
        question, delivery.question = delivery.question, None
        try:
            content = ray.get(question)
        except (ray.exceptions.RayActorError, ray.exceptions.ActorUnschedulableError) as error:
            if self._couriers.get(delivery.node) is delivery.courier:
                del self._couriers[delivery.node]
            delivery.tries += 1
            return None if delivery.tries < MAX_TRIES else self._lost(delivery, error)
        except Exception as error:
            if delivery.fetching:
                return self._lost(delivery, error)
            if delivery.node not in self._cut_off:
                _log.warning(
                    "models of a node go through the driver, for it cannot write to the artifact "
                    "store: %s",
                    redact(brief(error)),
                )
            self._cut_off.add(delivery.node)
            delivery.fetching = True
            return None
        return self._delivered(delivery, content)

    def _delivered(self, delivery: _Delivery, content: bytes | None) -> Finished:
        event = delivery.event
        artifacts = dict(event.result.artifacts)
        if content is None:
            del artifacts["model"]
        else:
            file = self._folder / event.name / Path(delivery.file).name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            artifacts["model"] = str(file)
        return replace(event, result=replace(event.result, artifacts=artifacts))

    def _lost(self, delivery: _Delivery, error: Exception) -> Finished:
        event = delivery.event
        message = f"its model was lost with its node: {redact(brief(error))}"
        failure = Failure(kind=FailureKind.WORKER_LOST, message=message)
        result = lost_result(event.result.measurements, failure, event.result.worker)
        return replace(event, result=result)
