"""Uploads of trained models from a node to the artifact store, or otherwise to the driver.

A slot is free as soon as its trial has been trained. One process per node then uploads the model,
and the trial finishes only after the upload. If a node is lost together with a model, the trial
fails like a trial whose worker is lost, and the driver trains it again with the same seed.
"""

import logging
import time
from collections.abc import Collection
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tuning.core.errors import redact
from tuning.core.interfaces import FindUploadTarget, Finished, UploadTarget
from tuning.core.trial import Failure, FailureKind, Trial, TrialResult
from tuning.executors.ray.connection import one_line
from tuning.training.messages import lost_result

# Number of uploaders that have died with a model after which the model counts as lost.
MAX_UPLOADER_LOSSES = 2
# Seconds during which the models of a node that cannot write to the store go to the driver.
VIA_DRIVER_SECONDS = 600.0
# Longest time for which the driver fetches a model before the model counts as lost.
FETCH_SECONDS = 600.0

_log = logging.getLogger(__name__)


class ModelUploader:
    """Ray actor that copies models from its node; it reserves no CPU."""

    def upload(self, file: str, target: UploadTarget) -> None:
        """Uploads a model to the artifact store."""
        target.upload(file)

    def fetch(self, file: str) -> bytes:
        """Returns the contents of a model to the driver."""
        return Path(file).read_bytes()

    def remove(self, file: str) -> None:
        """Removes a model; the driver calls this after the model was copied or is not kept."""
        with suppress(OSError):
            Path(file).unlink()
            Path(file).parent.rmdir()


@dataclass
class _Upload:
    """A trial whose model is still on its node.

    Attributes:
        trial: Trial that has been trained.
        event: Event of the end of the trial, which waits for the upload.
        node: Id of the node.
        shared: Whether the driver can read the file of the model itself.
        via_driver: Whether the model goes to the driver instead of the artifact store.
        target: Future of the upload target; None before the driver was asked for it.
        uploader: Actor of the last call.
        call: Reference to the result of a running call; None if no call runs.
        fetching: Whether the call fetches the model; otherwise it uploads the model.
        started: Start of the call, in seconds of the monotonic clock.
        lost_uploaders: Number of uploaders that died during a call for this model.
    """

    trial: Trial
    event: Finished
    node: str
    shared: bool
    via_driver: bool
    target: "Future[UploadTarget | None] | None" = None
    uploader: Any = None
    call: Any = None
    fetching: bool = False
    started: float = 0.0
    lost_uploaders: int = 0

    @property
    def file(self) -> str:
        return self.event.result.artifacts["model"]

    def wait_for(self, call: Any, uploader: Any, fetching: bool) -> None:
        self.call, self.uploader, self.fetching = call, uploader, fetching
        self.started = time.monotonic()


