"""Stores the predictions of the test split as a file of arrays, and reads it."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.core.record import BehaviourCount, Predictions
from tuning.tracking import keys
from tuning.tracking.retry import like, or_none

if TYPE_CHECKING:
    import numpy as np
    from mlflow import MlflowClient


# Arrays of one value per example.
_OPTIONAL = ("lengths", "times", "ends", "groups", "weights")


def write_predictions(client: "MlflowClient", run_id: str, predictions: Predictions) -> None:
    """Stores the predictions of the models for the test split."""
    import numpy as np

    path = Path(keys.PREDICTIONS_FILE)
    arrays = {f"p_{name}": value for name, value in predictions.outputs.items()}
    arrays |= {f"y_{name}": np.asarray(value) for name, value in predictions.yardsticks.items()}
    optional = {name: getattr(predictions, name) for name in _OPTIONAL}
    arrays |= {name: array for name, array in optional.items() if array is not None}
    details = {
        "kind": predictions.kind,
        "steps": predictions.steps,
        "classes": list(predictions.classes),
        "scales": dict(predictions.scales),
        "seen": predictions.seen,
        "quantiles": list(predictions.quantiles),
        "shape": list(predictions.shape),
        "overlap": predictions.overlap,
        "images": {str(index): image for index, image in predictions.images.items()},
        "texts": {str(index): text for index, text in predictions.texts.items()},
        "behaviours": {
            name: [asdict(count) for count in counts]
            for name, counts in predictions.behaviours.items()
        },
    }
    arrays["details"] = np.frombuffer(json.dumps(details).encode(), "u1")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, path.name)
        np.savez_compressed(file, allow_pickle=False, labels=predictions.truth, **arrays)
        client.log_artifact(run_id, str(file), str(path.parent))


def read_predictions(client: "MlflowClient", run_id: str, address: str = "") -> Predictions | None:
    """Returns a study's predictions for the test split; None if the store has none.

    Args:
        client: Client of the MLflow store.
        run_id: Id of the parent run.
        address: Address of the run's artifacts; empty to ask the store for it.
    """
    if not address:
        run = or_none(lambda: client.get_run(run_id))
        if run is None:
            return None
        address = str(run.info.artifact_uri)
    with tempfile.TemporaryDirectory() as folder:
        file = fetch(client, run_id, keys.PREDICTIONS_FILE, folder, address)
        return None if file is None else _load(file)


def _load(file: Path) -> Predictions:
    import numpy as np

    with np.load(file, allow_pickle=False) as arrays:

        def starting_with(prefix: str) -> "dict[str, np.ndarray[Any, Any]]":
            names = [name for name in arrays.files if name.startswith(prefix)]
            return {name.removeprefix(prefix): arrays[name] for name in names}

        details = json.loads(arrays["details"].tobytes()) if "details" in arrays else {}
        return Predictions(
            truth=arrays["labels"],
            outputs=starting_with("p_"),
            # Records of version 0.1 have binary classifiers only, and do not say so.
            kind=details.get("kind", "binary"),
            steps=details.get("steps", 1),
            **{name: arrays.get(name) for name in _OPTIONAL},
            classes=tuple(details.get("classes", ())),
            scales=details.get("scales", {}),
            seen=details.get("seen", 0),
            quantiles=tuple(details.get("quantiles", ())),
            shape=tuple(details.get("shape", ())),
            overlap=details.get("overlap", 1.0),
            images={int(index): image for index, image in details.get("images", {}).items()},
            texts={int(index): text for index, text in details.get("texts", {}).items()},
            behaviours={
                name: tuple(BehaviourCount(**count) for count in counts)
                for name, counts in details.get("behaviours", {}).items()
            },
            yardsticks=starting_with("y_"),
        )


def fetch(
    client: "MlflowClient", run_id: str, path: str, folder: str, address: str = ""
) -> Path | None:
    """Downloads an artifact of a run into a folder; None if the run has no such artifact.

    Args:
        client: Client of the MLflow store; if it retries, so does this function.
        run_id: Id of the run.
        path: Path of the artifact in the run.
        folder: Folder for the file.
        address: Address of the run's artifacts; empty to ask the store for it, which reads the
            whole run.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    place = address or str(client.get_run(run_id).info.artifact_uri)

    def download() -> Path | None:
        repository: Any = get_artifact_repository(place)
        # The list is read first, so that an outage is an error and not a missing file.
        parent = str(Path(path).parent) if "/" in path else None
        if path not in {file.path for file in repository.list_artifacts(parent)}:
            return None
        return Path(repository.download_artifacts(path, folder))

    return like(client, download)
