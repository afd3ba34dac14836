"""Steps in the catalog: their versions, whose numbers are allocated here, and links between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from workbench.catalog.engine import Database
from workbench.catalog.search import micros
from workbench.catalog.tables import step_links, step_versions, steps
from workbench.models import LinkRecord, StepKind, StepRecord, StepVersionRecord

StepKey = tuple[str, str]  # kind, name
Number = tuple[int, int, int]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_S, _V, _L = steps.c, step_versions.c, step_links.c
_NUMBER = (_V.major, _V.minor, _V.patch)
_LINKED = (_L.major, _L.minor, _L.patch)
_LINKING = (_L.down_major, _L.down_minor, _L.down_patch)
_ALL: Number = (0, 0, 0)  # no version has this number


def key_of(record: StepRecord | StepVersionRecord) -> StepKey:
    """Return what a record's numbers are counted in."""
    return (str(record.kind), record.name if isinstance(record, StepRecord) else record.step)


def digest_of(record: StepVersionRecord) -> str:
    """Return the three digests as one text; an empty one of a deleted version, which is found no more."""
    return "" if record.deleted else f"{record.major}.{record.minor}.{record.patch}"


class StepChange:
    """A transaction that has the steps it changes for itself."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get_step(self, key: StepKey) -> StepRecord | None:
        """Return a step."""
        text = self._connection.scalar(sa.select(_S.record).where(_S.kind == key[0], _S.name == key[1]))
        return None if text is None else StepRecord.model_validate_json(text)

    def put_step(self, record: StepRecord) -> None:
        """Record a step, or replace it."""
        values = {"record": record.model_dump_json()}
        kind, name = key_of(record)
        found = self._connection.execute(
            sa.update(steps).where(_S.kind == kind, _S.name == name).values(values)
        )
        if not found.rowcount:
            self._connection.execute(sa.insert(steps).values(kind=kind, name=name, **values))

    def delete_step(self, key: StepKey) -> None:
        """Forget a step with its versions and links."""
        self._connection.execute(sa.delete(steps).where(_S.kind == key[0], _S.name == key[1]))

    def newest(self, key: StepKey) -> StepVersionRecord | None:
        """Return the version with the highest number, be it deleted."""
        statement = _versions(key).order_by(*(c.desc() for c in _NUMBER)).limit(1)
        return _parsed(self._connection.scalar(statement))

    def get_version(self, key: StepKey, number: Number) -> StepVersionRecord | None:
        """Return one version, be it deleted."""
        return _parsed(self._connection.scalar(_versions(key).where(*_equal(_NUMBER, number))))

    def all_versions(self, key: StepKey) -> list[StepVersionRecord]:
        """Return all versions of a step, also deleted ones."""
        return [StepVersionRecord.model_validate_json(t) for t in self._connection.scalars(_versions(key))]

    def versions_with_digest(self, key: StepKey, digest: str) -> list[StepVersionRecord]:
        """Return the versions with these three digests, newest first."""
        statement = _versions(key).where(_V.digest == digest).order_by(*(c.desc() for c in _NUMBER))
        return [StepVersionRecord.model_validate_json(text) for text in self._connection.scalars(statement)]

    def put_version(self, record: StepVersionRecord) -> None:
        """Record a version, or replace the one of its number; its step is there."""
        step = self._id(key_of(record))
        values = {"digest": digest_of(record), "record": record.model_dump_json()}
        same = (_V.step == step, *_equal(_NUMBER, record.number))
        if not self._connection.execute(sa.update(step_versions).where(*same).values(values)).rowcount:
            number = dict(zip(("major", "minor", "patch"), record.number, strict=True))
            self._connection.execute(sa.insert(step_versions).values(step=step, **number, **values))

    def has_link(self, link: LinkRecord) -> bool:
        """Tell whether a link is there."""
        return self._connection.scalar(sa.select(sa.literal(1)).where(*self._same(link))) is not None

    def put_link(self, link: LinkRecord) -> None:
        """Record a link that is not there; both steps are."""
        number = dict(zip([c.name for c in _LINKED], link.number, strict=True))
        number |= dict(zip([c.name for c in _LINKING], link.downstream_number or _ALL, strict=True))
        downstream, upstream = (self._id(("step", name)) for name in (link.downstream, link.upstream))
        self._connection.execute(
            sa.insert(step_links).values(
                downstream=downstream, upstream=upstream, **number, created=micros(link.created)
            )
        )

    def delete_links(self, links: Iterable[LinkRecord]) -> None:
        """Forget links."""
        for link in links:
            self._connection.execute(sa.delete(step_links).where(*self._same(link)))

    def links(
        self,
        downstream: str | None = None,
        upstream: str | None = None,
        number: Number | None = None,
        downstream_number: Number | None = None,
    ) -> list[LinkRecord]:
        """Return the links of steps, in the order of names and numbers."""
        return _links(self._connection, downstream, upstream, number, downstream_number)

    def _same(self, link: LinkRecord) -> list[sa.ColumnElement[bool]]:
        downstream, upstream = (self._id(("step", name)) for name in (link.downstream, link.upstream))
        numbers = [*_equal(_LINKED, link.number), *_equal(_LINKING, link.downstream_number or _ALL)]
        return [_L.downstream == downstream, _L.upstream == upstream, *numbers]

    def _id(self, key: StepKey) -> int | None:
        return self._connection.scalar(sa.select(_S.id).where(_S.kind == key[0], _S.name == key[1]))


class StepCatalog:
    """What may be asked and recorded about steps."""

    _database: Database

    @contextmanager
    def change_steps(self, keys: Iterable[StepKey]) -> Iterator[StepChange]:
        """Give a transaction over these steps, which no other one changes meanwhile.

        Raises
        ------
        WorkbenchError
            Whatever goes wrong inside; then the catalog is as it was.
        """
        with self._database.write() as connection:
            for key in sorted(set(keys)):  # everybody in one order, so that no two wait for each other
                self._database.lock(connection, "step " + "/".join(key))
            yield StepChange(connection)

    def clear_steps(self) -> None:
        """Forget all steps, versions and links, before those that the store holds are recorded."""
        with self._database.write() as connection:
            for table in (step_links, step_versions, steps):
                connection.execute(sa.delete(table))

    def list_steps(self, kind: str) -> list[StepRecord]:
        """Return all steps, or pipelines, by name."""
        statement = sa.select(_S.record).where(_S.kind == kind).order_by(_S.name)
        with self._database.read() as connection:
            return [StepRecord.model_validate_json(text) for text in connection.scalars(statement)]

    def get_step(self, kind: str, name: str) -> StepRecord | None:
        """Return a step or pipeline."""
        with self._database.read() as connection:
            return StepChange(connection).get_step((kind, name))

    def step_versions(self, kind: str, name: str) -> list[StepVersionRecord]:
        """Return the versions that are not deleted, newest first."""
        statement = _versions((kind, name)).where(_V.digest != "")
        with self._database.read() as connection:
            found = connection.scalars(statement.order_by(*(c.desc() for c in _NUMBER)))
            return [StepVersionRecord.model_validate_json(text) for text in found]

    def list_links(
        self, downstream: str | None = None, upstream: str | None = None, number: Number | None = None
    ) -> list[LinkRecord]:
        """Return the links of steps, in the order of names and numbers."""
        with self._database.read() as connection:
            return _links(connection, downstream, upstream, number, None)


def _versions(key: StepKey) -> sa.Select[Any]:
    step = sa.select(_S.id).where(_S.kind == key[0], _S.name == key[1]).scalar_subquery()
    return sa.select(_V.record).where(_V.step == step)


def _links(
    connection: sa.Connection,
    downstream: str | None,
    upstream: str | None,
    number: Number | None,
    downstream_number: Number | None,
) -> list[LinkRecord]:
    downs, ups = steps.alias(), steps.alias()
    down, up = downs.c, ups.c
    both = step_links.join(downs, down.id == _L.downstream).join(ups, up.id == _L.upstream)
    statement = (
        sa.select(down.name.label("down"), up.name.label("up"), *_LINKED, *_LINKING, _L.created)
        .select_from(both)
        .order_by(down.name, up.name, *_LINKED, *_LINKING)
    )
    if downstream is not None:
        statement = statement.where(down.kind == str(StepKind.STEP), down.name == downstream)
    if upstream is not None:
        statement = statement.where(up.kind == str(StepKind.STEP), up.name == upstream)
    if number is not None:
        statement = statement.where(*_equal(_LINKED, number))
    if downstream_number is not None:
        statement = statement.where(*_equal(_LINKING, downstream_number))
    return [
        LinkRecord(
            downstream=row.down,
            upstream=row.up,
            number=(row.major, row.minor, row.patch),
            downstream_number=(row.down_major, row.down_minor, row.down_patch) if row.down_major else None,
            created=_EPOCH + timedelta(microseconds=row.created),
        )
        for row in connection.execute(statement)
    ]


def _equal(columns: Sequence[sa.ColumnElement[int]], number: Number) -> list[sa.ColumnElement[bool]]:
    return [column == part for column, part in zip(columns, number, strict=True)]


def _parsed(text: str | None) -> StepVersionRecord | None:
    return None if text is None else StepVersionRecord.model_validate_json(text)
