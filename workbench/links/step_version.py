"""StepVersion: one registered version of a step or pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from workbench.errors import did_you_mean
from workbench.links.numbers import shown
from workbench.models import FieldRecord, StepVersionRecord
from workbench.pages import Page, Row
from workbench.versions import FieldFacts, Version, VersionKind, what_changed

GetBytes = Callable[[StepVersionRecord], bytes]


class StepVersion:
    """One version of a step or pipeline, as it was registered.

    Parameters
    ----------
    record : StepVersionRecord
    get_bytes : callable
    """

    def __init__(self, record: StepVersionRecord, get_bytes: GetBytes) -> None:
        self.record = record
        self._get_bytes = get_bytes

    @property
    def step(self) -> str:
        """The name of the step or pipeline."""
        return self.record.step

    @property
    def number(self) -> str:
        """Its readable number: ``1.2.0``."""
        return shown(self.record.number)

    @property
    def ref(self) -> str:
        """``step@1.2.0``."""
        return f"{self.step}@{self.number}"

    @property
    def version(self) -> Version:
        """The digests, and what they were made of where that is known."""
        return version_of_record(self.record)

    @property
    def nodes(self) -> dict[str, str]:
        """Of a pipeline: the version of each node, as ``step@1.2.0``."""
        return dict(self.record.nodes)

    @property
    def trained_by(self) -> str:
        """The run that trained it; empty where that is not known."""
        return self.record.trained_by

    def name_in(self, step: Any) -> None:
        """Let a step know that its state is this one, so that its runs can say so."""
        if hasattr(step, "kept_as"):  # one that is trained
            step.kept_as, step.trained_by = self.ref, self.trained_by

    @property
    def has_bytes(self) -> bool:
        """Tell whether its state is kept."""
        return bool(self.record.data)

    def bytes(self) -> bytes:
        """Return the state that is kept, checked.

        Raises
        ------
        NotFoundError
            If none is.
        DamagedError
            If it is not what was saved.
        """
        return self._get_bytes(self.record)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StepVersion) and (self.record.kind, self.ref) == (
            other.record.kind,
            other.ref,
        )

    def __hash__(self) -> int:
        return hash((self.record.kind, self.ref))

    def __repr__(self) -> str:
        return f"StepVersion({self.ref!r}, {self.version.short})"


def version_of_record(record: StepVersionRecord) -> Version:
    """Return the digests of a record, with the fields it knows."""
    fields = record.fields
    return Version(
        record.major,
        record.minor,
        record.patch,
        record.made,
        None
        if fields is None
        else MappingProxyType(
            {name: FieldFacts(VersionKind(f.kind), f.digest, f.shown) for name, f in fields.items()}
        ),
    )


def field_records(version: Version) -> dict[str, FieldRecord] | None:
    """Return the fields of a version as they are kept."""
    if version.fields is None:
        return None
    return {
        name: FieldRecord(kind=f.kind.value, digest=f.digest, shown=f.shown)
        for name, f in version.fields.items()
    }


def unknown(name: str, known: Sequence[str]) -> str:
    """Return what is said of a name that is not among those that are known; nothing if it is, or if none is."""
    return (
        f"Nothing is registered as {name!r}.{did_you_mean(name, known)}"
        if known and name not in known
        else ""
    )


def version_table(found: Sequence[StepVersion], what: str, hint: str = "") -> Page[StepVersion]:
    """Return versions, newest first, as a table that says of each what changed since the one before.

    Parameters
    ----------
    found : sequence of StepVersion
    what : str
        What has to be saved to have some.
    hint : str
        Said besides where there are none.
    """
    before = {a: b.version for a, b in pairwise(found)}

    def row(item: StepVersion) -> Row:
        version = item.version
        change = what_changed(before[item], version) if item in before else "first version"
        made = (
            {"bytes": item.record.size or None}
            if not item.nodes
            else {"nodes": ", ".join(item.nodes.values())}
        )
        return {
            "number": item.number,
            "digest": version.short,
            "time": datetime.fromtimestamp(version.created, UTC) if version.created else item.record.created,
            "changed": change,
            **made,
        }

    return Page(found, row, None, "versions", f"{hint} Save {what} first.".lstrip())
