"""What an edit of a policy changes, drawn as somebody asked: printed, and on a page."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from moderation.commands.output import note, print_json, say
from moderation.commands.policy.diff_output import ComparedPolicies, markdown_words
from moderation.commands.policy.flips_output import (
    flips_json,
    flips_sentence,
    markdown_flips,
    print_flips,
)
from moderation.errors import RequestError
from moderation.visible_text import shown_name

if TYPE_CHECKING:
    from audit.flips.flips import Flips

DiffFormat = Literal["table", "json", "markdown"]


class Drawing(NamedTuple):
    """How a difference is drawn.

    Attributes:
        format: how it is printed.
        html: the page that is written of flips; None writes none.
        small: returns small pictures by their names; None shows none.
    """

    format: DiffFormat
    html: Path | None = None
    small: Callable[[Collection[str]], Mapping[str, str]] | None = None

    def draw(self, compared: ComparedPolicies, flips: Flips | None) -> None:
        """Prints a difference, and writes its page.

        Raises:
            RequestError: the page cannot be written.
        """
        if self.format == "json":
            print_json({**compared.to_json(), "flips": flips and flips_json(flips)})
        elif self.format == "markdown":
            for line in (*markdown_words(compared), *(markdown_flips(flips) if flips else ())):
                say(line)
        else:
            say(compared.title)
            for sentence in compared.sentences:
                say(sentence)
            if flips:
                print_flips(flips)
        if flips and self.html is not None:
            self._write_page(compared, flips, self.html)

    def _write_page(self, compared: ComparedPolicies, flips: Flips, path: Path) -> None:
        from audit.report.flips_page import FlipsPage, shown_flips, write_flips_page

        small = self.small(shown_flips(flips)) if self.small else {}
        finding, words = flips_sentence(flips), compared.sentences
        try:
            write_flips_page(FlipsPage(compared.title, finding, words, flips, small), path)
        except OSError as error:
            why = f"it cannot be written: {error.strerror or error}"
            raise RequestError(why, str(path), "Name another file with --html") from error
        shown = f"{len(small)} small pictures" if small else "no picture, without --thumbnails"
        note(f"Wrote {shown_name(str(path))}, which shows {shown}")
