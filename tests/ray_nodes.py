"""A Ray cluster of two nodes on this machine, for the tests."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from tests.stand_in import ROOT

SILENT: Mapping[str, Any] = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    # By default its workers give way to every other process, so they starve beside other tests.
    "RAY_worker_niceness": "0",
}


@contextmanager
def two_nodes(path: str = str(ROOT)) -> Iterator[Any]:
    """Two nodes of one CPU each, with their own raylets; ``second`` is the one that may go.

    Args:
        path: What their workers import from.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SILENT.items():
            patch.setenv(name, value)
        # Workers get a copy of the driver's folder, and this package need not be in it.
        patch.setenv("PYTHONPATH", path)
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        cluster.second = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield cluster
        cluster.shutdown()


@contextmanager
def joined() -> Iterator[Any]:
    """Two nodes, to which this process is connected."""
    import ray

    with two_nodes() as cluster:
        ray.init(
            address=cluster.address,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
        )
        yield cluster
        ray.shutdown()
