"""Variants of a row: SET='langevin.steps=10,30; beta=0.01' makes a row for each combination of values.

A key is a field of the method's configuration, dotted where it lies deeper, or one of train.*; a value is written as in
JSON, a word without quotation marks.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import product
from typing import Any

from clel.config import ConfigError, convert, nearest, require, to_dict
from clel.runs.config import Run

Changes = tuple[tuple[str, Any], ...]
"""Keys with the value of each, in the order in which they were given."""
TRAIN = "train."
"""What the keys of TrainConfig begin with."""


@dataclass(frozen=True)
class Setting:
    """A key with the values that it takes, each as JSON has it."""

    key: str
    values: tuple[Any, ...]


def parse_settings(text: str) -> tuple[Setting, ...]:
    """The settings of "key=value,value; key=value"; none of an empty text.

    Raises:
        ConfigError: no key or no value, or a key twice.
    """
    found: list[Setting] = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        key, sign, values = (piece.strip() for piece in part.partition("="))
        given = _values(values)
        require(bool(key and sign and given), f"SET: {part!r}; expected key=value or key=value,value")
        require(key not in [s.key for s in found], f"SET: {key} twice; give all its values at once: {key}=1,2")
        require(all(given.count(value) == 1 for value in given), f"SET: {part!r} has a value twice; give each once")
        found.append(Setting(key, given))
    return tuple(found)


def typed(settings: Sequence[Setting]) -> str:
    """The text that `parse_settings` makes these of, however they were written."""
    return "; ".join(f"{setting.key}={','.join(map(_text, setting.values))}" for setting in settings)


def combinations(settings: Sequence[Setting]) -> list[Changes]:
    """Every combination of values, the last key's changing fastest; none where there are no settings."""
    if not settings:
        return []
    return [
        tuple(zip([s.key for s in settings], values, strict=True)) for values in product(*(s.values for s in settings))
    ]


def with_changes(run: Run[Any], changes: Changes) -> Run[Any]:
    """The run with these settings.

    Raises:
        ConfigError: a key that its method does not have, with the nearest one, or a value of another type.
    """
    for key, value in changes:
        known = keys(run)
        require(key in known, f"SET: {run.method} has no setting {key!r}; {nearest(key, known)}")
        run = _with(run, _path(key), value, key)
    return run


def keys(run: Run[Any]) -> list[str]:
    """Every key that the run takes: its settings, but for those that change no result."""
    return [*_leaves(run.config), *_leaves(run.train, TRAIN)]


def value_at(run: Run[Any], key: str) -> Any:
    """The run's value of a key, as JSON has it."""
    held: Any = to_dict(run)
    for name in _path(key):
        held = held[name]
    return held


def refuse_unknown(runs: Mapping[str, Run[Any]], settings: Sequence[Setting]) -> None:
    """Raise ConfigError where a key belongs to none of the methods; `runs`: one of each."""
    for setting in settings:
        if not any(setting.key in keys(run) for run in runs.values()):
            known = {key for run in runs.values() for key in keys(run)}
            methods = ", ".join(runs) or "a row without training"
            raise ConfigError(f"SET: no setting {setting.key!r} of {methods}; {nearest(setting.key, known)}")


def changes_in_words(changes: Changes) -> str:
    """The changes for people: "langevin.steps 10, beta 0.01"."""
    return ", ".join(f"{key} {_text(value)}" for key, value in changes)


def label(changes: Changes) -> str:
    """The changes as they are typed: "langevin.steps=10,beta=0.01"."""
    return ",".join(f"{key}={_text(value)}" for key, value in changes)


def _path(key: str) -> list[str]:
    return (key if key.startswith(TRAIN) else f"config.{key}").split(".")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _values(text: str) -> tuple[Any, ...]:
    """The values of a list with commas, of which those inside brackets belong to a value."""
    pieces, depth = [""], 0
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        if letter == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += letter
    if not all(piece.strip() for piece in pieces):
        return ()
    return tuple(_value(piece.strip()) for piece in pieces)


def _value(text: str) -> Any:
    if text == "none":
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def _with(config: Any, path: Sequence[str], value: Any, key: str) -> Any:
    name, *rest = path
    if rest:
        return replace(config, **{name: _with(getattr(config, name), rest, value, key)})
    return replace(config, **{name: convert(typing.get_type_hints(type(config))[name], value, f"SET: {key}")})


def _leaves(config: Any, prefix: str = "") -> list[str]:
    found = []
    for field in (f for f in fields(config) if f.metadata.get("identity", True)):
        held = getattr(config, field.name)
        name = f"{prefix}{field.name}"
        found += _leaves(held, f"{name}.") if is_dataclass(held) else [name]
    return found
