"""Algorithms in the catalog: revisions, the files they need, and aliases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from workbench.catalog.engine import Database
from workbench.catalog.family import Family, count, distinct
from workbench.catalog.reader import ServerReader
from workbench.catalog.search import (
    Search,
    Walk,
    between,
    check_order,
    checked,
    exact_or_pattern,
    has_value,
    micros,
    one_of,
    tags_of,
)
from workbench.catalog.tables import aliases, revision_files, revision_tags, revisions
from workbench.models import AlgorithmType, Revision


def _row(revision: Revision) -> dict[str, Any]:
    return {
        "id": revision.id,
        "name": revision.name,
        "major": revision.major,
        "minor": revision.minor,
        "newest": 0,
        "type": str(revision.type),
        "devices": f" {' '.join(revision.supported_devices)} ",
        "created": micros(revision.created),
        "record": revision.model_dump_json(),
    }


FAMILY = Family(
    type=Revision,
    table=revisions,
    row=_row,
    tags=revision_tags,
    links={
        revision_tags: lambda revision: revision.tags,
        revision_files: lambda revision: [revision.package, *revision.assets.values()],
    },
    orders={"created": ("created", "id"), "name": ("name", "major", "minor", "created", "id")},
)


def _was_newest(time: datetime) -> list[sa.ColumnElement[bool]]:
    """Return conditions that only the revisions fulfil which answered to their versions at a time."""
    c, other = revisions.c, revisions.alias().c
    later = sa.or_(other.created > c.created, sa.and_(other.created == c.created, other.id > c.id))
    newer = sa.exists().where(
        other.name == c.name,
        other.major == c.major,
        other.minor == c.minor,
        other.created <= micros(time),
        later,
    )
    return [checked(c.created) <= micros(time), ~newer]


@cache
def _newest(asked: tuple[str, ...]) -> sa.Select[Any]:
    """Return the statement for the newest revision of a name, of a version, until a time."""
    c = revisions.c
    where = {
        "major": c.major == sa.bindparam("major"),
        "minor": c.minor == sa.bindparam("minor"),
        "until": c.created <= sa.bindparam("until"),
    }
    return (
        sa.select(*FAMILY.shown)
        .where(c.name == sa.bindparam("name"), *(where[each] for each in asked))
        .order_by(c.major.desc(), c.minor.desc(), c.created.desc(), c.id.desc())
        .limit(1)
    )


class RevisionCatalog:
    """What may be asked and recorded about algorithms."""

    _database: Database

    def put_revision(self, revision: Revision) -> None:
        """Record a revision, or replace the one of the same id."""
        with self._database.write() as connection:
            self._database.lock(connection, f"algorithm {revision.name}")
            FAMILY.put(connection, [revision])
            _mark_newest(connection, revision.name, revision.major, revision.minor)

    def get_revision(self, id: str) -> Revision | None:
        """Return the revision of that id."""
        with self._database.reader() as reader:
            return FAMILY.get(reader, [id]).get(id)

    def list_revisions(
        self,
        *,
        name: str | None = None,
        major: int | None = None,
        minor: int | None = None,
        type: str | None = None,
        tags: Sequence[str] = (),
        any_tags: Sequence[str] = (),
        without_tags: Sequence[str] = (),
        device: str | None = None,
        newest_only: bool = True,
        as_of: datetime | None = None,
        order: str = "-created",
        limit: int = 50,
        after: str | None = None,
    ) -> tuple[list[Revision], str | None]:
        """Return one page of revisions and the cursor of the next, or None at the end.

        Parameters
        ----------
        name : str, optional
            A name, or a pattern with ``*`` (any text) and ``?`` (one character). Case counts.
        major, minor : int, optional
        type : str, optional
            One of the values of `AlgorithmType`.
        tags, any_tags, without_tags : sequence of str
            The revision has all, at least one, none of them.
        device : str, optional
            A device that it supports.
        newest_only : bool
            Of each ``name@major.minor`` only the newest revision.
        as_of : datetime, optional
            Of each ``name@major.minor`` the revision that was the newest one then.
        order : {"-created", "created", "name", "-name"}
            By name means by name, version, time.
        limit : int
            Records on a page.
        after : str, optional
            The cursor that came with the page before.

        Raises
        ------
        InvalidInputError
            For an unknown type, or a wrong order, limit or cursor.
        """
        check_order(order, FAMILY.orders)
        exact, pattern = exact_or_pattern(name)
        any_tags, c = tags_of(any_tags), revisions.c
        newest_only &= as_of is None
        newest = {"newest": 1} if newest_only else {}
        checks = {c.major: major, c.minor: minor, c.type: one_of(type, AlgorithmType, "type")}
        where = [checked(column) == value for column, value in checks.items() if value is not None]
        where += [~has_value(FAMILY, revision_tags, tags_of(without_tags))] if without_tags else []
        where += [c.devices.contains(f" {device} ", autoescape=True)] if device is not None else []
        where += _was_newest(as_of) if as_of is not None else []
        if order.endswith("name"):
            walks = [Walk(equal=newest)]
        elif any_tags and not tags:
            walks = [
                Walk(
                    newest, revision_tags, tag, [~has_value(FAMILY, revision_tags, any_tags[:i])] if i else []
                )
                for i, tag in enumerate(any_tags)
            ]
        else:
            walks = [Walk(equal={"newest": n}) for n in ([1] if newest_only else [1, 0])]
        if any_tags and walks[0].link is None:
            where.append(has_value(FAMILY, revision_tags, any_tags))
        search = Search(
            family=FAMILY,
            walks=walks,
            equal={} if exact is None else {"name": exact},
            where=where,
            tags=tags_of(tags),
            pattern=pattern,
            order=order,
            limit=limit,
            after=after,
        )
        with self._database.read() as connection:
            return search.page(connection)

    def find_revision(
        self, name: str, major: int | None = None, minor: int | None = None, until: datetime | None = None
    ) -> Revision | None:
        """Return the newest match: the highest ``major.minor`` as numbers, of that the newest revision.

        With ``until``, only what was made by then counts.
        """
        asked = {"major": major, "minor": minor, "until": None if until is None else micros(until)}
        values = {column: value for column, value in asked.items() if value is not None}
        with self._database.reader() as reader:
            rows = reader.rows(_newest(tuple(values)), {"name": name, **values})
        return FAMILY.parse(rows[0]) if rows else None

    def first_revision(self, name: str) -> Revision | None:
        """Return the oldest revision of a name."""
        c = revisions.c
        statement = sa.select(*FAMILY.shown).where(c.name == name).order_by(c.created, c.id).limit(1)
        with self._database.read() as connection:
            row = connection.execute(statement).first()
        return None if row is None else FAMILY.parse(row)

    def delete_revision(self, id: str) -> bool:
        """Delete a revision and tell whether it was there."""
        with self._database.write() as connection:
            revision = FAMILY.get(ServerReader(connection), [id]).get(id)
            if revision is None:
                return False
            self._database.lock(connection, f"algorithm {revision.name}")
            FAMILY.delete(connection, [id])
            _mark_newest(connection, revision.name, revision.major, revision.minor)
            return True

    def algorithm_names(self, prefix: str = "") -> list[str]:
        """Return the names of algorithms that begin with the prefix, in order."""
        with self._database.read() as connection:
            return list(distinct(connection, revisions.c.name, between(revisions.c.name, prefix)))

    def algorithm_versions(self, name: str) -> list[tuple[int, int]]:
        """Return the versions (major, minor) of an algorithm, lowest first."""
        c = revisions.c
        statement = (
            sa.select(c.major, c.minor).where(c.name == name, c.newest == 1).order_by(c.major, c.minor)
        )
        with self._database.read() as connection:
            return [(major, minor) for major, minor in connection.execute(statement)]

    def files_in_use(self, digests: Iterable[str]) -> dict[str, int]:
        """Return for each digest of a package or asset how many revisions need it."""
        with self._database.read() as connection:
            return count(connection, revision_files.c.digest, digests)

    def set_aliases(self, name: str, aliases: Mapping[str, str]) -> None:
        """Replace the aliases of an algorithm: alias to version ``"1.2"`` or revision id."""
        with self._database.write() as connection:
            self._database.lock(connection, f"algorithm {name}")
            connection.execute(sa.delete(_ALIASES).where(_ALIASES.c.name == name))
            rows = [{"name": name, "alias": alias, "target": target} for alias, target in aliases.items()]
            if rows:
                connection.execute(sa.insert(_ALIASES), rows)

    def get_aliases(self, name: str) -> dict[str, str]:
        """Return the aliases of an algorithm, in order."""
        statement = sa.select(_ALIASES.c.alias, _ALIASES.c.target).where(_ALIASES.c.name == name)
        with self._database.read() as connection:
            rows = connection.execute(statement.order_by(_ALIASES.c.alias))
            return {row.alias: row.target for row in rows}


_ALIASES = aliases


def _mark_newest(connection: sa.Connection, name: str, major: int, minor: int) -> None:
    c = revisions.c
    version = (c.name == name, c.major == major, c.minor == minor)
    newest = sa.select(c.id).where(*version).order_by(c.created.desc(), c.id.desc()).limit(1)
    id_ = connection.scalar(newest)
    connection.execute(sa.update(revisions).where(*version, c.newest == 1, c.id != id_).values(newest=0))
    connection.execute(sa.update(revisions).where(c.id == id_).values(newest=1))
