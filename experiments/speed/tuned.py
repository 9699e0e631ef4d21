"""pytest's plugin for `make bench`: only benchmarks run, those of the device, with the settings that a training has."""

from __future__ import annotations

import pytest

from clel.machine.signals import leave_with_launcher
from experiments.speed.process import as_in_training


def pytest_configure(config: pytest.Config) -> None:
    """Before any tensor is made."""
    as_in_training()
    leave_with_launcher()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests beside them and another device's, so that pytest says so where no benchmark is left."""
    elsewhere = "gpu" if config.getoption("device", default="cpu") == "cpu" else "cpu"
    others = [
        item
        for item in items
        if "benchmark" not in getattr(item, "fixturenames", ()) or item.get_closest_marker(elsewhere)
    ]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]
