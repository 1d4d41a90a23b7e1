"""Training on a GPU: for real where there is one, and no training on the CPU instead."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.factories import make_study, make_trial
from tuning.core.trial import FailureKind, TrialResult, TrialState
from tuning.executors.local import LocalExecutor
from tuning.testing.executors import collect, finished
from tuning.training.devices import can_use_gpus, gpu_environment, visible_gpus
from tuning.training.messages import WorkerSpec

pytestmark = pytest.mark.slow

STUDY = make_study()


def train(folder: Path, gpu: str, backend: str, trials: int = 1) -> list[TrialResult]:
    """Trains the same trial in as many workers, which share the GPU."""
    spec = WorkerSpec(
        task=STUDY.task,
        task_options={},
        objective=STUDY.objective,
        backend=backend,
        folder=str(folder),
        cache_dir=str(folder / "compiled"),
    )
    told = gpu_environment([gpu] if gpu else [], trials)
    executor = LocalExecutor(spec, devices=[told] * trials)
    try:
        for number in range(trials):
            executor.submit(make_trial(f"trial-{number}", epochs=3))
        return [end.result for end in finished(collect(executor, trials)).values()]
    finally:
        executor.close()


@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_a_gpu_that_fails_is_not_replaced_by_the_cpu(tmp_path: Path, backend: str) -> None:
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    (result,) = train(tmp_path, "99", backend)
    assert result.state is TrialState.FAILED
    assert result.failure is not None and result.failure.kind is FailureKind.FATAL
    assert "the GPU cannot be used" in result.failure.message
    assert "--gpus none" in result.failure.message


@pytest.mark.skipif(
    not (visible_gpus() and can_use_gpus("jax")), reason="needs a GPU and JAX with CUDA"
)
def test_two_workers_train_on_one_gpu(tmp_path: Path) -> None:
    (on_cpu,) = train(tmp_path / "cpu", "", "jax")
    for on_gpu in train(tmp_path / "gpu", visible_gpus()[0], "jax", trials=2):
        assert on_gpu.state is TrialState.COMPLETED
        assert on_gpu.value == pytest.approx(on_cpu.value, abs=0.05)
