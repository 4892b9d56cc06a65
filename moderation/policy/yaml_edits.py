"""Edits of YAML text that leave every other character as it is: comments, order, quotes, layout.

Nothing is parsed and dumped again. What is new is put in at the places of the text that the YAML
has, in the layout of what stands beside it; whoever writes it to a file parses it again first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from moderation.policy.yaml_source import Location

_LINE_END = re.compile(r"\r\n|\r|\n")
#: Texts that may need no quotes, in any context.
_PLAIN = re.compile(r"[A-Za-z0-9_](?:[\w./ -]*[\w./-])?", re.ASCII)
_COMMENT = re.compile(r"(?:^|(?<=\s))#[^\r\n]*")


class _Edit(NamedTuple):
    """What comes into the place of a part of a text."""

    start: int
    end: int
    text: str


class YamlText:
    """The text of a YAML document without aliases, to be edited.

    Attributes:
        text: as it is after all edits.
    """

    def __init__(self, text: str) -> None:
        """Takes a text that is known to be YAML."""
        self.text = text
        found = _LINE_END.search(text)
        self._line_end = found[0] if found else "\n"

    def append(self, key: str, items: Sequence[Mapping[str, Any]]) -> None:
        """Appends items to the list under a key of the document; makes the list if it lacks it."""
        root = self._root()
        for key_node, node in root.value:
            if key_node.value == key:
                if not node.value:
                    self._fill_empty_list(root, key_node, node, items)
                elif node.flow_style:
                    self._extend_flow(node, node.value[-1], [_flow(node, item) for item in items])
                else:
                    self._extend_block(node, items)
                return
        self._add_list(root, key, items)

    def replace(self, location: Location, value: Any) -> None:
        """Puts a value into the place of another.

        Args:
            location: of the other.
            value: plain data; of keys with values only those are touched that differ, if both
                have the same keys.

        Raises:
            ValueError: a comment within the other value would be lost.
        """
        self._apply(self._replacing(_node_at(self._root(), location), value))

    def _root(self) -> MappingNode:
        root = yaml.compose(self.text, Loader=yaml.SafeLoader)
        assert isinstance(root, MappingNode)
        return root

    def _apply(self, edits: Sequence[_Edit]) -> None:
        for edit in sorted(edits, reverse=True):
            self.text = self.text[: edit.start] + edit.text + self.text[edit.end :]

    def _replacing(self, node: Node, value: Any) -> list[_Edit]:
        if isinstance(node, MappingNode) and isinstance(value, Mapping):
            children = {key.value: child for key, child in node.value}
            if children.keys() == value.keys():
                found = (self._replacing(children[key], value[key]) for key in value)
                return [edit for edits in found for edit in edits]
        start, end = node.start_mark.index, self._end(node)
        if not isinstance(node, ScalarNode) and _COMMENT.search(self.text[start:end]):
            raise ValueError("a comment stands in what would be replaced")
        if isinstance(node, ScalarNode) and yaml.safe_load(self.text[start:end]) == value:
            return []
        if isinstance(node, MappingNode) and not node.flow_style and isinstance(value, Mapping):
            lines = _block_lines(value, node.start_mark.column, 0)
            return [_Edit(start, end, self._line_end.join(lines).lstrip())]
        # What was written as nothing begins right behind its colon.
        space = " " if start == end and self.text[start - 1 : start] == ":" else ""
        return [_Edit(start, end, space + _flow(node, value))]

    def _fill_empty_list(
        self, root: MappingNode, key: Node, node: Node, items: Sequence[Mapping[str, Any]]
    ) -> None:
        """Replaces [] by lines with an item each; inside of brackets, it stays between these."""
        start, end = node.start_mark.index, node.end_mark.index
        if root.flow_style or key.start_mark.line != node.end_mark.line:
            texts = ", ".join(_flow(key, item) for item in items)
            return self._apply([_Edit(start, end, f"[{texts}]")])
        lines = [f"{' ' * (key.start_mark.column + 2)}- {_flow(node, item)}" for item in items]
        before = key.end_mark.index + len(self.text[key.end_mark.index : start].rstrip())
        place = self._end_of_line(end)
        new = _Edit(place, place, "".join(self._line_end + line for line in lines))
        self._apply([_Edit(before, end, ""), new])
        return None

    def _extend_block(self, node: SequenceNode, items: Sequence[Mapping[str, Any]]) -> None:
        """Adds lines behind the last item, laid out as that is."""
        last, column = node.value[-1], node.start_mark.column
        lines: list[str] = []
        for item in items:
            if last.flow_style is False:
                at = last.start_mark.column
                own = _block_lines(item, at, _nested_indent(last))
                lines += [f"{' ' * column}-{' ' * (at - column - 1)}{own[0].lstrip()}", *own[1:]]
            else:
                lines.append(f"{' ' * column}- {_flow(last, item)}")
        place = self._end_of_line(self._end(last))
        text = "".join(self._line_end + line for line in lines)
        self._apply([_Edit(place, place, text)])

    def _extend_flow(self, node: Node, last: Node, texts: Sequence[str]) -> None:
        """Adds parts behind the last one in brackets: on its line, or on lines of their own."""
        end, closing = self._end(last), node.end_mark.index - 1
        rest = _COMMENT.sub(lambda found: " " * len(found[0]), self.text[end:closing])
        comma = rest.find(",")
        behind = end if comma < 0 else end + comma + 1
        if not _LINE_END.search(rest):
            new = "".join(f" {text}," for text in texts)
            if comma < 0:
                new = f",{new[:-1]}"
            return self._apply([_Edit(behind, behind, new)])
        begin = self._line_end + " " * last.start_mark.column
        new = ",".join(begin + text for text in texts) + ("," if comma >= 0 else "")
        place = self._end_of_line(behind)
        edits = [_Edit(place, place, new)]
        if comma < 0:
            edits = [_Edit(end, end, "," + new)] if place == end else [_Edit(end, end, ","), *edits]
        self._apply(edits)
        return None

    def _add_list(self, root: MappingNode, key: str, items: Sequence[Mapping[str, Any]]) -> None:
        """Adds a key with a list at the end of the document."""
        last_key, last = root.value[-1]
        if root.flow_style:
            name = _flow(last_key, key)
            texts = ", ".join(_flow(root, item) for item in items)
            new = f"{name}: [{texts}]"
            # A part of the mapping begins at its key.
            part = ScalarNode("", "", last_key.start_mark, last.end_mark)
            return self._extend_flow(root, part, [new])
        indent, place = " " * root.start_mark.column, root.end_mark.index
        lines = [f"{indent}{key}:", *(f"{indent}  - {_flow(root, item)}" for item in items)]
        text = self._line_end.join(lines)
        is_at_begin = bool(_LINE_END.fullmatch(self.text[place - 1 : place]))
        text = text + self._line_end if is_at_begin else self._line_end + text
        self._apply([_Edit(place, place, text)])
        return None

    def _end(self, node: Node) -> int:
        """Returns where a node's own text ends: PyYAML counts what follows in a block to it."""
        if isinstance(node, ScalarNode):
            if node.style in ("|", ">"):
                return len(self.text[: node.end_mark.index].rstrip())
            return int(node.end_mark.index)
        assert isinstance(node, MappingNode | SequenceNode)
        if node.flow_style:
            return int(node.end_mark.index)
        last = node.value[-1]
        return self._end(last[1] if isinstance(node, MappingNode) else last)

    def _end_of_line(self, index: int) -> int:
        found = _LINE_END.search(self.text, index)
        return found.start() if found else len(self.text)


