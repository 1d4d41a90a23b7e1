"""A worker's Keras comes without what it does not need, and hides nothing from the task."""

import json
import subprocess
import sys

SCRIPT = """
import json, os, sys
from tuning.worker import thread_environment
os.environ.update(thread_environment("jax", ""))
from tuning.keras_import import import_keras, without_tensorflow
BEFORE
import_keras()
import numpy as np, keras
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(np.ones((8, 3)), np.ones(8), verbose=0)
with without_tensorflow():
    model.save(sys.argv[1])
found = [name for name in ("sklearn", "matplotlib", "pandas", "tensorflow") if name in sys.modules]
import pandas, sklearn, matplotlib.pyplot
print(json.dumps({"found": found, "frame": pandas.DataFrame({"a": [1]}).shape, "keras_has_pandas":
    sys.modules["keras.src.trainers.data_adapters.array_slicing"].pandas is not None}))
"""


def run(tmp_path, before=""):
    command = [sys.executable, "-c", SCRIPT.replace("BEFORE", before), str(tmp_path / "m.keras")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_keras_trains_and_saves_without_packages_for_others_and_the_task_still_finds_them(
    tmp_path,
):
    assert run(tmp_path) == {"found": [], "frame": [1, 1], "keras_has_pandas": False}


def test_what_a_process_had_imported_before_stays_keras_too(tmp_path):
    told = run(tmp_path, before="import pandas")
    assert told["found"] == ["pandas"]
    assert told["keras_has_pandas"]
