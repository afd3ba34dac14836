"""Sessions and items as rows of tables."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, slots=True)
class ItemInfo:
    """What is known of an item without reading it.

    Parameters
    ----------
    created, used : float
        Seconds since the epoch: when it was put, and last put or read.
    where : str
        ``memory``, ``disk``, ``this process`` or ``another process``.
    """

    key: str
    type: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    created: float
    used: float
    where: str


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What is known of a session without opening it."""

    name: str
    token: str
    items: int
    nbytes: int
    spilled_bytes: int
    created: datetime
    used: datetime
    in_use: bool


def item_row(item: ItemInfo) -> dict[str, Any]:
    """Return the row of an item."""
    shape = ", ".join(str(n) for n in item.shape)
    return {
        "key": item.key if len(item.key) <= 60 else item.key[:59] + "…",
        "type": item.type,
        "shape": shape,
        "dtype": item.dtype,
        "size": size_text(item.nbytes),
        "put": age_text(item.created),
        "used": age_text(item.used),
        "where": item.where,
    }


def session_row(session: SessionInfo) -> dict[str, Any]:
    """Return the row of a session."""
    return {
        "session": session.name,
        "items": session.items,
        "size": size_text(session.nbytes + session.spilled_bytes),
        "on disk": size_text(session.spilled_bytes) if session.spilled_bytes else "",
        "made": age_text(session.created.timestamp()),
        "used": age_text(session.used.timestamp()),
        "open": "yes" if session.in_use else "",
    }


def size_text(nbytes: float) -> str:
    """Return a size for people.

    >>> size_text(1536), size_text(12)
    ('1.5 KiB', '12 bytes')
    """
    for unit in _UNITS:
        if nbytes < 1024 or unit == _UNITS[-1]:
            return f"{nbytes:.0f} {unit}" if unit == "bytes" or nbytes >= 100 else f"{nbytes:.1f} {unit}"
        nbytes /= 1024
    raise AssertionError


def age_text(when: float, now: float | None = None) -> str:
    """Return how long ago something was, for people.

    >>> age_text(0, 90), age_text(0, 7200)
    ('1 min ago', '2 h ago')
    """
    seconds = max(0.0, (time.time() if now is None else now) - when)
    for most, unit, one in ((60, "s", 1), (3600, "min", 60), (172800, "h", 3600)):
        if seconds < most:
            return f"{int(seconds // one)} {unit} ago"
    return f"{int(seconds // 86400)} days ago"


def time_of(seconds: float) -> datetime:
    """Return a time with its zone."""
    return datetime.fromtimestamp(seconds, UTC)
