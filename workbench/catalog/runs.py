"""Runs in the catalog, and what they read and made."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from workbench.catalog.engine import Database
from workbench.catalog.family import Family, chunks
from workbench.catalog.search import Search, Walk, check_order, checked, has_value, micros, one_of, tags_of
from workbench.catalog.tables import run_inputs, run_outputs, run_tags, runs
from workbench.models import Progress, RunRecord, RunStatus


def _row(record: RunRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "status": str(record.status),
        "algorithm": record.algorithm,
        "algorithm_name": record.algorithm_name,
        "revision": record.revision or "",
        "created": micros(record.created),
        "fraction": record.progress.fraction,
        "message": _storable(record.progress.message),
        "record": record.model_dump_json(),
        "reuse_key": record.reuse_key if _has_computed(record) else "",
        "sweep": record.sweep or "",
    }


def _has_computed(record: RunRecord) -> bool:
    return record.status is RunStatus.COMPLETED and record.reused_from is None


def _with_progress(record: RunRecord, fraction: float, message: str) -> RunRecord:
    if record.progress.fraction == fraction and record.progress.message == message:
        return record
    return record.model_copy(update={"progress": Progress(fraction=fraction, message=message)})


def _storable(text: str) -> str:
    """Return a text of an algorithm without what no database takes: NUL and halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _algorithm_column(algorithm: str | None) -> str:
    # a name has neither: "denoise@1.2" is a version, "work/denoise" the folder of a debug run
    return "algorithm" if algorithm is not None and re.search(r"[@/\\]", algorithm) else "algorithm_name"


FAMILY = Family(
    type=RunRecord,
    table=runs,
    row=_row,
    tags=run_tags,
    links={
        run_tags: lambda record: record.tags,
        # ids of runs and datasets are never the same
        run_inputs: lambda record: (*record.inputs, *record.sources),
        run_outputs: lambda record: [
            output.dataset for output in record.outputs if output.dataset is not None
        ],
    },
    orders={"created": ("created", "id")},
    extra=("fraction", "message"),
    merge=_with_progress,
)

_UPDATE_PROGRESS = (
    sa.update(runs)
    .where(runs.c.id == sa.bindparam("run"), runs.c.fraction <= sa.bindparam("fraction"))
    .values(fraction=sa.bindparam("fraction"), message=sa.bindparam("message"))
)


_WITH_KEY = (
    sa.select(*FAMILY.shown)
    .where(runs.c.reuse_key == sa.bindparam("key"))
    .order_by(runs.c.created.desc(), runs.c.id.desc())
    .limit(sa.bindparam("most"))
)


