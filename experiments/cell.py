"""python -m experiments.cell FOLDER: execute the run that FOLDER/config.json describes, in this process."""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

from baselines import METHODS
from clel.config import from_dict
from clel.execute import execute
from clel.interrupt import Interrupted
from clel.run import load_config
from experiments.external import ExternalRun, execute_external
from experiments.references import ReferenceRun, execute_reference
from experiments.study.run import execute_chains
from experiments.study.settings import read_run

FAILED, INTERRUPTED = 1, 130


def main(folder: Path) -> int:
    """Exit status: 0 recorded (whatever the outcome), 1 failed, 130 interrupted with its state saved."""
    try:
        values = json.loads((folder / "config.json").read_text())
        if "reference" in values:
            execute_reference(from_dict(ReferenceRun, values), folder)
        elif "external" in values:
            execute_external(from_dict(ExternalRun, values), folder)
        elif "study" in values:
            execute_chains(read_run(values), folder)
        else:
            execute(load_config(folder, METHODS), folder, METHODS)
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        return INTERRUPTED
    except Exception:  # noqa: BLE001 - the boundary of a worker process: its log gets the whole story
        traceback.print_exc()
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
