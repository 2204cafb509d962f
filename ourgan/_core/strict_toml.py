"""Dataclasses from plain data and back, strictly: an unknown key, a wrong type or range is one clear line."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from typing import Any, TypeVar

from ourgan._core.errors import OurganError

T = TypeVar("T")


class ConfigError(OurganError):
    """A configuration that cannot be used; names the key and the nearest valid one."""


def from_dict(kind: type[T], table: dict[str, Any], where: str) -> T:
    """Build a (nested) frozen dataclass from plain data, strictly: keys, types and ranges."""
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in fields:
            raise ConfigError(f"{where}: unknown key '{key}'{nearest(key, fields)}")
        values[key] = _converted(hints[key], value, where, key)
    for field in fields.values():
        # A section that a profile leaves out keeps its defaults, which are the paper's.
        if field.name not in values and dataclasses.is_dataclass(hints[field.name]):
            values[field.name] = hints[field.name]()
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from None


def to_dict(config: Any) -> dict[str, Any]:
    """The plain data of a configuration, as JSON and TOML hold it."""
    table: dict[str, Any] = dataclasses.asdict(config)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in table.items()}


def _converted(kind: Any, value: Any, where: str, key: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: '{key}' must be a section, not {value!r}")
        return from_dict(kind, value, f"{where}, [{key}]")  # type: ignore[arg-type]
    if isinstance(value, list):
        value = tuple(float(v) if float in typing.get_args(kind) and type(v) is int else v for v in value)
    if kind is float and type(value) is int:
        value = float(value)
    if not _fits(kind, value):
        name = kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
        raise ConfigError(f"{where}: '{key}' must be of type {name}, not {value!r}")
    return value


def _fits(kind: Any, value: Any) -> bool:
    if isinstance(kind, types.UnionType):
        return any(_fits(option, value) for option in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        items = typing.get_args(kind)
        if not isinstance(value, tuple) or (items[-1] is not Ellipsis and len(value) != len(items)):
            return False
        return all(_fits(items[0], v) for v in value)
    return type(value) is kind  # not isinstance: True is no int here


def nearest(word: str, known: typing.Iterable[str]) -> str:
    """ " (did you mean ...?)" for a misspelt `word`, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def one_of(key: str, value: str, known: tuple[str, ...]) -> None:
    """Raise ConfigError, with the nearest of `known`, for any other `value`."""
    if value not in known:
        raise ConfigError(f"{key} is '{value}'{nearest(value, known)}: use one of {', '.join(known)}")


def at_least(key: str, value: float, least: float) -> None:
    """Raise ConfigError for a `value` under `least`."""
    if not value >= least:  # NaN is not
        raise ConfigError(f"{key} is {value}: it must be at least {least}")


def at_most(key: str, value: float, most: float) -> None:
    """Raise ConfigError for a `value` above `most`."""
    if value > most:
        raise ConfigError(f"{key} is {value}: it must be at most {most}")
