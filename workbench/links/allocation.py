"""Which registered version is meant, and which number a new one gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.errors import InvalidInputError, NotFoundError, nearest
from workbench.links.files import StepFiles
from workbench.links.numbers import next_number, parse_number, shown
from workbench.links.step_version import StepVersion, field_records, version_of_record
from workbench.models import StepKind, StepVersionRecord, now
from workbench.versions import Version, VersionKind, changed_kind

LATEST = "latest"


def allocate(
    change: StepFiles, name: str, kind: StepKind, version: Version, **facts: Any
) -> StepVersionRecord:
    """Return the record of a version of a step: the one that is there, or a new one with the number after the newest."""
    key = (str(kind), name)
    digest = f"{version.major}.{version.minor}.{version.patch}"
    for known in change.catalog.versions_with_digest(key, digest):
        same = {name: getattr(known, name) for name in facts} == facts
        if same and changed_kind(version_of_record(known), version) is None:
            return known
    newest = change.catalog.newest(key)
    kind_of_change = VersionKind.PATCH
    if newest is not None:
        kind_of_change = changed_kind(version_of_record(newest), version) or VersionKind.PATCH
    record = StepVersionRecord(
        step=name,
        kind=kind,
        number=next_number(newest.number if newest else None, kind_of_change),
        major=version.major,
        minor=version.minor,
        patch=version.patch,
        made=version.created,
        fields=field_records(version),
        created=now(),
        **facts,
    )
    change.put(record)
    return record


def pick(
    known: Sequence[StepVersionRecord], version: str | Version | StepVersion, what: str
) -> StepVersionRecord:
    """Return the one of the records, newest first, that a version names.

    Raises
    ------
    NotFoundError, InvalidInputError
        If it names none, or is no version.
    """
    if isinstance(version, StepVersion):
        version = version.number
    if version == LATEST:
        return known[0]
    if isinstance(version, str) and len(version) < 40:
        number = parse_number(version)
        found = [record for record in known if record.number == number]
        named = version
    else:
        wanted = Version.parse(version) if isinstance(version, str) else version
        if not isinstance(wanted, Version):
            raise InvalidInputError(
                f"{what}: {version!r} is no version. Name one such as '1.2.0' or 'latest'."
            )
        equal = [record for record in known if version_of_record(record) == wanted]
        found = [r for r in equal if changed_kind(version_of_record(r), wanted) is None] or equal
        named = wanted.short
    if found:
        return found[0]
    numbers = [shown(record.number) for record in known]
    listed = ", ".join(numbers[:5]) + (", …" if len(numbers) > 5 else "")
    raise NotFoundError(
        f"{what} has no registered version {named}. It has {listed}.", near=nearest(named, numbers)
    )
