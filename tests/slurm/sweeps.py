"""Sweeps of tiny runs that take as long as a test likes, from a copy of the code, and what must be the same of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ITERATIONS = 12
PROFILE = f"""

PROFILES["tiny"] = replace(
    PROFILES["smoke"],
    cut_train=(("iterations", {ITERATIONS}), ("checkpoint_every", 4), ("evaluate_every", 0), ("log_every", 1)),
    cut_evaluate=(("samples", 100), ("steps", 2), ("rounds", 1), ("bootstrap", 20)),
)
"""
SHORT_CHAINS = ("LangevinConfig(steps=30)", "LangevinConfig(steps=2)")
RESOURCES = "tiny,*,0,1,1,0,10,0.01,made up\ntiny,untrained,0,1,1,0,10,0.01,made up\n"
PAUSE = """

# a run waits between its iterations, which costs no core and changes no number
import os
import time

_step = Trainer.step


def _step_and_pause(self):
    losses = _step(self)
    time.sleep(float(os.environ.get("PAUSE") or 0))
    return losses


Trainer.step = _step_and_pause
"""
TIMES = ("seconds", "peak_memory", "busy_cores")

UNLIKE = ("seconds", "memory", "busy", "git", "commit", "started")
"""Parts of the names of columns in which the same runs differ."""
TRIALS = """

GRIDS = {**GRIDS, "tiny": {"plain": TrialGrid((Setting("lr", (1e-3,)), Setting("alpha", (1.0,))), "made up")}}
"""


class Tree:
    """A copy of the packages with the profile `tiny`, and the command line run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("clel", "baselines", "experiments"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        added = {"sweep/grid.py": PROFILE, "resources.csv": RESOURCES, "tune/grids.py": TRIALS}
        for name, text in ((f"experiments/{name}", text) for name, text in added.items()):
            with open(folder / name, "a") as file:
                file.write(text)
        with open(folder / "clel/training/trainer.py", "a") as file:
            file.write(PAUSE)
        quick = folder / "clel/methods/profiles/quick.py"
        assert SHORT_CHAINS[0] in quick.read_text()
        quick.write_text(quick.read_text().replace(*SHORT_CHAINS))
        cache = os.environ.get("CLEL_CACHE") or str(ROOT / "cache")
        unset = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "PYTHONPATH"))}
        conf = os.environ["SLURM_CONF"]
        self.env = {**unset, "SLURM_CONF": conf, "OMP_NUM_THREADS": "1", "CLEL_CACHE": str(Path(cache).absolute())}

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        """python -m experiments ..., on at most two cores, so that a worker of its own has one thread as a task has."""
        cores = sorted(os.sched_getaffinity(0))[:2]
        return subprocess.Popen(
            [sys.executable, "-m", "experiments", *map(str, arguments)],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
            **options,
        )

    def run(self, *arguments: object, status: int = 0) -> str:
        """The same to its end: what it printed. Fails where the exit status is another."""
        process = self.start(*arguments)
        text = process.communicate(timeout=300)[0]
        assert process.returncode == status, f"{arguments} ended with {process.returncode}:\n{text}"
        return text

    def table(self, out: Path, *arguments: object, methods: str = "clel,plain,igebm", seeds: int = 2) -> list[object]:
        """Arguments of table1 with the profile."""
        return ["table1", "--profile", "tiny", "--methods", methods, "--seeds", seeds, "--out", out, *arguments]


def folders(out: Path) -> dict[str, Path]:
    """Name of each run below OUT, without its hash -> its folder."""
    return {path.name.rpartition("-")[0]: path for path in sorted((out / "runs").iterdir()) if path.is_dir()}


def sweep(out: Path) -> dict[str, Any]:
    """The only sweep below OUT."""
    (path,) = (out / "sweeps").glob("*/sweep.json")
    return json.loads(path.read_text())


def jobs(out: Path) -> list[str]:
    """Numbers of all jobs of the sweep, that which collects included."""
    found = sweep(out)
    return [*(array["job"] for array in found["arrays"]), *found["collect"]]


def log(folder: Path) -> list[dict[str, Any]]:
    """Lines of a run's log; none where there is no file."""
    path = folder / "log.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def iteration(folder: Path) -> int:
    """The last that a run has logged."""
    return max((line["iteration"] for line in log(folder)), default=0)


def attempts(folder: Path) -> list[dict[str, Any]]:
    """Lines of attempts.jsonl."""
    return [json.loads(line) for line in (folder / "attempts.jsonl").read_text().splitlines() if line]


def training_process(folder: Path) -> int | None:
    """The process that trains in the folder."""
    for place in Path("/proc").iterdir():
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
        except (OSError, NotADirectoryError):
            continue
        if b"experiments.runs.cell" in words and str(folder).encode() in words:
            return int(place.name)
    return None


def wait(true: Callable[[], bool], what: str, seconds: float = 150) -> None:
    """Until it is true; fails where that takes too long."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.5)


def queue(ids: list[str]) -> str:
    """What squeue has of these jobs that is not over; raises where the controller does not answer."""
    command = ["squeue", "--noheader", f"--jobs={','.join(ids)}", "--format=%i %T"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def wait_for_jobs(out: Path, seconds: float = 240) -> None:
    """Until no job of the sweep below OUT waits or runs."""
    wait(lambda: not queue(jobs(out)), f"jobs of {out.name} at an end", seconds)


def outcome(folder: Path) -> dict[str, Any]:
    """All that a run came to but times, memory and the place where it ran: must not hang on what befell it."""
    record = json.loads((folder / "record.json").read_text())
    # a checkpoint holds the times too, so its hash is another each time, and with it the name of its evaluation
    for part in (record, *record["evaluations"].values()):
        for name in ("provenance", "folder"):
            part.pop(name, None)
        part["protocol"].pop("checkpoint", None)
    record["training"] = {k: v for k, v in record["training"].items() if not k.startswith(TIMES)}
    record["log"] = [{k: v for k, v in line.items() if k != "seconds"} for line in log(folder)]
    return record


def table(out: Path) -> list[list[str]]:
    """The table's CSV without its columns of times, memory and provenance."""
    import pandas as pd

    (path,) = out.glob("tiny*/table1.csv")
    values = pd.read_csv(path, dtype=str)
    other = [name for name in values if any(word in name for word in UNLIKE)]
    kept = values.drop(columns=other).fillna("")
    return [list(kept.columns), *kept.to_numpy().tolist()]


def assert_same(out: Path, undisturbed: Path) -> None:
    """Every run of a sweep is finished, once, with what it comes to undisturbed; and so is the table."""
    expected = folders(undisturbed)
    assert set(folders(out)) == set(expected)
    for name, folder in folders(out).items():
        assert outcome(folder) == outcome(expected[name]), name
        if "train" in json.loads((folder / "config.json").read_text()):
            trained = [line["iteration"] for line in log(folder) if line["kind"] == "train"]
            assert trained == list(range(1, ITERATIONS + 1)), name
        ends = [line["how"] for line in attempts(folder) if line["event"] == "end"]
        assert ends.count("finished") == 1 and ends[-1] == "finished", f"{name}: {ends}"
    assert table(out) == table(undisturbed)
