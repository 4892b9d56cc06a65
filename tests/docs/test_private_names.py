"""The page on private names of Celery, kombu and redis-py is so, and nothing is missing on it."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import redis

from moderation.embedded_servers import EmbeddedRedis
from tests.conftest import ROOT
from tests.support.pages import first_span, section, spans, table

PAGE = "private-names.md"
NAMES = {
    first_span(row, "name"): row for row in table(section(PAGE, "Names").prose, first_column="name")
}
VERSIONS = {
    first_span(row, "package"): re.findall(r"[\d.]+", row["versions"])
    for row in table(section(PAGE, "Tried on").prose, first_column="package")
}
MODULES = sorted((ROOT / "moderation").rglob("*.py"))
#: Private by their form, and documented by Python.
PUBLIC = {"_replace", "_asdict", "_fields", "_make", "_exit"}


def named(path: str) -> Any:
    """Returns what has a name: an attribute of a module, or of what is in one."""
    parts = path.split(".")
    for count in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(path)


@pytest.mark.parametrize("name", VERSIONS)
def test_the_installed_versions_were_tried(name: str) -> None:
    if version(name) not in VERSIONS[name]:
        pytest.skip(f"{name} {version(name)} was not tried; docs/{PAGE} says which were")


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_there_and_can_be_called_as_we_do(
    name: str, redis_server: EmbeddedRedis
) -> None:
    arguments = NAMES[name]["arguments"]
    if arguments == "[of a connection]":
        with redis.Redis.from_url(redis_server.url) as client:
            pool: Any = client.connection_pool
            assert getattr(pool.get_connection(), name.rpartition(".")[2]).fileno()
        return
    found = named(name)
    if arguments.startswith("["):
        return
    words = [word for text in spans(arguments) for word in text.split(", ") if word]
    given = [word for word in words if not word.endswith("=")]
    keywords = {word[:-1]: None for word in words if word.endswith("=")}
    inspect.signature(found).bind(*given, **keywords)


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_used_where_the_page_says(name: str) -> None:
    last = name.rpartition(".")[2]
    for file in spans(NAMES[name]["used in"]):
        assert re.search(rf"\b{last}\b", (ROOT / file).read_text()), file


def private_of_others(tree: ast.Module, ours: set[str]) -> Iterator[str]:
    """Yields the private names that a module takes from packages that are not ours."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("moderation"):
            yield from (alias.name for alias in node.names if is_private(alias.name))
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            of_super = isinstance(node.value, ast.Call) and is_super(node.value)
            if of_super or node.attr not in ours:
                yield node.attr


def is_super(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "super"


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def our_private_names(trees: list[ast.Module]) -> set[str]:
    """Returns the private names that our modules define: functions, classes and attributes."""
    found: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.attr if isinstance(node, ast.Attribute) else node.id)
    return found


def uses_of_private_names(paths: list[Path]) -> dict[str, str]:
    """Returns each private name of others that our modules use, and a module that does."""
    trees = {path: ast.parse(path.read_text()) for path in paths}
    ours = our_private_names([*trees.values()])
    return {
        name: str(path.relative_to(ROOT))
        for path, tree in trees.items()
        if re.search(r"\b(celery|kombu|redis|billiard)\b", path.read_text())
        for name in private_of_others(tree, ours)
    }


def test_no_private_name_is_missing_on_the_page() -> None:
    used = uses_of_private_names(MODULES)
    assert {"_sock", "_handle_message"} <= set(used)  # it looks in the right places
    listed = {name.rpartition(".")[2] for name in NAMES}
    assert {name: where for name, where in used.items() if name not in listed} == {}


def test_a_private_name_that_is_missing_is_found() -> None:
    tree = ast.parse("from kombu.x import _a\nsuper()._b()\nthing._c = 1\nthing._d\nself._e")
    assert {*private_of_others(tree, {"_b", "_c", "_e"})} == {"_a", "_b", "_d"}
