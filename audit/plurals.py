"""Counts with their nouns: 1 image, 2,085 images."""

from __future__ import annotations


def counted(n: int, noun: str, several: str = "") -> str:
    """Returns a count with its noun, which takes an s where `several` does not say otherwise."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {several or f'{noun}s'}"


def agreeing(n: int, one: str, several: str) -> str:
    """Returns the word that agrees with a count: was, or were; it, or them."""
    return one if n == 1 else several
