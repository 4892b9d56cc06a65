"""Measures how the code is laid out: modules, lines, importers, functions and their parameters.

    python scripts/structure.py [FOLDER]

Prints a row for each part of the checkout in FOLDER (the current one by default). A line counts as
code unless it is blank, a comment, or part of a docstring, so a longer docstring costs nothing.
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
SHORT, LONG, MANY = 60, 30, 6
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
        if isinstance(node, Function | ast.ClassDef | ast.Module) and ast.get_docstring(node):
            yield from range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)


def importers(root: Path) -> Counter[str]:
    """Returns by how many modules of the two packages each of their modules is imported."""
    names = {_module(root, path): path for part in PACKAGES for path in (root / part).rglob("*.py")}
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


def _module(root: Path, path: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _parameter_count(function: Function) -> int:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return len([each for each in every if each.arg not in ("self", "cls")])


def row(root: Path, part: str, imported: Counter[str]) -> dict[str, object]:
    """Returns the figures of one part."""
    texts = [path.read_text() for path in sorted((root / part).rglob("*.py"))]
    nodes = [node for text in texts for node in ast.walk(ast.parse(text))]
    functions = [node for node in nodes if isinstance(node, Function)]
    lengths = [(each.end_lineno or each.lineno) - each.lineno + 1 for each in functions]
    counts = [count for name, count in imported.items() if name.split(".")[0] == part]
    return {
        "part": part,
        "top entries": len([at for at in (root / part).iterdir() if at.name != "__pycache__"]),
        "modules": len(texts),
        f"under {SHORT}": sum(len(text.splitlines()) < SHORT for text in texts),
        "lines": sum(len(text.splitlines()) for text in texts),
        "code lines": sum(map(code_lines, texts)),
        "one importer": f"{counts.count(1) / len(counts):.0%}" if counts else "",
        "functions": len(functions),
        "median": statistics.median(lengths),
        f"over {LONG}": sum(length > LONG for length in lengths),
        f"over {MANY} parameters": sum(_parameter_count(each) > MANY for each in functions),
    }


def main() -> None:
    """Prints the table."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    imported = importers(root)
    rows = [row(root, part, imported) for part in PARTS if (root / part).is_dir()]
    widths = {key: max(len(key), *(len(str(each[key])) for each in rows)) for key in rows[0]}
    heads: dict[str, object] = {key: key for key in rows[0]}
    for line in [heads, *rows]:
        print("  ".join(str(line[key]).rjust(width) for key, width in widths.items()))
    totals = {key: sum(int(str(each[key])) for each in rows) for key in ("lines", "code lines")}
    print(f"all: {totals['lines']} lines, {totals['code lines']} of code")


if __name__ == "__main__":
    main()
