"""How Sphinx builds the site: from the Markdown files as they lie, and from the docstrings.

The source folder is the whole checkout, so links between README.md, docs/ and examples/ lead to the
same places as on a code host. `scripts/docs` builds the site.
"""

from __future__ import annotations

import inspect

from pydantic import BaseModel
from sphinx.application import Sphinx

from docs import from_code

project = "Evenhand"
html_title = "Evenhand"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
include_patterns = ["*.md", "docs/**.md", "examples/**.md"]
exclude_patterns = [".*", "build", "dist"]
html_theme = "furo"
html_copy_source = False
html_show_sphinx = False
myst_heading_anchors = 4
# Docstrings put code in single backticks, as Markdown does.
default_role = "code"
napoleon_custom_sections = ["Undefined", "Source"]
autodoc_default_options = {"members": True, "exclude-members": "model_config,model_post_init"}
autodoc_typehints_format = "short"

#: Pages that are the table of contents of those that they link to.
INDEXES = ("README", "docs/decisions/README", "docs/examples/README")


def complete(app: Sphinx, name: str, source: list[str]) -> None:
    """Adds to a page, when it is read, what is built from other pages or from the code."""
    if name in INDEXES:
        before, _, more = source[0].partition("\n## More\n")  # which has the order of reading
        source[0] += "\n\n" + from_code.table_of_contents(more + before)
    elif name == "docs/modules":
        source[0] += "\n" + from_code.modules_page()
    elif name == "docs/reference":
        source[0] += "\n" + from_code.reference_page()


def shorten(
    app: Sphinx, what: str, name: str, value: object, options: object, sign: str | None, back: str
) -> tuple[str | None, str]:
    """Leaves out the signature of a model, whose fields are listed below it with their types."""
    if inspect.isclass(value) and issubclass(value, BaseModel):
        return "", back
    return sign and sign.replace("<factory>", "..."), back


def setup(app: Sphinx) -> None:
    """Has every page completed when it is read, and signatures shortened."""
    app.connect("source-read", complete)
    app.connect("autodoc-process-signature", shorten)
