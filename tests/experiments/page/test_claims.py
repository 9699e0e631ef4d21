"""The paper's claims by tables with known numbers: the word and what it rests on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from experiments.page.claims import CONTRADICTED, JUDGES, SUPPORTED, UNDECIDED, UNMEASURED, counts_in_words, verdicts


def word(folder: Path, claim: str) -> str:
    outcome = JUDGES[claim](folder)
    return UNMEASURED if outcome is None else outcome[1]


def test_without_tables_nothing_is_measured(tmp_path: Path) -> None:
    found = verdicts(tmp_path)
    assert len(found) == len(JUDGES) and {one.word for one in found} == {UNMEASURED}
    assert counts_in_words(found) == f"{len(found)} not measured"


def comparisons(folder: Path, outcomes: dict[str, str]) -> None:
    table = pd.DataFrame({"row": list(outcomes), "title": list(outcomes), "outcome": list(outcomes.values())})
    table = table.assign(n=9, counted=10, difference=0.5, low=0.2, high=0.8)
    table.to_csv(folder / "comparisons.csv", index=False)


PEERS = dict.fromkeys(("igebm", "vaebm", "drl"), "higher")


@pytest.mark.parametrize(
    ("changes", "peers"),
    [
        ({}, SUPPORTED),
        ({"vaebm": "undecided"}, UNDECIDED),
        ({"vaebm": "lower", "igebm": "undecided"}, CONTRADICTED),
        ({"vae": "lower", "igebm[lr=0.001]": "lower"}, SUPPORTED),
    ],
)
def test_peers_by_their_outcomes(changes: dict[str, str], peers: str, tmp_path: Path) -> None:
    """A VAE is no EBM, and rows at another learning rate are no peers; the plain EBM is the claim on guidance."""
    comparisons(tmp_path, {**PEERS, **changes, "plain": "lower"})
    assert word(tmp_path, "peers") == peers and word(tmp_path, "guidance") == CONTRADICTED
    measured = JUDGES["peers"](tmp_path)
    assert measured is not None and "igebm: 0.50 [0.20, 0.80]" in measured[0] and "n = 10 seeds" in measured[2]


def test_a_claim_on_methods_that_are_not_there_is_undecided(tmp_path: Path) -> None:
    comparisons(tmp_path, {"igebm": "higher"})
    outcome = JUDGES["peers"](tmp_path)
    assert outcome is not None and outcome[1] == UNDECIDED and "VAEBM: not there; DRL: not there" in outcome[0]
    speed(tmp_path, {"clel": (9, 10, 11), "vaebm": (20, 21, 22)})
    outcome = JUDGES["time"](tmp_path)
    assert outcome is not None and outcome[1] == UNDECIDED and "DRL: not there" in outcome[0]


def speed(folder: Path, hours: dict[str, tuple[float, float, float]]) -> None:
    table = pd.DataFrame(hours, index=["hours_q1", "hours", "hours_q3"]).T.rename_axis("row").reset_index()
    table = table.assign(title=table["row"], status="ok", peak_memory_bytes=table["hours"] * 1e6)
    table.to_csv(folder / "speed_memory.csv", index=False)


@pytest.mark.parametrize(
    ("drl", "expected"), [((20, 25, 30), SUPPORTED), ((9, 10, 12), UNDECIDED), ((1, 2, 3), CONTRADICTED)]
)
def test_time_by_quartiles_that_do_not_overlap(drl: tuple[float, float, float], expected: str, tmp_path: Path) -> None:
    speed(tmp_path, {"clel": (9, 10, 11), "vaebm": (20, 21, 22), "drl:n8": drl})
    assert word(tmp_path, "time") == expected
    speed(tmp_path, {"clel": (9, float("nan"), 11), "vaebm": (20, 21, 22)})
    assert word(tmp_path, "time") == UNMEASURED


def detections(folder: Path, aurocs: dict[str, list[float]], sets: tuple[str, ...] = ("a", "b")) -> None:
    lines = [
        {"row": row, "title": row, "seed": seed, "set": name, "auroc": value}
        | {"score": "joint" if row == "clel" else "energy", "status": "ok"}
        for row, values in aurocs.items()
        for seed, value in enumerate(values)
        for name in (("a",) if row == "clel" and len(sets) == 1 else ("a", "b"))
    ]
    pd.DataFrame(lines).to_csv(folder / "ood.csv", index=False)


def test_detection_is_tested_against_every_other_row(tmp_path: Path) -> None:
    own = [0.90, 0.91, 0.92, 0.93, 0.94]
    detections(tmp_path, {"clel": own, "plain": [x - 0.2 for x in own], "igebm": [x - 0.3 for x in own]})
    outcome = JUDGES["ood"](tmp_path)
    assert outcome is not None and outcome[1] == SUPPORTED and "plain: 0.720 (supported)" in outcome[0]
    # one rival whose ranks do not decide, whatever its mean
    detections(tmp_path, {"clel": own, "plain": [x - 0.2 for x in own], "igebm": [0.99, 0.98, 0.97, 0.5, 0.5]})
    assert word(tmp_path, "ood") == UNDECIDED
    detections(tmp_path, {"clel": own[:2], "plain": [0.5, 0.6]})
    assert word(tmp_path, "ood") == UNDECIDED  # of two seeds each no test can say


def test_a_mean_and_ranks_that_point_two_ways_decide_nothing(tmp_path: Path) -> None:
    own = [0.80 + k / 100 for k in range(9)] + [0.05]
    detections(tmp_path, {"clel": own, "plain": [0.76 + k / 1000 for k in range(10)]})
    assert word(tmp_path, "ood") == UNDECIDED


def test_detection_on_the_sets_that_all_have(tmp_path: Path) -> None:
    """On a alone CLEL is no better, whatever the others have on b."""
    detections(tmp_path, {"clel": [0.92] * 5, "plain": [0.92] * 5}, sets=("a",))
    outcome = JUDGES["ood"](tmp_path)
    assert outcome is not None and outcome[1] == UNDECIDED and "mean over 1 sets" in outcome[2]


def test_negatives_by_the_row_that_lacks_them_alone(tmp_path: Path) -> None:
    rows = ["clel[generated_negatives=false,beta=0.0,network.projection=none]", "clel[generated_negatives=false]"]
    table = pd.DataFrame(
        {"row": rows, "distance_outcome": ["higher", "lower"], "distance_mean": [9.0, 0.2], "n": [3, 3]}
    )
    table.to_csv(tmp_path / "ablations.csv", index=False)
    assert word(tmp_path, "negatives") == CONTRADICTED


def test_seeds_without_a_number_do_not_count(tmp_path: Path) -> None:
    lines = [
        {"row": "clel", "status": "ok", "seed": seed, "class": c, "accuracy": value}
        for seed, value in enumerate((0.4, 0.5, None, None, None, None))
        for c in range(10)
    ]
    pd.DataFrame(lines).to_csv(tmp_path / "conditional.csv", index=False)
    outcome = JUDGES["conditional"](tmp_path)
    assert outcome is not None and outcome[1] == UNDECIDED and outcome[2].endswith("n = 2 seeds")


def test_classes_against_chance(tmp_path: Path) -> None:
    lines = [
        {"row": "clel", "status": "ok", "seed": seed, "class": c, "accuracy": value}
        for seed, value in enumerate((0.8, 0.85, 0.9))
        for c in range(10)
    ]
    pd.DataFrame(lines).to_csv(tmp_path / "conditional.csv", index=False)
    outcome = JUDGES["conditional"](tmp_path)
    assert outcome is not None and outcome[:2] == ("0.850 [0.726, 0.974], by chance 0.100", SUPPORTED)


def test_three_attributes_against_chance(tmp_path: Path) -> None:
    lines = [
        {"seed": seed, "attributes": n, "all": 0.3 + seed / 1000, "chance": 0.25} for seed in range(3) for n in (2, 3)
    ]
    pd.DataFrame(lines).to_csv(tmp_path / "compositional.csv", index=False)
    assert word(tmp_path, "compositional") == SUPPORTED


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("comparisons.csv", "row,title,outcome,n,counted,difference,low,high\nigebm,I,higher,9,9,much,0,1\n"),
        ("comparisons.csv", "row,title\nigebm,IGEBM\n"),
        ("speed_memory.csv", "row,title,status,hours\nclel,CLEL,ok,long\nvaebm,VAEBM,ok,9\n"),
        ("ood.csv", "row,title,seed,set,score,status,auroc\nclel,C,0,a,joint,ok,x\nplain,P,0,a,energy,ok,y\n"),
        ("ood.csv", "\ufeff\x00"),
        ("conditional.csv", "row,status,seed,class,accuracy\nclel,ok,0,a,x\n"),
        ("ablations.csv", "row,distance_outcome\n1,higher\n"),
    ],
)
def test_a_damaged_table_costs_its_claim(file: str, content: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(content)
    found = verdicts(tmp_path)
    assert len(found) == len(JUDGES) and {one.word for one in found} <= {UNMEASURED, UNDECIDED}
