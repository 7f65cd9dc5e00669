"""Recipes from JSON: values are checked against the dataclasses' annotations and refused by their field's name."""

import json
import math
import types
import typing
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal

from dfclib.errors import UserError
from dfclib.recipes.recipe import EnsembleRecipe, Recipe


def from_dict(values: Any, where: str = "recipe") -> Recipe | EnsembleRecipe:
    """A recipe from JSON values. Raises UserError naming the first field that is unknown, missing or ill-typed."""
    if not isinstance(values, dict):
        raise UserError(f"{where}: expected an object with a recipe's fields, received {_received(values)}")
    return _read(EnsembleRecipe if "members" in values else Recipe, values, where)


def _received(value: Any) -> str:
    return f"{json.dumps(value, default=str)[:80]} ({type(value).__name__})"


def _read(kind: Any, value: Any, where: str) -> Any:
    """`value` as `kind` (a type of this file's annotations), or UserError naming `where`."""
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _read_union(options, value, where)
    if origin is Literal:
        if value in options:
            return value
        raise UserError(f"{where}: expected one of {', '.join(map(repr, options))}, received {_received(value)}")
    if is_dataclass(kind):
        return read_dataclass(kind, value, where)
    if origin is tuple and isinstance(value, list | tuple):
        item_kinds = [options[0]] * len(value) if options[-1] is Ellipsis else options
        if len(item_kinds) != len(value):
            raise UserError(f"{where}: expected {len(item_kinds)} values, received {_received(value)}")
        return tuple(_read(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(item_kinds, value, strict=True)))
    if origin is dict and isinstance(value, dict):
        return {key: _read(options[1], item, f"{where}[{key!r}]") for key, item in value.items()}
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return value
    plain = isinstance(kind, type) and kind is not float and isinstance(value, kind)
    if plain and not (kind is int and isinstance(value, bool)):  # Python counts True as a whole number
        return value
    name = {"tuple": "a list", "dict": "an object", "str": "text", "int": "a whole number", "float": "a number"}
    name = name.get((origin or kind).__name__, getattr(kind, "__name__", str(kind)))
    raise UserError(f"{where}: expected {name}, received {_received(value)}")


def _read_union(options: tuple, value: Any, where: str) -> Any:
    if value is None and type(None) in options:
        return None
    options = tuple(option for option in options if option is not type(None))
    if len(options) == 1:
        return _read(options[0], value, where)
    kinds = {typing.get_args(typing.get_type_hints(option)["kind"])[0]: option for option in options}
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in kinds:  # a list is in no dictionary
        raise UserError(f"{where}: expected an object with kind one of {', '.join(kinds)}, received {_received(value)}")
    return _read(kinds[kind], value, where)


def read_dataclass(kind: type, value: Any, where: str) -> Any:
    """The dataclass `kind` from JSON values. Raises UserError naming the first field that is unknown, missing or
    ill-typed, after `where`."""
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected an object with the fields of {kind.__name__}, received {_received(value)}")
    hints = typing.get_type_hints(kind)
    unknown = [key for key in value if key not in hints]
    if unknown:
        raise UserError(f"{where}: unknown field {unknown[0]!r}; known are {', '.join(hints)}")
    required = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
    missing = [name for name in required if name not in value]
    if missing:
        raise UserError(f"{where}: field {missing[0]!r} is missing")
    values = {key: _read(hints[key], item, f"{where}.{key}") for key, item in value.items()}
    try:
        return kind(**values)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
