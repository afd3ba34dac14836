"""Links: which versions of steps worked together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.catalog.steps import digest_of
from workbench.errors import InUseError, InvalidInputError, NotFoundError, VersionError
from workbench.links.allocation import LATEST
from workbench.links.files import LINKS, MODELS, STEPS, StepFiles, changing, place_of, reindex
from workbench.links.makers import entries_made_by
from workbench.links.numbers import shown
from workbench.links.orphans import orphans
from workbench.links.registered import RegisteredSteps, name_of, version_made
from workbench.links.step_version import StepVersion, unknown, version_table
from workbench.models import LinkRecord, ObjectInfo, StepVersionRecord, now
from workbench.pages import Page
from workbench.storage.folder import STALE_S
from workbench.versions import Version, VersionKind, changes, is_compatible

if TYPE_CHECKING:
    from workbench.steps import Step


class Links(RegisteredSteps):
    """What is known of steps: ``ws.links``.

    A step is named by its name or by itself. A version is named by its number (``"1.2.0"``), ``"latest"``, its text of three
    digests, or itself.
    """

    def __repr__(self) -> str:
        steps = self.steps()
        return f"Links: {len(self.list())} links of {len(steps)} steps: {', '.join(steps) or 'none yet'}"

    def register(
        self,
        step: str | Step,
        version: Version | str | None = None,
        *,
        downstream: str | Step | None = None,
        downstream_version: str | Version | StepVersion | None = None,
    ) -> StepVersion:
        """Register a version of a step, unless it is there, and give it the number after the newest.

        Parameters
        ----------
        step : str or Step
        version : Version or str, optional
            Default: that of the step, as it is now.
        downstream : str or Step, optional
            A step that worked with it: their link is registered too.
        downstream_version : str, Version or StepVersion, optional
            The registered version of it that did. Default: whichever it has.

        Raises
        ------
        InvalidInputError
            For a text that is no version.
        AlreadyExistsError
            If a step of another class has this name.
        """
        made = version_made(step, version)
        names = [name_of(step)] if downstream is None else [name_of(step), name_of(downstream)]
        working = self._working(names[-1], downstream_version)
        with changing(self._catalog, self._store, [("step", name) for name in names]) as change:
            _check_there(change, working)
            record = self._register(change, step, made)
            if downstream is not None:
                self._ensure_step(change, downstream)
                change.put(_link(names[1], record, working))
        return self._version(record)

    def add(
        self,
        downstream: str | Step,
        upstream: str | Step,
        version: str | Version | StepVersion = LATEST,
        *,
        downstream_version: str | Version | StepVersion | None = None,
    ) -> LinkRecord:
        """Say that a step works with a registered version of another one; saying it twice is the same.

        Raises
        ------
        NotFoundError
            If a version is not registered.
        """
        record = self._found(name_of(upstream), version)
        working = self._working(name_of(downstream), downstream_version)
        link = _link(name_of(downstream), record, working)
        keys = [("step", link.downstream), ("step", link.upstream)]
        with changing(self._catalog, self._store, keys) as change:
            _check_there(change, record, working)
            self._ensure_step(change, downstream)
            change.put(link)
        return link

    def validated(
        self,
        downstream: str | Step,
        upstream: str | Step,
        downstream_version: str | Version | StepVersion | None = None,
    ) -> Page[StepVersion]:
        """Return the versions of a step that another one worked with, newest first; none, with near names, of one not known.

        Parameters
        ----------
        downstream, upstream : str or Step
        downstream_version : str, Version or StepVersion, optional
            Only what worked with this version of the downstream step. Default: with any.
        """
        links = self._catalog.list_links(name_of(downstream), name_of(upstream))
        working = self._working(name_of(downstream), downstream_version)
        numbers = {
            link.number
            for link in links
            if working is None or link.downstream_number in (None, working.number)
        }
        found = self._catalog.step_versions("step", name_of(upstream))
        versions = [self._version(record) for record in found if record.number in numbers]
        hints = () if versions else (unknown(name_of(step), self.steps()) for step in (downstream, upstream))
        return version_table(versions, "a pipeline with both", " ".join(filter(None, hints)))

    def list(
        self, downstream: str | Step | None = None, upstream: str | Step | None = None
    ) -> Page[LinkRecord]:
        """Return all links, or those of a step."""
        found = self._catalog.list_links(
            None if downstream is None else name_of(downstream),
            None if upstream is None else name_of(upstream),
        )
        return Page(
            found,
            lambda link: {
                "downstream": link.downstream,
                "version": shown(link.downstream_number) if link.downstream_number else "any",
                "upstream": link.upstream,
                "upstream version": shown(link.number),
                "since": link.created,
            },
            None,
            "links",
            "Saving a trained pipeline makes them: pipe.save().",
        )

    def first_saved_with(self, version: StepVersion, other: str | Step) -> StepVersion | None:
        """Return the version of another step in the first pipeline that was saved with a version of a step: of its training.

        Parameters
        ----------
        version : StepVersion
        other : str or Step

        Returns
        -------
        StepVersion or None
            None if that pipeline had no such step, or was deleted.
        """
        saved = [
            record
            for pipeline in self._catalog.list_steps("pipeline")
            for record in self._catalog.step_versions("pipeline", pipeline.name)
            if version.ref in record.nodes.values()
        ]
        if not saved:
            return None
        nodes = min(saved, key=lambda record: record.created).nodes.values()
        number = next(
            (n for name, _, n in (ref.partition("@") for ref in nodes) if name == name_of(other)), ""
        )
        found = [v for v in self.versions(other) if v.number == number]
        return found[0] if found else None

    def is_valid(
        self,
        downstream: str | Step,
        upstream: str | Step,
        version: Version | None = None,
        downstream_version: str | Version | StepVersion | None = None,
    ) -> bool:
        """Tell whether a step worked with a version of another that differs in nothing major."""
        made = version_made(upstream, version)
        known = self.validated(downstream, upstream, downstream_version)
        return any(is_compatible(other.version, made) for other in known)

    def check(
        self,
        downstream: str | Step,
        upstream: str | Step,
        version: Version | None = None,
        downstream_version: str | Version | StepVersion | None = None,
        node: str = "",
    ) -> None:
        """Raise unless a step worked with this major version of another.

        Parameters
        ----------
        downstream, upstream : str or Step
        version : Version, optional
            Of the upstream step; default: as it is now.
        downstream_version : str, Version or StepVersion, optional
            Of the downstream step; default: any.
        node : str
            What the downstream step is called in its pipeline, for the message.

        Raises
        ------
        VersionError
            "retrain", with what changed.
        """
        made = version_made(upstream, version)
        known = self.validated(downstream, upstream, downstream_version)
        if any(is_compatible(other.version, made) for other in known):
            return
        name, above = node or name_of(downstream), name_of(upstream)
        raise VersionError(
            f"{name!r} has not been trained with {above!r} as it is now ({made.short}): {why_not(above, known, made)}. "
            f"Retrain {name!r}: run the pipeline that trains it and save it, pipe.save().",
            node=name,
            upstream=above,
            version=str(made),
        )

    def outdated(self, upstream: str | Step, version: Version | None = None) -> tuple[str, ...]:
        """Return the steps that worked with some version of another, and with none like this one: they need retraining.

        Parameters
        ----------
        upstream : str or Step
        version : Version, optional
            Default: that of the step, as it is now.
        """
        made = version_made(upstream, version)
        names = dict.fromkeys(link.downstream for link in self.list(upstream=upstream))
        return tuple(
            name for name in names if not self.is_valid(name, upstream, made) and self._can_be_trained(name)
        )

    def remove(
        self, downstream: str | Step, upstream: str | Step, version: str | Version | StepVersion | None = None
    ) -> int:
        """Forget links from a step to a version of another, or to all of its versions; return how many there were."""
        names = name_of(downstream), name_of(upstream)
        number = None if version is None else self._found(names[1], version).number
        with changing(self._catalog, self._store, [("step", name) for name in names]) as change:
            links = change.catalog.links(*names, number)
            change.catalog.delete_links(links)
            change.forget(LINKS, [place_of(link)[1] for link in links])
        return len(links)

    # -- deleting

    def delete(
        self, step: str | Step, version: str | Version | StepVersion | None = None, *, force: bool = False
    ) -> None:
        """Delete a version with its state, or a step with all of them. The number of a version is not given again.

        Raises
        ------
        NotFoundError
            If it is not there.
        InUseError
            If links or saved pipelines name it, or an entry says that it made it. ``force=True`` deletes it with its links.
        """
        name = name_of(step)
        number = None if version is None else self._found(name, version).number
        if number is None and name not in self.steps():
            raise self._unknown(name)
        numbers = [number] if number else [r.number for r in self._catalog.step_versions("step", name)]
        made = entries_made_by(self._catalog, "step", name, numbers)
        pipelines = self._pipelines_with(name, number)
        with changing(self._catalog, self._store, [("step", name)]) as change:
            links = change.catalog.links(upstream=name, number=number)
            users = sorted({*(link.downstream for link in links), *pipelines, *made})
            if users and not force:
                what = f"Version {shown(number)} of {name!r}" if number else f"Step {name!r}"
                raise InUseError(
                    f"{what} is needed by {', '.join(users)}. To delete it nevertheless, with its links: force=True.",
                    users=tuple(users),
                )
            links += change.catalog.links(downstream=name, downstream_number=number)
            change.catalog.delete_links(links)
            change.forget(LINKS, [place_of(link)[1] for link in links])
            key = ("step", name)
            if number is None:
                change.forget(STEPS, [i.key for i in self._store.list(STEPS, prefix=f"step/{name}/")])
                change.forget(STEPS, [f"step/{name}.json"])
                change.forget(MODELS, [i.key for i in self._store.list(MODELS, prefix=f"{name}/")])
                change.catalog.delete_step(key)
                return
            record = change.catalog.get_version(key, number)
            if record is not None and record.deleted is None:
                change.put(record.model_copy(update={"deleted": now(), "data": "", "size": 0}))
                self._states.forget(change, record)

    def orphans(self, older_than_s: float = STALE_S, *, delete: bool = False) -> Page[ObjectInfo]:
        """Return the states in the store that no version names, because a process was killed while it saved; delete them if said.

        Parameters
        ----------
        older_than_s : float
            Seconds since they were written; default: a day. What is younger may belong to a save that is under way.
        delete : bool

        Raises
        ------
        InvalidInputError
            If the age is negative or no number.
        """
        is_number = isinstance(older_than_s, (int, float)) and not isinstance(older_than_s, bool)
        if not is_number or not older_than_s >= 0:
            raise InvalidInputError(f"older_than_s is {older_than_s!r}, expected seconds, 0 or more.")
        return Page(
            list(orphans(self._catalog, self._store, older_than_s, delete=delete)),
            lambda info: {"state": f"{MODELS}/{info.key}", "size": info.size, "written": info.modified},
            None,
            "states that nobody names",
        )

    def reindex(self) -> int:
        """Record all that the store holds of steps; return how many versions."""
        return reindex(self._catalog, self._store)

    # -- inside

    def _can_be_trained(self, name: str) -> bool:
        """Tell whether a step has states; one of which nothing is registered may have some."""
        versions = self._catalog.step_versions("step", name)
        return not versions or any(record.data for record in versions)

    def _working(self, name: str, version: str | Version | StepVersion | None) -> StepVersionRecord | None:
        return None if version is None else self._found(name, version)

    def _pipelines_with(self, name: str, number: tuple[int, int, int] | None) -> tuple[str, ...]:
        """Return the saved pipelines that have a step, or a version of it."""
        wanted = name if number is None else f"{name}@{shown(number)}"
        return tuple(
            f"pipeline {pipeline.name}@{shown(record.number)}"
            for pipeline in self._catalog.list_steps("pipeline")
            for record in self._catalog.step_versions("pipeline", pipeline.name)
            if any(wanted in (ref, ref.partition("@")[0]) for ref in record.nodes.values())
        )


def why_not(name: str, known: Sequence[StepVersion], now_: Version) -> str:
    """Return why a version of a step is none that another one worked with."""
    if not known:
        return f"it was never saved together with {name!r}"
    major = [str(c) for c in changes(known[0].version, now_) if c.kind is VersionKind.MAJOR]
    return f"it worked with {known[0].ref}, and since then {', '.join(major)}"


def _check_there(change: StepFiles, *records: StepVersionRecord | None) -> None:
    """Raise if a version was deleted since it was looked up."""
    for record in records:
        found = change.catalog.get_version(("step", record.step), record.number) if record else record
        if record is not None and (found is None or found.deleted):
            raise NotFoundError(f"Version {shown(record.number)} of {record.step!r} was deleted meanwhile.")


def _link(downstream: str, record: StepVersionRecord, working: StepVersionRecord | None) -> LinkRecord:
    return LinkRecord(
        downstream=downstream,
        upstream=record.step,
        number=record.number,
        downstream_number=working.number if working is not None else None,
        digests=(digest_of(record), digest_of(working) if working is not None else ""),
        created=now(),
    )
