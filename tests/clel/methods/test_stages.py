"""The ledger of a training's stages."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clel.config import ConfigError
from clel.methods.stages import Ledger, Stage


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(sum))
def test_each_iteration_has_its_stage_and_each_later_stage_is_entered_once(lengths: list[int]) -> None:
    ledger = Ledger([Stage(f"s{k}", n) for k, n in enumerate(lengths)], sum(lengths), batch=1)
    owners = [k for k, n in enumerate(lengths) for _ in range(n)]
    assert [ledger.stage(t) for t in range(sum(lengths))] == owners
    assert [ledger.place(t).start for t in range(sum(lengths))] == [owners.index(k) for k in owners]
    entered = [(k, t) for t in range(sum(lengths)) for k in ledger.entered(t)]
    # every stage up to the last that has iterations, in order, the first left out
    assert [k for k, _ in entered] == list(range(1, owners[-1] + 1))
    assert all(sum(lengths[:k]) == t for k, t in entered)


def test_costs_are_booked_to_the_stage_of_the_last_iteration() -> None:
    ledger = Ledger([Stage("a", 3), Stage("b", 2, gradient_evaluations=10)], 5, batch=1)
    for done, seconds, peak in ((2, 1.0, 5), (3, 2.0, 4), (4, 8.0, 9)):
        ledger.add(done, seconds, peak)
    ledger.steps = [4, 1]
    a, b = ledger.costs(4)
    assert (a.name, a.iterations, a.seconds, a.peak_memory_bytes) == ("a", 3, 3.0, 5)
    assert (b.name, b.iterations, b.seconds, b.peak_memory_bytes) == ("b", 1, 8.0, 9)
    assert ledger.gradient_evaluations == 10
    other = Ledger(ledger.stages, 5, batch=1)
    other.load_state_dict(ledger.state_dict())
    assert other.costs(4) == ledger.costs(4)
    other.add(5, 1.0, 1)
    assert other.costs(4) != ledger.costs(4)


def test_cores_of_others_are_an_average_over_the_time_in_which_they_were_known() -> None:
    """Over sessions, by their length; a session on a system that does not tell, and an older checkpoint, add none."""
    ledger = Ledger([Stage("a", 5)], 5, batch=1)
    assert ledger.busy_cores is None
    ledger.add(1, 10.0, 1, 5.0)
    ledger.add(2, 100.0, 1)
    assert ledger.busy_cores == 5 / 10
    resumed = Ledger(ledger.stages, 5, batch=1)
    resumed.load_state_dict(ledger.state_dict())
    resumed.add(3, 30.0, 1, 60.0)
    assert resumed.busy_cores == (5 + 60) / (10 + 30) and sum(resumed.seconds) == 140
    older = {key: value for key, value in ledger.state_dict().items() if key != "others"}
    resumed.load_state_dict(older)
    assert resumed.busy_cores is None
    resumed.add(4, 1.0, 1, -0.02)  # of a clock that counts in hundredths
    assert resumed.busy_cores == 0


def test_refused() -> None:
    with pytest.raises(ConfigError, match=r"take 5 iterations \(a 3, b 2\); expected 6"):
        Ledger([Stage("a", 3), Stage("b", 2)], 6, batch=1)
    with pytest.raises(ConfigError, match="share a name"):
        Ledger([Stage("a", 3), Stage("a", 3)], 6, batch=1)


@given(st.lists(st.tuples(st.integers(0, 5), st.none() | st.integers(1, 9)), min_size=1, max_size=4))
def test_images_are_those_of_the_iterations_that_stand(stages: list[tuple[int, int | None]]) -> None:
    total = sum(n for n, _ in stages)
    ledger = Ledger([Stage(f"s{k}", n, images=images) for k, (n, images) in enumerate(stages)], total, batch=7)
    each = [7 if images is None else images for n, images in stages for _ in range(n)]
    assert [ledger.images(t) for t in range(total + 1)] == [sum(each[:t]) for t in range(total + 1)]
