"""The folder of a study's files on this machine."""

import os
import time
from pathlib import Path

from tuning.training.workspace import KEEP_SECONDS, clear, new_token, open_workspace


def test_a_study_finds_its_files_again_and_another_does_not(tmp_path: Path) -> None:
    token = new_token()
    (open_workspace(tmp_path, token) / "random-000").mkdir()
    assert (open_workspace(tmp_path, token) / "random-000").is_dir()
    assert not list(open_workspace(tmp_path, new_token()).iterdir())


def test_only_what_nobody_went_on_with_for_long_is_removed(tmp_path: Path) -> None:
    old, recent, own = (open_workspace(tmp_path, new_token()) for _ in range(3))
    long_ago = time.time() - KEEP_SECONDS - 60
    for folder in (old, own):
        os.utime(folder, (long_ago, long_ago))
    open_workspace(tmp_path, own.name)
    assert (old.exists(), recent.exists(), own.exists()) == (False, True, True)


def test_what_is_gone_already_is_no_error(tmp_path: Path) -> None:
    clear(tmp_path / "nowhere")


def test_the_record_cannot_name_a_folder_of_another(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    for token in (str(victim), "..", ".", "", "../victim"):
        folder = open_workspace(tmp_path / "cache", token)
        assert folder.parent == tmp_path / "cache" / "trials"
        assert len(folder.name) == 32
