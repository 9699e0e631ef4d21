"""No table replaces another one that would have its name, and no command writes among the project's results unasked."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clel.config import ConfigError
from experiments.borrowed.command import GpuNatural, pack_name
from experiments.chains import command as chains
from experiments.chains.command import Chains
from experiments.cli import COMMANDS, main
from experiments.commands.artefacts import MEASURED
from experiments.engines.command import Engines, folders
from experiments.features import command as features
from experiments.features.command import Features
from experiments.reading.paths import absolute
from experiments.speed import command as speed
from experiments.speed.command import SpeedMemory, distances_csv
from experiments.sweep.meaning import FILE, Meaning
from experiments.sweep.naming import Named, table1_meaning, table_name, with_most_seeds
from experiments.table1 import command as table1
from experiments.table1.command import Table1, command
from experiments.tune import command as tune

ROOT = Path(__file__).resolve().parents[3]


def test_of_a_kind_a_folder_has_one_table(tmp_path: Path) -> None:
    one, other = (Meaning("table1", {"profile": "quick", "dataset": f"/{d}/mine.npz"}, "t.md") for d in "ab")
    one.claim(tmp_path)
    one.claim(tmp_path)
    for act in (other.claim, other.refuse_another):
        with pytest.raises(ConfigError, match=r"dataset: /a/mine.npz -> /b/mine.npz.*give another OUT="):
            act(tmp_path)
    Meaning("engines", {"engine": "exact"}, "e.md").claim(tmp_path)
    kept = json.loads((tmp_path / FILE).read_text())
    assert kept == {"schema": 1, "table1": one.options, "engines": {"engine": "exact"}}
    # an option of a later version, at its default, is the same table
    Meaning("table1", one.options | {"set": "", "features": None}, "t.md").claim(tmp_path)
    with pytest.raises(ConfigError, match="set: absent -> beta=1"):
        Meaning("table1", one.options | {"set": "beta=1"}, "t.md").claim(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"schema": 9}'])
def test_a_table_json_that_cannot_be_read_is_no_permission(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(ConfigError, match=f"{FILE}: (cannot be read|schema 9).*OUT="):
        Meaning("table1", {}, "t.md").claim(tmp_path)
    assert (tmp_path / FILE).read_text() == content


def test_a_page_of_an_older_version_is_replaced_by_its_own_command_alone(tmp_path: Path) -> None:
    (tmp_path / "table1.md").write_text("**Command:** `make table1 SEEDS=3`\n")
    for options in (Table1(), Table1(seeds=3, engine="exact")):
        with pytest.raises(ConfigError, match=rf"no {FILE} beside it, .*`{command(options)}`"):
            table1_meaning(options, command(options)).claim(tmp_path)
    with pytest.raises(ConfigError, match="does not say that it is of these options"):
        Meaning("chains", {}, "table1.md").claim(tmp_path)
    table1_meaning(Table1(seeds=3), command(Table1(seeds=3))).claim(tmp_path)
    assert json.loads((tmp_path / FILE).read_text())["table1"] == {"profile": "quick", "seeds": 3}


def test_the_number_of_seeds_names_a_table_and_those_of_a_comparison(tmp_path: Path) -> None:
    assert [table_name(Named(seeds=n)) for n in (1, 2, 10)] == ["quick", "quick-2-seeds", "quick-10-seeds"]
    asked = Engines(seeds=3, methods="clel,plain", out=tmp_path)
    first, second = (tmp_path / f"quick-plain-clel-3-seeds{end}" for end in ("", "-exact"))
    assert folders(asked) == (first, second) == folders(Engines(table=first))


def test_distances_beside_speed_are_those_of_the_most_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def made(folder: str) -> Path:
        Path(folder).mkdir(parents=True)
        (Path(folder) / "runs.csv").touch()
        return Path(folder)

    asked = Named(profile="quick")
    assert with_most_seeds(asked) == Path("results/quick")
    project = made("results/project/quick-10-seeds")
    assert with_most_seeds(asked) == project  # until the user has one
    made("results/quick-exact"), made("results/quick-clel-9-seeds"), made("results/small-9-seeds")
    assert with_most_seeds(asked) == project
    assert with_most_seeds(Named(engine="exact", seeds=2)) == Path("results/quick-exact")
    own = made("results/quick"), made("results/quick-2-seeds"), made("results/quick-11-seeds")
    assert with_most_seeds(asked) == own[2] and distances_csv(SpeedMemory()) == own[2] / "runs.csv"


def test_two_data_sets_of_one_file_name_are_two_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They stand side by side, and each is found again; another table in the folder of one is still refused."""
    monkeypatch.chdir(tmp_path)
    for folder in ("d1", "d2"):
        Path(folder).mkdir()
        np.savez(Path(folder, "mine.npz"), images=np.zeros((4, 8, 8), np.uint8))
    trained: list[Path] = []
    monkeypatch.setattr(table1, "prepare", lambda *given: None)
    monkeypatch.setattr(table1, "run_on_this_machine", lambda cells, runs, *more: trained.append(runs))
    monkeypatch.setattr(table1, "write_report", lambda *given: [])
    monkeypatch.setattr(table1, "summary", lambda *given: "")
    asked = ["table1", "--methods", "clel", "--dataset"]
    for dataset in ("d1/mine.npz", "d2/mine.npz", "./d1/mine.npz", f"{tmp_path}/d2/mine.npz"):
        assert main([*asked, dataset]) == 1  # no run has a result, as nothing ran
    assert len(trained) == 4
    tables = {json.loads(p.read_text())["table1"]["dataset"]: p.parent for p in Path("results").glob(f"*/{FILE}")}
    assert tables.keys() == {f"{tmp_path}/d1/mine.npz", f"{tmp_path}/d2/mine.npz"}
    assert all(re.fullmatch(r"quick-mine\.npz-[0-9a-f]{6}-clel", folder.name) for folder in tables.values())
    page = tables[f"{tmp_path}/d1/mine.npz"] / FILE
    page.write_text(page.read_text().replace("/d1/", "/d3/"))
    capsys.readouterr()
    for more in ([], ["--plan"], ["--report"], ["--cluster", "slurm"]):
        assert main([*asked, "d1/mine.npz", *more]) == 2
        said = capsys.readouterr().err
        assert f"dataset: {tmp_path}/d3/mine.npz -> {tmp_path}/d1/mine.npz" in said and "OUT=" in said
    assert len(trained) == 4


