"""The way of a trained model out of a node: to the artifact store, or else to the driver.

A slot is free as soon as its trial has been trained; meanwhile one process a node takes the model
away. The trial has not finished before that is done, so a node that is lost with a model in it is
the loss of a worker like any other: the trial is trained again with the same seed.
"""

import logging
import time
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

# Couriers that die, until the model that they should take is given up.
MAX_TRIES = 2
# For which a node that could not write to the store does not try again.
CUT_OFF_SECONDS = 600.0
# After which a model that cannot be fetched is given up.
FETCH_SECONDS = 600.0

_log = logging.getLogger(__name__)


class Courier:
    """The far side: an actor that needs no CPU of its own, beside the slots of its node."""

    def upload(self, file: str, destination: Destination) -> None:
        """Takes a model to the artifact store."""
        destination.take(file)

    def fetch(self, file: str) -> bytes:
        """Gives a model to the driver."""
        return Path(file).read_bytes()

    def remove(self, file: str) -> None:
        """Removes a model that has been brought away, which is known to the driver only."""
        with suppress(OSError):
            Path(file).unlink()
            Path(file).parent.rmdir()


@dataclass
class _Delivery:
    """A trial whose model is still on its node.

    ``destination`` is open until somebody knows where the model goes; ``question`` while
    ``courier`` is at work, on an upload unless ``fetching``. ``shared`` says that the driver sees
    the file, and ``wanted`` that it goes to the driver.
    """

    trial: Trial
    event: Finished
    node: str
    shared: bool
    wanted: bool
    destination: "Future[Destination | None] | None" = None
    courier: Any = None
    question: Any = None
    fetching: bool = False
    began: float = 0.0
    tries: int = 0

    @property
    def file(self) -> str:
        return self.event.result.artifacts["model"]

    def ask(self, courier: Any, question: Any, fetching: bool) -> None:
        self.courier, self.question, self.fetching = courier, question, fetching
        self.began = time.monotonic()


