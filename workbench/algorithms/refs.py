"""How an algorithm is named in text: ``name``, ``name@1``, ``name@1.2``, ``name@alias``, or a revision id."""

from __future__ import annotations

import re
from dataclasses import dataclass

from workbench.errors import InvalidNameError
from workbench.names import check_key, check_name, is_id

_NUMBERS = re.compile(r"(\d{1,9})(?:\.(\d{1,9})(?:\.[0-9A-Za-z.+-]+)?)?")


@dataclass(frozen=True)
class Ref:
    """The parts of a reference; what it does not say is None."""

    text: str
    name: str
    major: int | None = None
    minor: int | None = None
    id: str | None = None
    alias: str | None = None

    @property
    def version(self) -> str | None:
        """Return ``major.minor`` if it names a full version."""
        return None if self.minor is None else f"{self.major}.{self.minor}"


def parse_ref(text: str) -> Ref:
    """Return the parts of a reference; a patch number is read over.

    >>> parse_ref("denoise@1.2").version
    '1.2'
    >>> parse_ref("denoise@stable").alias
    'stable'
    """
    text = text.strip()
    name, separator, behind = text.partition("@")
    if not separator:
        return Ref(text, name, id=text if is_id(text) else None)
    if not behind:
        raise InvalidNameError(
            f"{text!r} has nothing behind '@'. Write {name!r}, '{name}@1.0' or '{name}@stable'."
        )
    if numbers := _NUMBERS.fullmatch(behind):
        return Ref(text, name, int(numbers[1]), None if numbers[2] is None else int(numbers[2]))
    if is_id(behind):
        return Ref(text, name, id=behind)
    return Ref(text, name, alias=behind)


def asset_key(path: str) -> str:
    """Return the key of an asset by its path in the folder, or raise `InvalidNameError` for one that leaves it."""
    return check_key(path.replace("\\", "/").lstrip("/").removeprefix("./"), "Asset path")


def check_alias(alias: str) -> str:
    """Return the alias if it is a good name that no version or id looks like.

    Raises
    ------
    InvalidNameError
        With a name that would do.
    """
    check_name(alias, "Alias")
    if alias[0].isdigit() or is_id(alias):
        raise InvalidNameError(
            f"Alias {alias!r} looks like a version or id. Begin with a letter, such as 'stable'."
        )
    return alias
