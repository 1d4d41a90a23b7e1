"""A worker's Keras comes without what it does not need, and hides nothing from the task."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, os, sys
import tests.toy_task
from tuning.core.trial import CONTINUE, Phase, Trial
from tuning.study.sections import Objective
from tuning.training.environment import thread_environment
from tuning.training.messages import WorkerSpec
from tuning.training.worker import TrialWorker

os.environ.update(thread_environment("jax", ""))
FIRST
spec = WorkerSpec(task="tests.toy_task:ToyTask", task_options={}, objective=Objective(),
    backend="jax", folder=sys.argv[1])
session = TrialWorker(spec)
session.warm_up()
trial = Trial(name="t", number=0, params={"units": 4, "rate": 0.1}, phase=Phase.SEARCH,
    searcher="s", seed=1, epochs=1)
result = session.run(trial, lambda measurement: CONTINUE).result
found = [name for name in ("sklearn", "matplotlib", "pandas", "tensorflow") if name in sys.modules]
import pandas, sklearn, matplotlib.pyplot
print(json.dumps({
    "state": result.state.value,
    "model": "model" in result.artifacts,
    "found": found,
    "frame": pandas.DataFrame({"a": [1]}).shape,
}))
"""


def run(tmp_path: Path, first: str = "") -> Any:
    command = [sys.executable, "-c", SCRIPT.replace("FIRST", first), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_worker_trains_without_packages_for_others_and_the_task_still_finds_them(
    tmp_path: Path,
) -> None:
    told = run(tmp_path)
    assert told == {"state": "completed", "model": True, "found": [], "frame": [1, 1]}


def test_what_was_imported_before_is_left_alone(tmp_path: Path) -> None:
    assert run(tmp_path, first="import pandas")["found"] == ["pandas"]
