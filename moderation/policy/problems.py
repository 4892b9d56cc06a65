"""A parsed file -> its record, or everything that is wrong in it, as its author can act on it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from moderation.errors import PolicyError, PolicyProblem
from moderation.policy.plain_data import BrokenRule
from moderation.policy.yaml_source import Location, YamlSource

T = TypeVar("T", bound=BaseModel)

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
    "hex_mismatch": "Copy it as `sha256sum FILE` or `moderation model info` prints it",
    "too_long": "Give at most {max_length}",
    "tuple_type": "Write a list: [first, second], or a line with - for each",
    "model_type": "Write keys and values here",
    "date_from_datetime_parsing": "Write a date, such as 2026-11-21",
    "float_type": "Use a number without quotes, such as 0.8",
    "int_type": "Use a whole number without quotes",
}

#: pydantic error types whose own words are about Python -> words about the file.
_MESSAGES = {
    "too_long": "the list has too many items",
    "too_short": "the list needs more items",
    "tuple_type": "this should be a list",
    "model_type": "this should be keys with values",
    "string_pattern_mismatch": "this should be lower-case letters, digits and hyphens",
    "hex_mismatch": "this should be digits and the letters a to f, in lower case and all of them",
}


def record_or_problems(
    source: YamlSource,
    model: type[T],
    rules: Callable[[dict[str, Any]], Iterator[BrokenRule]] | None = None,
) -> T:
    """Returns the record that a file holds, or raises all problems of the file.

    Args:
        source: the parsed file.
        model: what it holds.
        rules: yields the rules that its data break, beside those of single fields.

    Raises:
        PolicyError: with every problem of the file, in the order of the file; or with one alone
            where the file is of a newer version, of which nothing more can be said.
    """
    if not isinstance(source.data, dict):
        shown = source.shown((), source.data)
        what = f"{source.kind.name} is a mapping of keys to values, but this file holds {shown}"
        raise PolicyError([*source.problems, source.problem((), what, source.kind.remedy)])
    problems = [*source.problems, *_version_problems(source)]
    if rules is not None:
        problems += [source.problem(*broken) for broken in rules(source.data)]
    try:
        record = model.model_validate(source.data)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        problems += [
            _field_problem(one, source, model) for one in errors if not _repeats_a_problem(one)
        ]
    if problems:
        in_file_order = sorted(set(problems), key=lambda p: (p.line, p.column, p.message))
        raise PolicyError(in_file_order)
    return record


def _version_problems(source: YamlSource) -> Iterator[PolicyProblem]:
    version = source.data.get("schema_version", SCHEMA_VERSION)
    where: Location = ("schema_version",)
    what = f"schema_version is {source.shown(where, version)}, and this program reads"
    if any((found.line, found.column) == source.place(where) for found in source.problems):
        return  # it is not a plain number
    if isinstance(version, int) and version > SCHEMA_VERSION:
        message = f"{what} {SCHEMA_VERSION}: the file is newer"
        raise PolicyError([source.problem(where, message, "Update evenhand")])
    if type(version) is not int or version != SCHEMA_VERSION:  # True and 1.0 equal 1
        remedy = f"Write schema_version: {SCHEMA_VERSION}"
        yield source.problem(where, f"{what} {SCHEMA_VERSION}", remedy)


def _repeats_a_problem(details: ErrorDetails) -> bool:
    """Whether an error repeats a problem: of a rule that spans fields, the version, or a list.

    pydantic calls a list too short where it could read none of its items.
    """
    if details["loc"] == ("schema_version",) and details["type"] != "missing":
        return True
    if details["type"] == "too_short":
        return bool(details["input"])
    return details["type"] == "value_error"


def _field_problem(
    details: ErrorDetails, source: YamlSource, model: type[BaseModel]
) -> PolicyProblem:
    location = details["loc"]
    kind, value = _problem_kind(details), details["input"]
    name = location[-1] if location else ""
    if kind == "extra_forbidden":
        keys = _remedy_keys(location[:-1], model)
        remedy = _nearest_remedy(str(name), keys, "Known keys here")
        return source.problem(location, f"unknown key '{name}'", remedy, key=True)
    if kind == "missing":
        return source.problem(location[:-1], f"the key '{name}' is missing", f"Add {name}: ...")
    if kind == "literal_error":
        options = re.findall(r"'([^']+)'", details["ctx"]["expected"])
        message = (
            f"{_problem_path(location)} is {source.shown(location, value)}, which is not known"
        )
        return source.problem(location, message, _nearest_remedy(str(value), options, "Use one of"))
    message = details["msg"][:1].lower() + details["msg"][1:]
    message = _MESSAGES.get(kind, message).format(**details.get("ctx", {}))
    message = f"{_problem_path(location)}: {message}"
    if kind != "too_short":
        message += f", not {source.shown(location, value)}"
    return source.problem(location, message, _problem_remedy(details))


def _problem_kind(details: ErrorDetails) -> str:
    """Returns pydantic's error type; a pattern of a hash has one of its own."""
    kind, pattern = details["type"], str(details.get("ctx", {}).get("pattern", ""))
    return "hex_mismatch" if pattern.startswith("^[0-9a-f]{") else kind


def _problem_remedy(details: ErrorDetails) -> str:
    value, kind = details["input"], _problem_kind(details)
    if kind == "string_type":
        if isinstance(value, bool | int | float):
            return "Put quotes around it: YAML reads the bare word as something else"
        return "Write a text here"
    if isinstance(value, str) and re.fullmatch(r"[0-9]+,[0-9]+", value):
        return f"Write {value.replace(',', '.')}, with a point"
    remedy = _REMEDIES.get(kind, "See the keys of this file in the documentation")
    return remedy.format(**details.get("ctx", {}))


def _remedy_keys(location: Location, model: type[BaseModel]) -> list[str]:
    """Returns the keys that a remedy names: those of the record that `location` leads to."""
    for step in location:
        if isinstance(step, str):
            annotation: Any = model.model_fields[step].annotation
            model = next(iter(get_args(annotation)), annotation)  # a tuple of records, or a record
    return list(model.model_fields)


def _nearest_remedy(word: str, known: list[str], fallback: str) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    listed = f"{fallback}: {', '.join(known)}"
    return f"Did you mean '{close[0]}'? {listed}" if close else listed


def _problem_path(location: Location) -> str:
    steps = (step for step in location if isinstance(step, int) or step.isidentifier())
    # Others name one of several types that a value may have, in pydantic's words.
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.lstrip(".")
