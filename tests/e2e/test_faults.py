"""Disks that are full or read-only, and many studies at once: what is lost, and what is said."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.losses import check_whole, make_folder
from tests.e2e.process import Tune

pytestmark = pytest.mark.slow

Mount = Callable[[Path, str], Path]


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mounts small file systems, where this user may."""
    mounted: list[Path] = []

    def mount(folder: Path, size: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no mount command")
        if done.returncode:
            pytest.skip(f"this user may not mount a file system: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in reversed(mounted):
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Fills a disk to its last byte."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(4096))
        except OSError:
            return ballast


def test_a_full_disk_under_mlflow_is_waited_out(mount: Mount, tmp_path: Path) -> None:
    folder = make_folder(mount(tmp_path / "small", "8m"))
    process = Tune(folder, cache=tmp_path / "cache")
    assert process.until("baseline-seed1"), process.output
    ballast = fill(folder)
    assert process.until("MLflow's store does not answer .*(full|space)"), process.output
    ballast.unlink()
    check_whole(process)


@pytest.mark.full
def test_a_full_disk_under_the_workers_stops_the_study_and_it_goes_on(
    mount: Mount, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "study")
    cache = mount(tmp_path / "cache", "3m")
    process = Tune(folder, cache=cache)
    assert process.until("baseline-seed1"), process.output
    ballast = fill(cache)
    assert process.end() == 1, process.output
    assert "error: OSError: [Errno 28] No space left on device" in process.output
    assert "Go on with: python -m tuning tune --study" in process.output
    ballast.unlink()
    check_whole(Tune(folder, "--resume", "last", cache=cache))


def test_artifacts_that_cannot_be_written_are_said_before_any_training(
    mount: Mount, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    folder = make_folder(tmp_path / "study")
    mlruns = mount(folder / "mlruns", "1m")
    subprocess.run(["mount", "-o", "remount,ro", str(mlruns)], check=True)
    process = Tune(folder)
    assert process.end() == 2
    assert "error: the artifacts of MLflow's store cannot be used at" in process.output
    assert "[Errno 30] Read-only" in process.output
    assert "completed" not in process.output
    assert not MlflowClient(process.uri).search_runs(["1"])


@pytest.mark.full
def test_eight_studies_at_once_on_an_empty_store(tmp_path: Path) -> None:
    import mlflow

    folder = make_folder(
        tmp_path / "study",
        searchers=["random"],
        budget={"trials": 2, "epochs": 1},
        confirm={"seeds": 1, "top_k": 1},
        references={},
    )
    processes = [Tune(folder, "--workers", "1") for _ in range(8)]
    for process in processes:
        assert process.end() == 0, process.output
    client = mlflow.MlflowClient(processes[0].uri)
    experiment = client.get_experiment_by_name("toy")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "tuning.study" in run.data.tags]
    assert len(parents) == 8
    assert {run.info.status for run in runs} == {"FINISHED"}
    for parent in parents:
        children = [
            run.data.tags["tuning.trial"]
            for run in runs
            if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
        ]
        assert len(children) == len(set(children)) == 4
    versions = client.search_model_versions("name='toy'")
    assert {version.run_id for version in versions} == {run.info.run_id for run in parents}
