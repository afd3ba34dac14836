"""The registered versions of steps, with their numbers and states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import AlreadyExistsError, InvalidInputError, NotFoundError, did_you_mean, nearest
from workbench.links.allocation import LATEST, allocate, pick
from workbench.links.files import StepFiles, changing
from workbench.links.states import States
from workbench.links.step_version import StepVersion, unknown, version_table
from workbench.models import StepKind, StepRecord, StepVersionRecord, now
from workbench.names import check_name
from workbench.pages import Page
from workbench.versions import FieldChange, Version, change_table

_SCRIPTS = ("__main__", "<run_path>", "builtins")  # a notebook or script, and code that something executed

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog
    from workbench.steps import LoadableStep, Step
    from workbench.storage.store import Store


class RegisteredSteps:
    """Versions of steps.

    Parameters
    ----------
    store : Store
    catalog : Catalog
    """

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog
        self._states = States(store, catalog)

    def versions(self, step: str | Step) -> Page[StepVersion]:
        """Return the versions of a step, newest first; none of a step that is not known."""
        records = self._catalog.step_versions("step", name_of(step))
        hint = "" if records else unknown(name_of(step), self.steps())
        return version_table([self._version(r) for r in records], "a pipeline with this step", hint)

    def get(self, step: str | Step, version: str | Version | StepVersion = LATEST) -> StepVersion:
        """Return one version.

        Raises
        ------
        NotFoundError
            If it is not registered, with those that are.
        InvalidInputError
            For a text that is no version.
        """
        return self._version(self._found(name_of(step), version))

    def compare(
        self,
        step: str | Step,
        before: str | Version | StepVersion,
        after: str | Version | StepVersion = LATEST,
    ) -> Page[FieldChange]:
        """Return what differs between two versions of a step, field by field, the greatest changes first."""
        return change_table(self.get(step, before).version, self.get(step, after).version)

    def steps(self) -> list[str]:
        """Return the names of all steps."""
        return [record.name for record in self._catalog.list_steps("step")]

    # -- bytes

    def save(self, step: LoadableStep) -> StepVersion:
        """Register the version of a step as it is now, and keep its state."""
        if not callable(getattr(step, "serialize", None)):
            raise InvalidInputError(
                f"Step {name_of(step)!r} has no state that could be saved. Register its version alone, ws.links.register(step), "
                "or derive its class from LoadableStep."
            )
        data = step.serialize()
        with changing(self._catalog, self._store, [("step", step.name)]) as change:
            record = self._register(change, step, step.version)
        kept = self.save_bytes(
            step, self._version(record), data, replace=True, trained_by=getattr(step, "trained_by", "")
        )
        kept.name_in(step)
        return kept

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
        found.name_in(step)
        return found

    def save_bytes(
        self,
        step: str | Step,
        version: str | Version | StepVersion,
        data: bytes,
        *,
        replace: bool = False,
        trained_by: str = "",
    ) -> StepVersion:
        """Keep the state of a registered version; the same bytes twice are the same.

        Parameters
        ----------
        step : str or Step
        version : str, Version or StepVersion
        data : bytes
            What ``step.serialize()`` gives; it is not looked into.
        replace : bool
            Take the place of another state that is kept of this version.
        trained_by : str
            The run that trained it, where that is known.

        Raises
        ------
        NotFoundError
            If step or version is not registered.
        AlreadyExistsError
            If another state of this version is kept.
        """
        name = name_of(step)
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise InvalidInputError(
                f"The state of step {name!r} is {type(data).__name__}, expected bytes: step.serialize()."
            )
        return self._version(
            self._states.put(self._found(name, version), bytes(data), replace=replace, trained_by=trained_by)
        )

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

    # -- inside

    def _version(self, record: StepVersionRecord) -> StepVersion:
        return StepVersion(record, self._states.get)

    def _register(self, change: StepFiles, step: str | Step, version: Version) -> StepVersionRecord:
        self._ensure_step(change, step)
        return allocate(change, name_of(step), StepKind.STEP, version)

    def _ensure_step(self, change: StepFiles, step: str | Step) -> None:
        """Record a step that is new; refuse one of another class that has taken its name from it."""
        name = name_of(step)
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
            f"No version of a step {name!r} is registered.{did_you_mean(name, known)} See ws.links.steps().",
            near=nearest(name, known),
        )

    def _latest_with_bytes(self, step: str | Step) -> StepVersion:
        name = name_of(step)
        for record in self._catalog.step_versions("step", name):
            if record.data:
                return self._version(record)
        raise NotFoundError(
            f"No version of step {name!r} has a state. Train it and save it: ws.links.save(step)."
        )


def name_of(step: str | Step) -> str:
    """Return the name of a step, checked."""
    if isinstance(step, type):
        raise InvalidInputError(f"{step.__name__} is the class of a step. Pass a step: {step.__name__}().")
    name = step if isinstance(step, str) else getattr(step, "name", None)
    if name is None:
        raise InvalidInputError(f"{step!r} is no step. Pass its name, or an instance of a Step class.")
    return check_name(name, "Step name")


def version_made(step: str | Step, version: Version | str | StepVersion | None) -> Version:
    """Return the version that is meant; by default that of the step, as it is now."""
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


def _moved(before: str, after: str) -> bool:
    """Tell whether a class only went from a notebook into a module or back, or was imported by a longer name."""
    (old, cls), (new, same) = before.split(":"), after.split(":")
    longer = f".{old}".endswith(f".{new}") or f".{new}".endswith(f".{old}")
    return cls == same and (longer or not {old, new}.isdisjoint(_SCRIPTS))
