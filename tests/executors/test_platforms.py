"""What only Linux has is left out elsewhere: pinning to cores, and glibc's malloc."""

import os
import sys

import pytest

from tuning.executors.machine import available_cores
from tuning.training.keras_process import give_freed_memory_back, keep_freed_memory


def test_where_no_cores_can_be_chosen_all_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert available_cores() == [0, 1, 2]
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == [0]


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_without_glibc_memory_is_left_to_the_system(
    platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ctypes

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is loaded on {platform}")

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", refuse)
    keep_freed_memory()
    give_freed_memory_back()
