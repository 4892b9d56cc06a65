"""Evenhand's plugin: one image, some policies, one verdict each.

    >>> from moderation import submit, collect
    >>> request_id = submit("/srv/uploads/cat.jpg", "weapons")   # doctest: +SKIP
    >>> [verdict] = collect(request_id)                          # doctest: +SKIP

Importing this loads neither torch nor Celery: a name is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moderation.client.client import Client, acollect, asubmit, collect, submit
    from moderation.errors import (
        BrokerUnavailable,
        DecodingFailed,
        EncoderFailed,
        ImageError,
        ImageUnavailable,
        LogError,
        LogUnavailable,
        ModelError,
        ModerationError,
        PolicyError,
        QueueFull,
        RenditionsUnavailable,
        RequestError,
        SettingsError,
        StoreError,
        TransientError,
        VerdictTimeout,
        WorkerError,
    )
    from moderation.messages import (
        ImageReference,
        LabelScore,
        Rendition,
        Verdict,
        strictest_action,
    )
    from moderation.policy import Policy, load_policy
    from moderation.settings import Settings, load_settings

__all__ = [
    "BrokerUnavailable",
    "Client",
    "DecodingFailed",
    "EncoderFailed",
    "ImageError",
    "ImageReference",
    "ImageUnavailable",
    "LabelScore",
    "LogError",
    "LogUnavailable",
    "ModelError",
    "ModerationError",
    "Policy",
    "PolicyError",
    "QueueFull",
    "Rendition",
    "RenditionsUnavailable",
    "RequestError",
    "Settings",
    "SettingsError",
    "StoreError",
    "TransientError",
    "Verdict",
    "VerdictTimeout",
    "WorkerError",
    "acollect",
    "asubmit",
    "collect",
    "load_policy",
    "load_settings",
    "strictest_action",
    "submit",
]

_MODULE_OF = {
    **dict.fromkeys(__all__, "moderation.errors"),
    **dict.fromkeys(
        ("ImageReference", "LabelScore", "Rendition", "Verdict", "strictest_action"),
        "moderation.messages",
    ),
    **dict.fromkeys(
        ("Client", "acollect", "asubmit", "collect", "submit"), "moderation.client.client"
    ),
    **dict.fromkeys(("Policy", "load_policy"), "moderation.policy"),
    **dict.fromkeys(("Settings", "load_settings"), "moderation.settings"),
}


def __getattr__(name: str) -> Any:
    """Imports a public name at its first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value
