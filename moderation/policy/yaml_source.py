"""YAML text -> plain data plus the place of every key and value.

Only the plain part of YAML is read: no tags, no anchors and aliases, no merge keys, no second
document. What is refused is collected, not raised, so that an author sees all of it at once.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml
from yaml.constructor import ConstructorError
from yaml.events import AliasEvent, NodeEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from moderation.errors import PolicyError, PolicyProblem

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20

#: Where a value is in the data: keys and list indices from the top.
Location = tuple[str | int, ...]

#: What a bare word may stand for, apart from itself.
_CONSTRUCTED = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float")}

#: Numbers that every reader of YAML, and every author, reads alike.
_PLAIN_NUMBER = {
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(0|[1-9][0-9]*)"),
    "tag:yaml.org,2002:float": re.compile(r"[^:_]*"),
}

#: Nobody means a number with more digits than this.
_LONG_NUMBER = 100

#: Word processors write these for quotes; to YAML they are letters.
_TYPOGRAPHIC_QUOTES = tuple("“”„‟«»‘’‚‛‹›´＂＇")  # noqa: RUF001
#: Those that a word may begin with.
_APOSTROPHES = tuple("‘’‛´＇")  # noqa: RUF001

#: A line of a comment that speaks to an editor, or to lint.
_MODELINE = re.compile(r"#\s*(yaml-language-server:|lint:|vim?:|-\*-)")


class FileKind(NamedTuple):
    """What a YAML file is expected to be, such as `a policy`, and how its author can begin one."""

    name: str
    remedy: str


class Place(NamedTuple):
    """A place in a YAML file; `line` and `column` count from 1, 0 where unknown."""

    line: int = 0
    column: int = 0


@dataclass
class YamlSource:
    """A parsed file: its data, the places of its parts, and what was refused on the way."""

    path: str
    kind: FileKind
    data: Any = None
    values: dict[Location, Place] = field(default_factory=dict)
    keys: dict[Location, Place] = field(default_factory=dict)
    written: dict[Location, str] = field(default_factory=dict)
    problems: list[PolicyProblem] = field(default_factory=list)
    text: str = ""

    @property
    def opening_comment(self) -> str:
        """The comment that the file begins with, without what it says to editors and to lint."""
        lines = []
        for line in self.text.splitlines():
            if not line.startswith("#"):
                break
            if not _MODELINE.match(line):
                lines.append(line.lstrip("#").strip())
        return "\n".join(lines).strip()

    def place(self, location: Location, *, key: bool = False) -> Place:
        """Returns the place of a value (or its key), or of the nearest value around it."""
        if key and location in self.keys:
            return self.keys[location]
        while location and location not in self.values:
            location = location[:-1]
        return self.values.get(location, Place())

    def shown(self, location: Location, value: Any) -> str:
        """Returns a value in the author's own words: true, 0x1 or "1", where Python has others."""
        if isinstance(value, list | tuple):
            return "a list"
        if isinstance(value, dict):
            return "keys with values"
        return self.written.get(location, "" if value is None else repr(value)) or "nothing"

    def problem(
        self, location: Location, message: str, remedy: str, *, key: bool = False
    ) -> PolicyProblem:
        """Returns a problem that points to `location`."""
        return PolicyProblem(self.path, *self.place(location, key=key), message, remedy)

    def refuse(self, mark: Any, message: str, remedy: str) -> None:
        """Collects a problem at a place of the text."""
        self.problems.append(PolicyProblem(self.path, *_place_of_mark(mark), message, remedy))


def parse_yaml(content: bytes, path: str, kind: FileKind) -> YamlSource:
    """Returns the data of one YAML document with its places.

    Args:
        content: the YAML text.
        path: what to call it in problems.
        kind: what it is expected to be.

    Raises:
        PolicyError: the text is not YAML at all, so that nothing more can be said of it.
    """
    text = _decoded_yaml(content, path)
    source = YamlSource(path, kind, values={(): Place(1, 1)}, text=text)
    try:
        loader = _PlainYamlLoader(text, source)
        node = loader.get_single_node()
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        place, why, remedy = _yaml_error(error, text)
        raise PolicyError([(path, *place, f"not YAML: {why}", remedy)]) from error
    if node is not None:
        source.data = loader.plain(node, ())
    return source


