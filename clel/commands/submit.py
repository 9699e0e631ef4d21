"""clel submit: a finished run as one file, by which it becomes a row by others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from clel.commands.options import parse
from clel.runs.config import Methods
from clel.runs.submission import submission_of, write_submission

COMMUNITY = Path("results/community")
"""Where the repository keeps them."""


@dataclass(frozen=True)
class SubmitOptions:
    """Which run, and whose it is."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run's folder: of clel train, or of a row of make table1, EXTERNAL's among them."""
    title: str
    """The row's name."""
    authors: str
    """Whose it is, as the row is to have it."""
    url: str = ""
    """A paper, or code."""
    out: Path = COMMUNITY
    """Folder to write the file into."""


def submit_command(arguments: list[str], methods: Methods) -> int:
    """Prints the file and what is to be done with it; exit status 0."""
    o = parse(SubmitOptions, None, arguments, "clel submit", "Write a finished run as one file, to be a row by others.")
    path = write_submission(submission_of(o.run, o.title, o.authors, o.url), o.out)
    print(f"{path}\nA pull request that adds this file makes the row; make report shows it here.")
    print("docs/guides/submitting.md has the steps.")
    return 0
