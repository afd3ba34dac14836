"""How an algorithm is named in text: ``name``, ``name@1``, ``name@1.2``, ``name@alias``, ``name@2026-03-01``, or a revision id."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from workbench.errors import InvalidNameError
from workbench.names import check_key, check_name, is_id

_DATE = re.compile(r"\d{4}-.*")
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
    at: datetime | None = None  # what the name stood for then

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
    >>> parse_ref("denoise@2026-03-01T12:00Z").at
    datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.timezone.utc)
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
    if _DATE.fullmatch(behind):
        return Ref(text, name, at=parse_time(behind))
    return Ref(text, name, alias=behind)


def parse_time(when: str | date) -> datetime:
    """Return the moment that a text, date or datetime means, in UTC.

    A date alone is the end of that day, and what names no zone is local time.

    Raises
    ------
    InvalidNameError
        If it is no time.
    """
    try:
        if isinstance(when, str):
            when = datetime.fromisoformat(when) if len(when) > 10 else date.fromisoformat(when)
        if not isinstance(when, datetime):
            day_after = datetime.combine(when + timedelta(days=1), time()).astimezone(UTC)
            return day_after - timedelta(microseconds=1)
        return when.astimezone(UTC)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidNameError(
            f"{when!r} is no date ({error}). Write one such as 2026-03-01, or a time such as 2026-03-01T14:30."
        ) from None


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
