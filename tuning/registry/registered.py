"""The note under a study's run about the version that the study has registered.

The gate compares the tags and the files of a version with it.
"""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tuning.tracking import keys
from tuning.tracking.predictions import fetch

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Registration:
    """What a study registered.

    Attributes:
        model_id: Id of the logged model.
        version: Number of the version; empty before there is one.
        facts: Tags of the version that come from the record, as they were then.
        measured: Tags of the version that were measured: size, latency and digest of the files.
    """

    model_id: str
    version: str
    facts: Mapping[str, str]
    measured: Mapping[str, str]


def write_registration(
    client: "MlflowClient", run_id: str, name: str, registration: Registration
) -> None:
    """Stores under the study's run what it has registered under a name."""
    client.log_text(run_id, json.dumps(asdict(registration), indent=2), _file(name))


def read_registration(client: "MlflowClient", run_id: str, name: str) -> Registration | None:
    """Returns what a study has registered under a name; None if it says nothing."""
    with tempfile.TemporaryDirectory() as folder:
        file = fetch(client, run_id, _file(name), folder)
        return None if file is None else Registration(**json.loads(file.read_text("utf-8")))


def has_registrations(client: "MlflowClient", run_id: str) -> bool:
    """Whether the study is of a version that notes what it registers; version 0.1 did not."""
    return keys.CODE_FILE in {file.path for file in client.list_artifacts(run_id)}


def _file(name: str) -> str:
    return f"{keys.REGISTERED_FOLDER}/{name}.json"
