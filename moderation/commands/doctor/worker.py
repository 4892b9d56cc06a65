"""What `moderation doctor` finds out about a worker that would start here."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Literal

from moderation.commands.doctor.diagnosis import Diagnosis, failure
from moderation.commands.doctor.setup import Setup
from moderation.encoders.classifiers.loading import load_classifiers, named_classifiers
from moderation.encoders.cores import usable
from moderation.errors import ModerationError, PolicyError
from moderation.listen_address import is_loopback, parse_address
from moderation.policy import Policy, find_policy, load_policies
from moderation.settings import Settings

#: Seconds that encoding one request may take on a slow machine, waiting included.
_COMPUTE_SECONDS = 30.0


def check_image_access(settings: Settings) -> Iterator[Diagnosis]:
    """Yields where a worker here takes images from."""
    roots, hosts, stores = settings.allowed_roots, settings.allowed_hosts, settings.allowed_stores
    if missing := [str(root) for root in roots if not root.is_dir()]:
        yield Diagnosis("fail", f"no such folder: {', '.join(missing)}", "Create or unset them")
    if not (roots or hosts or stores):
        remedy = "Set MODERATION_ALLOWED_ROOTS, _HOSTS or _STORES for paths, URLs or keys"
        yield Diagnosis("warn", "a worker here takes images as bytes only", remedy)
    elif not missing:
        given = [*map(str, roots), *hosts, *stores]
        yield Diagnosis("ok", ", ".join(given))


def check_renditions(settings: Settings) -> Iterator[Diagnosis]:
    """Yields whether a worker here can write renditions.

    Raises:
        SettingsError: a worker would not start.
    """
    if settings.renditions is None:
        remedy = "Set MODERATION_RENDITIONS and serve what is written there: docs/renditions.md"
        yield Diagnosis("ok", "no renditions are written; people are shown the uploads", remedy)
        return
    from moderation.images.rendition import RenditionForm  # they load Pillow
    from moderation.images.rendition_folder import RenditionFolder

    folder = RenditionFolder(settings.renditions, seconds=settings.fetch_timeout_seconds)
    folder.check()
    yield Diagnosis("ok", f"{folder.where} takes files ({RenditionForm.of(settings).text})")


def check_policies(setup: Setup) -> Iterator[Diagnosis]:
    """Yields which policies a worker here would serve."""
    try:
        policies, sources = _policies_of_worker(setup), ", ".join(map(str, setup.settings.policies))
    except PolicyError:
        if find_spec("sqlalchemy"):  # a worker would not start
            raise
        remedy = "On a worker: set MODERATION_POLICIES; a web app needs none"
        yield Diagnosis("warn", "there are none for a worker to serve", remedy)
        return
    yield Diagnosis("ok", f"a worker without --policy serves {', '.join(policies)} ({sources})")


def _policies_of_worker(setup: Setup) -> dict[str, Policy]:
    """Returns the policies that a worker would serve, by id, sorted."""
    model = setup.model or setup.settings.model
    paths = [find_policy(str(path)) for path in setup.settings.policies]
    return dict(sorted(load_policies(paths, model=model).items()))


def check_models(setup: Setup) -> Iterator[Diagnosis]:
    """Yields whether the models of every policy that a worker would serve are here."""
    try:
        policies = _policies_of_worker(setup).values()
    except PolicyError:
        yield Diagnosis("warn", "unknown without the policies that name it")
        return
    models = {setup.model or policy.model or setup.settings.model for policy in policies}
    for reference in sorted(models):
        try:
            yield _diagnose_worker_model(reference)
        except ModerationError as error:
            yield failure(error)
    yield from _diagnose_worker_classifiers(setup.settings, policies)


def _diagnose_worker_classifiers(
    settings: Settings, policies: Collection[Policy]
) -> Iterator[Diagnosis]:
    """Yields whether the classifiers that policies name can be used here, if they name any."""
    if not (named := named_classifiers(policies)):
        return
    try:
        load_classifiers(policies, settings.classifiers, settings.threads)
    except PolicyError as error:
        # A web app needs no classifier, and a worker would not start.
        state: Literal["fail", "warn"] = "fail" if find_spec("sqlalchemy") else "warn"
        for path, line, column, message, remedy in error.problems:
            yield Diagnosis(state, f"{path}:{line}:{column}: {message}", remedy)
        return
    files = sorted({each.file for each in named.values()})
    yield Diagnosis("ok", f"classifiers: {', '.join(files)}")


def _diagnose_worker_model(reference: str) -> Diagnosis:
    if reference == "starter":
        remedy = "For real use name a CLIP or SigLIP model"
        return Diagnosis("warn", "starter, which is for trying out", remedy)
    if find_spec("transformers") is None:
        remedy = "On a worker: pip install 'evenhand[clip]'; a web app needs no model"
        return Diagnosis("warn", "transformers is not installed", remedy)
    from moderation.encoders.hub import locate_model

    local = locate_model(reference, offline=True)
    return Diagnosis("ok", f"{local.name} in {local.folder}")


def check_timeouts(settings: Settings) -> Iterator[Diagnosis]:
    """Yields whether a worker answers before its requests are given to another."""
    # All requests in hand may decode slowly.
    rounds = math.ceil(settings.concurrency / (settings.decoders or usable()))
    decoding = rounds * settings.decode_timeout_seconds
    # A folder of renditions is looked at, and then written to.
    fetching = settings.fetch_timeout_seconds * (3 if settings.renditions else 1)
    needed = fetching + decoding + _COMPUTE_SECONDS
    if settings.visibility_timeout_seconds <= needed:
        yield Diagnosis(
            "fail",
            f"visibility timeout {settings.visibility_timeout_seconds} s is not above the "
            f"{needed:g} s that a request may take",
            "Raise MODERATION_VISIBILITY_TIMEOUT_SECONDS, or lower MODERATION_CONCURRENCY: "
            "otherwise requests are done twice",
        )
    else:
        yield Diagnosis("ok", f"visibility timeout {settings.visibility_timeout_seconds} s")


def check_callbacks(settings: Settings) -> Iterator[Diagnosis]:
    """Yields whether a worker can send webhooks, and whether others can read them on the way.

    Raises:
        SettingsError: a worker would not start.
    """
    if not settings.callback_urls:
        yield Diagnosis("ok", "no webhooks are sent")
        return
    if find_spec("standardwebhooks") is None:
        remedy = "On a worker: pip install 'evenhand[worker]'; a web app needs none"
        yield Diagnosis("warn", "standardwebhooks is not installed", remedy)
        return
    from moderation.worker.callbacks.receivers import read_receivers
    from moderation.worker.callbacks.signer import Signer

    receivers = read_receivers(settings)
    Signer(settings)
    if overheard := sorted({one.host for one in receivers if one.is_overheard}):
        remedy = "Write https:// in MODERATION_CALLBACK_URLS, unless all of that network is yours"
        yield Diagnosis(
            "warn", f"anyone on the way can read those to {', '.join(overheard)}", remedy
        )
    else:
        yield Diagnosis("ok", f"{len(receivers)} receiver{'s' * (len(receivers) != 1)}, signed")


def check_doors(settings: Settings) -> Iterator[Diagnosis]:
    """Yields which doors of a worker are open wider than they need to be, inwards and outwards."""
    if "http" in settings.allowed_schemes:
        remedy = "Take http out of MODERATION_ALLOWED_SCHEMES unless a host has nothing else"
        yield Diagnosis("warn", "images over http can be swapped on the way", remedy)
    if settings.allowed_networks:
        shown = ", ".join(map(str, settings.allowed_networks))
        remedy = "Name no more than your image hosts: whoever submits can reach them"
        yield Diagnosis("warn", f"URLs may lead to {shown}", remedy)
    if settings.metrics_address is None:
        return
    address = parse_address(settings.metrics_address)
    try:
        is_every_network = ip_address(address.host).is_unspecified
    except ValueError:  # a name
        is_every_network = False
    if is_every_network:
        remedy = "Name the one address of this machine that your Prometheus reads"
        yield Diagnosis("warn", f"{address} listens on every network", remedy, "metrics")
    elif not is_loopback(address.host):
        remedy = "Let only your Prometheus reach it"
        yield Diagnosis("ok", f"other machines reach {address}", remedy, "metrics")
