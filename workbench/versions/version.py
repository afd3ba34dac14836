"""Version: three digests of what counts in a piece of code, and when it was made."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from workbench.errors import InvalidInputError, did_you_mean
from workbench.versions.texts import stable_text

TRAINED = "(trained)"  # the name of the time of training among the fields
SHOWN = 80  # characters of a value that are kept to be shown
_EMPTY = hashlib.sha1(b"", usedforsecurity=False).hexdigest()
_TEXT = re.compile(r"([0-9a-f]{40})\.([0-9a-f]{40})\.([0-9a-f]{40})(?:_(.+))?")


class VersionKind(StrEnum):
    """What a change of a value means: ``major`` asks for training again, ``minor`` and ``patch`` do not."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"

    @classmethod
    def of(cls, value: object) -> VersionKind:
        """Return the kind that a text names.

        Raises
        ------
        InvalidInputError
            If it names none.
        """
        try:
            return cls(value)  # type: ignore[arg-type]
        except ValueError:
            near = did_you_mean(value, [kind.value for kind in cls]) if isinstance(value, str) else ""
            raise InvalidInputError(
                f"The kind of a version is {value!r}, expected 'major', 'minor' or 'patch'.{near}"
            ) from None


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """One value that counted: what a change of it means, the SHA-1 of its text, and its text, shortened."""

    kind: VersionKind
    digest: str
    shown: str


@dataclass(frozen=True, slots=True)
class Version:
    """Three SHA-1 digests, 40 hexadecimal characters each, over the values that count.

    Two versions are equal if all three digests are; one is greater if it differs and was made later. ``a + b`` has the
    digests of the two texts in turn. As text: ``<major>.<minor>.<patch>_<time>``.

    Parameters
    ----------
    major, minor, patch : str
    created : float
        Seconds since 1970 (UTC). Default: now.
    fields : mapping of str to FieldFacts, optional
        What the digests were made of; None where only they are known, as when a version was read from text.

    Examples
    --------
    >>> Version.of_value("n", 3, "minor").minor[:5]
    '08743'
    >>> Version().major[:5]
    'da39a'
    """

    major: str = _EMPTY
    minor: str = _EMPTY
    patch: str = _EMPTY
    created: float = field(default_factory=time.time, compare=False)
    fields: Mapping[str, FieldFacts] | None = field(
        default_factory=lambda: MappingProxyType({}), compare=False
    )

    @classmethod
    def of_value(cls, name: str, value: object, kind: VersionKind | str) -> Version:
        """Return the version of one value: its digest of that kind is fed with the SHA-1 of ``str(value)``, in hexadecimal.

        Raises
        ------
        InvalidInputError
            If the text of the value does not stand for it.
        """
        kind = VersionKind.of(kind)
        text = stable_text(name, value)
        digest = _sha1(text)
        shown = text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
        return cls.of_facts(name, FieldFacts(kind, digest, shown))

    @classmethod
    def of_facts(cls, name: str, facts: FieldFacts) -> Version:
        """Return the version of one value of which only its digest is at hand."""
        fields = MappingProxyType({name: facts})
        return cls(**{facts.kind.value: _sha1(facts.digest)}, fields=fields)  # type: ignore[arg-type]

    @classmethod
    def parse(cls, text: str) -> Version:
        """Return the version that a text writes.

        Raises
        ------
        InvalidInputError
            If it writes none.
        """
        match = _TEXT.fullmatch(text) if isinstance(text, str) else None
        try:
            created = float(match[4] or 0) if match else math.nan
        except ValueError:
            created = math.nan
        if match is None or not math.isfinite(created):
            shown = repr(text) if len(repr(text)) <= 60 else repr(text)[:59] + "…"
            raise InvalidInputError(
                f"{shown} is no version. A version is three SHA-1 digests with dots between them, then _ and seconds since "
                "1970; str(version) writes it."
            )
        return cls(match[1], match[2], match[3], created, None)

    def trained(self, time_s: float, kind: VersionKind | str = VersionKind.PATCH) -> Version:
        """Return the version of what was trained at a time (seconds since 1970): the time goes to one digest."""
        digest = _sha1(str(float(time_s)))
        shown = datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        version = self + Version.of_facts(TRAINED, FieldFacts(VersionKind.of(kind), digest, shown))
        return Version(version.major, version.minor, version.patch, float(time_s), version.fields)

    def inside(self, place: str) -> Version:
        """Return the version with the place in front of the names of its fields: what it is as a part of something."""
        if self.fields is None:
            return self
        fields = {f"{place}.{name}": facts for name, facts in self.fields.items()}
        return replace(self, fields=MappingProxyType(fields))

    @property
    def short(self) -> str:
        """The beginnings of the digests: ``94e72/36d3c/94e72``."""
        return f"{self.major[:5]}/{self.minor[:5]}/{self.patch[:5]}"

    def __add__(self, other: object) -> Version:
        if not isinstance(other, Version):
            return NotImplemented
        mine, theirs = self.fields, other.fields
        known = mine is not None and theirs is not None and not mine.keys() & theirs.keys()
        return Version(
            _sha1(self.major + other.major),
            _sha1(self.minor + other.minor),
            _sha1(self.patch + other.patch),
            max(self.created, other.created),
            MappingProxyType({**mine, **theirs}) if known else None,  # type: ignore[dict-item]
        )

    def __gt__(self, other: object) -> bool:
        if not isinstance(other, Version):
            return NotImplemented
        return self != other and self.created > other.created

    def __lt__(self, other: object) -> bool:
        return other > self if isinstance(other, Version) else NotImplemented

    def __ge__(self, other: object) -> bool:
        return self == other or self > other if isinstance(other, Version) else NotImplemented

    def __le__(self, other: object) -> bool:
        return self == other or self < other if isinstance(other, Version) else NotImplemented

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}_{self.created!r}"

    def __repr__(self) -> str:
        return f"Version({self.short})"

    def __reduce__(self) -> tuple[Any, ...]:  # a mapping proxy cannot be pickled
        fields = None if self.fields is None else dict(self.fields)
        return Version, (self.major, self.minor, self.patch, self.created, fields)


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
