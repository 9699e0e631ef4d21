"""Configuration: strict frozen dataclasses, their JSON form, and the hash that names a run.

Every hyper-parameter of the suite is a field of a frozen dataclass whose docstring line says its meaning, unit and
source. A dictionary turns into such a dataclass only when each of its keys is known and each value has the right type.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

LOGISTICS = {"identity": False}
"""Field metadata of what does not change a result (paths, worker counts, logging): it is left out of the hash."""


ADDED = {"added": True}
"""Field metadata of an option that came after runs were made without it: at its default it is left out of the hash,
so that these runs keep their names. Its default must do what was done before there was the option."""


LENGTH = {"length": True}
"""Field metadata of iterations, or images, that are a share of a whole training: with its length they change."""


class ConfigError(ValueError):
    """A configuration that cannot be used; the message says what was given and what is accepted."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown name: the nearest known one, and all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(known)}"


def choose(table: Mapping[str, T], name: str, what: str) -> T:
    """table[name]; raises ConfigError with the nearest known name where there is none."""
    if name not in table:
        raise ConfigError(f"unknown {what} {name!r}; {nearest(name, table)}")
    return table[name]


def to_dict(config: Any) -> dict[str, Any]:
    """The configuration as plain containers (dict, list, str, int, float, bool, None), ready for JSON."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(kind: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Build the dataclass `kind` from a dictionary, refusing unknown keys and values of another type.

    Raises:
        ConfigError: naming the key, the nearest known key, or the expected type.
    """
    hints = typing.get_type_hints(kind)
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if key not in names:
            raise ConfigError(f"unknown key {where + key!r}; {nearest(key, names)}")
        arguments[key] = convert(hints[key], value, where + key)
    try:
        return kind(**arguments)
    except TypeError as error:
        raise ConfigError(f"{where or kind.__name__}: {error}") from None


def convert(hint: Any, value: Any, where: str) -> Any:
    """The value, as JSON has it, as the type hint says; raises ConfigError, beginning with `where`, if it is none."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (hint,) = (a for a in arguments if a is not type(None))
        return convert(hint, value, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise ConfigError(f"{where} is {value!r}; {nearest(str(value), map(str, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} is {value!r}; expected a list")
        kinds = [arguments[0]] * len(value) if arguments[-1:] == (Ellipsis,) else list(arguments)
        if len(value) != len(kinds):
            raise ConfigError(f"{where} is {value!r}; expected a list of {len(kinds)} values")
        return tuple(convert(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))
    if origin is dict:
        hint = dict
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} is {value!r}; expected a table with the keys of {hint}")
        return from_dict(typing.cast(type, hint), value, where + ".")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Any or isinstance(hint, TypeVar):
        return value
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{where} is {value!r} ({type(value).__name__}); expected {hint.__name__}")
    return value


def identity(config: Any, digits: int = 8) -> str:
    """First `digits` hex digits of SHA-256 over the configuration without its logistics fields.

    Two configurations that give the same result share it, whatever machine, path or log interval they name.
    """
    return hashlib.sha256(json.dumps(essential(config), sort_keys=True).encode()).hexdigest()[:digits]


def differences(old: Any, new: Any) -> list[str]:
    """Lines `key: old -> new` for each identity field in which two configurations differ."""
    a, b = _flatten(essential(old)), _flatten(essential(new))
    keys = sorted(a.keys() | b.keys())
    return [f"{k}: {a.get(k, 'absent')} -> {b.get(k, 'absent')}" for k in keys if a.get(k) != b.get(k)]


def require(condition: bool, message: str) -> None:
    """Raise ConfigError(message) unless the condition holds."""
    if not condition:
        raise ConfigError(message)


def essential(config: Any) -> Any:
    """What two configurations that give the same result share, as plain containers: no logistics, and no added option
    at its default."""
    if dataclasses.is_dataclass(config):
        kept = (f for f in dataclasses.fields(config) if f.metadata.get("identity", True) and not _unused(f, config))
        return {field.name: essential(getattr(config, field.name)) for field in kept}
    if isinstance(config, list | tuple):
        return [essential(value) for value in config]
    # 100 and 100.0 are one value
    return int(config) if isinstance(config, float) and config.is_integer() else config


def _unused(field: dataclasses.Field[Any], config: Any) -> bool:
    """Whether the field is an added option at its default."""
    if not field.metadata.get("added", False):
        return False
    if field.default_factory is not dataclasses.MISSING:
        return bool(getattr(config, field.name) == field.default_factory())
    return bool(getattr(config, field.name) == field.default)


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix.rstrip("."): tree}
    return {k: v for key, value in tree.items() for k, v in _flatten(value, f"{prefix}{key}.").items()}
