"""The pipelines of a workspace that were saved, and their versions: ``ws.pipelines``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from workbench.errors import InUseError, NotFoundError, did_you_mean, nearest
from workbench.links.allocation import LATEST, allocate, pick
from workbench.links.files import STEPS, changing, place_of
from workbench.links.makers import entries_made_by
from workbench.links.numbers import shown
from workbench.links.step_version import StepVersion, unknown, version_table
from workbench.models import StepKind, StepRecord, StepVersionRecord, now
from workbench.names import check_name
from workbench.pages import Page, Row
from workbench.versions import FieldChange, Version, change_table

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog
    from workbench.storage.store import Store


class SavedPipelines:
    """Saved pipelines. A version of one names the versions of all its nodes.

    Parameters
    ----------
    store : Store
    catalog : Catalog
    """

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog

    def exists(self, name: str) -> bool:
        """Tell whether a pipeline was registered."""
        return self._catalog.get_step("pipeline", check_name(name, "Pipeline name")) is not None

    def register(self, name: str, last_step: str) -> StepRecord:
        """Register a pipeline with the step that gives its result; doing it twice is the same.

        Raises
        ------
        NotFoundError
            If no step of that name is registered, with the nearest.
        """
        key = ("pipeline", check_name(name, "Pipeline name"))
        if self._catalog.get_step("step", check_name(last_step, "Step name")) is None:
            steps = [record.name for record in self._catalog.list_steps("step")]
            raise NotFoundError(
                f"Pipeline {name!r} cannot be registered: there is no step {last_step!r}.{did_you_mean(last_step, steps)} "
                "Register it first, ws.links.register(step), or save the pipeline: pipe.save().",
                near=nearest(last_step, steps),
            )
        with changing(self._catalog, self._store, [key]) as change:
            known = change.catalog.get_step(key)
            if known is not None and known.last_step == last_step:
                return known
            record = StepRecord(
                name=name,
                kind=StepKind.PIPELINE,
                last_step=last_step,
                created=known.created if known else now(),
            )
            change.put(record)
        return record

    def list(self) -> Page[StepRecord]:
        """Return all pipelines, by name."""

        def row(record: StepRecord) -> Row:
            found = self._catalog.step_versions("pipeline", record.name)
            return {
                "pipeline": record.name,
                "version": shown(found[0].number) if found else None,
                "versions": len(found),
                "result of": record.last_step,
                "saved": found[0].created if found else record.created,
            }

        return Page(self._catalog.list_steps("pipeline"), row, None, "pipelines", "Save one: pipe.save().")

    def versions(self, name: str) -> Page[StepVersion]:
        """Return the versions of a pipeline, newest first; none of one that is not known."""
        records = self._catalog.step_versions("pipeline", check_name(name, "Pipeline name"))
        known = [] if records else [record.name for record in self._catalog.list_steps("pipeline")]
        found = [StepVersion(record, _no_bytes) for record in records]
        return version_table(found, "the pipeline", unknown(name, known))

    def get(self, name: str, version: str | Version | StepVersion = LATEST) -> StepVersion:
        """Return one version of a pipeline.

        Raises
        ------
        NotFoundError, InvalidInputError
            If it was not saved, or for a text that is no version.
        """
        known = self._catalog.step_versions("pipeline", check_name(name, "Pipeline name"))
        if not known:
            raise self._unknown(name)
        return StepVersion(pick(known, version, f"Pipeline {name!r}"), _no_bytes)

    def compare(
        self, name: str, before: str | Version | StepVersion, after: str | Version | StepVersion = LATEST
    ) -> Page[FieldChange]:
        """Return what differs between two versions of a pipeline, field by field of each node."""
        return change_table(self.get(name, before).version, self.get(name, after).version)

    def add_version(self, name: str, version: Version, nodes: Mapping[str, str]) -> StepVersion:
        """Register a version of a registered pipeline.

        Parameters
        ----------
        name : str
        version : Version
            The sum of those of its nodes.
        nodes : mapping of str to str
            Node to ``step@1.2.0``.
        """
        key = ("pipeline", check_name(name, "Pipeline name"))
        with changing(self._catalog, self._store, [key]) as change:
            if change.catalog.get_step(key) is None:
                raise self._unknown(name)
            record = allocate(change, name, StepKind.PIPELINE, version, nodes=dict(nodes))
        return StepVersion(record, _no_bytes)

    def delete(
        self, name: str, version: str | Version | StepVersion | None = None, *, force: bool = False
    ) -> None:
        """Delete a version of a pipeline, or all of it. The steps and their versions stay.

        Raises
        ------
        NotFoundError
            If it is not there.
        InUseError
            If an entry says that it made it. ``force=True`` deletes it nevertheless.
        """
        key = ("pipeline", check_name(name, "Pipeline name"))
        found = None if version is None else self.get(name, version).record
        records = [found] if found else self._catalog.step_versions("pipeline", name)
        users = entries_made_by(self._catalog, "pipeline", name, [record.number for record in records])
        if users and not force:
            what = f"{name}@{shown(found.number)}" if found else name
            raise InUseError(
                f"Pipeline {what} is needed by {', '.join(users)}. To delete it nevertheless: force=True.",
                users=users,
            )
        with changing(self._catalog, self._store, [key]) as change:
            record = change.catalog.get_step(key)
            if record is None:
                raise self._unknown(name)
            if found is not None:
                change.put(found.model_copy(update={"deleted": now()}))
                return
            change.forget(STEPS, [i.key for i in self._store.list(STEPS, prefix=f"pipeline/{name}/")])
            change.forget(STEPS, [place_of(record)[1]])
            change.catalog.delete_step(key)

    def _unknown(self, name: str) -> NotFoundError:
        known = [record.name for record in self._catalog.list_steps("pipeline")]
        if name in known:
            return NotFoundError(
                f"Pipeline {name!r} is registered, and no version of it is there. Save one: pipe.save()."
            )
        return NotFoundError(
            f"No pipeline {name!r} was saved.{did_you_mean(name, known)} See ws.pipelines.list().",
            near=nearest(name, known),
        )


def _no_bytes(record: StepVersionRecord) -> NoReturn:
    raise NotFoundError(
        f"Pipeline {record.step!r} has no state of its own; its steps have: {', '.join(record.nodes.values())}."
    )