def _node_at(node: Node, location: Location) -> Node:
    """Returns the node of a value."""
    for step in location:
        if isinstance(step, int):
            node = node.value[step]
        else:
            node = next(value for key, value in node.value if key.value == step)
    return node


def _nested_indent(item: MappingNode) -> int:
    """Returns how far the keys within an item's values are moved in; 0 if they are in braces."""
    starts = [
        value.start_mark.column - item.start_mark.column
        for _, value in item.value
        if isinstance(value, MappingNode) and not value.flow_style
    ]
    return starts[-1] if starts else 0


def _block_lines(value: Mapping[str, Any], column: int, nested: int) -> list[str]:
    """Returns keys with values on lines; values that have keys too, `nested` columns further in."""
    lines: list[str] = []
    for key, part in value.items():
        if isinstance(part, Mapping) and nested:
            lines += [f"{' ' * column}{key}:", *_block_lines(part, column + nested, nested)]
        else:
            lines.append(f"{' ' * column}{key}: {_flow(None, part)}")
    return lines


def _flow(beside: Node | None, value: Any) -> str:
    """Returns a value on one line: JSON beside JSON, otherwise with quotes where it needs them."""
    if _is_json(beside):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(None, part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(None, part) for part in value) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and yaml.safe_load(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def _is_json(node: Node | None) -> bool:
    """Returns whether a node is laid out as JSON: its first text is in double quotes."""
    if isinstance(node, MappingNode):
        return bool(node.flow_style and node.value) and _is_json(node.value[0][0])
    if isinstance(node, SequenceNode):
        return bool(node.flow_style and node.value) and _is_json(node.value[0])
    return isinstance(node, ScalarNode) and node.style == '"'
