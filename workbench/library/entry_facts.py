"""What is given with an entry, checked: versions and metadata, with the typed facts of models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.errors import InvalidInputError, did_you_mean
from workbench.library.facts import checked_facts
from workbench.models import EntryKind

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
UQ_TYPES = ("random", "deltaUQ", "faiss")
UQ_AGGREGATES = ("max", "mean")
_NUMBERS = ("val_error", "test_error", "threshold")
_CHOICES = {"uq_type": UQ_TYPES, "uq_aggregate": UQ_AGGREGATES}
MODEL_KEYS = (*_NUMBERS, *_CHOICES)


def checked_version(version: object) -> int:
    """Return a version.

    Raises
    ------
    InvalidInputError
        If it is no whole number from 1 on.
    """
    if isinstance(version, int) and not isinstance(version, bool) and 1 <= version < 1 << 31:
        return version
    hint = f" Write version={int(version)}." if isinstance(version, str) and version.isdigit() else ""
    raise InvalidInputError(
        f"version is {version!r}, expected a whole number of 1 or more, or None for the next one.{hint}"
    )


def checked_versions(version: object) -> Sequence[int] | str | None:
    """Return the versions that are asked for: None for all, "latest", one, or several."""
    if version is None or version == "latest":
        return version
    if isinstance(version, (list, tuple, set, frozenset, range)):
        return [checked_version(one) for one in version]
    if isinstance(version, str):
        raise InvalidInputError(
            f"version is {version!r}, expected a whole number, a list of them, or 'latest'."
            f"{did_you_mean(version, ['latest'])}"
        )
    return [checked_version(version)]


def checked_metadata(kind: EntryKind, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return metadata as records hold it.

    Raises
    ------
    InvalidInputError
        For a reserved key, a value that JSON cannot hold, or a fact of a model that is not of its type.
    """
    found: dict[str, Any] = checked_facts({"attributes": metadata or {}})["attributes"]
    taken = sorted(RESERVED & found.keys())
    if taken:
        raise InvalidInputError(
            f"metadata has the key {taken[0]!r}, which every entry has of its own. Give it another name, such as "
            f"'{taken[0]}_note'."
        )
    if kind is EntryKind.MODELS:
        for key in found.keys() & set(_NUMBERS):
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
    for key in ("val_error", "test_error"):
        if isinstance(facts[key], float) and math.isnan(facts[key]):
            raise InvalidInputError(
                f"{key} is nan, expected a number: a model without an error is not ranked."
            )
    return {**(metadata or {}), **{key: value for key, value in facts.items() if value is not None}}
