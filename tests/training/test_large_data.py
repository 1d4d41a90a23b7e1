"""Data that are larger than the memory of a worker: arrays on disk, and data sets that stream."""

import json
import subprocess
import sys

import pytest

from tests.stand_in import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.full]

# Megabytes that a worker may hold, and rows of 4 kB that are three times as large.
MAY_HOLD = 1_000
ROWS = 3 * MAY_HOLD * 250

CODE = """
import json, sys, tempfile
from pathlib import Path

import numpy as np

from tests.factories import make_trial
from tuning.core.trial import CONTINUE
from tuning.data.loading import Loader
from tuning.study.sections import Objective, Training
from tuning.training.fit import train
from tuning.training.keras_process import import_keras, keep_freed_memory
from tuning.training.worker import memory_of

kind, rows, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
keep_freed_memory()
import_keras()
import keras

# A file of holes: it takes no disk, and is read like any other.
x = np.memmap(folder / "x.bin", dtype="float32", mode="w+", shape=(rows, 1_000))
y = (np.arange(rows) % 2).astype("int8")


class Batches(keras.utils.PyDataset):
    def __init__(self, rows):
        super().__init__()
        self.rows = rows

    @property
    def num_batches(self):
        return self.rows // 500

    def __getitem__(self, index):
        chosen = slice(500 * index, 500 * (index + 1))
        return np.array(x[chosen]), y[chosen]


class Large:
    def load(self, split):
        if kind == "mapped":
            return {"train": (x, y), "validation": (x[:1_000], y[:1_000])}
        return {"train": Batches(rows), "validation": Batches(1_000)}

    def build(self, params):
        model = keras.Sequential(
            [keras.layers.Input((1_000,)), keras.layers.Dense(1, activation="sigmoid")]
        )
        model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
        return model


held = []
result = train(
    Large(),
    Loader(Large()).load("search", {}),
    make_trial("large", params={}, epochs=6),
    Objective(),
    Training(batch_size=500),
    lambda measurement: held.append(memory_of()) or CONTINUE,
    folder,
)
print(json.dumps([held, len(result.measurements)]))
"""


@pytest.mark.parametrize("kind", ["mapped", "streamed"])
def test_memory_stays_flat_with_data_of_three_times_its_size(kind: str, tmp_path: object) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, kind, str(ROWS), str(tmp_path)],
        cwd=ROOT,
        env={"KERAS_BACKEND": "jax", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    held, epochs = json.loads(done.stdout.splitlines()[-1])
    assert epochs == 6
    assert max(held) < MAY_HOLD
    # The first epoch compiles; after it nothing grows.
    assert max(held[1:]) <= 1.1 * min(held[1:])