def test_a_path_names_a_folder_by_its_hash_and_a_name_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder of every artefact; also once the file is gone, as its table can be made again from the runs."""
    monkeypatch.chdir(tmp_path)
    for folder in ("d1", "d2"):
        Path(folder).mkdir()
        Path(folder, "mine.npz").touch()

    def places(dataset: str) -> set[str]:
        found = {str(kind.folder(kind.options(dataset=dataset))) for kind in MEASURED}
        found |= {tune.folder_name(tune.Tune(dataset=dataset)), features.folder_name(Features(dataset=dataset))}
        return found | {pack_name(GpuNatural(dataset=dataset), "cpu"), table_name(Named(dataset=dataset))}

    there = places("d1/mine.npz")
    assert there.isdisjoint(places("d2/mine.npz")) and there.isdisjoint(places("d1/mine.npz@4"))
    Path("d1/mine.npz").unlink()
    assert there == places("d1/mine.npz") == places(f"{tmp_path}/d1/mine.npz")
    assert (
        table_name(Named(dataset="shapes")) == "quick-shapes"
        and table_name(Named(dataset="cifar10@16")) == "quick-cifar10-16"
    )
    # what stands under the data root goes by its name there: other images of one name are refused by their content
    monkeypatch.setenv("CLEL_DATA", str(tmp_path / "d2"))
    assert absolute("mine.npz") == "mine.npz" and table_name(Named(dataset="mine.npz")) == "quick-mine.npz"
    assert (absolute("digits"), absolute(None), absolute("nowhere.npz")) == ("digits", None, "nowhere.npz")


def test_two_files_of_others_samples_are_two_tables(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "e.csv").touch()
    first, second = (Table1(external=tmp_path / folder / "e.csv", out=tmp_path) for folder in "ab")
    assert table_name(first) != table_name(second) and table_name(first).startswith("quick-e.csv-")
    table1_meaning(first, "").claim(tmp_path / "quick")
    with pytest.raises(ConfigError, match=f"external: {tmp_path}/a/e.csv -> {tmp_path}/b/e.csv"):
        table1_meaning(second, "").claim(tmp_path / "quick")


@pytest.mark.parametrize(
    ("run", "wanted", "others"),
    [
        (chains.main, Chains(profile="smoke"), {"seeds": 2, "method": "plain", "cooldown": 0.5, "dataset": "shapes"}),
        (speed.main, SpeedMemory(profile="smoke", methods="clel"), {}),
    ],
)
def test_other_commands_refuse_likewise(
    run: Callable[[Any], int], wanted: Any, others: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Measuring(Exception):
        pass

    def stop(*given: Any) -> None:
        raise Measuring

    monkeypatch.setattr(chains, "prepare", lambda *given: None)
    for module, name in ((chains, "run_local"), (speed, "measured_records")):
        monkeypatch.setattr(module, name, stop)
    wanted = dataclasses.replace(wanted, out=tmp_path)
    for _ in range(2):
        with pytest.raises(Measuring):
            run(wanted)
    for name, value in others.items():
        with pytest.raises(ConfigError, match=f"{name}: .* -> {value}"):
            run(dataclasses.replace(wanted, **{name: value}))
    (page,) = tmp_path.glob(f"*/{FILE}")
    kept = json.loads(page.read_text())
    (kind,) = kept.keys() - {"schema"}
    page.write_text(json.dumps(kept | {kind: {"profile": "other"}}))
    with pytest.raises(ConfigError, match="profile: other -> smoke"):
        run(wanted)


def test_no_command_writes_among_the_projects_results_by_default() -> None:
    """And what is written where commands do write is not seen by git, but for the page that explains it."""
    places = [getattr(kind, "out", Path("results")) for name, (kind, _) in COMMANDS.items() if name != "latex"]
    assert set(places) == {Path("results")} and len(places) > 8
    assert "results/project" not in (ROOT / "Makefile").read_text()
    ours = "table1.md figures/samples.png table.json".split()
    written = [f"results/{folder}/{name}" for folder in ("quick", "chains", "bench", "runs/x") for name in ours]
    kept = [f"results/project/{folder}/{name}" for folder in ("quick", "records/x") for name in ours]
    kept += ["results/README.md"]
    order = ["git", "check-ignore", "--no-index", *written, *kept, "results/project/runs/x/record.json"]
    done = subprocess.run(order, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 128:
        pytest.skip("not a checkout")
    assert done.stdout.split() == [*written, "results/project/runs/x/record.json"]
