"""`audit datasets list | info`: which layouts can be read, and what a dataset holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audit.commands.options import ReadingOptions
from audit.errors import DatasetError, problem_lines
from audit.results.formatting import images
from moderation.commands.command_line import command_group, examples
from moderation.commands.options import TableOrJsonOption, takes_options
from moderation.commands.output import print_json, print_problems, print_table, say, track

if TYPE_CHECKING:
    from audit.datasets.adapters import LoadOptions
    from audit.datasets.dataset import Dataset

app = command_group("Layouts of datasets, and what a dataset holds.")


@app.command(
    "list",
    epilog=examples(
        "audit datasets list",
        "audit datasets list --format json",
    ),
)
def list_adapters(format: TableOrJsonOption = "table") -> None:
    """List the layouts that can be read, where such datasets come from, and their licences."""
    from audit.datasets.adapters import ADAPTERS

    names = ("name", "description", "layout", "source", "licence", "benign")
    rows = [{name: getattr(adapter, name) for name in names} for adapter in ADAPTERS.values()]
    if format == "json":
        print_json(rows)
        return
    for adapter in ADAPTERS.values():
        say(f"{adapter.name}: {adapter.description}")
        for name in ("layout", "source", "licence"):
            say(f"  {name:8} {getattr(adapter, name)}")
        say(f"  benign   {'yes' if adapter.benign else 'no'}")


@app.command(
    epilog=examples(
        "audit datasets info fairface/",
        "audit datasets info labels.csv --adapter fairface --images photos/ --repair",
        "audit datasets info people.csv --column image=file --column skin_tone=monk --benign",
        "audit datasets info objects/ --truth revolver=weapons --truth cup=allow --format json",
    )
)
@takes_options
def info(
    path: Annotated[
        Path, typer.Argument(metavar="DATASET", help="Folder of images, or file of annotations.")
    ],
    reading: ReadingOptions,
    format: TableOrJsonOption = "table",
) -> None:
    """Check a dataset, every image of it too, and count the images of each group.

    Exits with 1 where anything in it is wrong, unless --skip-bad leaves that out.
    """
    try:
        dataset = _load_decoded_dataset(path, reading.adapter, reading.load_options())
    except DatasetError as error:
        print_problems(error.problems, format, problem_lines(error.problems))
        raise typer.Exit(1) from None
    if format == "json":
        print_json(_dataset_as_json(dataset))
    else:
        _print_dataset(dataset)


def _load_decoded_dataset(path: Path, adapter: str | None, options: LoadOptions) -> Dataset:
    """Returns the dataset with its notes, after every image of it was read and decoded.

    Raises:
        DatasetError: with everything that is wrong, annotations and images alike.
    """
    from audit.datasets.adapters import load_dataset
    from audit.datasets.chosen_groups import chosen_groups
    from audit.datasets.image_problems import check_images

    # Bad rows are skipped at first, so that the images of the others are checked too.
    dataset = load_dataset(path, adapter=adapter, options=replace(options, skip_bad=True))
    dataset = check_images(dataset, track=track)
    if dataset.left_out and not options.skip_bad:
        raise DatasetError(dataset.left_out)
    # What an audit would not look at unless it is named.
    return replace(dataset, notes=(*dataset.notes, *chosen_groups(dataset, None).notes))


def _dataset_as_json(dataset: Dataset) -> dict[str, Any]:
    """Returns what `info` prints as JSON."""
    from audit.datasets.coverage import coverages

    found = coverages(dataset)
    return {
        "valid": True,
        "name": dataset.name,
        "adapter": dataset.adapter,
        "n": len(dataset),
        "sha256": dataset.sha256,
        "benign": dataset.benign,
        "sensitive_features": list(dataset.sensitive_features),
        "y_true": _class_counts(dataset),
        "notes": list(dataset.notes),
        "left_out": [problem._asdict() for problem in dataset.left_out],
        "groups": [
            {
                "by": coverage.by,
                "empty": coverage.empty,
                "unplaced": coverage.unplaced,
                "sizes": [
                    {**size._asdict(), "remark": size.remark or None} for size in coverage.sizes
                ],
            }
            for coverage in found
        ],
        "warnings": [warning for coverage in found for warning in coverage.warnings()],
    }


def _class_counts(dataset: Dataset) -> dict[str, int]:
    """Returns how many images each class has, without those of unknown class."""
    from audit.datasets.dataset import Y_TRUE

    counts = dataset.table[Y_TRUE].value_counts()
    return {str(name): int(counts[name]) for name in sorted(counts.index)}


def _print_dataset(dataset: Dataset) -> None:
    from audit.datasets.chosen_groups import MOST_GROUPS
    from audit.datasets.coverage import coverages

    benign = "nothing in it should be flagged" if dataset.benign else "not benign"
    say(f"{dataset.name}: {images(len(dataset))}, {benign}")
    say(f"sha256 {dataset.sha256}")
    for text in dataset.notes:
        say(f"note: {text}")
    for line in problem_lines(dataset.left_out):
        say(f"left out: {line}")
    found = coverages(dataset)
    if not found:
        say("note: it has no sensitive feature, so there are no rates by group")
    for coverage in found:
        for warning in coverage.warnings():
            say(f"warning: {warning}")
    if classes := _class_counts(dataset):
        say()
        print_table(("y_true", "n"), [(name, f"{n:,}") for name, n in classes.items()])
    for coverage in found:
        rows = [(s.group, f"{s.n:,}", f"{s.share:.1%}", s.remark) for s in coverage.sizes]
        say()
        if len(rows) > MOST_GROUPS:
            say(f"{coverage.by}: {len(rows):,} groups; --format json lists them")
        else:
            print_table((coverage.by, "n", "share", "remark"), rows)
