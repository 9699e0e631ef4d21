"""Where a number comes from: code version, software, hardware, command. Nothing that names a person or a machine."""

from __future__ import annotations

import platform
import subprocess
import sys
import warnings
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from clel.machine.allocator import allocation
from clel.machine.process import slurm_job
from clel.machine.threads import waiting
from clel.storage.atomic import read_json
from clel.storage.log import Notice

CODE = (":/clel", ":/baselines", ":/experiments", ":/pyproject.toml")
"""What a number can hang on; an edited page or a table made again changes none."""
KEPT = ":(top,exclude)experiments/*.csv"
"""Nor do the tables that commands keep there (KEEP=1): what they choose stands in the record itself."""
NOTE = "code.json"
"""Beside the packages in a copy of the code that was made to be run: what `code_version` said of the original."""


def provenance(device: torch.device) -> dict[str, Any]:
    """Git commit (None outside a checkout) and whether its code was changed, versions, device, command, time (UTC).

    To be asked when a process starts: what is committed while it runs is not what it runs.
    """
    return {
        **code_version(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": device_name(device),
        "tf32": torch.backends.cudnn.allow_tf32 if device.type == "cuda" else False,
        "threads": torch.get_num_threads(),
        "waiting": waiting() or "as the runtime has it",
        "allocator": allocation(),
        "slurm_job_id": slurm_job() or None,
        # absolute paths cut down to their last part: a record names no folder of the machine
        "command": " ".join(["python", *(Path(a).name if Path(a).is_absolute() else a for a in sys.orig_argv[1:])]),
        "started": utc_now(),
    }


def code_version() -> dict[str, Any]:
    """git_sha and git_dirty of the code that runs: of its checkout, or as the note of a copy says; else None."""
    root = Path(__file__).resolve().parents[2]
    if (root / NOTE).is_file():
        note = read_json(root / NOTE, "submit again, or write git_sha and git_dirty into it")
        return {key: note.get(key) for key in ("git_sha", "git_dirty")}
    # an installed copy may lie inside a checkout of something else
    sha = _git("rev-parse", "HEAD") if _git("rev-parse", "--show-toplevel") == str(root) else None
    dirty = None if sha is None else bool(_git("status", "--porcelain", "--untracked-files=no", "--", *CODE, KEPT))
    return {"git_sha": sha, "git_dirty": dirty}


def short_commit(origin: Mapping[str, Any]) -> str:
    """The first digits of the commit that a provenance states; "not recorded" where it states none."""
    return str(origin.get("git_sha") or "not recorded")[:12]


def utc_now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def device_name(device: torch.device) -> str:
    """The GPU's name, or the CPU's model."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str | None:
    root = Path(__file__).resolve().parents[2]
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if "safe.directory" in done.stderr:
        warnings.warn(
            "the commit is not recorded, since the code belongs to another user and git does not read it; to have it: "
            f"git config --global --add safe.directory {root}",
            Notice,
            stacklevel=2,
        )
    return done.stdout.strip() if done.returncode == 0 else None
