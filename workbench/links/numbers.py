"""Readable numbers of versions: ``1.2.0``. The first is 1.0.0; each next one is counted from the newest."""

from __future__ import annotations

import re

from workbench.errors import InvalidInputError
from workbench.versions import VersionKind

Number = tuple[int, int, int]
FIRST: Number = (1, 0, 0)
_NUMBER = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})")


def parse_number(text: object) -> Number:
    """Return the number that a text writes.

    Raises
    ------
    InvalidInputError
        If it writes none.

    >>> parse_number("1.2.0")
    (1, 2, 0)
    """
    match = _NUMBER.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InvalidInputError(
            f"Version {text!r} is no number of a version, such as '1.2.0'; 'latest' is the newest one."
        )
    major, minor, patch = match.groups()
    return int(major), int(minor), int(patch)


def shown(number: Number) -> str:
    """Return a number as text.

    >>> shown((1, 2, 0))
    '1.2.0'
    """
    return ".".join(map(str, number))


def next_number(newest: Number | None, change: VersionKind) -> Number:
    """Return the number after the newest for a change of a kind.

    >>> next_number((1, 2, 3), VersionKind.MINOR)
    (1, 3, 0)
    """
    if newest is None:
        return FIRST
    major, minor, patch = newest
    if change is VersionKind.MAJOR:
        return major + 1, 0, 0
    return (major, minor + 1, 0) if change is VersionKind.MINOR else (major, minor, patch + 1)
