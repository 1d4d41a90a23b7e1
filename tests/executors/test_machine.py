"""What a container may use of its machine, by files as its kernel shows them."""

from pathlib import Path

import psutil
import pytest

from tuning.executors.machine import available_cores, core_quota, memory_mb, usable_cores

MIB = 2**20
V1 = """\
12:cpuset:{path}
5:memory:{path}
4:cpu,cpuacct:{path}
1:name=systemd:{path}
"""

# What the files say, and the cores and the memory in MiB that follow.
DOCKER = "/docker/3f1c"
POD = "/kubepods.slice/kubepods-burstable.slice/pod7.slice"
MACHINES: dict[str, tuple[dict[str, str], float | None, float | None]] = {
    "no control groups": ({}, None, None),
    "version 2, no limits": (
        {"proc/self/cgroup": "0::/", "cpu.max": "max 100000", "memory.max": "max"},
        None,
        None,
    ),
    "version 2, docker --cpus 1.5 --memory 2g": (
        {"proc/self/cgroup": "0::/", "cpu.max": "150000 100000", "memory.max": str(2048 * MIB)},
        1.5,
        2048,
    ),
    "version 2, the limits are those of a group around it": (
        {
            "proc/self/cgroup": f"0::{POD}/container",
            f"{POD}/container/cpu.max": "max 100000",
            f"{POD}/container/memory.max": "max",
            f"{POD}/cpu.max": "400000 100000",
            f"{POD}/memory.max": str(512 * MIB),
        },
        4.0,
        512,
    ),
    "version 2, the narrowest group counts": (
        {
            "proc/self/cgroup": f"0::{POD}/container",
            f"{POD}/container/cpu.max": "50000 100000",
            f"{POD}/container/memory.max": str(1024 * MIB),
            f"{POD}/cpu.max": "400000 100000",
            f"{POD}/memory.max": str(4096 * MIB),
        },
        0.5,
        1024,
    ),
    "version 1, no limits": (
        {
            "proc/self/cgroup": V1.format(path=DOCKER),
            f"cpu,cpuacct{DOCKER}/cpu.cfs_quota_us": "-1",
            f"cpu,cpuacct{DOCKER}/cpu.cfs_period_us": "100000",
            f"memory{DOCKER}/memory.limit_in_bytes": "9223372036854771712",
        },
        None,
        None,
    ),
    "version 1, the path is the host's": (
        {
            "proc/self/cgroup": V1.format(path=DOCKER),
            "cpu,cpuacct/cpu.cfs_quota_us": "200000",
            "cpu,cpuacct/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": str(3072 * MIB),
        },
        2.0,
        3072,
    ),
    "version 1, cpu alone": (
        {
            "proc/self/cgroup": V1.format(path="/"),
            "cpu/cpu.cfs_quota_us": "300000",
            "cpu/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": str(256 * MIB),
        },
        3.0,
        256,
    ),
    "nonsense": (
        {"proc/self/cgroup": "0::/", "cpu.max": "many", "memory.max": "\x00\xff"},
        None,
        None,
    ),
}


def machine(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = folder / (name if name.startswith("proc") else f"sys/fs/cgroup/{name}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    return folder


@pytest.mark.parametrize("name", MACHINES)
def test_a_container_has_the_cores_and_the_memory_of_its_group(tmp_path: Path, name: str) -> None:
    files, cores, memory = MACHINES[name]
    root = machine(tmp_path, files)
    assert core_quota(root) == cores
    total = psutil.virtual_memory().total
    expected = total if memory is None else min(total, memory * MIB)
    assert memory_mb(root) == pytest.approx(expected / 1e6)


@pytest.mark.parametrize(("quota", "cores"), [("150000", 1), ("50000", 1), ("250000", 2)])
def test_there_are_as_many_workers_as_whole_cores(tmp_path: Path, quota: str, cores: int) -> None:
    root = machine(tmp_path, {"proc/self/cgroup": "0::/", "cpu.max": f"{quota} 100000"})
    assert usable_cores(root) == min(cores, len(available_cores()))
    wide = machine(tmp_path / "wide", {"proc/self/cgroup": "0::/", "cpu.max": "9900000 100000"})
    assert usable_cores(wide) == len(available_cores())
