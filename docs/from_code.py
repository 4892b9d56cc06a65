"""Pages of the site that are built from the code: the module tree and the public names."""

from __future__ import annotations

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

from pydantic import BaseModel

ROOT = Path(__file__).parent.parent
PACKAGES = ("moderation", "audit")


def module_list(package: str) -> str:
    """Returns a Markdown list of a package's modules and folders, each with what it is for."""
    return "\n".join(_entries(ROOT / package, depth=0))


def _entries(folder: Path, depth: int) -> list[str]:
    lines = [_entry(f"{folder.name}/", folder / "__init__.py", depth)]
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        if (path / "__init__.py").is_file():
            lines += _entries(path, depth + 1)
        elif path.suffix == ".py" and path.stem != "__init__":
            lines.append(_entry(path.name, path, depth + 1))
    return lines


def _entry(name: str, module: Path, depth: int) -> str:
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    if not docstring:
        raise ValueError(f"{module.relative_to(ROOT)} has no docstring to say what it is for")
    return f"{'  ' * depth}- `{name}`: {_escaped(docstring.splitlines()[0])}"


def _escaped(text: str) -> str:
    """Returns a docstring's text for Markdown: only its backticks are markup."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([\\*_<>\[\]#|])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def public_names(package: str) -> str:
    """Returns Markdown that describes what `package.__all__` has, less the errors of moderation."""
    module = import_module(package)
    names = [name for name in module.__all__ if not _is_error_of_moderation(getattr(module, name))]
    return "\n\n".join(_described(package, name) for name in names)


def errors_of_moderation() -> str:
    """Returns Markdown that describes every class of `moderation.errors`."""
    module = import_module("moderation.errors")
    names = [name for name, value in vars(module).items() if _is_error_of_moderation(value)]
    return "\n\n".join(_described(module.__name__, name) for name in names)


def _is_error_of_moderation(value: object) -> bool:
    return inspect.isclass(value) and value.__module__ == "moderation.errors"


def _described(module: str, name: str) -> str:
    value = getattr(import_module(module), name)
    kind, options = "function", ""
    if inspect.isclass(value):
        kind = "exception" if issubclass(value, BaseException) else "class"
        options = _options(value)
    return f"```{{eval-rst}}\n.. auto{kind}:: {module}.{name}{options}\n```"


def _options(value: type) -> str:
    """Returns how fields of a class are shown: as its docstring lists them, or by themselves."""
    model = issubclass(value, BaseModel)
    fields = getattr(value, "model_fields" if model else "_fields", ())
    if "Attributes:" in (value.__doc__ or "") and fields:
        hidden = ", ".join(("model_config", "model_post_init", *fields))
        return f"\n   :exclude-members: {hidden}"
    return "\n   :undoc-members:" if model else ""


def modules_page() -> str:
    """Returns what the page of all modules shows below its introduction."""
    return "\n\n".join(f"## {package}\n\n{module_list(package)}" for package in PACKAGES)


def reference_page() -> str:
    """Returns what the Python reference shows below its introduction."""
    parts = [f"## {package}\n\n{public_names(package)}" for package in PACKAGES]
    return "\n\n".join([*parts, f"## moderation.errors\n\n{errors_of_moderation()}"])


def table_of_contents(page: str) -> str:
    """Returns a hidden table of contents of the pages beside or below one that it links to.

    Those of a folder whose README it links to are left to that README.
    """
    links = dict.fromkeys(re.findall(r"\]\((?![a-z]+:|\.\.)([^)#\s]+)\.md", page))
    folders = tuple(link.removesuffix("README") for link in links if link.endswith("/README"))
    own = [link for link in links if link.endswith("README") or not link.startswith(folders)]
    return "\n".join(["```{toctree}", ":hidden:", "", *own, "```"])
