"""The rules that hold the modules together: layers, what the host side loads, the public names."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import moderation
from tests.conftest import ROOT

#: Each module imports from layers above its own line, never from its own or a later one.
LAYERS = [
    {"visible_text"},
    {
        "errors",
        "confinement",
        "polyglots",
        "scripts",
        "listen_address",
        "signatures",
    },
    {"image_texts", "png_chunks"},
    {
        "settings",
        "messages",
        "yaml_source",
        "exit_codes",
        "cores",
        "capacity",
        "colours",
        "jpeg_segments",
        "lanes",
        "patience",
        "redaction",
        "addresses",
        "local_files",
        "pooled_transport",
    },
    {
        "references",
        "given_images",
        "web_address",
        "guarded_network",
        "formats",
        "metrics_server",
    },
    {"store_keys", "http_fetch"},
    {"image_folder", "policy_rules", "policy_problems", "frames", "feature_files"},
    {"policy", "fetch", "image"},
    {"classifier", "decoder"},
    {"decoder_process", "decision_log"},
    {"verdict", "encoders", "batching", "decoding", "broker", "embeddings", "callbacks"},
    {"pipeline", "registry", "sending", "metrics", "logs", "housekeeping", "reasons", "delivery"},
    {"acceptance", "former_keys"},
    {
        "loading",
        "replay",
        "plugin",
        "embedded",
        "output",
        "envelope",
        "result_writing",
        "connection_log",
    },
    {"remote", "queues", "submissions", "consumer"},
    {"answering", "recovery", "queue_metrics"},
    {"worker", "release", "scrape"},
    {"serving"},
    {"running"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
MODULES = sorted((ROOT / "moderation").rglob("*.py"))
HEAVY = ("torch", "transformers", "pandas")
#: Two encoders, the compiler of their image towers, and what device and number format there is.
WITH_TORCH = ("clip.py", "starter.py", "openvino.py", "hardware.py")


def _imports(path: Path) -> set[str]:
    """Returns the modules of this project that a file imports anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] in ("moderation", "audit", *HEAVY)}


def _unit(path: Path) -> str:
    parts = path.relative_to(ROOT / "moderation").with_suffix("").parts
    return parts[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    unit = _unit(path)
    if unit == "__init__":
        return
    for name in _imports(path):
        parts = name.split(".")
        assert parts[0] != "audit", f"{path} imports the audit"
        if parts[0] == "moderation" and len(parts) > 1 and parts[1] in LEVEL and parts[1] != unit:
            assert LEVEL[parts[1]] < LEVEL[unit], f"{unit} imports {parts[1]}"


def test_every_module_has_a_layer() -> None:
    assert {_unit(path) for path in MODULES} - {"__init__"} == set(LEVEL)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_encoder_files_import_torch(path: Path) -> None:
    heavy = {name.split(".")[0] for name in _imports(path)} & set(HEAVY)
    if path.parent.name != "encoders" or path.name not in WITH_TORCH:
        assert not heavy


def test_host_and_worker_meet_only_in_broker_and_messages() -> None:
    package = ROOT / "moderation"
    assert "moderation.worker" not in _imports(package / "plugin.py")
    assert "moderation.plugin" not in _imports(package / "worker.py")


@pytest.mark.parametrize(
    "statement",
    [
        "import moderation",
        "from moderation import submit, collect",
        "import moderation.plugin",
        "import moderation.cli",
        "import moderation.embedded",
        "import moderation.remote",
    ],
)
def test_the_host_side_loads_no_torch(statement: str) -> None:
    code = f"{statement}; import sys; print(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_importing_the_package_loads_no_other_package() -> None:
    code = "import sys; before = set(sys.modules); import moderation; "
    code += "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split()) - set(sys.stdlib_module_names)
    assert loaded == {"moderation"}


def test_the_public_names_are_sorted_complete_and_there() -> None:
    names = moderation.__all__
    assert names == sorted(names)
    assert set(names) == set(moderation._MODULE_OF)
    assert all(getattr(moderation, name) for name in names)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = moderation.nothing


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_grows_beyond_one_noun(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300
    assert path.stem not in ("utils", "util", "helpers", "helper", "manager", "base", "core")
