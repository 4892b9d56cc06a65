"""What is wrong with the shape and the fields of a file -> problems that its author can act on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from moderation.errors import PolicyError, PolicyProblem
from moderation.policy.yaml_source import Location, YamlSource

#: The version of every file format that this program reads.
SCHEMA_VERSION = 1

#: pydantic error types -> what to do; `{...}` are the error's own context.
_REMEDIES = {
    "too_short": "Give at least {min_length}",
    "string_too_short": "Write at least one character",
    "string_too_long": "Use at most {max_length} characters",
    "greater_than_equal": "Use {ge} or more",
    "less_than_equal": "Use {le} or less",
    "greater_than": "Use more than {gt}",
    "less_than": "Use less than {lt}",
    "finite_number": "Use a number in [0, 1]",
    "string_pattern_mismatch": "Use lower-case letters, digits and hyphens, such as 'hand-gun'",
    "tuple_type": "Write a list: [first, second], or a line with - for each",
    "model_type": "Write keys and values here",
    "float_type": "Use a number without quotes, such as 0.8",
    "int_type": "Use a whole number without quotes",
}

#: pydantic error types whose own words speak of Python -> words that speak of the file.
_MESSAGES = {
    "too_short": "the list needs at least {min_length} item(s)",
    "tuple_type": "this should be a list",
    "model_type": "this should be keys with values",
    "string_pattern_mismatch": "this should be lower-case letters, digits and hyphens",
}


def shape_problems(source: YamlSource) -> list[PolicyProblem]:
    """Returns why the data are no file of the expected kind, before anything else is said of it.

    Raises:
        PolicyError: it is of a newer version, of which nothing more can be said.
    """
    kind = source.kind
    if not isinstance(source.data, dict):
        shown = source.shown((), source.data)
        what = f"{kind.name} is keys with values, and this file holds {shown}"
        return [source.problem((), what, kind.remedy)]
    version = source.data.get("schema_version", SCHEMA_VERSION)
    where: Location = ("schema_version",)
    what = f"schema_version is {source.shown(where, version)}, and this program reads"
    place = source.place(where)
    if any((told.line, told.column) == (place.line, place.column) for told in source.problems):
        return []  # it is no plain number
    if isinstance(version, int) and version > SCHEMA_VERSION:
        message = f"{what} {SCHEMA_VERSION}: the file is newer"
        raise PolicyError([source.problem(where, message, "Update evenhand")])
    if type(version) is not int or version != SCHEMA_VERSION:  # True and 1.0 equal 1
        remedy = f"Write schema_version: {SCHEMA_VERSION}"
        return [source.problem(where, f"{what} {SCHEMA_VERSION}", remedy)]
    return []


def field_problems(
    error: ValidationError, source: YamlSource, model: type[BaseModel]
) -> list[PolicyProblem]:
    """Returns a problem for each field error of `model`, at its place in the file.

    Left out are what is told elsewhere (rules that span fields, the version), and lists that
    pydantic calls too short because it could read none of their items.
    """
    return [
        _problem(details, source, model)
        for details in error.errors(include_url=False)
        if not _is_told_elsewhere(details)
    ]


def _is_told_elsewhere(details: ErrorDetails) -> bool:
    if details["loc"] == ("schema_version",) and details["type"] != "missing":
        return True
    if details["type"] == "too_short":
        return bool(details["input"])
    return details["type"] == "value_error"


def _problem(details: ErrorDetails, source: YamlSource, model: type[BaseModel]) -> PolicyProblem:
    location = details["loc"]
    kind, value = details["type"], details["input"]
    name = location[-1] if location else ""
    if kind == "extra_forbidden":
        keys = _keys_at(location[:-1], model)
        remedy = _nearest(str(name), keys, "Known keys here")
        return source.problem(location, f"unknown key '{name}'", remedy, key=True)
    if kind == "missing":
        return source.problem(location[:-1], f"the key '{name}' is missing", f"Add {name}: ...")
    if kind == "literal_error":
        options = re.findall(r"'?([\w-]+)'?(?:, | or |$)", details["ctx"]["expected"])
        message = f"{_path(location)} is {source.shown(location, value)}, which is not known"
        return source.problem(location, message, _nearest(str(value), options, "Use one of"))
    said = _MESSAGES.get(kind, _lower(details["msg"])).format(**details.get("ctx", {}))
    message = f"{_path(location)}: {said}, not {source.shown(location, value)}"
    return source.problem(location, message, _remedy(details))


def _remedy(details: ErrorDetails) -> str:
    value, kind = details["input"], details["type"]
    if kind == "string_type":
        if isinstance(value, bool | int | float):
            return "Put quotes around it: YAML reads the bare word as something else"
        return "Write a text here"
    if isinstance(value, str) and re.fullmatch(r"[0-9]+,[0-9]+", value):
        return f"Write {value.replace(',', '.')}, with a point"
    remedy = _REMEDIES.get(kind, "See the keys of this file in the documentation")
    return remedy.format(**details.get("ctx", {}))


def _keys_at(location: tuple[str | int, ...], model: type[BaseModel]) -> list[str]:
    """Returns the keys of the record that `location` leads to."""
    for step in location:
        if isinstance(step, int):
            continue
        annotation = model.model_fields[step].annotation
        records = [inner for inner in _inner_types(annotation) if _is_record(inner)]
        model = records[0]
    return list(model.model_fields)


def _inner_types(annotation: Any) -> Iterable[Any]:
    yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _inner_types(argument)


def _is_record(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _nearest(word: str, known: list[str], fallback: str) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    listed = f"{fallback}: {', '.join(known)}"
    return f"Did you mean '{close[0]}'? {listed}" if close else listed


def _path(location: tuple[str | int, ...]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return text.lstrip(".")


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
