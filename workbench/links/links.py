"""Links: the versions of steps, their bytes, and which versions worked together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import (
    AlreadyExistsError,
    InUseError,
    InvalidInputError,
    NotFoundError,
    VersionError,
    did_you_mean,
    nearest,
)
from workbench.links.allocation import LATEST, allocate, pick
from workbench.links.files import LINKS, MODELS, STEPS, StepFiles, changing, place_of, reindex
from workbench.links.numbers import shown
from workbench.links.states import States
from workbench.links.step_version import StepVersion, version_table
from workbench.models import LinkRecord, StepKind, StepRecord, StepVersionRecord, now
from workbench.names import check_name
from workbench.pages import Page
from workbench.versions import Version, VersionKind, changes, is_compatible

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog
    from workbench.steps import LoadableStep, Step
    from workbench.storage.store import Store

_HINT = "See ws.links.steps()."


class Links:
    """What is known of steps: ``ws.links``.

    A step is named by its name or by itself. A version is named by its number (``"1.2.0"``), ``"latest"``, its text of three
    digests, or itself.

    Parameters
    ----------
    store : Store
    catalog : Catalog
    """

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog
        self._states = States(store, catalog)

    # -- versions

    def register(
        self, step: str | Step, version: Version | str | None = None, *, downstream: str | Step | None = None
    ) -> StepVersion:
        """Register a version of a step, unless it is there, and give it the number after the newest.

        Parameters
        ----------
        step : str or Step
        version : Version or str, optional
            Default: that of the step, as it is now.
        downstream : str or Step, optional
            A step that worked with it: their link is registered too.

        Raises
        ------
        InvalidInputError
            For a text that is no version.
        AlreadyExistsError
            If a step of another class has this name.
        """
        made = _version_of(step, version)
        names = [_name(step)] if downstream is None else [_name(step), _name(downstream)]
        with changing(self._catalog, self._store, [("step", name) for name in names]) as change:
            record = self._register(change, step, made)
            if downstream is not None:
                self._ensure_step(change, downstream)
                change.put(_link(names[1], record))
        return self._version(record)

    def versions(self, step: str | Step) -> Page[StepVersion]:
        """Return the versions of a step, newest first; none of a step that is not known."""
        records = self._catalog.step_versions("step", _name(step))
        return version_table([self._version(r) for r in records], "a pipeline with this step")

    def get(self, step: str | Step, version: str | Version | StepVersion = LATEST) -> StepVersion:
        """Return one version.

        Raises
        ------
        NotFoundError
            If it is not registered, with those that are.
        InvalidInputError
            For a text that is no version.
        """
        return self._version(self._found(_name(step), version))

    def steps(self) -> list[str]:
        """Return the names of all steps."""
        return [record.name for record in self._catalog.list_steps("step")]

    # -- links

    def add(
        self,
        downstream: str | Step,
        upstream: str | Step,
        version: str | Version | StepVersion = LATEST,
    ) -> LinkRecord:
        """Say that a step works with a version of another one; saying it twice is the same.

        Raises
        ------
        NotFoundError
            If the version is not registered.
        """
        record = self._found(_name(upstream), version)
        link = _link(_name(downstream), record)
        with changing(
            self._catalog, self._store, [("step", link.downstream), ("step", link.upstream)]
        ) as change:
            if change.catalog.get_version(("step", link.upstream), link.number) is None:
                raise NotFoundError(
                    f"Version {shown(link.number)} of {link.upstream!r} was deleted meanwhile."
                )
            self._ensure_step(change, downstream)
            change.put(link)
        return link

    def validated(self, downstream: str | Step, upstream: str | Step) -> list[StepVersion]:
        """Return the versions of a step that another one worked with, newest first."""
        links = self._catalog.list_links(_name(downstream), _name(upstream))
        numbers = {link.number for link in links}
        found = self._catalog.step_versions("step", _name(upstream))
        return [self._version(record) for record in found if record.number in numbers]

    def list(
        self, downstream: str | Step | None = None, upstream: str | Step | None = None
    ) -> Page[LinkRecord]:
        """Return all links, or those of a step."""
        found = self._catalog.list_links(
            None if downstream is None else _name(downstream), None if upstream is None else _name(upstream)
        )
        return Page(
            found,
            lambda link: {
                "downstream": link.downstream,
                "upstream": link.upstream,
                "version": shown(link.number),
                "since": link.created,
            },
            None,
            "links",
            "Saving a trained pipeline makes them: pipe.save().",
        )

    def is_valid(self, downstream: str | Step, upstream: str | Step, version: Version | None = None) -> bool:
        """Tell whether a step worked with a version of another that differs in nothing major."""
        made = _version_of(upstream, version)
        return any(is_compatible(known.version, made) for known in self.validated(downstream, upstream))

    def check(
        self, downstream: str | Step, upstream: str | Step, version: Version | None = None, node: str = ""
    ) -> None:
        """Raise unless a step worked with this major version of another.

        Parameters
        ----------
        downstream, upstream : str or Step
        version : Version, optional
            Of the upstream step; default: as it is now.
        node : str
            What the downstream step is called in its pipeline, for the message.

        Raises
        ------
        VersionError
            "retrain", with what changed.
        """
        made = _version_of(upstream, version)
        known = self.validated(downstream, upstream)
        if any(is_compatible(other.version, made) for other in known):
            return
        name, above = node or _name(downstream), _name(upstream)
        if known:
            major = [c for c in changes(known[0].version, made) if c.kind is VersionKind.MAJOR]
            why = f"it worked with {known[0].ref}, and since then {', '.join(map(str, major))}"
        else:
            why = "the two were never saved together"
        raise VersionError(
            f"{name!r} has not been trained with {above!r} as it is now ({made.short}): {why}. Retrain {name!r}: run the "
            "pipeline that trains it and save it, pipe.save().",
            node=name,
            upstream=above,
            version=str(made),
        )

    def remove(
        self, downstream: str | Step, upstream: str | Step, version: str | Version | StepVersion | None = None
    ) -> int:
        """Forget links from a step to a version of another, or to all of its versions; return how many there were."""
        names = _name(downstream), _name(upstream)
        number = None if version is None else self._found(names[1], version).number
        with changing(self._catalog, self._store, [("step", name) for name in names]) as change:
            links = change.catalog.links(*names, number)
            change.catalog.delete_links(links)
            change.forget(LINKS, [place_of(link)[1] for link in links])
        return len(links)

    # -- bytes

    def save(self, step: LoadableStep) -> StepVersion:
        """Register the version of a step as it is now, and keep its state."""
        data = step.serialize()
        self.register(step)
        return self.save_bytes(step, step.version, data)

    def load(
        self, step: LoadableStep, version: str | Version | StepVersion = LATEST, **options: Any
    ) -> StepVersion:
        """Give a step the state of a version.

        Parameters
        ----------
        step : LoadableStep
        version : str, Version or StepVersion
            ``"latest"``: the newest that has a state.
        **options
            For ``step.load``, such as ``trusted=[...]`` or ``allow_pickle=True``.

        Raises
        ------
        NotFoundError, DamagedError
            If there is none, or if it is not what was saved.
        """
        found = self._latest_with_bytes(step) if version == LATEST else self.get(step, version)
        step.load(found.bytes(), **options)
        return found

    def save_bytes(self, step: str | Step, version: str | Version | StepVersion, data: bytes) -> StepVersion:
        """Keep the state of a registered version, in place of one that was kept before.

        Raises
        ------
        NotFoundError
            If step or version is not registered.
        """
        name = _name(step)
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise InvalidInputError(
                f"The state of step {name!r} is {type(data).__name__}, expected bytes: step.serialize()."
            )
        return self._version(self._states.put(self._found(name, version), bytes(data)))

    def load_bytes(self, step: str | Step, version: str | Version | StepVersion = LATEST) -> bytes:
        """Return the state of a version, checked.

        Raises
        ------
        NotFoundError
            If the version is not registered or has no state.
        DamagedError
            If the state is not what was saved.
        """
        return self.get(step, version).bytes()

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
            If links or saved pipelines name it. ``force=True`` deletes it with its links.
        """
        name = _name(step)
        number = None if version is None else self._found(name, version).number
        if number is None and name not in self.steps():
            raise self._unknown(name)
        pipelines = self._pipelines_with(name, number)
        with changing(self._catalog, self._store, [("step", name)]) as change:
            links = change.catalog.links(upstream=name, number=number)
            users = sorted({*(link.downstream for link in links), *pipelines})
            if users and not force:
                what = f"Version {shown(number)} of {name!r}" if number else f"Step {name!r}"
                raise InUseError(
                    f"{what} is needed by {', '.join(users)}. To delete it nevertheless, with its links: force=True.",
                    users=tuple(users),
                )
            if number is None:
                links += change.catalog.links(downstream=name)
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

    def reindex(self) -> int:
        """Record all that the store holds of steps; return how many versions."""
        return reindex(self._catalog, self._store)

    # -- inside

    def _version(self, record: StepVersionRecord) -> StepVersion:
        return StepVersion(record, self._states.get)

    def _register(self, change: StepFiles, step: str | Step, version: Version) -> StepVersionRecord:
        self._ensure_step(change, step)
        return allocate(change, _name(step), StepKind.STEP, version)

    def _ensure_step(self, change: StepFiles, step: str | Step) -> None:
        """Record a step that is new; refuse one of another class that has taken its name from it."""
        name = _name(step)
        known = change.catalog.get_step(("step", name))
        origin = "" if isinstance(step, str) or step.is_named else step.origin
        if known is None:
            change.put(StepRecord(name=name, origin=origin, created=now()))
            return
        if not origin or origin == known.origin:
            return
        if known.origin and not _moved(known.origin, origin):
            raise AlreadyExistsError(
                f"There is a step {name!r} of another class, {known.origin}; this one is {origin}. Give it a name of its own "
                f"in its class: name = '{name}-2'. If it is the same step under a new name, keep its versions with "
                f"name = '{name}'."
            )
        change.put(known.model_copy(update={"origin": origin}))

    def _found(self, name: str, version: str | Version | StepVersion) -> StepVersionRecord:
        known = self._catalog.step_versions("step", name)
        if not known:
            raise self._unknown(name)
        return pick(known, version, f"Step {name!r}")

    def _unknown(self, name: str) -> NotFoundError:
        known = self.steps()
        return NotFoundError(
            f"No version of a step {name!r} is registered.{did_you_mean(name, known)} {_HINT}",
            near=nearest(name, known),
        )

    def _latest_with_bytes(self, step: str | Step) -> StepVersion:
        name = _name(step)
        for record in self._catalog.step_versions("step", name):
            if record.data:
                return self._version(record)
        raise NotFoundError(
            f"No version of step {name!r} has a state. Train it and save it: ws.links.save(step)."
        )

    def _pipelines_with(self, name: str, number: tuple[int, int, int] | None) -> tuple[str, ...]:
        """Return the saved pipelines that have a step, or a version of it."""
        wanted = name if number is None else f"{name}@{shown(number)}"
        return tuple(
            f"pipeline {pipeline.name}@{shown(record.number)}"
            for pipeline in self._catalog.list_steps("pipeline")
            for record in self._catalog.step_versions("pipeline", pipeline.name)
            if any(wanted in (ref, ref.partition("@")[0]) for ref in record.nodes.values())
        )


def _name(step: str | Step) -> str:
    return check_name(step if isinstance(step, str) else step.name, "Step name")


def _version_of(step: str | Step, version: Version | str | StepVersion | None) -> Version:
    if isinstance(version, StepVersion):
        return version.version
    if isinstance(version, Version):
        return version
    if version is not None:
        return Version.parse(version)
    if isinstance(step, str):
        raise InvalidInputError(
            f"Which version of {step!r}? Pass the step itself, or its version: step.version."
        )
    return step.version


def _link(downstream: str, record: StepVersionRecord) -> LinkRecord:
    return LinkRecord(downstream=downstream, upstream=record.step, number=record.number, created=now())


def _moved(before: str, after: str) -> bool:
    """Tell whether a class only went from a notebook into a module, or back."""
    modules = (before.partition(":")[0], after.partition(":")[0])
    return before.partition(":")[2] == after.partition(":")[2] and "__main__" in modules
