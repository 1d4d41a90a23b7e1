"""What the C library does with freed memory."""

import platform
import subprocess
import sys

import pytest

from tests.conftest import ROOT

PAGES = 64 * 2**20 // 4096
CODE = """
import resource, sys
from tuning.training.keras_process import give_freed_memory_back, keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
faults = [resource.getrusage(resource.RUSAGE_SELF).ru_minflt]
for _ in range(4):
    block = b"x" * 2**26
    del block
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
give_freed_memory_back()
held = [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")]
print(faults[-1] - faults[1], held[0] // 1024)
"""


def measured(how: str) -> tuple[int, int]:
    output = subprocess.run(
        [sys.executable, "-c", CODE, how], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    faults, held = output.split()
    return int(faults), int(held)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_blocks_are_used_again_and_can_be_given_back() -> None:
    faults, _ = measured("default")
    assert faults > 2 * PAGES, "otherwise there would be no need of it"
    faults, held = measured("keep")
    assert faults < PAGES / 10
    assert held < 64
