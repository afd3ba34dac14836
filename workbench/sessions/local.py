"""Objects that no other process can have, because they cannot be pickled; the others find a note in their place."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

from workbench.errors import NotFoundError
from workbench.names import new_id
from workbench.sessions.workfolder import is_alive

#: (token, file name) of an item -> the note that lies there, and the object
_objects: dict[tuple[str, str], tuple[bytes, object]] = {}


def note_for_others(owner: str, error: Exception) -> tuple[bytes, str]:
    """Return what lies in the place of an object, and why it could not be pickled, in one line.

    Parameters
    ----------
    owner : str
        Name of this process's work folder.
    error : Exception
        What pickling it raised.
    """
    why = f"{type(error).__name__}: {error}".splitlines()[0]
    facts = {"id": new_id(), "pid": os.getpid(), "host": socket.gethostname(), "owner": owner, "why": why}
    return json.dumps(facts).encode(), why


def keep(token: str, name: str, note: bytes, value: object) -> None:
    """Keep an object of this process."""
    _objects[token, name] = (note, value)


def find(token: str, name: str, note: bytes) -> tuple[object] | None:
    """Return the object that a note stands for, if this process has it."""
    kept, value = _objects.get((token, name), (b"", None))
    return (value,) if kept == note else None


def has(token: str, name: str) -> bool:
    """Tell whether this process has an object under this name."""
    return (token, name) in _objects


def forget(token: str, name: str) -> None:
    """Let go of an object."""
    _objects.pop((token, name), None)


def explain_elsewhere(session: str, key: str, note: bytes, work: Path) -> NotFoundError:
    """Return the error for an object that another process has, or had."""
    facts = json.loads(note)
    where = f"process {facts['pid']} on {facts['host']!r}"
    lives = is_alive(work, facts["owner"])
    end = "which holds it" if lives else "which has ended, and the object with it"
    return NotFoundError(
        f"Item {key[:80]!r} of session {session!r} cannot be read here: it could not be pickled ({facts['why']}) and stayed in "
        f"{where}, {end}. Put its data instead, such as arrays, or make it here.",
        reason="elsewhere",
    )
