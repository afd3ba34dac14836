"""What is given with an entry, checked: versions and metadata, with the typed facts of models."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any, cast

from workbench.errors import InvalidInputError, did_you_mean
from workbench.library.facts import checked_facts
from workbench.models import EntryKind
from workbench.names import check_text

#: what an entry has anyway, and what `search` sorts by: no key of the metadata
RESERVED = frozenset(
    [
        "id",
        "application",
        "domain",
        "kind",
        "version",
        "name",
        "path",
        "file",
        "filename",
        "digest",
        "size",
        "created",
        "parents",
        "made_by",
        "metadata",
    ]
)
#: what a condition may name, and entries are sorted by, beside keys of the metadata
OWN_ORDERS = ("size", "kind", "domain", "created", "version", "name")  # of what is in the trash too
SEARCHED = (*OWN_ORDERS, "made_by")
UQ_TYPES = ("random", "deltaUQ", "faiss")
UQ_AGGREGATES = ("max", "mean")
NUMBERS = ("val_error", "test_error", "threshold")
_CHOICES = {"uq_type": UQ_TYPES, "uq_aggregate": UQ_AGGREGATES}
_VERSIONS = 1 << 31  # where they end
_LONGEST_KEY = 200
_SEVERAL = ", a list of them, or 'latest'"
MODEL_KEYS = (*NUMBERS, *_CHOICES)


def checked_version(version: object, other: str = "") -> int:
    """Return a version; ``other`` says what else it may be.

    Raises
    ------
    InvalidInputError
        If it is no whole number from 1 on.
    """
    if isinstance(version, Integral) and not isinstance(version, bool) and 1 <= int(version) < _VERSIONS:
        return int(version)  # also one of numpy
    hint = f" Write version={int(version)}." if isinstance(version, str) and version.isdigit() else ""
    raise InvalidInputError(f"version is {version!r}, expected a whole number of 1 or more{other}.{hint}")


def checked_versions(version: object) -> Sequence[int] | str | None:
    """Return the versions that are asked for: None for all, "latest", one, or several."""
    if version is None or (isinstance(version, str) and version == "latest"):
        return version
    if getattr(version, "ndim", 0) == 1 or isinstance(version, (list, tuple, set, frozenset, range)):
        return [checked_version(one, _SEVERAL) for one in cast(Iterable[object], version)]
    if isinstance(version, str):
        raise InvalidInputError(
            f"version is {version!r}, expected a whole number, a list of them, or 'latest'."
            f"{did_you_mean(version, ['latest'])}"
        )
    return [checked_version(version, _SEVERAL)]


def check_order(order: object) -> None:
    """Raise if entries cannot be sorted so.

    Raises
    ------
    InvalidInputError
        With what they can be sorted by.
    """
    field = order.removeprefix("-") if isinstance(order, str) else ""
    if not field or field in RESERVED - set(SEARCHED):
        raise InvalidInputError(
            f"order is {order!r}, expected {', '.join(map(repr, SEARCHED))} or a key of the metadata, with '-' in front for descending."
        )


def checked_metadata(kind: EntryKind, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return metadata as records hold it.

    Raises
    ------
    InvalidInputError
        For a reserved key, a value that JSON cannot hold, or a fact of a model that is not of its type.
    """
    found = _plain(metadata or {})
    for key, value in found.items():
        check_text(key, "A key of metadata")
        if not key or key.startswith("="):
            raise InvalidInputError(
                f"metadata has the key {key!r}. A key begins with something else than '='."
            )
        if len(key) > _LONGEST_KEY:
            raise InvalidInputError(
                f"metadata has the key {key[:40]!r}... of {len(key)} characters, and at most {_LONGEST_KEY} are allowed."
            )
        for text in _texts(value):
            check_text(text, f"metadata[{key!r}]")
    taken = sorted(RESERVED & found.keys())
    if taken:
        raise InvalidInputError(
            f"metadata has the key {taken[0]!r}, which every entry has of its own. Give it another name, such as "
            f"'{taken[0]}_note'."
        )
    if kind is EntryKind.MODELS:
        for key in found.keys() & set(NUMBERS):
            if isinstance(found[key], bool) or not isinstance(found[key], (int, float)):
                raise InvalidInputError(f"{key} is {found[key]!r}, expected a number.")
        for key in found.keys() & _CHOICES.keys():
            if found[key] not in _CHOICES[key]:
                raise InvalidInputError(
                    f"{key} is {found[key]!r}, expected one of {', '.join(_CHOICES[key])}."
                    f"{did_you_mean(str(found[key]), _CHOICES[key])}"
                )
        if found.get("uq_type", "random") != "random" and "uq_aggregate" not in found:
            raise InvalidInputError(f"uq_type {found['uq_type']!r} needs uq_aggregate: max or mean.")
    return found


def check_next(version: int, domain: str, kind: str) -> int:
    """Return the next version, if there can be one.

    Raises
    ------
    InvalidInputError
        After the highest that is possible.
    """
    if version < _VERSIONS:
        return version
    raise InvalidInputError(
        f"{domain}/{kind} has the version {version - 1}, and there is none after it. Name one that is free: version=..."
    )


def check_number(key: str, value: object) -> None:
    """Raise if a fact of a model is given and is no number that can be compared.

    Raises
    ------
    InvalidInputError
        For nan and infinity.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInputError(f"{key} is {value}, expected a number: without one a model is not ranked.")


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts in a value of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata as JSON gives it back."""
    if not isinstance(metadata, Mapping):
        raise InvalidInputError(
            f"metadata is {metadata!r:.60}, expected a dict such as {{'temperature': 300}}."
        )
    try:
        found: dict[str, Any] = checked_facts({"attributes": metadata})["attributes"]
    except InvalidInputError:
        for key, value in metadata.items():
            try:
                checked_facts({"attributes": {key: value}})
            except InvalidInputError as error:
                is_number = isinstance(value, float)
                hint = (
                    "Leave it out, or write it as text."
                    if is_number
                    else "Use numbers, texts, lists and dicts."
                )
                raise InvalidInputError(
                    f"metadata[{key!r}] is {value!r:.60}, which JSON cannot hold. {hint}"
                ) from error
        raise
    return found


def model_metadata(metadata: Mapping[str, Any] | None, **facts: Any) -> dict[str, Any]:
    """Return metadata with the typed facts of a model, those that are given.

    Raises
    ------
    InvalidInputError
        If metadata has one of them too.
    """
    both = sorted(set(metadata or {}) & set(MODEL_KEYS))
    if both:
        raise InvalidInputError(f"metadata has the key {both[0]!r}, which is an argument: {both[0]}=...")
    for key in NUMBERS:
        check_number(key, facts[key])
    return {**(metadata or {}), **{key: value for key, value in facts.items() if value is not None}}
