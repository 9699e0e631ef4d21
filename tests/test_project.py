"""What the project says of itself is true: package lists agree, the README's example runs, imports point one way."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent


def project() -> dict[str, Any]:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no reader of TOML")
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_environment_yml_and_pyproject_name_the_same_packages() -> None:
    wanted = {*project()["dependencies"], *project()["optional-dependencies"]["dev"]}
    listed = set(re.findall(r"^      - (?!--)(\S+)$", (ROOT / "environment.yml").read_text(), re.MULTILINE))
    assert listed == wanted
    assert "python" + project()["requires-python"] in (ROOT / "environment.yml").read_text()


def test_constraints_pin_every_dependency() -> None:
    pinned = set(re.findall(r"^([A-Za-z0-9_.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    names = {re.split(r"[<>=]", d)[0] for d in project()["dependencies"] + project()["optional-dependencies"]["dev"]}
    assert names <= pinned


@pytest.mark.slow
def test_the_readme_example_runs_in_under_15_lines(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) < 15
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # on a busy machine more wait for each other
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, env=one_thread, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok ")
    assert (tmp_path / "runs/mine/samples.png").exists()


def test_the_page_on_adding_a_method_adds_one_that_trains(tmp_path: Path) -> None:
    from clel import Method, TrainConfig, train
    from tests.clel.training.trainer_process import small_images

    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/guides/adding-a-method.md").read_text(), re.DOTALL)
    source = next(block for block in blocks if "(Method):" in block)
    path = tmp_path / "added.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("added", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["added"] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    kinds = vars(module).values()
    (kind,) = [k for k in kinds if isinstance(k, type) and k.__module__ == "added" and issubclass(k, Method)]
    images = small_images()
    method = kind.create("quick", images.spec)
    outcome = train(method, images, TrainConfig(iterations=3, sample_every=0), tmp_path / "run")
    assert outcome.status == "ok"
    assert method.sample(2, torch.Generator().manual_seed(0)).shape == (2, 1, 8, 8)


PROJECT = ROOT / "results/project"
TABLE, SEEDS = PROJECT / "quick-10-seeds-without-rates", 10
"""The project's own Table 1."""
ENGINES = PROJECT / "quick-3-seeds"
"""Its comparison of two engines, on an earlier table."""


def test_readme_has_the_committed_table() -> None:
    from experiments.table1.report import refresh_section

    for page in ("README.md", "results/README.md"):
        assert refresh_section(ROOT / page, TABLE / "summary.md", check=True), page


@pytest.mark.parametrize(
    "page", ["README.md", "results/README.md", *(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md"))]
)
def test_links_lead_to_files(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if ":" not in link]
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


def test_every_column_of_the_projects_tables_is_explained() -> None:
    """On one page; what records state (protocol_, provenance_) is on theirs."""
    page = (ROOT / "docs/reference/columns.md").read_text()
    explained = set(re.findall(r"`(\w+)`", page))
    paths = list(PROJECT.rglob("*.csv"))
    assert len(paths) > 10
    for path in paths:
        columns = {name for name in pd.read_csv(path, nrows=0).columns if not re.match("protocol_|provenance_", name)}
        assert {name for name in columns if not explained & set(_meant(name))} == set(), path


def _meant(column: str) -> list[str]:
    """The names that a column may be explained by: its own, and without seed, side, stage, spread and source."""
    names = [column]
    for ending in (r"(?<=_seed)\d+$", r"_(mean|std)$", r"_(vae|energy)$", r"_(fresh|paper|buffer|beyond)$"):
        names.append(re.sub(ending, "0" if "seed" in ending else "", names[-1]))
    judged = re.sub(r"^judged_.*", "judged_class", column)  # of conditional.csv, one for each class
    return [*names, judged, *(re.sub("_b(?=_|$)", "_a", name) for name in names)]


def test_the_projects_tables_say_what_they_are_of() -> None:
    """Each as the command that is printed above it would, so that the project makes them again where they are."""
    from experiments.sweep.meaning import FILE
    from experiments.sweep.naming import table_name
    from experiments.table1.command import Table1

    named = {"seeds": SEEDS, "rates": False}, {"seeds": 5}, {"seeds": 3}, {"seeds": 3, "engine": "exact"}
    for given in named:
        kept = json.loads((PROJECT / table_name(Table1(**given)) / FILE).read_text())
        assert kept["table1"] == {"profile": "quick", **given}
    pages = [p for name in ("table1", "speed_memory", "engines", "chains") for p in PROJECT.rglob(f"{name}.md")]
    assert len(pages) >= 7 and [p for p in pages if not (p.parent / FILE).exists()] == []


def test_the_committed_table_is_that_of_the_committed_runs() -> None:
    """Whatever they reached: every seed of every method is there, and means are of those that ended well."""
    runs, table = pd.read_csv(TABLE / "runs.csv"), pd.read_csv(TABLE / "table1.csv", index_col="row")
    own = runs[runs["variant"].isna()].groupby("method")
    for row, seeds in own["seed"]:
        assert sorted(seeds) == list(range(1 if row == "real" else SEEDS)), row
    for row, members in own:
        good = members[members["status"] == "ok"]["fid_fresh"].dropna()
        assert table.loc[row, "n"] == len(good) and table.loc[row, "runs"] == len(members)
        assert table.loc[row, "fid_fresh_mean"] == pytest.approx(good.mean(), nan_ok=True)


def test_the_committed_comparison_of_two_engines_is_that_of_the_committed_runs() -> None:
    from experiments.engines.command import engine_files
    from experiments.engines.compare import compare_engines
    from experiments.engines.runs import read_runs

    tables = ENGINES, ENGINES.with_name(f"{ENGINES.name}-exact")
    found = compare_engines(*map(read_runs, tables))
    assert found.engines[1] == "exact" and found.engines[0] != "exact"
    assert {"clel:quick", "plain:quick", "igebm:quick"} <= set(found.table.index)
    assert (found.table[["n_a", "n_b"]] >= 3).all(axis=None)
    made = engine_files(found, *tables)
    for name in ("engines.md", "engines.tex"):
        assert made[name] == (ENGINES / name).read_text(), name


@pytest.mark.parametrize(
    ("package", "forbidden"), [("clel", {"baselines", "experiments"}), ("baselines", {"experiments"})]
)
def test_imports_point_one_way(package: str, forbidden: set[str]) -> None:
    heavy = {"pandas", "matplotlib", "submitit"}
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            tops = {name.split(".")[0] for name in names}
            assert not tops & (forbidden | heavy), f"{path.relative_to(ROOT)} imports {tops & (forbidden | heavy)}"


def test_trainer_evaluation_and_tables_name_no_method() -> None:
    from baselines import METHODS

    shared = [
        "clel/training/trainer.py",
        "clel/evaluation/score.py",
        "clel/runs/config.py",
        "clel/training/average.py",
    ]
    rooms = ("runs", "sweep", "printing", "plan", "table1", "commands")
    shared += [str(p.relative_to(ROOT)) for room in rooms for p in (ROOT / "experiments" / room).rglob("*.py")]
    for path in shared:
        tree = ast.parse((ROOT / path).read_text())
        words = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        classes = {method.__name__ for method in METHODS.values()}
        assert not (words & set(METHODS)) and not (names & classes), path
