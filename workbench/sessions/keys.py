"""File names of item keys: any text but an empty one fits, and two keys never share a file, not even where capitals do not count."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import unquote_to_bytes

from workbench.errors import InvalidNameError

_PLAIN = re.compile(r"[a-z0-9_][a-z0-9_.-]*")
_ODD = re.compile(rb"[^a-z0-9_-]")
_MOST = 200  # bytes; file systems take 255


def file_name(key: object) -> str:
    """Return the file name of a key.

    Raises
    ------
    InvalidNameError
        If the key is no text, or an empty one, which is a variable that was not filled.

    >>> file_name("volume"), file_name("A/b")
    ('i-volume', 'i-%41%2fb')
    """
    if not isinstance(key, str):
        raise InvalidNameError(f"Item key is {key!r}, expected text such as 'volume'.")
    if not key:
        raise InvalidNameError(
            "Item key is '', which nobody would find again. Give it a name such as 'volume': session['volume'] = ..."
        )
    if len(key) <= _MOST and _PLAIN.fullmatch(key):
        return "i-" + key
    data = key.encode("utf-8", "surrogatepass")
    name = _ODD.sub(lambda match: b"%%%02x" % match.group()[0], data).decode()
    return "i-" + name if len(name) <= _MOST else "h-" + hashlib.blake2b(data, digest_size=20).hexdigest()


def key_of(name: str) -> str | None:
    """Return the key of a file name, or None if only the file itself knows it.

    >>> key_of("i-%41%2fb")
    'A/b'
    """
    return unquote_to_bytes(name[2:]).decode("utf-8", "surrogatepass") if name.startswith("i-") else None
