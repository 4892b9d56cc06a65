"""What the docs site has beside the pages that are written: decisions, modules, public names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import audit
import moderation
from docs import from_code
from moderation import errors
from tests.conftest import ROOT
from tests.support.pages import DOCS, PAGES, first_span, read_sections, section, spans, table

INDEX = DOCS / "decisions" / "README.md"
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))


def title(page: Path) -> str:
    [first, *_] = page.read_text(encoding="utf-8").splitlines()
    return first.removeprefix("# ")


def test_the_index_has_every_decision_under_its_title_and_no_other() -> None:
    lines = re.findall(r"^- \[(.+)\]\((\S+)\)$", INDEX.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted((name, said) for said, name in lines) == [
        (page.name, title(page)) for page in DECISIONS
    ]


def test_decisions_are_numbered_from_one_without_a_gap() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_has_reasons_and_its_day(page: Path) -> None:
    [_, *reasons, day] = page.read_text(encoding="utf-8").strip().split("\n\n")
    assert reasons
    assert re.fullmatch(r"Recorded on 20\d\d-\d\d-\d\d\.", day)


PATH = re.compile(
    r"(?:moderation|audit|tests|docs|benchmarks|scripts|policies|examples|\.ci)/[\w./]*"
)


def paths(page: Path) -> list[str]:
    """Returns the paths of this project that stand in backticks on a page."""
    named = spans("\n".join(part.prose for part in read_sections(page)))
    return [span for span in named if PATH.fullmatch(span)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_path_that_is_named_is_there(page: Path) -> None:
    assert [path for path in paths(page) if not (ROOT / path).exists()] == []


def test_the_glossary_has_each_word_once_and_names_what_is_there() -> None:
    rows = [row for part in read_sections(DOCS / "glossary.md")[2:] for row in table(part.prose)]
    words = [row["word"] for row in rows]
    assert sorted(words) == sorted(set(words))


NAME = re.compile(r"`(\w+)` (?:in|of)\s+`([\w/.]+\.py)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_name_of_a_module_that_is_named_is_there(page: Path) -> None:
    for name, path in NAME.findall(page.read_text(encoding="utf-8")):
        assert re.search(rf"^(class |def )?{name}\b", (ROOT / path).read_text(), re.MULTILINE), name


def test_paths_and_names_are_found() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert ("CHECKS", "moderation/commands/doctor/command.py") in NAME.findall(text)
    assert {"policies/", "moderation/errors.py", ".ci/run"} <= set(paths(ROOT / "CONTRIBUTING.md"))


def test_every_test_that_ci_names_is_there() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    words = re.findall(r"(tests/[\w/.]*)(?:\{([^}]*)\})?", script)
    named = [start + end for start, ends in words for end in ends.split(",")]
    assert "tests/policy" in named
    assert [path for path in named if not (ROOT / path).exists()] == []


def folders(package: str) -> set[str]:
    """Returns the package and the packages right below it, as pages write them."""
    below = (ROOT / package).glob("*/__init__.py")
    return {f"{package}/", *(f"{package}/{path.parent.name}/" for path in below)}


def test_the_architecture_page_has_every_package_and_no_other() -> None:
    rows = table(section("architecture.md", "Packages").prose)
    assert {first_span(row, "package") for row in rows} == folders("moderation") | folders("audit")


@pytest.mark.parametrize("package", from_code.PACKAGES)
def test_the_page_of_modules_has_every_module_with_its_line(package: str) -> None:
    shown = re.findall(r"^ *- `(.+?)`: (.+)$", from_code.module_list(package), re.MULTILINE)
    packages = [path.parent for path in (ROOT / package).rglob("__init__.py")]
    real = [path for folder in packages for path in folder.glob("*.py") if path.stem != "__init__"]
    assert sorted(name for name, _ in shown if not name.endswith("/")) == sorted(
        path.name for path in real
    )
    assert all(line.strip() for _, line in shown)


def test_only_backticks_of_a_docstring_are_markup_on_the_page_of_modules() -> None:
    assert "- `settings.py`: MODERATION\\_\\* environment" in from_code.module_list("moderation")


def test_the_reference_has_every_public_name_and_every_error_once() -> None:
    shown = re.findall(r"^\.\. auto\w+:: (\S+)$", from_code.reference_page(), re.MULTILINE)
    classes = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and value.__module__ == errors.__name__
    }
    public = {f"moderation.{name}" for name in set(moderation.__all__) - classes}
    assert sorted(shown) == sorted(
        public
        | {f"audit.{name}" for name in audit.__all__}
        | {f"moderation.errors.{name}" for name in classes}
    )


def test_the_table_of_contents_has_each_linked_page_once() -> None:
    page = "[a](docs/a.md#x) [b](https://example.com/b.md) [c](c.py) [a](docs/a.md) [d](d.md)"
    page += " [e](../e.md)"
    assert from_code.table_of_contents(page).splitlines()[3:-1] == ["docs/a", "d"]


def test_a_page_is_in_the_contents_of_the_folder_that_it_lies_in_alone() -> None:
    page = "[b](docs/b/README.md) [one](docs/b/one.md#part) [other](docs/b.md)"
    assert from_code.table_of_contents(page).splitlines()[3:-1] == ["docs/b/README", "docs/b"]
