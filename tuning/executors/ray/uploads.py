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

from tuning.core.errors import redact
from tuning.core.interfaces import FindUploadTarget, Finished, UploadTarget
from tuning.core.trial import Failure, FailureKind, Trial
from tuning.executors.local import lost_result
from tuning.executors.ray.connection import one_line

# Couriers that die, until the model that they should take is given up.
MAX_TRIES = 2
# For which a node that could not write to the store does not try again.
CUT_OFF_SECONDS = 600.0
# After which a model that cannot be fetched is given up.
FETCH_SECONDS = 600.0

_log = logging.getLogger(__name__)


class ModelUploader:
    """The far side: an actor that needs no CPU of its own, beside the slots of its node."""

    def upload(self, file: str, target: UploadTarget) -> None:
        """Takes a model to the artifact store."""
        target.upload(file)

    def fetch(self, file: str) -> bytes:
        """Gives a model to the driver."""
        return Path(file).read_bytes()

    def remove(self, file: str) -> None:
        """Removes a model that has been brought away, which is known to the driver only."""
        with suppress(OSError):
            Path(file).unlink()
            Path(file).parent.rmdir()


@dataclass
class _Upload:
    """A trial whose model is still on its node.

    ``target`` is open until somebody knows where the model goes; ``question`` while
    ``uploader`` is at work, on an upload unless ``fetching``. ``shared`` says that the driver sees
    the file, and ``to_driver`` that it goes to the driver.
    """

    trial: Trial
    event: Finished
    node: str
    shared: bool
    to_driver: bool
    target: "Future[UploadTarget | None] | None" = None
    uploader: Any = None
    question: Any = None
    fetching: bool = False
    began: float = 0.0
    tries: int = 0

    @property
    def file(self) -> str:
        return self.event.result.artifacts["model"]

    def ask(self, uploader: Any, question: Any, fetching: bool) -> None:
        self.uploader, self.question, self.fetching = uploader, question, fetching
        self.began = time.monotonic()


class PendingUploads:
    """The near side: what is on its way, and the uploaders.

    Args:
        folder: The driver's, where each trial has a folder of its name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._uploaders: dict[str, Any] = {}
        self._open: list[_Upload] = []
        self._ended: list[Finished] = []
        # Nodes that could not write to the store, and until when they do not try again.
        self._cut_off: dict[str, float] = {}
        self.find_target: FindUploadTarget | None = None

    def add(self, trial: Trial, event: Finished, node: str, shared: bool) -> None:
        """Takes a finished trial whose artifact ``model`` is a file of a node."""
        upload = _Upload(trial, event, node, shared, to_driver=self.find_target is None)
        if upload.to_driver and shared:
            self._ended.append(event)
        else:
            self._open.append(upload)

    @property
    def pending(self) -> bool:
        """Whether a trial has yet to finish."""
        return bool(self._open or self._ended)

    def begin(self) -> list[Any]:
        """Sends uploaders for what came before; returns the questions that are open."""
        for upload in [*self._open]:
            if upload.question is None:
                self._begin(upload)
            elif upload.fetching and time.monotonic() - upload.began > FETCH_SECONDS:
                self._lose(upload, "it could not be fetched")
        return [upload.question for upload in self._open if upload.question is not None]

    def read(self, answered: Collection[Any]) -> list[Finished]:
        """The trials that have finished with these answers, or before."""
        for upload in [*self._open]:
            if upload.question in answered:
                self._read(upload)
        ended, self._ended = self._ended, []
        return ended

    def fetch_now(self, name: str) -> None:
        """Brings a trial's model to the driver, whatever keeps it from the store."""
        for upload in self._open:
            if upload.trial.name == name and not upload.to_driver:
                upload.to_driver = True
                if upload.question is not None:
                    self._stop_uploader(upload.node)  # the upload may hang

    def close(self) -> None:
        """Ends the uploaders."""
        for node in [*self._uploaders]:
            self._stop_uploader(node)

    def _begin(self, upload: _Upload) -> None:
        upload.to_driver |= self._cut_off.get(upload.node, 0.0) > time.monotonic()
        if not upload.to_driver:
            # Not when it was added: the driver had not heard of its last epochs then.
            if upload.target is None and self.find_target is not None:
                upload.target = self.find_target(upload.trial, upload.event.result)
            if upload.target is None or not upload.target.done():
                return
            if upload.target.exception() is None:
                self._begin_upload(upload, upload.target.result())
                return
            upload.to_driver = True
        if upload.shared:
            self._end(upload, upload.event)
            return
        uploader = self._uploader(upload.node)
        upload.ask(uploader, uploader.fetch.remote(upload.file), fetching=True)

    def _begin_upload(self, upload: _Upload, target: UploadTarget | None) -> None:
        uploader = self._uploader(upload.node)
        if target is None:  # nobody keeps it
            uploader.remove.remote(upload.file)
            self._end(upload, _without_model(upload.event))
        else:
            question = uploader.upload.remote(upload.file, target)
            upload.ask(uploader, question, fetching=False)

    def _uploader(self, node: str) -> Any:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        if node not in self._uploaders:
            here = NodeAffinitySchedulingStrategy(node, soft=False)
            actor = ray.remote(num_cpus=0)(ModelUploader)
            self._uploaders[node] = actor.options(scheduling_strategy=here).remote()
        return self._uploaders[node]

    def _stop_uploader(self, node: str) -> None:
        """Ends a node's uploader; what it has in hand is for the next one."""
        import ray

        uploader = self._uploaders.pop(node, None)
        if uploader is not None:
            with suppress(Exception):
                ray.kill(uploader)
        for upload in self._open:
            if upload.uploader is uploader:
                upload.question = None

    def _read(self, upload: _Upload) -> None:
        import ray

        question, upload.question = upload.question, None
        try:
            content = ray.get(question)
        except (ray.exceptions.RayActorError, ray.exceptions.ActorUnschedulableError) as error:
            if self._uploaders.get(upload.node) is upload.uploader:
                del self._uploaders[upload.node]
            upload.tries += 1
            if upload.tries >= MAX_TRIES:
                self._lose(upload, one_line(error))
        except Exception as error:
            cause = one_line(getattr(error, "cause", None) or error)
            if upload.fetching:
                self._lose(upload, cause)
            else:
                self._cut(upload.node, cause)
                upload.to_driver = True
        else:
            upload.uploader.remove.remote(upload.file)
            self._end(upload, self._arrived(upload, content))

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
            self._stop_uploader(node)

    def _arrived(self, upload: _Upload, content: bytes | None) -> Finished:
        event = upload.event
        if content is None:
            return _without_model(event)
        file = self._folder / event.name / Path(upload.file).name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        artifacts = {**event.result.artifacts, "model": str(file)}
        return replace(event, result=replace(event.result, artifacts=artifacts))

    def _lose(self, upload: _Upload, cause: str) -> None:
        event = upload.event
        if upload.shared and Path(upload.file).exists():
            self._end(upload, event)
            return
        message = f"its model was lost with its node: {redact(cause)}"
        failure = Failure(kind=FailureKind.WORKER_LOST, message=message)
        result = lost_result(event.result.measurements, failure, event.result.worker)
        self._end(upload, replace(event, result=result))

    def _end(self, upload: _Upload, event: Finished) -> None:
        self._open.remove(upload)
        self._ended.append(event)


def _without_model(event: Finished) -> Finished:
    artifacts = {kind: file for kind, file in event.result.artifacts.items() if kind != "model"}
    return replace(event, result=replace(event.result, artifacts=artifacts))
