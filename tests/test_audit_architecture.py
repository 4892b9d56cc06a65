"""The rules that hold the audit's modules together."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import audit
from tests.conftest import ROOT

#: Each module imports from layers above its own line, never from its own or a later one.
LAYERS = [
    {"errors", "support", "plain", "spelling", "intervals", "references"},
    {"result_rows", "sweep", "variants"},
    {"dataset", "ablation_rows", "matching", "model_description", "pairs"},
    {"adapters", "content", "coverage", "limits", "truth", "results", "model", "retrieval"},
    {"rates", "embedding", "flow", "thresholds"},
    {"disparity", "power", "gate_figures", "summary", "subject", "remote_embedding"},
    {"shift", "gate", "gaps"},
    {"ablation", "assembly", "gate_report"},
    {"wording", "comparison"},
    {"label_study"},
    {"report"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
MODULES = sorted((ROOT / "audit").rglob("*.py"))

#: What the audit knows nothing of: `moderation.remote` is its one door to the queue.
CLOSED = {f"moderation.{name}" for name in ("broker", "worker", "plugin", "settings", "embedded")}


def _imports(path: Path) -> set[str]:
    """Returns the modules that a file imports anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _unit(path: Path) -> str:
    return path.relative_to(ROOT / "audit").with_suffix("").parts[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    unit = _unit(path)
    for name in _imports(path) if unit != "__init__" else ():
        parts = name.split(".")
        if parts[0] == "audit" and len(parts) > 1 and parts[1] in LEVEL and parts[1] != unit:
            assert LEVEL[parts[1]] < LEVEL[unit], f"{unit} imports {parts[1]}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_reaches_the_queue_or_torch(path: Path) -> None:
    imports = _imports(path)
    assert not imports & CLOSED
    assert not {name.split(".")[0] for name in imports} & {"torch", "transformers", "celery"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_grows_beyond_one_noun(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300
    assert path.stem not in ("utils", "util", "helpers", "helper", "manager", "base", "core")


def test_every_module_has_a_layer() -> None:
    assert {_unit(path) for path in MODULES} - {"__init__"} == set(LEVEL)


def test_only_the_embedding_on_workers_uses_the_door_to_the_queue() -> None:
    users = {path.name for path in MODULES if "moderation.remote" in _imports(path)}
    assert users == {"remote_embedding.py"}


def test_importing_the_command_line_loads_none_of_the_heavy_packages() -> None:
    heavy = ("torch", "transformers", "pandas", "statsmodels", "scipy", "matplotlib", "pyarrow")
    code = f"import audit.cli, sys; print(*[m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_public_names_are_sorted_complete_and_there() -> None:
    assert audit.__all__ == sorted(audit.__all__)
    assert set(audit.__all__) == set(audit._MODULE_OF)
    assert all(getattr(audit, name) for name in audit.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = audit.nothing
