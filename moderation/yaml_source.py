"""YAML text -> plain data plus the place of every key and value.

Only the plain part of YAML is read: no tags, no anchors and aliases, no merge keys, no second
document. What is refused is collected, not raised, so that an author sees all of it at once.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.events import AliasEvent, NodeEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from moderation.errors import PolicyError, PolicyProblem

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20

#: Where a value lies in the data: keys and list indices from the top.
Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """A place in a file; `line` and `column` count from 1, 0 where unknown."""

    line: int = 0
    column: int = 0


@dataclass
class YamlSource:
    """A parsed file: its data, the places of its parts, and what was refused on the way."""

    path: str
    data: Any = None
    values: dict[Location, Place] = field(default_factory=dict)
    keys: dict[Location, Place] = field(default_factory=dict)
    problems: list[PolicyProblem] = field(default_factory=list)

    def place(self, location: Location, *, key: bool = False) -> Place:
        """Returns the place of the value (or its key), else of the nearest enclosing value."""
        if key and location in self.keys:
            return self.keys[location]
        while location and location not in self.values:
            location = location[:-1]
        return self.values.get(location, Place())

    def problem(
        self, location: Location, message: str, remedy: str, *, key: bool = False
    ) -> PolicyProblem:
        """Returns a problem that points to `location`."""
        place = self.place(location, key=key)
        return PolicyProblem(self.path, place.line, place.column, message, remedy)

    def refuse(self, mark: Any, message: str, remedy: str) -> None:
        """Collects a problem at a place of the text."""
        self.problems.append(
            PolicyProblem(self.path, mark.line + 1, mark.column + 1, message, remedy)
        )


def parse_yaml(content: bytes, path: str) -> YamlSource:
    """Returns the data of one YAML document with its places.

    Raises:
        PolicyError: the text is not YAML at all, so that nothing more can be said of it.
    """
    source = YamlSource(path, values={(): Place(1, 1)})
    text = _decoded(content, path)
    try:
        loader = _PlainLoader(text, source)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        what = " ".join(part for part in (error.context, error.problem) if part)
        if error.context_mark and error.context_mark.line + 1 != where[0]:
            what += f" (begun on line {error.context_mark.line + 1})"
        raise PolicyError(
            [(path, *where, f"not YAML: {what}", "Check indentation, quotes and brackets here")]
        ) from error
    except (ValueError, OverflowError) as error:  # PyYAML on \\U escapes and versions out of range
        raise PolicyError(
            [(path, 1, 1, f"not YAML: {error}", "Check escapes such as \\U and %YAML lines")]
        ) from error
    except yaml.reader.ReaderError as error:
        line, column = _line_and_column(text, error.position)
        problem = (path, line, column, f"not YAML: {error.reason}", "Remove this character")
        raise PolicyError([problem]) from error
    if node is not None:
        source.data = _plain(node, (), source)
    return source


def _decoded(content: bytes, path: str) -> str:
    if len(content) > MAX_BYTES:
        message = f"the file has {len(content)} bytes, over the limit of {MAX_BYTES}"
        raise PolicyError([(path, 0, 0, message, "Split it into several policies")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content.removeprefix(codecs.BOM_UTF8)[: error.start].decode(errors="ignore")
        line, column = _line_and_column(before, len(before))
        problem = (path, line, column, "this is not UTF-8 text", "Save the file as UTF-8")
        raise PolicyError([problem]) from error


def _line_and_column(text: str, position: int) -> tuple[int, int]:
    before = re.split(r"\r\n|\r|\n", text[:position])
    return len(before), len(before[-1]) + 1


class _PlainLoader(yaml.SafeLoader):
    """Composes nodes, refusing what reaches beyond plain YAML; it constructs nothing."""

    def __init__(self, text: str, source: YamlSource) -> None:
        super().__init__(text)
        self._source = source
        self._depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, AliasEvent):
            self.get_event()  # type: ignore[no-untyped-call]
            self._source.refuse(
                event.start_mark, f"an alias (*{event.anchor}) is not allowed", "Write it out"
            )
            return ScalarNode("tag:yaml.org,2002:null", "", event.start_mark)  # type: ignore[arg-type]
        if isinstance(event, NodeEvent) and event.anchor is not None:
            message = f"an anchor (&{event.anchor}) is not allowed"
            self._source.refuse(event.start_mark, message, "Remove it and write values out")
        if getattr(event, "tag", None) is not None:
            message = f"a tag ({event.tag}) is not allowed"
            self._source.refuse(event.start_mark, message, "Remove it; quote a text instead")
        if self._depth >= MAX_DEPTH:
            message = f"nested more than {MAX_DEPTH} deep"
            raise ConstructorError(None, None, message, event.start_mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def _plain(node: Node, location: Location, source: YamlSource) -> Any:
    """Returns the data of a node and notes the places of its parts."""
    source.values[location] = Place(node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, MappingNode):
        return _plain_mapping(node, location, source)
    if isinstance(node, SequenceNode):
        return [_plain(item, (*location, i), source) for i, item in enumerate(node.value)]
    return _plain_scalar(node)


def _plain_mapping(node: MappingNode, location: Location, source: YamlSource) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, ScalarNode):
            source.refuse(key_node.start_mark, "a key must be a word", "Use a plain key")
            continue
        key = key_node.value
        if key in data:
            first = source.keys[(*location, key)]
            source.refuse(
                key_node.start_mark,
                f"duplicate key '{key}', first given on line {first.line}",
                "Keep one of the two",
            )
            continue
        mark = key_node.start_mark
        source.keys[(*location, key)] = Place(mark.line + 1, mark.column + 1)
        data[key] = _plain(value_node, (*location, key), source)
    return data


_constructor = SafeConstructor()
_SCALARS = {
    "tag:yaml.org,2002:null": _constructor.construct_yaml_null,
    "tag:yaml.org,2002:bool": _constructor.construct_yaml_bool,
    "tag:yaml.org,2002:int": _constructor.construct_yaml_int,
    "tag:yaml.org,2002:float": _constructor.construct_yaml_float,
}


def _plain_scalar(node: Node) -> Any:
    """Returns None, a bool, an int or a float where YAML says so, else the text itself."""
    construct = _SCALARS.get(node.tag)
    if construct is None:
        return node.value
    try:
        return construct(node)  # type: ignore[arg-type]
    except (ValueError, KeyError):  # an explicit, refused tag on something else
        return node.value
