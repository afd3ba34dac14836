"""Why an item is missing: one line for each that went, read only when somebody asks for one that is not there."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime

MOST_BYTES = 1 << 20
EVERY = None  # the key of a line that is about all items so far


@dataclass(frozen=True, slots=True)
class Reason:
    """What happened to an item.

    Parameters
    ----------
    what : str
        ``removed``, ``cleared``, ``items``, ``bytes``, ``quota``, ``expired``, ``dropped`` or ``vanished``.
    when : float
        Seconds since the epoch.
    detail : str
        The limit that was hit, for instance.
    """

    what: str
    when: float
    detail: str = ""

    @property
    def time(self) -> str:
        """When, for people: local time to the second."""
        return datetime.fromtimestamp(self.when).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def note(path: str, keys: list[str] | None, reason: Reason) -> None:
    """Append what happened to these items, or to all; the file is halved when it is large."""
    lines = [
        json.dumps([key, reason.what, round(reason.when, 3), reason.detail]) + "\n"
        for key in (keys if keys is not None else [EVERY])
    ]
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, "".join(lines).encode())
        size = os.fstat(descriptor).st_size
        if size > MOST_BYTES:
            rest = os.pread(descriptor, size, size - MOST_BYTES // 2)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, rest[rest.find(b"\n") + 1 :])
    finally:
        os.close(descriptor)


def find(path: str, key: str) -> Reason | None:
    """Return the last thing that happened to an item, or None if nothing is known of it."""
    try:
        with open(path, "rb") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        try:
            name, what, when, detail = json.loads(line)
        except ValueError:
            continue
        if name == key or name is EVERY:
            return Reason(what, when, detail)
    return None
