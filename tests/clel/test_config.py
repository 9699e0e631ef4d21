"""Strict configurations: what is refused and how, the JSON round trip, and the hash that names a run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines import METHODS
from clel.config import (
    ADDED,
    LOGISTICS,
    ConfigError,
    choose,
    differences,
    essential,
    from_dict,
    identity,
    nearest,
    to_dict,
)
from clel.methods.settings import EvaluateConfig, TrainConfig
from clel.runs.config import Run, load_config, resolve, save_config


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5
    count: int = 3

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ConfigError("count must not be negative")


@dataclass(frozen=True)
class Outer:
    widths: tuple[int, ...] = (1, 2)
    pair: tuple[float, float] = (0.0, 1.0)
    clip: float | None = None
    kind: Literal["a", "b"] = "a"
    flag: bool = False
    name: str = "x"
    inner: Inner = field(default_factory=Inner)
    log_every: int = field(default=10, metadata=LOGISTICS)


def test_defaults_and_values() -> None:
    assert from_dict(Outer, {}) == Outer()
    values = {"widths": [4, 5, 6], "pair": [1, 2.5], "clip": 2, "kind": "b", "flag": True, "inner": {"rate": 1}}
    config = from_dict(Outer, values)
    assert config == Outer((4, 5, 6), (1.0, 2.5), 2.0, "b", True, "x", Inner(1.0))
    # an integer that stands for a float becomes one, so that equal configurations print and hash alike
    assert [type(v) for v in (config.pair[0], config.clip, config.inner.rate)] == [float] * 3
    assert from_dict(Outer, {"clip": None}).clip is None
    assert from_dict(Outer, {"widths": []}).widths == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": [1]}, r"unknown key 'width'; did you mean 'widths'\? known: clip, flag, inner, kind"),
        ({"inner": {"cuont": 1}}, r"unknown key 'inner\.cuont'; did you mean 'count'\?"),
        ({"zzzzzz": 1}, r"unknown key 'zzzzzz'; known: "),
        ({"inner": {"rate": "fast"}}, r"inner\.rate is 'fast' \(str\); expected float"),
        ({"inner": {"count": 1.0}}, r"inner\.count is 1\.0 \(float\); expected int"),
        ({"inner": {"count": True}}, r"inner\.count is True \(bool\); expected int"),
        ({"inner": {"rate": True}}, r"inner\.rate is True \(bool\); expected float"),
        ({"inner": {"rate": None}}, r"inner\.rate is None"),
        ({"inner": 3}, r"inner is 3; expected a table"),
        ({"flag": 1}, r"flag is 1 \(int\); expected bool"),
        ({"name": 3}, r"name is 3 \(int\); expected str"),
        ({"clip": "no"}, r"clip is 'no' \(str\); expected float"),
        ({"kind": "c"}, r"kind is 'c'; .*known: a, b"),
        ({"pair": [1.0]}, r"pair is \[1\.0\]; expected a list of 2 values"),
        ({"pair": [1.0, 2.0, 3.0]}, r"expected a list of 2 values"),
        ({"pair": [1.0, "x"]}, r"pair\[1\] is 'x' \(str\); expected float"),
        ({"widths": [1, 2.5]}, r"widths\[1\] is 2\.5 \(float\); expected int"),
        ({"widths": "12"}, r"widths is '12'; expected a list"),
        ({"widths": 12}, r"widths is 12; expected a list"),
        ({"widths": None}, r"widths is None; expected a list"),
        ({"inner": {"count": -1}}, r"count must not be negative"),
    ],
)
def test_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(Outer, values)


def test_missing_key() -> None:
    @dataclass(frozen=True)
    class Needed:
        size: int

    with pytest.raises(ConfigError, match="size"):
        from_dict(Needed, {})


def test_choose_and_nearest() -> None:
    assert choose({"quick": 1}, "quick", "preset") == 1
    with pytest.raises(ConfigError, match=r"unknown preset 'quik'; did you mean 'quick'\? known: quick, small"):
        choose({"small": 0, "quick": 1}, "quik", "preset")
    assert nearest("xyzzy", ["b", "a"]) == "known: a, b"


configs = st.builds(
    Outer,
    widths=st.lists(st.integers(1, 9), max_size=4).map(tuple),
    pair=st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.floats(-1, 1)),
    clip=st.none() | st.floats(0, 1),
    kind=st.sampled_from(["a", "b"]),
    flag=st.booleans(),
    name=st.text(max_size=5),
    inner=st.builds(Inner, rate=st.floats(-10, 10), count=st.integers(0, 100)),
    log_every=st.integers(1, 9),
)


@settings(max_examples=100, deadline=None)
@given(configs)
def test_round_trip(config: Outer) -> None:
    """Through JSON text and back: the same configuration and hash."""
    again = from_dict(Outer, json.loads(json.dumps(to_dict(config))))
    assert again == config
    assert identity(again) == identity(config)


@settings(max_examples=100, deadline=None)
@given(configs, configs)
def test_identity(first: Outer, second: Outer) -> None:
    """Equal exactly when all but the logistics fields are, and then there are no differences to report."""
    alike = replace(first, log_every=0) == replace(second, log_every=0)
    assert (identity(first) == identity(second)) == alike
    assert (differences(first, second) == []) == alike


def test_identity_of_whole_floats() -> None:
    """100 and 100.0 are one step size."""
    assert identity(Inner(rate=100)) == identity(Inner(rate=100.0))


def test_differences() -> None:
    lines = differences(Outer(), Outer(inner=Inner(rate=0.25), widths=(1, 3), log_every=99))
    assert lines == ["inner.rate: 0.5 -> 0.25", "widths: [1, 2] -> [1, 3]"]


RECIPES = [(name, preset) for name, method in METHODS.items() for preset in method.recipes()]


@pytest.mark.parametrize(("name", "preset"), RECIPES)
def test_every_recipe(name: str, preset: str, tmp_path: Path) -> None:
    """Method, training and evaluation settings survive JSON; so does the whole run, with its name."""
    recipe = METHODS[name].recipe(preset)
    for config in (recipe.config, recipe.train, recipe.evaluate):
        again = from_dict(type(config), json.loads(json.dumps(to_dict(config))))
        assert again == config
        assert identity(again) == identity(config)
    run = resolve(METHODS, name, preset)
    save_config(run, tmp_path)
    loaded = load_config(tmp_path, METHODS)
    assert loaded == run
    assert loaded.name == run.name


@pytest.mark.parametrize("name", METHODS)
def test_needed_recipes(name: str) -> None:
    assert {"quick", "small", "paper"} <= set(METHODS[name].recipes())
    with pytest.raises(ConfigError, match="did you mean 'quick'"):
        METHODS[name].recipe("qick")


def test_what_names_a_run() -> None:
    """Device and log intervals do not change a run's hash; hyper-parameters, seed and random draws do."""
    run = resolve(METHODS, "clel", "quick")
    same = [
        replace(run, device="cpu"),
        replace(run, train=replace(run.train, log_every=7, evaluate_every=0, sample_every=3, keep=5, tensorboard=True)),
        replace(run, preset="other"),
        replace(run, evaluate=replace(run.evaluate, steps=1, batch=11, protocols=("clean", "paper"))),
    ]
    assert {identity(r) for r in same} == {identity(run)}
    other = [
        replace(run, seed=1),
        replace(run, dataset="mnist"),
        replace(run, config=replace(run.config, beta=0.02)),
        replace(run, config=replace(run.config, buffer=replace(run.config.buffer, restart=0.5))),
        replace(run, train=replace(run.train, iterations=999)),
        replace(run, train=replace(run.train, ema_half_life=1.0)),
    ]
    assert len({identity(r) for r in [run, *other]}) == 7