def _yaml_error(error: Exception, text: str) -> tuple[Place, str, str]:
    """Returns where and why a text is not YAML, and what to do."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        where = _place_of_mark(mark) if mark else Place()
        why = " ".join(part for part in (error.context, error.problem) if part)
        if error.context_mark and error.context_mark.line + 1 != where.line:
            why += f" (begun on line {error.context_mark.line + 1})"
        return where, why, "Check indentation, quotes and brackets here"
    if isinstance(error, yaml.reader.ReaderError):
        return _end_of_yaml(text[: error.position]), error.reason, "Remove this character"
    # PyYAML raises Python's own errors on \\U escapes and versions out of range.
    return Place(1, 1), str(error), "Check escapes such as \\U and %YAML lines"


def _decoded_yaml(content: bytes, path: str) -> str:
    if len(content) > MAX_BYTES:
        message = f"the file has {len(content)} bytes, over the limit of {MAX_BYTES}"
        raise PolicyError([(path, 0, 0, message, "Split it into several files")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content.removeprefix(codecs.BOM_UTF8)[: error.start].decode(errors="ignore")
        problem = (path, *_end_of_yaml(before), "this is not UTF-8 text", "Save the file as UTF-8")
        raise PolicyError([problem]) from error


def _place_of_mark(mark: Any) -> Place:
    """Returns the place that a mark of PyYAML stands for."""
    return Place(mark.line + 1, mark.column + 1)


def _end_of_yaml(text: str) -> Place:
    """Returns the place right after a part of a YAML text."""
    lines = re.split(r"\r\n|\r|\n", text)
    return Place(len(lines), len(lines[-1]) + 1)


class _PlainYamlLoader(yaml.SafeLoader):
    """Reads plain data and refuses what reaches beyond it; notes where and how all was written."""

    def __init__(self, text: str, source: YamlSource) -> None:
        super().__init__(text)
        self._text = text
        self._source = source
        self._depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, AliasEvent):
            self.get_event()  # type: ignore[no-untyped-call]
            self._source.refuse(
                event.start_mark, f"an alias (*{event.anchor}) is not allowed", "Write it out"
            )
            return ScalarNode("tag:yaml.org,2002:null", "", event.start_mark, event.end_mark)  # type: ignore[arg-type]
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

    def plain(self, node: Node, location: Location) -> Any:
        """Returns the data of a node."""
        self._source.values[location] = _place_of_mark(node.start_mark)
        if isinstance(node, MappingNode):
            return self._mapping(node, location)
        if isinstance(node, SequenceNode):
            return [self.plain(item, (*location, i)) for i, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        self._source.written[location] = self._words(node)
        self._refuse_typographic_quotes(node)
        return self._scalar(node)

    def _words(self, node: Node) -> str:
        return self._text[node.start_mark.index : node.end_mark.index].strip()

    def _mapping(self, node: MappingNode, location: Location) -> dict[str, Any]:
        data: dict[str, Any] = {}
        before = ""
        for key_node, value_node in node.value:
            mark = key_node.start_mark
            if not isinstance(key_node, ScalarNode):
                self._source.refuse(mark, "a key must be a word", "Use a plain key")
                continue
            key = key_node.value
            if node.flow_style and self._is_behind_a_comma(data.get(before), key, value_node):
                data[before] = self._refuse_comma(mark, data[before], key)
                continue
            if key in data:
                first = self._source.keys[(*location, key)]
                message = f"duplicate key '{key}', first given on line {first.line}"
                self._source.refuse(mark, message, "Keep one of the two")
                continue
            self._refuse_typographic_quotes(key_node)
            self._source.keys[(*location, key)] = _place_of_mark(mark)
            data[key] = self.plain(value_node, (*location, key))
            before = key
        return data

    def _is_behind_a_comma(self, value: Any, key: str, value_node: Node) -> bool:
        """Returns whether a key is what follows the comma of {threshold: 0,8}."""
        return type(value) is int and key.isdecimal() and not self._words(value_node)

    def _refuse_comma(self, mark: Any, whole: int, decimals: str) -> float:
        """Refuses a decimal comma; returns the number that was meant, for the other rules."""
        message = f"{whole},{decimals} is not a number: the comma ends it, and {decimals} is a key"
        self._source.refuse(mark, message, f"Write {whole}.{decimals}, with a point")
        return float(f"{whole}.{decimals}")

    def _refuse_typographic_quotes(self, node: ScalarNode) -> None:
        """Refuses those around a text, or around a part that a comma cut off; not those within."""
        text, quotes = node.value, _TYPOGRAPHIC_QUOTES
        if (
            node.style is None
            and text.startswith(quotes)
            and _closing_quote(text) in ("", text[-1:])
        ):
            message = f"{text[0]} is not a YAML quote: it is read as part of the text"
            remedy = "Put straight quotes around the whole text"
            self._source.refuse(node.start_mark, message, remedy)

    def _scalar(self, node: ScalarNode) -> Any:
        """Returns None, a bool, an int or a float where YAML says so, otherwise the text itself."""
        if node.tag not in _CONSTRUCTED:
            return node.value
        try:
            value = self.yaml_constructors[node.tag](self, node)
        except (ValueError, KeyError):  # an explicit, refused tag on something else
            return node.value
        if node.tag in _PLAIN_NUMBER and not _PLAIN_NUMBER[node.tag].fullmatch(node.value):
            is_short = len(node.value) < _LONG_NUMBER  # Python does not write out any number
            message = f"{node.value} would be read as {value if is_short else 'another number'}"
            remedy = "Write plain digits, without a 0 before them; or put quotes around a text"
            self._source.refuse(node.start_mark, message, remedy)
            return value if is_short else node.value
        return value


def _closing_quote(text: str) -> str:
    """Returns the first typographic quote after the one that a text begins with.

    An apostrophe at the beginning, as of a decade, needs no closing quote.
    """
    found = next((sign for sign in text[1:] if sign in _TYPOGRAPHIC_QUOTES), "")
    return found or ("'" if text.startswith(_APOSTROPHES) else "")
