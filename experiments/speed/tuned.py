"""Settings of a training for what is timed; and pytest's plugin for `make bench`: the device's benchmarks alone run."""

from __future__ import annotations

import pytest
import torch

from clel.allocator import tune_allocator


def as_in_training() -> None:
    """The allocator's settings of a program that trains; float32 means float32. Before any tensor is made."""
    tune_allocator()
    torch.backends.cudnn.allow_tf32 = False


def pytest_configure(config: pytest.Config) -> None:
    """Before the tests are collected."""
    as_in_training()


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
