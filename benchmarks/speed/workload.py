"""What every contender trains: six configurations of the flagship model, in this order."""

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

NAMES = ("embedding_dim", "units", "spatial_dropout", "dropout", "recurrent_dropout")
# The notebook's two, and four from over the space of pipelines/imdb/study.yaml.
CONFIGS: list[dict[str, Any]] = [
    dict(zip(NAMES, values, strict=True))
    for values in (
        (32, 32, 0.0, 0.0, 0.0),
        (128, 64, 0.3, 0.2, 0.2),
        (64, 48, 0.2, 0.1, 0.1),
        (96, 32, 0.0, 0.3, 0.0),
        (48, 80, 0.4, 0.0, 0.2),
        (112, 16, 0.1, 0.2, 0.3),
    )
]
BATCH_SIZE = 64
# A metric of a run: seconds in `model.fit`; of ours, all its epochs, which is a little less.
FIT_SECONDS = "fit_seconds"
# A tag of our parent run: how many train at once.
WORKERS = "workers"


@dataclass(frozen=True)
class Job:
    """What a contender is told.

    Attributes:
        dataset: ``imdb``, ``synthetic`` or a path.
        epochs: Of each configuration.
        prepared: Where the arrays are, so that nobody is timed preparing them.
        num_words: Upper bound of the word indexes.
        max_len: Length of the rows.
        uri: An empty MLflow store of the contender's own.
        workers_per_gpu: Of ours, where there is a GPU.
    """

    dataset: str
    epochs: int
    prepared: str
    num_words: int
    max_len: int
    uri: str
    workers_per_gpu: int = 1

    def task(self) -> Any:
        """Builds the models, for all contenders alike."""
        from pipelines.imdb.task import ImdbTask

        return ImdbTask(
            prepared=Path(self.prepared), num_words=self.num_words, max_len=self.max_len
        )


def read_job(description: str | None) -> Job:
    """The job of this process, from its command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--job", required=True, help="a Job as JSON")
    return Job(**json.loads(parser.parse_args().job))


def prepare(dataset: str, epochs: int, folder: Path) -> Job:
    """Encodes the reviews once."""
    from pipelines.imdb import data

    prepared = data.prepare(data.resolve(dataset), cache_dir=folder)
    return Job(
        dataset=dataset,
        epochs=epochs,
        prepared=str(prepared.folder),
        num_words=prepared.num_words,
        max_len=prepared.max_len,
        uri="",
    )


def dumps(job: Job) -> str:
    return json.dumps(asdict(job))


def scratch() -> Path:
    return Path(tempfile.mkdtemp())
