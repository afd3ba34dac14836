"""What is said of an item that is not there: why it is missing, and what to do next."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from workbench.errors import InvalidDataError, NotFoundError, did_you_mean, nearest
from workbench.sessions.reasons import Reason, find

MOST_KEYS = 1000
AGAIN = "Put it again."
_WHY = {
    "removed": "was removed {detail} at {time}. " + AGAIN,
    "cleared": "was removed at {time}, when the session was cleared {detail}. " + AGAIN,
    "items": "was evicted at {time}: it was the least recently used when the session had more than {detail} items "
    "(setting session_items). Put it again, or raise the limit.",
    "bytes": "was evicted at {time}: it was the least recently used when the session had more than {detail} bytes "
    "(setting session_bytes). Put it again, or raise the limit.",
    "quota": "was evicted at {time}: other sessions needed the room, all of them may have {detail} bytes "
    "(settings session_quota, session_spill_quota). Put it again, or raise the quota.",
}
_EVERY = {
    "expired": "The session of that name expired at {time}, unused for {detail} hours (setting session_hours), and its items with it.",
    "dropped": "The session of that name was dropped at {time} {detail}, and its items with it.",
    "vanished": "Items that were here are gone since this machine or its memory was restarted ({detail}).",
}


def explain_missing(
    session: str, key: str, path: str, count: int, keys: Callable[[], Iterable[str]]
) -> NotFoundError:
    """Return the error for a key that is not in a session; ``path`` is the file with the reasons.

    Close keys are looked for in a session of people, not in one with thousands of generated keys.
    """
    shown = repr(key if len(key) <= 80 else key[:79] + "…")
    reason = find(path, key)
    known = list(keys()) if count <= MOST_KEYS else []
    begin = f"Session {session!r} has no item {shown}"
    if reason is not None and reason.what in _WHY:
        text = f"Item {shown} of session {session!r} " + _filled(_WHY[reason.what], reason)
    elif reason is not None:
        text = f"{begin}.{did_you_mean(key, known)} {_filled(_EVERY[reason.what], reason)} {AGAIN}"
    else:
        has = f"It has {count}: s.keys() lists them." if count else "It is empty."
        text = f"{begin}: it was never put.{did_you_mean(key, known)} {has}"
    return NotFoundError(text, near=nearest(key, known), reason=reason.what if reason else "never")


def explain_unreadable(session: str, key: str, error: Exception) -> InvalidDataError:
    """Return the error for an item whose classes this process does not have."""
    return InvalidDataError(
        f"Item {key[:80]!r} of session {session!r} cannot be rebuilt in this process: {type(error).__name__}: {error}. "
        "Define or import its class here under the same module name, or put plain data such as arrays and dicts.",
        key=key,
    )


def no_session(name: str, token: str) -> NotFoundError:
    """Return the error for a session that was dropped or has expired while somebody had it in hand."""
    return NotFoundError(
        f"Session {name!r} ({token}) is gone: it was dropped, or expired. Begin a new one: ws.session({name!r}).",
        reason="dropped",
    )


def _filled(text: str, reason: Reason) -> str:
    return text.format(detail=reason.detail, time=reason.time).replace("  ", " ").replace(" .", ".")