class Deliveries:
    """The near side: what is on its way, and the couriers.

    Args:
        folder: The driver's, where each trial has a folder of its name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._couriers: dict[str, Any] = {}
        self._open: list[_Delivery] = []
        self._ended: list[Finished] = []
        # Nodes that could not write to the store, and until when they do not try again.
        self._cut_off: dict[str, float] = {}
        self.destinations: Destinations | None = None

    def add(self, trial: Trial, event: Finished, node: str, shared: bool) -> None:
        """Takes a finished trial whose artifact ``model`` is a file of a node."""
        delivery = _Delivery(trial, event, node, shared, wanted=self.destinations is None)
        if delivery.wanted and shared:
            self._ended.append(event)
        else:
            self._open.append(delivery)

    @property
    def pending(self) -> bool:
        """Whether a trial has yet to finish."""
        return bool(self._open or self._ended)

    def begin(self) -> list[Any]:
        """Sends couriers for what came before; returns the questions that are open."""
        for delivery in [*self._open]:
            if delivery.question is None:
                self._begin(delivery)
            elif delivery.fetching and time.monotonic() - delivery.began > FETCH_SECONDS:
                self._lose(delivery, "it could not be fetched")
        return [delivery.question for delivery in self._open if delivery.question is not None]

    def read(self, answered: Collection[Any]) -> list[Finished]:
        """The trials that have finished with these answers, or before."""
        for delivery in [*self._open]:
            if delivery.question in answered:
                self._read(delivery)
        ended, self._ended = self._ended, []
        return ended

    def hurry(self, name: str) -> None:
        """Brings a trial's model to the driver, whatever keeps it from the store."""
        for delivery in self._open:
            if delivery.trial.name == name and not delivery.wanted:
                delivery.wanted = True
                if delivery.question is not None:
                    self._dismiss(delivery.node)  # the upload may hang

    def close(self) -> None:
        """Ends the couriers."""
        for node in [*self._couriers]:
            self._dismiss(node)

    def _begin(self, delivery: _Delivery) -> None:
        delivery.wanted |= self._cut_off.get(delivery.node, 0.0) > time.monotonic()
        if not delivery.wanted:
            # Not when it was added: the driver had not heard of its last epochs then.
            if delivery.destination is None and self.destinations is not None:
                delivery.destination = self.destinations(delivery.trial, delivery.event.result)
            if delivery.destination is None or not delivery.destination.done():
                return
            if delivery.destination.exception() is None:
                self._upload(delivery, delivery.destination.result())
                return
            delivery.wanted = True
        if delivery.shared:
            self._end(delivery, delivery.event)
            return
        courier = self._courier(delivery.node)
        delivery.ask(courier, courier.fetch.remote(delivery.file), fetching=True)

    def _upload(self, delivery: _Delivery, destination: Destination | None) -> None:
        courier = self._courier(delivery.node)
        if destination is None:  # nobody keeps it
            courier.remove.remote(delivery.file)
            self._end(delivery, _without_model(delivery.event))
        else:
            question = courier.upload.remote(delivery.file, destination)
            delivery.ask(courier, question, fetching=False)

    def _courier(self, node: str) -> Any:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        if node not in self._couriers:
            here = NodeAffinitySchedulingStrategy(node, soft=False)
            actor = ray.remote(num_cpus=0)(Courier)
            self._couriers[node] = actor.options(scheduling_strategy=here).remote()
        return self._couriers[node]

    def _dismiss(self, node: str) -> None:
        """Ends a node's courier; what it has in hand is for the next one."""
        import ray

        courier = self._couriers.pop(node, None)
        if courier is not None:
            with suppress(Exception):
                ray.kill(courier)
        for delivery in self._open:
            if delivery.courier is courier:
                delivery.question = None

    def _read(self, delivery: _Delivery) -> None:
        import ray

        question, delivery.question = delivery.question, None
        try:
            content = ray.get(question)
        except (ray.exceptions.RayActorError, ray.exceptions.ActorUnschedulableError) as error:
            if self._couriers.get(delivery.node) is delivery.courier:
                del self._couriers[delivery.node]
            delivery.tries += 1
            if delivery.tries >= MAX_TRIES:
                self._lose(delivery, brief(error))
        except Exception as error:
            cause = brief(getattr(error, "cause", None) or error)
            if delivery.fetching:
                self._lose(delivery, cause)
            else:
                self._cut(delivery.node, cause)
                delivery.wanted = True
        else:
            delivery.courier.remove.remote(delivery.file)
            self._end(delivery, self._delivered(delivery, content))

    def _cut(self, node: str, cause: str) -> None:
        """Has a node's models go through the driver for a while."""
        now = time.monotonic()
        if self._cut_off.get(node, 0.0) <= now:
            _log.warning(
                "models of a node go through the driver, for it cannot write to the artifact "
                "store: %s",
                redact(cause),
            )
            self._cut_off[node] = now + CUT_OFF_SECONDS
            # Others may be waiting behind this one, each for as long.
            self._dismiss(node)

    def _delivered(self, delivery: _Delivery, content: bytes | None) -> Finished:
        event = delivery.event
        if content is None:
            return _without_model(event)
        file = self._folder / event.name / Path(delivery.file).name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        artifacts = {**event.result.artifacts, "model": str(file)}
        return replace(event, result=replace(event.result, artifacts=artifacts))

    def _lose(self, delivery: _Delivery, cause: str) -> None:
        event = delivery.event
        if delivery.shared and Path(delivery.file).exists():
            self._end(delivery, event)
            return
        message = f"its model was lost with its node: {redact(cause)}"
        failure = Failure(kind=FailureKind.WORKER_LOST, message=message)
        result = lost_result(event.result.measurements, failure, event.result.worker)
        self._end(delivery, replace(event, result=result))

    def _end(self, delivery: _Delivery, event: Finished) -> None:
        self._open.remove(delivery)
        self._ended.append(event)


def _without_model(event: Finished) -> Finished:
    artifacts = {kind: file for kind, file in event.result.artifacts.items() if kind != "model"}
    return replace(event, result=replace(event.result, artifacts=artifacts))
