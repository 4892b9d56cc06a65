"""fsspec keys -> bytes, under allowed prefixes that no way of writing a key leads out of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol

from moderation.errors import ImageUnavailable, RequestError
from moderation.images.fetch.files import read_file
from moderation.messages.reference import shown_location

#: How often a key is decoded to see what a store may make of it; one that needs more is a trick.
_DECODINGS = 5
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
#: The user and query of any URL in a driver's message.
_SECRETS = re.compile(r"(?<=//)[^/\s'\"]*@|\?[^\s'\"]*")


def read_store_key(key: str, prefixes: tuple[str, ...], most: int) -> bytes:
    """Returns what a key names, up to one byte more than `most`.

    Args:
        key: an fsspec URL.
        prefixes: what a key may start with, each taken up to the end of a folder.
        most: how many bytes an image may have.

    Raises:
        RequestError: the key is under no prefix, or names no file that can be read.
        ImageUnavailable: the store failed.
    """
    where = shown_location(key)
    bounded = tuple(prefix.rstrip("/") + "/" for prefix in prefixes)
    if _is_trick_key(key) or not key.startswith(bounded):
        raise RequestError(
            "the worker may not read this key",
            where,
            "Add its prefix to MODERATION_ALLOWED_STORES of the worker, or send bytes",
        )
    if get_protocol(key) in LocalFileSystem.protocol:
        # A link, pipe or swapped folder could lead out of the prefix, as it could out of a root.
        roots = tuple(
            _local_store_path(prefix).resolve() for prefix in bounded if key.startswith(prefix)
        )
        return read_file(str(_local_store_path(key)), roots, most, where)
    with _store_errors(key, where), fsspec.open(key, "rb") as file:
        content: bytes = file.read(most + 1)
        return content


def _is_trick_key(key: str) -> bool:
    """Returns whether a key leads out of its prefix, or may once a store decodes it."""
    decoded = key
    for _ in range(_DECODINGS):
        if "::" in decoded or ".." in re.split(r"[/\\?#]", decoded) or _UNPRINTABLE.search(decoded):
            return True
        decoded, before = unquote(decoded), decoded
        if decoded == before:
            return False
    return True


def _local_store_path(key: str) -> Path:
    return Path(LocalFileSystem._strip_protocol(key))


@contextmanager
def _store_errors(key: str, where: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise RequestError(
            f"the store has no such file for the worker ({type(error).__name__})",
            where,
            "Check the key and the worker's access to it",
        ) from None
    except (ImportError, ValueError) as error:
        remedy = "Install the store's fsspec driver on the worker, such as s3fs"
        what = f"the key cannot be opened ({_store_error_detail(error, key, where)})"
        raise RequestError(what, where, remedy) from None
    except Exception as error:  # each fsspec driver raises its own library's errors
        raise ImageUnavailable(
            f"the store failed ({_store_error_detail(error, key, where)})", where
        ) from None


def _store_error_detail(error: Exception, key: str, where: str) -> str:
    """Returns what may be said of a driver's error: its kind alone where the key held a secret."""
    if where != key:
        return type(error).__name__
    return _SECRETS.sub("", str(error)) or type(error).__name__
