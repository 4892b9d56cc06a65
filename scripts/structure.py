"""Measures how the code is laid out: rooms, sizes, importers, parameters. Lines need no tool.

    python scripts/structure.py [FOLDER]

Prints one row for each of the parts of the checkout in FOLDER (here by default). A line counts as
code unless it is blank, a comment, or part of a docstring, so that a longer docstring is no debt.
"""

from __future__ import annotations

import ast
import io
import statistics
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("moderation", "audit")
PARTS = (*PACKAGES, "tests", "benchmarks")
SHORT, MANY = 60, 6
Function = ast.FunctionDef | ast.AsyncFunctionDef
_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def code_lines(text: str) -> int:
    """Returns how many lines of a module hold code."""
    held: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            held.update(range(token.start[0], token.end[0] + 1))
    return len(held - set(_docstring_lines(ast.parse(text))))


def _docstring_lines(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, Function | ast.ClassDef | ast.Module) and body:
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield from range(first.lineno, (first.end_lineno or first.lineno) + 1)


def importers(root: Path) -> Counter[str]:
    """Returns by how many modules of the two packages each of their modules is imported."""
    names = {_name(root, path): path for part in PACKAGES for path in (root / part).rglob("*.py")}
    found = Counter(dict.fromkeys(names, 0))
    for name, path in names.items():
        wanted: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                wanted |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        found.update((wanted & names.keys()) - {name})
    return found


def _name(root: Path, path: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _functions(trees: list[ast.Module]) -> list[Function]:
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, Function)]


def _parameters(function: Function) -> int:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return len([each for each in every if each.arg not in ("self", "cls")])


def row(root: Path, part: str, imported: Counter[str]) -> dict[str, object]:
    """Returns the figures of one part."""
    paths = sorted((root / part).rglob("*.py"))
    texts = [path.read_text() for path in paths]
    functions = _functions([ast.parse(text) for text in texts])
    lengths = [(each.end_lineno or each.lineno) - each.lineno + 1 for each in functions]
    once = [name for name, count in imported.items() if name.split(".")[0] == part and count == 1]
    top = [at for at in (root / part).iterdir() if at.name != "__pycache__"]
    return {
        "part": part,
        "top entries": len(top),
        "modules": len(paths),
        f"under {SHORT}": sum(len(text.splitlines()) < SHORT for text in texts),
        "lines": sum(len(text.splitlines()) for text in texts),
        "code lines": sum(map(code_lines, texts)),
        "one importer": f"{len(once) / len(paths):.0%}" if part in PACKAGES else "",
        "functions": len(functions),
        "median": statistics.median(lengths),
        "over 30": sum(length > 30 for length in lengths),
        f"over {MANY} parameters": sum(_parameters(each) > MANY for each in functions),
    }


def main() -> None:
    """Prints the table."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    imported = importers(root)
    rows = [row(root, part, imported) for part in PARTS if (root / part).is_dir()]
    widths = {key: max(len(key), *(len(str(each[key])) for each in rows)) for key in rows[0]}
    for line in [{key: key for key in rows[0]}, *rows]:
        print("  ".join(str(line[key]).rjust(width) for key, width in widths.items()))
    print(f"all: {sum(int(str(each['lines'])) for each in rows)} lines", end=", ")
    print(f"{sum(int(str(each['code lines'])) for each in rows)} of code")


if __name__ == "__main__":
    main()