class RunCatalog:
    """What may be asked and recorded about runs."""

    _database: Database

    def put_run(
        self,
        record: RunRecord,
        *,
        before: RunRecord | Literal["unknown"] | None = "unknown",
        only_new: bool = False,
    ) -> None:
        """Record a run, or replace the one of the same id, with its tags, inputs and outputs.

        Parameters
        ----------
        record : RunRecord
        before : RunRecord or None, optional
            What the caller recorded last of this run, None for nothing; it need not be looked up then.
        only_new : bool
            Leave a run of that id as it is.
        """
        if before != "unknown" and self._database.is_quick:
            with self._database.quick() as connection:
                FAMILY.put_quickly(connection, record, before, only_new=only_new)
            return
        known = None if before == "unknown" else {record.id: before} if before is not None else {}
        with self._database.write() as transaction:
            FAMILY.put(transaction, [record], known, only_new=only_new)

    def put_runs(self, records: Sequence[RunRecord], *, only_new: bool = False) -> None:
        """Record runs, or replace those of the same id, in one transaction; with ``only_new`` those that are there stay."""
        with self._database.write() as connection:
            FAMILY.put(connection, records, only_new=only_new)

    def update_progress(self, run_id: str, fraction: float, message: str) -> None:
        """Record how far a run is; a run that is further already, or absent, stays as it is."""
        with self._database.write() as connection:
            values = {"run": run_id, "fraction": fraction, "message": _storable(message)}
            connection.execute(_UPDATE_PROGRESS, values)

    def get_run(self, id: str) -> RunRecord | None:
        """Return the run of that id."""
        with self._database.reader() as reader:
            return FAMILY.get(reader, [id]).get(id)

    def get_runs(self, ids: Iterable[str]) -> dict[str, RunRecord]:
        """Return the runs that are there, by id."""
        with self._database.reader() as reader:
            return FAMILY.get(reader, ids)

    def list_runs(
        self,
        *,
        status: str | Iterable[str] | None = None,
        algorithm: str | None = None,
        revision: str | None = None,
        dataset: str | None = None,
        sweep: str | None = None,
        tags: Sequence[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        order: str = "-created",
        limit: int = 50,
        after: str | None = None,
    ) -> tuple[list[RunRecord], str | None]:
        """Return one page of runs and the cursor of the next, or None at the end.

        Parameters
        ----------
        status : RunStatus, str or several, optional
        algorithm : str, optional
            ``"denoise"``, ``"denoise@1.2"``, or the folder of debug runs.
        revision : str, optional
            The id of a revision.
        dataset : str, optional
            The id of a dataset that the run read or made.
        sweep : str, optional
            The id of the sweep that the run belongs to.
        tags : sequence of str
            The run has all of them.
        since, until : datetime, optional
            Made at ``since`` or later, and before ``until``; local time where no zone is given.
        order : {"-created", "created"}
        limit : int
            Records on a page.
        after : str, optional
            The cursor that came with the page before.

        Raises
        ------
        InvalidInputError
            For an unknown status, or a wrong order, limit, time or cursor.
        """
        check_order(order, FAMILY.orders)
        wanted = [] if status is None else [status] if isinstance(status, str) else list(status)
        statuses = list(dict.fromkeys(one_of(s, RunStatus, "status") for s in wanted))
        if status is not None and not statuses:
            return [], None
        given = {"revision": revision, _algorithm_column(algorithm): algorithm}
        equal = {column: value for column, value in given.items() if value is not None}
        where: list[sa.ColumnElement[bool]] = []
        if sweep is not None:  # its runs are few: what else is asked is checked on the way
            where += [checked(runs.c[column]) == value for column, value in equal.items()]
            equal = {"sweep": sweep}
        if dataset is not None or revision is not None or sweep is not None:
            walks = [Walk()]
            where += [checked(runs.c.status).in_(statuses)] if statuses else []
        else:
            walks = [Walk(equal={"status": s}) for s in statuses] or [Walk()]
        if dataset is not None:
            not_read = [~has_value(FAMILY, run_inputs, [dataset])]
            walks = [
                Walk(link=run_inputs, value=dataset),
                Walk(link=run_outputs, value=dataset, where=not_read),
            ]
        elif revision is not None and algorithm is not None and sweep is None:
            where.append(checked(runs.c[_algorithm_column(algorithm)]) == equal.popitem()[1])
        search = Search(
            family=FAMILY,
            walks=walks,
            equal=equal,
            where=where,
            tags=tags_of(tags),
            since=since,
            until=until,
            order=order,
            limit=limit,
            after=after,
        )
        with self._database.read() as connection:
            return search.page(connection)

    def delete_runs(self, ids: Iterable[str]) -> list[bool]:
        """Delete runs in one transaction and tell for each id whether it was there."""
        with self._database.write() as connection:
            return FAMILY.delete(connection, list(ids))

    def runs_of_revision(self, id: str) -> int:
        """Return how many runs a revision has."""
        statement = sa.select(sa.func.count()).select_from(runs).where(runs.c.revision == id)
        with self._database.read() as connection:
            return connection.scalar(statement) or 0

    def runs_with_key(self, key: str, limit: int = 20) -> list[RunRecord]:
        """Return the completed runs that computed what a reuse key stands for, newest first."""
        if not key:
            return []
        with self._database.reader() as reader:
            return [FAMILY.parse(row) for row in reader.rows(_WITH_KEY, {"key": key, "most": limit})]

    def producer(self, dataset_id: str) -> str | None:
        """Return the id of the run that made a dataset; the first one if several put out the same."""
        return next(iter(self._linked(run_outputs, dataset_id, 1, newest_first=False)), None)

    def consumers(self, dataset_id: str, limit: int = 50) -> list[str]:
        """Return the ids of the runs that read a dataset, newest first."""
        return self._linked(run_inputs, dataset_id, limit, newest_first=True)

    def readers(self, ids: Sequence[str], most: int) -> list[tuple[str, str]]:
        """Return (id, run) for the runs that read any of these datasets, or what these runs gave, oldest first, at most so many in all."""
        link = run_inputs
        found: list[tuple[str, str]] = []
        with self._database.read() as connection:
            for some in chunks(ids):
                statement = (
                    sa.select(link.c.dataset_id, link.c.run_id)
                    .where(link.c.dataset_id.in_(some))
                    .order_by(link.c.created, link.c.run_id)
                    .limit(most - len(found))
                )
                found += [(dataset, run) for dataset, run in connection.execute(statement)]
        return found

    def _linked(self, link: sa.Table, dataset_id: str, limit: int, newest_first: bool) -> list[str]:
        by = [link.c.created, link.c.run_id]
        statement = sa.select(link.c.run_id).where(link.c.dataset_id == dataset_id).limit(limit)
        with self._database.read() as connection:
            return list(
                connection.scalars(statement.order_by(*(c.desc() if newest_first else c for c in by)))
            )