class PendingUploads:
    """The driver's side of the uploads: the waiting models and the uploaders of all nodes.

    Args:
        folder: Folder of the driver in which each trial has a folder of its name.

    Attributes:
        find_target: Function that returns a future of the upload target of a model; None if all
            models go to the driver.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._uploaders: dict[str, Any] = {}
        self._uploads: list[_Upload] = []
        self._events: list[Finished] = []
        # Nodes that cannot write to the store, and the monotonic time of their next attempt.
        self._via_driver_until: dict[str, float] = {}
        self.find_target: FindUploadTarget | None = None

    def add(self, trial: Trial, event: Finished, node: str, shared: bool) -> None:
        """Adds a trained trial whose artifact ``model`` is a file on a node."""
        upload = _Upload(trial, event, node, shared, via_driver=self.find_target is None)
        if upload.via_driver and shared:
            self._events.append(event)
        else:
            self._uploads.append(upload)

    @property
    def pending(self) -> bool:
        """Whether an event has not been returned by ``read`` yet."""
        return bool(self._uploads or self._events)

    def begin(self) -> list[Any]:
        """Starts the uploads that can start now, and returns the running calls."""
        for upload in [*self._uploads]:
            if upload.call is None:
                self._begin(upload)
            elif upload.fetching and time.monotonic() - upload.started > FETCH_SECONDS:
                self._lose(upload, f"the copy took longer than {FETCH_SECONDS:.0f} s")
        return [upload.call for upload in self._uploads if upload.call is not None]

    def read(self, ended_calls: Collection[Any]) -> list[Finished]:
        """Returns the events of the trials whose uploads have ended.

        Args:
            ended_calls: Calls that have ended since the last time.
        """
        for upload in [*self._uploads]:
            if upload.call in ended_calls:
                self._read(upload)
        events, self._events = self._events, []
        return events

    def fetch_now(self, name: str) -> None:
        """Brings the model of a trial to the driver at once, without the artifact store."""
        for upload in self._uploads:
            if upload.trial.name == name and not upload.via_driver:
                upload.via_driver = True
                if upload.call is not None:
                    self._stop_uploader(upload.node)  # a running upload may hang

    def close(self) -> None:
        """Ends the uploaders."""
        for node in [*self._uploaders]:
            self._stop_uploader(node)

    def _begin(self, upload: _Upload) -> None:
        upload.via_driver |= self._via_driver_until.get(upload.node, 0.0) > time.monotonic()
        if not upload.via_driver:
            # Not in `add`: at that time the driver does not know the trial's last epochs yet.
            if upload.target is None and self.find_target is not None:
                upload.target = self.find_target(upload.trial, upload.event.result)
            if upload.target is None or not upload.target.done():
                return
            if upload.target.exception() is None:
                self._begin_upload(upload, upload.target.result())
                return
            upload.via_driver = True
        if upload.shared:
            self._end(upload, upload.event.result)
            return
        uploader = self._uploader(upload.node)
        upload.wait_for(uploader.fetch.remote(upload.file), uploader, fetching=True)

    def _begin_upload(self, upload: _Upload, target: UploadTarget | None) -> None:
        uploader = self._uploader(upload.node)
        if target is None:  # the model is not kept
            uploader.remove.remote(upload.file)
            self._end_on_node(upload, None)
        else:
            call = uploader.upload.remote(upload.file, target)
            upload.wait_for(call, uploader, fetching=False)

    def _uploader(self, node: str) -> Any:
        if node not in self._uploaders:
            affinity = NodeAffinitySchedulingStrategy(node, soft=False)
            actor = ray.remote(num_cpus=0)(ModelUploader)
            self._uploaders[node] = actor.options(scheduling_strategy=affinity).remote()
        return self._uploaders[node]

    def _stop_uploader(self, node: str) -> None:
        """Ends the uploader of a node; the next uploader repeats its unfinished calls."""
        uploader = self._uploaders.pop(node, None)
        if uploader is not None:
            with suppress(Exception):
                ray.kill(uploader)
        for upload in self._uploads:
            if upload.uploader is uploader:
                upload.call = None

    def _read(self, upload: _Upload) -> None:
        call, upload.call = upload.call, None
        try:
            content = ray.get(call)
        except (ray.exceptions.RayActorError, ray.exceptions.ActorUnschedulableError) as error:
            if self._uploaders.get(upload.node) is upload.uploader:
                del self._uploaders[upload.node]
            upload.lost_uploaders += 1
            if upload.lost_uploaders >= MAX_UPLOADER_LOSSES:
                self._lose(upload, one_line(error))
        except Exception as error:
            cause = one_line(getattr(error, "cause", None) or error)
            if upload.fetching:
                self._lose(upload, cause)
            else:
                self._route_via_driver(upload.node, cause)
                upload.via_driver = True
        else:
            upload.uploader.remove.remote(upload.file)
            self._end_on_node(upload, content)

    def _route_via_driver(self, node: str, cause: str) -> None:
        """Sends the models of a node to the driver for ``VIA_DRIVER_SECONDS``."""
        now = time.monotonic()
        if self._via_driver_until.get(node, 0.0) <= now:
            _log.warning(
                "Ray node %s cannot write to the artifact store; its models go to the driver for "
                "%.0f s: %s",
                node,
                VIA_DRIVER_SECONDS,
                redact(cause),
            )
            self._via_driver_until[node] = now + VIA_DRIVER_SECONDS
            # Other models of the node may wait for uploads that would fail as late.
            self._stop_uploader(node)

    def _end_on_node(self, upload: _Upload, content: bytes | None) -> None:
        """Ends an upload whose model is removed from its node; the driver keeps the content."""
        result = upload.event.result
        artifacts = {**result.artifacts}
        if content is None:
            del artifacts["model"]
        else:
            file = self._folder / upload.event.name / Path(upload.file).name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            artifacts["model"] = str(file)
        self._end(upload, replace(result, artifacts=artifacts))

    def _lose(self, upload: _Upload, cause: str) -> None:
        result = upload.event.result
        if not (upload.shared and Path(upload.file).exists()):
            message = f"the trained model could not be copied from its node: {redact(cause)}"
            failure = Failure(kind=FailureKind.WORKER_LOST, message=message)
            result = lost_result(result.measurements, failure, result.worker)
        self._end(upload, result)

    def _end(self, upload: _Upload, result: TrialResult) -> None:
        self._uploads.remove(upload)
        self._events.append(replace(upload.event, result=result))
