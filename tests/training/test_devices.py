"""GPUs by configuration, as far as a machine without one can tell."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

from tuning.core.errors import BadInputError
from tuning.executors.local import LocalExecutor
from tuning.training import devices
from tuning.training.devices import choose_gpus, gpu_environment, has_gpu, visible_gpus
from tuning.training.messages import WorkerSpec
from tuning.workflow import plan
from tuning.workflow.plan import Options, make_plan

STUDY = Path(__file__).parents[2] / "pipelines/imdb/study.yaml"


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two NVIDIA GPUs, and JAX with its CUDA plugin."""
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(devices, "DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    real = importlib.util.find_spec

    def find_spec(name: str) -> object:
        return SimpleNamespace() if name == "jax_cuda12_plugin" else real(name)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, ("0", "1")),
        ({"CUDA_VISIBLE_DEVICES": "1"}, ("1",)),
        ({"CUDA_VISIBLE_DEVICES": ""}, ()),
        ({"CUDA_VISIBLE_DEVICES": "0,-1,1"}, ("0",)),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8f2a, GPU-11c0"}, ("GPU-8f2a", "GPU-11c0")),
    ],
)
@pytest.mark.usefixtures("two_gpus")
def test_the_gpus_are_those_that_this_process_may_see(
    env: dict[str, str], expected: tuple[str, ...]
) -> None:
    assert visible_gpus(env) == expected
    assert choose_gpus("auto", "jax", env) == expected


@pytest.mark.usefixtures("two_gpus")
def test_gpus_are_chosen_by_option() -> None:
    assert choose_gpus("1", "jax", {}) == ("1",)
    assert choose_gpus("none", "jax", {}) == ()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("2", "no visible GPU has the id '2'; the visible GPUs are 0, 1"),
        ("0,0", "each id once"),
        ("", "no visible GPU has the id ''"),
        ("all", "no visible GPU has the id 'all'"),
    ],
)
@pytest.mark.usefixtures("two_gpus")
def test_a_wrong_choice_is_said(option: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        choose_gpus(option, "jax", {})


def test_a_gpu_needs_a_backend_that_can_use_it(
    two_gpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "can_use_gpus", lambda backend: False)
    assert choose_gpus("auto", "jax", {}) == ()
    with pytest.raises(BadInputError, match="jax is installed here without CUDA"):
        choose_gpus("0", "jax", {})


def test_the_backend_is_one_that_can_use_the_gpus(
    two_gpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "can_use_gpus", lambda backend: backend == "tensorflow")
    monkeypatch.setattr(plan, "_imported_backend", lambda: "")
    assert plan.choose_backend("auto", "auto") == "tensorflow"
    assert plan.choose_backend("auto", "none") == "jax"


def test_a_backend_that_is_imported_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_imported_backend", lambda: "torch")
    assert plan.choose_backend("auto") == "torch"
    monkeypatch.setattr(plan, "_imported_backend", lambda: "numpy")
    assert plan.choose_backend("auto") == "jax", "it cannot train"


def test_each_process_sees_its_own_gpu_and_its_share_of_the_memory() -> None:
    told = gpu_environment(["1"], workers_per_gpu=3)
    assert told["CUDA_VISIBLE_DEVICES"] == "1"
    assert float(told["XLA_PYTHON_CLIENT_MEM_FRACTION"]) * 3 <= 0.9
    assert told["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert has_gpu(told)
    assert gpu_environment([])["CUDA_VISIBLE_DEVICES"] == "-1"
    assert not has_gpu({**told, **gpu_environment([])}), "also not if its parent has one"


@pytest.mark.usefixtures("two_gpus")
def test_who_keeps_jax_on_the_cpu_has_it_there() -> None:
    assert choose_gpus("auto", "jax", {"JAX_PLATFORMS": "cpu"}) == ()
    assert choose_gpus("auto", "jax", {"JAX_PLATFORMS": "cuda,cpu"}) == ("0", "1")
    assert choose_gpus("1", "jax", {"JAX_PLATFORMS": "cpu"}) == ("1",), "that is asked for"


def sleeps(connection: object, spec: WorkerSpec, core: int | None) -> None:
    connection.send((spec.environment, core))  # type: ignore[attr-defined]
    connection.recv()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("workers", "expected"), [(0, ["0", "1", "0", "1"]), (3, ["0", "1", "0"])]
)
@pytest.mark.usefixtures("two_gpus")
def test_workers_are_spread_over_the_gpus(workers: int, expected: list[str]) -> None:
    made = make_plan(
        Options(study=STUDY, workers=workers, settings=("resources.workers_per_gpu=2",))
    )
    assert made.gpus == ("0", "1")
    one_round = [plan.process_environment(made, [gpu]) for gpu in made.gpus]
    spec = WorkerSpec(
        task="a:B",
        task_options={},
        objective=made.study.objective,
        backend="jax",
        folder=".",
        environment={"KEPT": "yes"},
    )
    executor = LocalExecutor(spec, workers, target=sleeps, devices=one_round * 2)
    try:
        seen = [slot.connection.recv() for slot in executor._slots]
    finally:
        executor.close()
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment, _ in seen] == expected
    assert all(environment["KEPT"] == "yes" and core is None for environment, core in seen)


@pytest.mark.parametrize("workers_per_gpu", [0, -1])
def test_a_gpu_is_shared_by_one_worker_or_more(workers_per_gpu: int) -> None:
    options = Options(study=STUDY, settings=(f"resources.workers_per_gpu={workers_per_gpu}",))
    with pytest.raises(BadInputError, match="workers_per_gpu: input should be greater than"):
        make_plan(options)


def test_without_a_gpu_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    made = make_plan(Options(study=STUDY))
    assert made.gpus == ()
    assert plan.process_environment(made, ()) == {}
