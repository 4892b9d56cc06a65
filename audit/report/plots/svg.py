"""matplotlib's SVG, as little of it as shows the same, for a page that holds many drawings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

_DECIMALS = re.compile(r"-?\d+\.\d+")
_COORDINATES = {"d", "x", "y", "width", "height", "transform"}
_FAMILY = re.compile(r"font-family:[^;]*;?")
_UNTURNED = re.compile(r"rotate\(-?0 [^)]*\)")
_URL = re.compile(r"(?<=url\(#)[^)]+")


def slim_svg(drawn: str, key: str) -> str:
    """Returns what is inside matplotlib's `<svg>`, with only the ids that are used, after a key.

    Coordinates are rounded to a tenth of a pixel, and the font is that of the element around it.
    """
    root = ElementTree.fromstring(drawn)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        slim = {k.rpartition("}")[2]: _slim_value(k, v) for k, v in element.attrib.items()}
        element.attrib = {name: value for name, value in slim.items() if value}
    _rename_ids(root, key)
    return "".join(ElementTree.tostring(each, "unicode") for each in _seen(root))


def _slim_value(name: str, value: str) -> str:
    if name in _COORDINATES:
        value = _DECIMALS.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), value)
        return _UNTURNED.sub("", " ".join(value.split()))
    if name == "style":
        return _FAMILY.sub("", value.replace("; ", ";").replace(": ", ":"))
    return value


def _rename_ids(root: ElementTree.Element, key: str) -> None:
    """Gives the ids that something points at the key, and takes all others away."""
    values = [value for element in root.iter() for value in element.attrib.values()]
    used = {name for value in values for name in _URL.findall(value)}
    used |= {each.attrib["href"][1:] for each in root.iter() if "href" in each.attrib}
    names = {name: f"{key}-{i}" for i, name in enumerate(sorted(used))}
    for element in root.iter():
        own = element.attrib
        if (name := own.pop("id", "")) in names:
            own["id"] = names[name]
        for attribute, value in own.items():
            own[attribute] = _URL.sub(lambda found: names[found[0]], value)
        if "href" in own:
            own["href"] = f"#{names[own['href'][1:]]}"


def _seen(parent: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """Yields what an element holds without what draws nothing; plain groups give what they hold."""
    for child in list(parent):
        if child.tag in ("metadata", "style") or child.attrib.get("style") == "fill:none":
            continue
        child[:] = held = list(_seen(child))
        child.tail = None
        if child.tag != "text":
            child.text = None
        if child.tag == "g" and not child.attrib:
            yield from held
        elif child.tag not in ("g", "defs") or held:
            yield child
