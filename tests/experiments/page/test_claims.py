"""The paper's claims by tables with known numbers: the word and what it rests on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from experiments.page.claims import CONTRADICTED, JUDGES, SUPPORTED, UNDECIDED, UNMEASURED, counted, verdicts


def word(folder: Path, claim: str) -> str:
    outcome = JUDGES[claim](folder)
    return UNMEASURED if outcome is None else outcome[1]


def test_without_tables_nothing_is_measured(tmp_path: Path) -> None:
    found = verdicts(tmp_path)
    assert len(found) == len(JUDGES) and {one.word for one in found} == {UNMEASURED}
    assert counted(found) == f"{len(found)} not measured"


@pytest.mark.parametrize(
    ("outcomes", "peers"),
    [
        (("higher", "higher"), SUPPORTED),
        (("higher", "undecided"), UNDECIDED),
        (("higher", "lower"), CONTRADICTED),
    ],
)
def test_peers_by_their_outcomes(outcomes: tuple[str, str], peers: str, tmp_path: Path) -> None:
    """Rows at another learning rate, and the plain EBM, are no peers; the latter is the claim on guidance."""
    rows = ["igebm", "vaebm", "plain", "igebm[lr=0.001]"]
    table = pd.DataFrame({"row": rows, "title": rows, "outcome": [*outcomes, "lower", "lower"], "n": 5})
    table = table.assign(difference=0.5, low=0.2, high=0.8)
    table.to_csv(tmp_path / "comparisons.csv", index=False)
    assert word(tmp_path, "peers") == peers and word(tmp_path, "guidance") == CONTRADICTED
    measured = JUDGES["peers"](tmp_path)
    assert measured is not None and "igebm: 0.50 [0.20, 0.80] (higher)" in measured[0] and "n = 5 seeds" in measured[2]


@pytest.mark.parametrize(
    ("quartiles", "expected"), [((20, 30), SUPPORTED), ((9, 12), UNDECIDED), ((1, 2), CONTRADICTED)]
)
def test_time_by_quartiles_that_do_not_overlap(quartiles: tuple[int, int], expected: str, tmp_path: Path) -> None:
    low, high = quartiles
    table = pd.DataFrame(
        {"row": ["clel", "vaebm"], "title": ["CLEL", "VAEBM"], "status": "ok", "rounds": 4, "hours": [10, low]}
    ).assign(hours_q1=[9, low], hours_q3=[11, high], peak_memory_bytes=[1e6, 3e6])
    table.to_csv(tmp_path / "speed_memory.csv", index=False)
    assert word(tmp_path, "time") == expected and word(tmp_path, "memory") == SUPPORTED


def test_detection_by_ranks_over_seeds(tmp_path: Path) -> None:
    lines = []
    for seed in range(5):
        for row, score, value in (("clel", "joint", 0.9), ("plain", "energy", 0.7), ("igebm", "energy", 0.6)):
            lines.append({"row": row, "title": row, "seed": seed, "score": score, "auroc": value + seed / 100})
    pd.DataFrame(lines).assign(status="ok").to_csv(tmp_path / "ood.csv", index=False)
    outcome = JUDGES["ood"](tmp_path)
    assert outcome is not None and outcome[1] == SUPPORTED and "best other, plain: 0.720" in outcome[0]
    pd.DataFrame(lines[:6]).assign(status="ok").to_csv(tmp_path / "ood.csv", index=False)
    assert word(tmp_path, "ood") == UNDECIDED  # of two seeds each no test can say


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


def test_a_damaged_table_costs_its_claim(tmp_path: Path) -> None:
    (tmp_path / "comparisons.csv").write_text("row,title\nigebm,IGEBM\n")
    (tmp_path / "ood.csv").write_bytes(b"\xff\xfe\x00")
    found = {one.says[:20]: one for one in verdicts(tmp_path)}
    assert all(one.word == UNMEASURED for one in found.values())
    assert sum("cannot be told" in one.measured for one in found.values()) == 2