@pytest.mark.parametrize("kind", [TrainConfig, EvaluateConfig, Run, *(m.Config for m in METHODS.values())])
def test_every_field_is_known(kind: type) -> None:
    """A misspelt name of any field is refused with the field's own name."""
    for f in fields(kind):
        with pytest.raises(ConfigError, match=f"did you mean '{f.name}'"):
            from_dict(kind, {f.name + "_": 0})


@pytest.mark.parametrize(
    "values",
    [
        {"iterations": 0},
        {"ema_half_life": -1.0},
        {"checkpoint_every": 0},
        {"log_every": 0},
        {"evaluate_every": -1},
        {"max_energy": 0.0},
        {"rollbacks": -1},
        {"keep": 1},
    ],
)
def test_training_settings_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        TrainConfig(**values)


def test_an_option_that_was_added_renames_no_run_that_does_without() -> None:
    @dataclass(frozen=True)
    class Before:
        rate: float = 0.5

    @dataclass(frozen=True)
    class After:
        rate: float = 0.5
        style: str = field(default="old", metadata=ADDED)
        inner: Inner = field(default_factory=Inner, metadata=ADDED)

    assert identity(After()) == identity(Before())
    assert identity(After(rate=1.0)) == identity(Before(rate=1.0)) != identity(Before())
    assert len({identity(c) for c in (After(), After(style="new"), After(inner=Inner(count=4)))}) == 3
    assert differences(After(), After(style="new")) == ["style: absent -> new"]


OPTIONS = {
    "clel": ("clip_sigmas", "negative_latents", "objective", "byol_decay"),
    "network": ("projection", "energy"),
    "encoder": ("backbone", "weights", "content", "side"),
}


def test_a_checkpoint_from_before_an_option_was_added_is_of_the_same_run() -> None:
    """It states the whole configuration of its time, in which the option is not; a run that has it is another."""
    config = METHODS["clel"].recipe("quick").config
    before = to_dict(config)
    del before["normalisation"], before["views"]["style"], before["buffer"]["augmentation"]["style"]
    for table, options in (
        (before, OPTIONS["clel"]),
        (before["network"], OPTIONS["network"]),
        (before["encoder"], OPTIONS["encoder"]),
    ):
        for name in options:
            del table[name]
    assert differences(before, essential(config)) == []
    other = replace(config, views=replace(config.views, style="kornia"))
    assert differences(before, essential(other)) == ["views.style: absent -> kornia"]
    assert differences(before, essential(replace(config, beta=0.5))) == [f"beta: {config.beta} -> 0.5"]
