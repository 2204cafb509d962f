"""Dataclasses from plain data and back, strictly: an unknown key, a wrong type or range is one clear line."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ourgan._core.errors import OurganError

T = TypeVar("T")


class ConfigError(OurganError):
    """A configuration that cannot be used; its text names the key and the nearest valid one."""


def read_named(
    what: str, name: str, directory: Path, known: Sequence[str], read: Callable[[Path], dict[str, Any]]
) -> tuple[Path, dict[str, Any]]:
    """Read a TOML file by its name in a directory, or from a path.

    Args:
        what: the file is, for error lines.
        name: without .toml; one that ends in .toml is a path.
        directory: of the files that have names.
        known: their names.
        read: returns the content of a file.

    Raises:
        ConfigError: there is no such file (with the nearest name), or it cannot be read.
    """
    path = Path(name) if name.endswith(".toml") else directory / f"{name}.toml"
    try:
        return path, read(path)
    except FileNotFoundError:
        line = (
            f"there is no {what} '{name}'{nearest(name, known)}: use one of {', '.join(known)}, or the path"
        )
        raise ConfigError(f"{line} of a .toml file") from None
    except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the {what} {path}: {error}") from None


def read_table(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds; raise what `open` and `tomllib` raise."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def inline(kind: type[T]) -> T:
    """Declare a dataclass's field whose own keys stand in the same table as the keys beside it."""
    field: T = dataclasses.field(default_factory=kind, metadata={"inline": True})
    return field


def from_dict(kind: type[T], table: dict[str, Any], where: str) -> T:
    """Build a (nested) dataclass from plain data, as TOML and JSON give it.

    Lists become tuples, and integers become floats where a float is wanted. A section that is left out
    keeps the defaults of its dataclass.

    Args:
        kind: the dataclass; its `__post_init__` checks ranges. Where it has a class method `upgrade(table)`,
            that drops the keys of earlier versions.
        table: its fields by name.
        where: what error lines begin with, such as the file.

    Raises:
        ConfigError: an unknown key (with the nearest known one), a missing key, a wrong type or range.
    """
    hints, fields = typing.get_type_hints(kind), dataclasses.fields(kind)  # type: ignore[arg-type]
    parts = {field.name: _names(hints[field.name]) for field in fields if field.metadata.get("inline")}
    own = [field.name for field in fields if field.name not in parts]
    known = [*own, *(key for keys in parts.values() for key in keys)]
    try:
        table = getattr(kind, "upgrade", dict)(table)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}: unknown key '{key}'{nearest(key, known)}")
    values = {key: _convert(hints[key], table[key], where, key) for key in own if key in table}
    for part, keys in parts.items():
        values[part] = from_dict(hints[part], {key: table[key] for key in keys if key in table}, where)
    for key in own:
        # A section that a profile leaves out keeps its defaults, which are the paper's.
        if key not in values and dataclasses.is_dataclass(hints[key]):
            values[key] = hints[key]()
    try:
        return kind(**values)
    except (ConfigError, TypeError) as error:
        raise ConfigError(f"{where}: {error}") from None


def to_dict(config: Any) -> dict[str, Any]:
    """Return the plain data of a dataclass as JSON and TOML hold it: lists for its tuples."""
    table: dict[str, Any] = dataclasses.asdict(config)
    for field in dataclasses.fields(config):
        if field.metadata.get("inline"):
            del table[field.name]
            table |= to_dict(getattr(config, field.name))
    return {key: list(value) if isinstance(value, tuple) else value for key, value in table.items()}


def nearest(word: str, known: typing.Iterable[str]) -> str:
    """Return " (did you mean ...?)" for a misspelt `word`, or "" where nothing in `known` is like it."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def one_of(key: str, value: str, known: tuple[str, ...]) -> None:
    """Raise ConfigError, with the nearest of `known`, for any other `value`."""
    if value not in known:
        raise ConfigError(f"{key} is '{value}'{nearest(value, known)}: use one of {', '.join(known)}")


def at_least(key: str, value: float, least: float) -> None:
    """Raise ConfigError for a `value` under `least`, or one that is not a number."""
    if not value >= least:  # NaN is not
        raise ConfigError(f"{key} is {value}: it must be at least {least}")


def at_most(key: str, value: float, most: float) -> None:
    """Raise ConfigError for a `value` above `most`."""
    if value > most:
        raise ConfigError(f"{key} is {value}: it must be at most {most}")


def _names(kind: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def _convert(kind: Any, value: Any, where: str, key: str) -> Any:
    section = next((option for option in _options(kind) if dataclasses.is_dataclass(option)), None)
    if section is not None:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: '{key}' must be a section, not {value!r}")
        return from_dict(section, value, f"{where}, [{key}]")  # type: ignore[arg-type]
    if isinstance(value, list):
        value = tuple(float(v) if float in typing.get_args(kind) and type(v) is int else v for v in value)
    if kind is float and type(value) is int:
        value = float(value)
    if not _fits(kind, value):
        name = kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
        raise ConfigError(f"{where}: '{key}' must be of type {name}, not {value!r}")
    return value


def _options(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)


def _fits(kind: Any, value: Any) -> bool:
    if isinstance(kind, types.UnionType):
        return any(_fits(option, value) for option in typing.get_args(kind))
    if typing.get_origin(kind) is Mapping:
        return isinstance(value, dict)
    if typing.get_origin(kind) is tuple:
        items = typing.get_args(kind)
        if not isinstance(value, tuple) or (items[-1] is not Ellipsis and len(value) != len(items)):
            return False
        return all(_fits(items[0], v) for v in value)
    return type(value) is kind  # not isinstance: True is no int here
