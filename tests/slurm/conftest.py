"""Tests of this folder run against a Slurm that is up already, and are skipped where there is none.

    scripts/slurm-local up --cpus 8
    eval "$(scripts/slurm-local env)"
    python -m pytest tests/slurm

Eight CPUs, real or not: most of these runs only wait. A Slurm of somebody else would be sent jobs, its controller be
stopped, so SLURM_CONF has to be that of slurm-local.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.slurm.sweeps import Tree

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slurm)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def slurm() -> Path:
    """The folder of the one-node Slurm that these tests run on."""
    reason = why_not()
    if reason:
        pytest.skip(f"{reason}. scripts/slurm-local up starts one")
    return Path(os.environ["SLURM_CONF"]).parent


def why_not() -> str:
    """What is missing for these tests; empty where nothing is."""
    conf = os.environ.get("SLURM_CONF")
    if conf is None or not (Path(conf).parent / "options.json").exists():
        return "SLURM_CONF names no Slurm that scripts/slurm-local started"
    if shutil.which("scontrol") is None:
        return "scontrol is not on PATH"
    ping = subprocess.run(["scontrol", "ping"], capture_output=True, text=True, timeout=60, check=False)
    return "" if " is UP" in ping.stdout else f"the Slurm of {conf} does not answer"


@pytest.fixture(scope="session")
def tree(slurm: Path, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """The code that all sweeps here are submitted from."""
    return Tree(tmp_path_factory.mktemp("tree") / "code")


@pytest.fixture(scope="session")
def undisturbed(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OUT of the table that sweeps are compared with, made by two workers on this machine."""
    out = tmp_path_factory.mktemp("undisturbed")
    tree.run(*tree.table(out, "--cluster", "local", "--workers", 2))
    return out
