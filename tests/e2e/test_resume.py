"""A study that is stopped in every way, at any instant, and goes on until it is done."""

import signal
import time
from pathlib import Path

import pytest
import yaml

from tests.e2e.chaos import PHASES, attack_study
from tests.e2e.losses import Losses, check_whole, losses, make_folder
from tests.e2e.process import Tune

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "study")


def test_sigkill_in_every_phase(folder: Path) -> None:
    """One study, killed once in each phase; each time another process goes on."""
    arguments: list[str] = []
    for line in filter(None, PHASES.values()):
        process = Tune(folder, *arguments)
        assert process.until(line), f"{line!r} never came:\n{process.output}"
        process.send(signal.SIGKILL)
        assert process.end() == -signal.SIGKILL
        arguments = ["--resume", "last"]
    check_whole(Tune(folder, *arguments))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.full
def test_random_attacks_at_random_instants(tmp_path: Path, seed: int) -> None:
    done = attack_study(tmp_path / "study", seed)
    assert done.good, f"{done.attacks}: {done.losses}\n{done.error}"


@pytest.mark.full
def test_workers_killed_in_mid_epoch_cost_an_attempt(tmp_path: Path) -> None:
    options = {"servable": True, "epoch_seconds": 0.2}
    process = Tune(make_folder(tmp_path, task_options=options))
    for number, line in ((1, "Baseline and"), (2, "random-00")):
        assert process.until(line)
        for worker in process.workers[:number]:
            worker.kill()
    assert process.end() == 0, process.output
    assert "trained again with the same seed" in process.output
    assert losses(process.uri) == Losses()


def test_ctrl_c_reports_what_there_is_and_only_the_same_study_goes_on(folder: Path) -> None:
    import mlflow

    process = Tune(folder)
    assert process.until("baseline-seed1 .*completed")
    process.send(signal.SIGINT)
    assert process.end() == 130, process.output
    assert "Stopping after the running epochs" in process.output
    assert "trained so far" in process.output
    where = f"--study {folder / 'study.yaml'} --resume "
    assert f"Go on with: python -m tuning tune {where}" in process.output
    client = mlflow.MlflowClient(process.uri)
    run_id = process.output.split(where)[1].split()[0]
    run = client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert "tuning.verdict" not in run.data.tags, "nothing is concluded"
    assert "Interim report" in run.data.tags["mlflow.note.content"]
    page = Path(client.download_artifacts(run_id, "report/report.html")).read_text()
    assert "Interim report: the study was stopped" in page

    written = (folder / "study.yaml").read_text()
    changed = yaml.safe_load(written)
    changed["baseline"]["units"] = 4
    (folder / "study.yaml").write_text(yaml.safe_dump(changed))
    process = Tune(folder, "--resume", "last")
    assert process.end() == 2, process.output
    assert "units: 4" in process.output
    (folder / "study.yaml").write_text(written)

    check_whole(Tune(folder, "--resume", "last"))
    assert "Interim" not in client.get_run(run_id).data.tags["mlflow.note.content"]


@pytest.mark.full
def test_a_stop_at_once_leaves_nothing_running(folder: Path) -> None:
    process = Tune(folder)
    assert process.until("Baseline and")
    process.send(signal.SIGTERM)
    assert process.end() == 130, process.output
    check_whole(Tune(folder, "--resume", "last"))


@pytest.mark.full
def test_a_killed_trial_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """Only the epochs that were running are begun twice."""
    journal = tmp_path / "journal.txt"
    folder = make_folder(
        tmp_path / "study",
        task_options={"rows": 2000, "epoch_seconds": 0.5, "journal": str(journal)},
        searchers=["random"],
        budget={"trials": 1, "epochs": 8},
        confirm={"seeds": 1, "top_k": 1},
        references={},
    )
    # The search is the baseline again, so there is no candidate.
    trials, epochs, running = 2, 8, 2
    process = Tune(folder)
    while not journal.exists() or "5" not in journal.read_text():
        assert not process.over, process.output
        time.sleep(0.1)
    process.send(signal.SIGKILL)
    process.end()
    process = Tune(folder, "--resume", "last")
    assert process.end() == 0, process.output
    begun = [int(line) for line in journal.read_text().split()]
    assert trials * epochs < len(begun) <= trials * epochs + running
    assert not list((folder / "cache" / "trials").iterdir()), "checkpoints are gone with the study"
