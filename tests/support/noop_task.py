"""A function that does nothing, in a module that every process pool can import."""

from __future__ import annotations


def noop() -> None:
    """Do nothing."""
