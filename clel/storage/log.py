"""A run's log: one JSON object a line, tqdm's line with the time left, and TensorBoard where asked."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from clel.storage.atomic import naming_full_disk, write_atomically


class Notice(UserWarning):
    """A warning whose text is a sentence for whoever runs a command."""


@contextmanager
def shown_notices() -> Iterator[None]:
    """While entered, a `Notice` is a line on stderr, without its place in the code; other warnings stay as they are."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, Notice):
                print(f"warning: {message}", file=sys.stderr)
            else:
                others(message, category, *place, **more)

        warnings.showwarning = show
        yield


def flush_output() -> None:
    """Bring out what was printed; raises OSError, which names standard output, where its disk is full."""
    try:
        with naming_full_disk(Path("standard output"), "nothing else is lost"):
            sys.stdout.flush()
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - or the process would try again as it ends
        raise


def plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: such floats become None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def duration(seconds: float) -> str:
    """40 h 05 min, 2 min 30 s or 30 s: two units at most, each named."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def counted(number: int, what: str) -> str:
    """1 run, 2 runs: a number with what it counts, a noun that ends in s where there are several."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines {"kind": text, "iteration": number, ...} of a run's log.jsonl in order; no file, no lines.

    A last line that a kill has cut is left out; any other that is none is too, with a `Notice` of file and line.
    """
    path = folder / "log.jsonl"
    found, lines = [], path.read_bytes().split(b"\n") if path.is_file() else []
    for number, text in enumerate(lines, start=1):
        try:
            line = json.loads(text)
            if not isinstance(line["kind"], str) or not isinstance(line["iteration"], int):
                raise TypeError("kind or iteration of another type")
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            if number < len(lines):
                said = f"{path}, line {number}: damaged, no line of a log ({type(error).__name__}: {error})"
                warnings.warn(f"{said}; curves are drawn without it, nothing else is lost", Notice, stacklevel=2)
        else:
            found.append(line)
    return found


class Log:
    """log.jsonl of one run, rewound to `iteration` when a run goes back there, so that it reads as if undisturbed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer: Any = None

    def open_tensorboard(self, iteration: int) -> None:
        """Write TensorBoard event files too, from `iteration` on; what an earlier process wrote beyond it is hidden."""
        self.writer = _summary_writer(self.path.parent / "tensorboard", iteration)

    def close(self) -> None:
        """Bring what TensorBoard still holds to disk."""
        if self.writer is not None:
            self.writer.close()

    def rewind(self, iteration: int, rollbacks: int) -> None:
        """Drop the lines beyond `iteration`, a torn last line, and all "rollback" lines but the first `rollbacks`."""
        if not self.path.exists():
            return
        kept = []
        for entry in read_log(self.path.parent):
            is_rollback = entry["kind"] == "rollback"
            rollbacks -= is_rollback
            if rollbacks >= 0 if is_rollback else entry["iteration"] <= iteration:
                kept.append(json.dumps(entry) + "\n")
        write_atomically(self.path, "".join(kept))

    def write(self, kind: str, iteration: int, **values: Any) -> None:
        """Append {"kind": kind, "iteration": iteration, **values}."""
        kept = "the run's last checkpoint stands"
        with naming_full_disk(self.path, kept), open(self.path, "a") as file:
            file.write(json.dumps(plain({"kind": kind, "iteration": iteration, **values})) + "\n")
        if self.writer is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self.writer.add_scalar(f"{kind}/{name}", value, iteration)


def _summary_writer(folder: Path, iteration: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError("tensorboard = true needs the package tensorboard: pip install tensorboard") from error
    return SummaryWriter(str(folder), purge_step=iteration + 1)


class Lines:
    """A text file that gets what tqdm rewrites in place as lines of their own; a full disk loses them."""

    def __init__(self, file: TextIO) -> None:
        self.file, self.last = file, ""

    def write(self, text: str) -> None:
        """A line, but not the one before once more."""
        if (text := text.strip()) and text != self.last:
            self.last = text
            with suppress(OSError):
                print(text, file=self.file, flush=True)


def progress(name: str, total: int | None, start: int = 0, **more: Any) -> tqdm:
    """tqdm's line on stderr: rewritten in a terminal, a new one each ten seconds elsewhere; nothing without a name.

    Use it in a `with`, or its last line comes whenever it is collected. more: arguments of tqdm.
    """
    tqdm.monitor_interval = 0  # no thread beside a training
    terminal = sys.stderr.isatty()
    width, lines = shutil.get_terminal_size()  # tqdm shows nothing in a terminal that says its size is 0
    file, every, width = (sys.stderr, 0.2, width - 1) if terminal else (Lines(sys.stderr), 10.0, 0)
    more |= {"ncols": width, "nrows": lines, "disable": not name, "position": 0}
    return tqdm(None, name, total, file=file, initial=start, mininterval=every, miniters=0, smoothing=0, **more)
