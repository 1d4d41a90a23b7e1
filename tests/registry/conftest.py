"""Tests of the registry that need a store are slow; the rules of the gate are not."""

import pytest


@pytest.hookimpl(tryfirst=True)  # before those that are not wanted are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        fixtures: set[str] = {*getattr(item, "fixturenames", ())}
        if "client" in fixtures and "registry" in item.nodeid.partition("::")[0]:
            item.add_marker(pytest.mark.slow)
