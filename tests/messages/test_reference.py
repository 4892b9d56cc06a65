"""A reference that is shown never holds a secret."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from moderation.messages import ImageReference
from moderation.messages.reference import shown_location, shown_reference

SECRET = "s3same"


def test_a_path_is_shown_as_it_is_and_bytes_are_not() -> None:
    path = "/srv/uploads/cat & dog?@#%20ü 猫.jpg"
    assert shown_reference(ImageReference(path=path)) == path
    assert shown_reference(ImageReference.of_bytes(b"image")) == ""


def test_what_would_break_a_line_of_a_log_is_escaped() -> None:
    forged = shown_reference(ImageReference(path="/srv/a\nERROR\x1b[31m\u202e"))
    assert forged == "/srv/a\\nERROR\\x1b[31m\\u202e"
    assert (
        shown_reference(ImageReference(path=r"/srv/a\x1b")) == r"/srv/a\\x1b"
    )  # and is another name


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("https://cdn.example.com/a/b.jpg", "https://cdn.example.com/a/b.jpg"),
        ("https://u:s3same@cdn.example.com:8443/a.jpg", "https://cdn.example.com:8443/a.jpg"),
        ("https://u:s3@s3same@h/a", "https://h/a"),
        ("https://s3same@h", "https://h"),
        ("https://h/a?token=s3same#x", "https://h/a"),
        ("https://h?s3same", "https://h"),
        ("https://h#s3same", "https://h"),
        ("https://[2001:db8::1]:8443/a?s3same", "https://[2001:db8::1]:8443/a"),
        ("https://h/npm/x@1.2/a.png", "https://h/npm/x@1.2/a.png"),
        ("https://proxy/400x/https://u:s3same@h/a", "https://proxy/400x/https://h/a"),
        ("https://proxy/https%3A%2F%2Fu:s3same%40h/a", "https://(hidden)"),
        ("https://u:12/s3same@h/a", "https://(hidden)"),
        ("https://u:s3same/x@h/a", "https://(hidden)"),
        ("https://u:12?s3same@h/a", "https://(hidden)"),
        ("https://a@u:12/s3same@h/a", "https://(hidden)"),
        ("https://h\\@s3same", "https://(hidden)"),
        ("https://u:s3 same@h/", "https://(hidden)"),
        (" https://u:s3same@h/", "(hidden)"),
        ("https:/u:s3same@h/", "(hidden)"),
        ("u:s3same@h/a", "(hidden)"),
        ("//u:s3same@h/a", "(hidden)"),
        ("s3://bucket/uploads/a b.jpg", "s3://bucket/uploads/a b.jpg"),
        ("s3://AKIA:ab/s3same@bucket/a.jpg", "s3://(hidden)"),
        ("sftp://u:s3same@h/a.jpg", "sftp://h/a.jpg"),
        ("simplecache::sftp://u:s3same@h/a.jpg", "(hidden)"),
        ("uploads/a.jpg", "uploads/a.jpg"),
        ("https://h/a\nERROR", "https://h/a\\nERROR"),
    ],
)
def test_a_location_is_shown_without_user_query_and_fragment(given_: str, expected: str) -> None:
    assert shown_reference(ImageReference(url=given_)) == expected
    assert shown_reference(ImageReference(key=given_)) == expected


@given(st.text() | st.text("ht:/?#@[]\\%.a1\n\0\ud800é", max_size=60))
@example("http://[" + "a" * 100)
@example("http://" + "@" * 10_000)
@example("http://h/" + "//a" * 5_000)
@example("http://h/" + "%2f%2f" * 500_000)
def test_any_text_can_be_shown_in_a_line_and_stored(text: str) -> None:
    found = shown_location(text)
    assert len(found.splitlines()) <= 1
    assert "\0" not in found
    found.encode()


_PARTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/?#"))
_FREE = st.text("ab:/?#@[]\\%1. ", max_size=12)


@given(_FREE, _FREE)
def test_a_password_is_never_shown_whatever_stands_around_it(before: str, after: str) -> None:
    for scheme in ("https://", "s3://"):
        assert SECRET not in shown_location(f"{scheme}u:{before}{SECRET}{after}@host/a.jpg")


@given(_PARTS, _FREE, _FREE)
def test_a_query_and_a_fragment_are_never_shown(place: str, before: str, after: str) -> None:
    for sign in "?#":
        url = f"https://{place}/a.jpg{sign}{before}{SECRET}{after}"
        assert SECRET not in shown_location(url)


def test_showing_a_reference_loads_no_client() -> None:
    code = "import moderation.messages.reference, sys; "
    code += "print(*{'httpcore', 'httpx', 'fsspec', 'sqlalchemy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
