"""Runs that are not deleted: those that go on, and those that others need to tell where they come from."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.catalog import Catalog
from workbench.catalog.referrers import Referrer
from workbench.errors import ConflictError
from workbench.library.in_use import MOST, refuse_if_used, users_of
from workbench.models import RunRecord


def refuse_needed_runs(catalog: Catalog, records: Sequence[RunRecord], *, force: bool = False) -> None:
    """Raise if one of these runs cannot be deleted; those that need each other go together.

    Raises
    ------
    ConflictError
        If one has not ended.
    InUseError
        If something else was made from what one made, took its results over, or is the pipeline that it is a node of.
    """
    for record in records:
        if not record.status.is_final:
            raise ConflictError(
                f"Run {record.id} is {record.status}. Cancel it first: ws.runs.get({record.id!r}).cancel()."
            )
    going = {record.id for record in records} | {made for record in records for made in _made(record)}
    for record in [] if force else records:
        what = f"Run {record.id} of {record.algorithm}"
        users = [user for user in _users(catalog, record, going) if user.id not in going]
        refuse_if_used(what, users, f"ws.runs.delete({record.id!r}, force=True)")


def _users(catalog: Catalog, record: RunRecord, going: set[str]) -> list[Referrer]:
    # where it has taken them over, or a node has made them, that run tells how
    made = [] if record.reused_from or record.nodes else _made(record)
    users = users_of(catalog, [record.id, *made], apart_from=going)
    for output in made:
        users += catalog.reusing(record.id, output, MOST + len(going))
    if record.pipeline is not None:
        pipelines = catalog.get_runs([record.pipeline]).values()
        users += [Referrer("run", pipeline.id, pipeline.algorithm) for pipeline in pipelines]
    return list(dict.fromkeys(users))


def _made(record: RunRecord) -> list[str]:
    return [output.dataset for output in record.outputs if output.dataset is not None]
