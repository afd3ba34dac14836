"""Ids, names, keys and sizes: how they are made and what they may look like."""

from __future__ import annotations

import os
import re
import time
from datetime import UTC, datetime

from workbench.errors import InvalidInputError, InvalidNameError

MAX_NAME = 100
MAX_KEY = 512
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32: no i, l, o, u
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]  # of ten bits
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
LAST = "last"  # in the place of an id: the newest
_ID = re.compile(rf"[{_ALPHABET}]{{20}}")


def new_id() -> str:
    """Return a new id: 20 characters that sort by the time they were made.

    48 bits of milliseconds and 52 random bits in Crockford base 32, so ids made by many processes never meet and a
    listing by id is a listing by time.
    """
    value = (time.time_ns() // 1_000_000) << 52 | int.from_bytes(os.urandom(7), "big") >> 4
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(90, -1, -10)])


def time_of(id: str) -> datetime:
    """Return when an id was made, to the millisecond.

    >>> abs((time_of(new_id()) - datetime.now(UTC)).total_seconds()) < 5
    True
    """
    value = 0
    for character in id:
        value = value << 5 | _ALPHABET.index(character)
    return datetime.fromtimestamp((value >> 52) / 1000, UTC)


def is_id(text: str) -> bool:
    """Tell whether the text has the shape of an id."""
    return _ID.fullmatch(text) is not None


def check_name(name: object, what: str) -> str:
    """Return the name of an algorithm, alias, dataset or tag if it follows the rules.

    Letters, digits, ``.``, ``_`` and ``-``; the first one a letter or digit; at most 100 characters. Such a name is a
    folder name on every system, a key on S3 and a word on a magic's line.

    Raises
    ------
    InvalidNameError
        With the first offending character and, where one can be made, a name that would do.

    >>> check_name("denoise-2", "Algorithm name")
    'denoise-2'
    """
    if not isinstance(name, str):
        raise InvalidNameError(f"{what} is {name!r}, expected text such as 'denoise'.")
    if _NAME.fullmatch(name) and len(name) <= MAX_NAME and not name.endswith("."):
        return name
    if not name:
        raise InvalidNameError(f"{what} is empty. Give one such as 'denoise'.")
    suggestion = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:MAX_NAME]
    hint = f" Try {suggestion!r}." if suggestion and _NAME.fullmatch(suggestion) else " Try 'denoise'."
    if len(name) > MAX_NAME:
        shown = name[:30] + "…"
        raise InvalidNameError(
            f"{what} {shown!r} has {len(name)} characters, at most {MAX_NAME} are allowed.{hint}"
        )
    bad = next((c for c in name if not re.match(r"[A-Za-z0-9._-]", c)), name[0])
    raise InvalidNameError(
        f"{what} {name!r} has {bad!r} where only letters, digits, '.', '_' and '-' are allowed"
        f" (first: a letter or digit).{hint}"
    )


def check_key(
    key: object,
    what: str = "Object key",
    remedy: str = "Use a relative key such as 'stack-01/image.h5'.",
) -> str:
    """Return a key of an object if it is relative, forward-slashed and stays inside its collection.

    Parameters
    ----------
    key : str
    what, remedy : str
        What it is, and what to do if it cannot be one, for messages.

    Raises
    ------
    InvalidNameError
        For empty keys, ``..`` and ``.`` segments, leading or doubled slashes, backslashes, control characters, segments
        that begin with a dot (reserved for files being written) and keys over 512 bytes.
    """
    if not isinstance(key, str):
        raise InvalidNameError(f"{what} is {key!r}, expected text.")
    problem = None
    segments = key.split("/")
    if not key:
        problem = "is empty"
    elif ".." in segments or "." in segments:
        problem = "has a '.' or '..' segment, which could leave its collection"
    elif key.startswith("/"):
        problem = "begins with '/', but keys are relative"
    elif "" in segments:
        problem = "has an empty segment ('//' or a trailing '/')"
    elif "\\" in key:
        problem = "has a backslash"
    elif _CONTROL.search(key):
        problem = "has a control character"
    elif any(s.startswith(".") for s in segments):
        problem = "has a segment that begins with '.', which is reserved for files being written"
    elif len(key.encode()) > MAX_KEY:
        problem = f"has {len(key.encode())} bytes, at most {MAX_KEY} are allowed"
    if problem:
        raise InvalidNameError(f"{what} {key[:80]!r} {problem}. {remedy}")
    return key


def check_text(text: str, what: str) -> str:
    """Return a text if every database can keep it.

    >>> check_text("T = 300 K", "metadata['note']")
    'T = 300 K'

    Raises
    ------
    InvalidInputError
        If it has a NUL, or what is no character, as in names of files that are not UTF-8.
    """
    bad = next((c for c in text if c == "\0" or "\ud800" <= c <= "\udfff"), None)
    if bad is not None:
        shown = repr(text)
        shown = (
            shown if len(shown) <= 80 else f"…{shown[-79:]}"
        )  # what is wrong with a path is mostly its end
        raise InvalidInputError(
            f"{what} is {shown}, which has {bad!r}: that is no character of a text. Leave it out, or write it otherwise."
        )
    return text


def parse_size(value: object, what: str) -> int:
    """Return bytes from a number or a text such as ``"4 GB"``.

    >>> parse_size("4 GB", "memory"), parse_size("512 MiB", "memory"), parse_size(1000, "memory")
    (4000000000, 536870912, 1000)

    Raises
    ------
    InvalidInputError
        If it is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise InvalidInputError(
            f'{what} is {value!r}, expected bytes or a text such as "4 GB": a number, then B, kB, MB, GB or TB (thousands), or '
            "KiB, MiB, GiB or TiB (1024)."
        )
    number, prefix, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[prefix.lower()])
