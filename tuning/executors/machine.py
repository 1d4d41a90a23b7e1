"""What this process may use of its machine: cores and memory, also where a container limits it."""

import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("sys/fs/cgroup")
# Version 1 writes a number near 2^63 for no limit.
_NO_LIMIT = 2**60


def available_cores() -> list[int]:
    """Returns the numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def core_quota(root: Path = Path("/")) -> float | None:
    """Returns how many cores' time the control group may use; None without such a limit.

    It is what ``docker run --cpus`` and the CPU limit of a Kubernetes container set. Unlike the
    list of cores, it names no core.

    Args:
        root: Folder of ``/proc`` and ``/sys``.
    """
    quotas = []
    for folder in _folders(root, "cpu"):
        limit = _read(folder / "cpu.max").split()  # version 2: "200000 100000" or "max 100000"
        if not limit:
            limit = [_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")]
        if len(limit) == 2 and all(part.isdigit() for part in limit) and int(limit[1]) > 0:
            quotas.append(int(limit[0]) / int(limit[1]))
    return min(quotas, default=None)


def usable_cores(root: Path = Path("/")) -> int:
    """Returns how many trials can be trained at once without waiting for a core; at least 1."""
    cores, quota = len(available_cores()), core_quota(root)
    return cores if quota is None else max(1, min(cores, int(quota)))


def memory_mb(root: Path = Path("/")) -> float:
    """Returns the memory that this process may use in MB: the machine's, or the group's limit.

    Args:
        root: Folder of ``/proc`` and ``/sys``.
    """
    import psutil

    limits = [psutil.virtual_memory().total]
    for folder in _folders(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(folder / name)
            if text.isdigit() and int(text) < _NO_LIMIT:
                limits.append(int(text))
    return min(limits) / 1e6


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """Yields the folders of this process's control group and of those around it.

    In a container, the path in ``/proc/self/cgroup`` may be that of the host, which the container
    does not see; its own group is then the root of the mounted folder.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            base = root / _CGROUPS  # version 2
        elif controller in controllers.split(","):
            base = root / _CGROUPS / controllers
            if not base.is_dir():
                base = root / _CGROUPS / controller
        else:
            continue
        folder = base / path.lstrip("/")
        while folder != base:
            yield folder
            folder = folder.parent
        yield base


def _read(file: Path) -> str:
    try:
        return file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
