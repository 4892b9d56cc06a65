"""`audit datasets list | info | balance`: layouts, what a dataset holds, a balanced sample."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audit.commands.options import ReadingOptions
from audit.errors import AuditError, DatasetError, problem_lines
from audit.plurals import counted
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


@app.command(
    epilog=examples(
        "audit datasets balance fairface/ --by race,gender --out balanced.csv",
        "audit datasets balance fairface/ --by race,gender,age --n 700 --seed 1 --out small.csv",
    )
)
@takes_options
def balance(
    path: Annotated[
        Path, typer.Argument(metavar="DATASET", help="Folder of images, or file of annotations.")
    ],
    reading: ReadingOptions,
    by: Annotated[
        str,
        typer.Option(help="Feature whose groups get equally many images, or several with commas."),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="CSV file for the table of the sample.")
    ],
    n: Annotated[
        int | None, typer.Option(min=1, help="Images at most; by default as many as there can be.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw.")] = 0,
) -> None:
    """Draw a sample with equally many images of each group, and write its table.

    Images are neither read nor copied: the table names them, and `audit` reads it as any other.
    """
    from audit.datasets.adapters import load_dataset
    from audit.datasets.balanced_sample import balanced_rows, images_folder, sample_table
    from moderation.whole_file import whole_file

    dataset = load_dataset(path, adapter=reading.adapter, options=reading.load_options())
    features = [part.strip() for part in by.split(",")]
    sample = dataset.take(balanced_rows(dataset, features, n, seed))
    content = sample_table(sample)
    try:
        with whole_file(out) as file:
            file.write(content.encode())
    except OSError as error:
        what = f"cannot be written: {error.strerror}"
        raise AuditError(what, str(out), "Name a file in a folder that is there") from error
    groups = sum(1 for size in sample.groups(features).sizes if size)
    of_each = f"{len(sample) // groups:,} of each of {counted(groups, 'group')}"
    say(f"{images(len(sample))} in {out}, {of_each}")
    names = ("image", "id", "y_true", *sample.sensitive_features)
    columns = " ".join(f"--column {shlex.quote(f'{name}={name}')}" for name in names)
    where = f"--images {shlex.quote(str(images_folder(sample)))}"
    benign = " --benign" * sample.benign
    say(f"Read it with --dataset {shlex.quote(str(out))} {columns} {where}{benign}")


def _load_decoded_dataset(path: Path, adapter: str | None, options: LoadOptions) -> Dataset:
    """Returns the dataset with its notes, after every image of it, if any, was decoded.

    Raises:
        DatasetError: with everything that is wrong, annotations and images alike.
    """
    from audit.datasets.adapters import load_dataset
    from audit.datasets.chosen_groups import chosen_groups
    from audit.datasets.image_problems import check_images

    # Bad rows are skipped at first, so that the images of the others are checked too.
    dataset = load_dataset(path, adapter=adapter, options=replace(options, skip_bad=True))
    if dataset.references:
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
        "n": dataset.n,
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
    say(f"{dataset.name}: {images(dataset.n)}, {benign}")
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
