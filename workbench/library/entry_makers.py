"""What made the file of an entry: a version of a step or pipeline, or a run. It is remembered with the entry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

from workbench.errors import InvalidInputError, NotFoundError, did_you_mean
from workbench.models import MadeBy, RunRecord, StepVersionRecord
from workbench.names import is_id

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog
    from workbench.steps import Step

_HOW = (
    "Name a run, or a version of a step or pipeline that was saved: ws.links.get('reduce'), 'reduce@1.2.0'."
)
_KINDS = ("step", "pipeline")


class StateOfStep(Protocol):
    """What `workbench.links.StepVersion` is: a version whose state can be had."""

    def bytes(self) -> bytes:
        """Return the state, checked."""
        ...


def made_by(catalog: Catalog, maker: Any) -> MadeBy:
    """Return what is remembered of a maker.

    Parameters
    ----------
    catalog : Catalog
    maker : StepVersion, Step, Run or str
        ``step@1.2.0`` or the id of a run. A step counts as the version that it is now, which must be registered.

    Raises
    ------
    NotFoundError
        If there is no such run or version, with near names.
    InvalidInputError
        If it is something else.
    """
    from workbench.steps import Step

    record = getattr(maker, "record", None)
    if isinstance(record, RunRecord):
        return _of_run(record)
    if isinstance(record, StepVersionRecord):
        return _of_version(record)
    if isinstance(maker, Step):
        return _of_version(_registered(catalog, maker))
    if not isinstance(maker, str):
        raise InvalidInputError(f"made_by is {type(maker).__name__} {maker!r:.60}. {_HOW}")
    if is_id(maker):
        run = catalog.get_run(maker)
        if run is None:
            raise NotFoundError(f"There is no run {maker!r}, which made_by names. See ws.runs.list().")
        return _of_run(run)
    return _of_version(_named(catalog, maker))


@contextmanager
def state_as_file(version: StateOfStep) -> Iterator[Path]:
    """Give a file with the state of a saved step, called after it: it lasts as long as the context.

    Raises
    ------
    NotFoundError
        If the version has no state.
    InvalidInputError
        If it is no version of a step.
    """
    record = getattr(version, "record", None)
    if not isinstance(record, StepVersionRecord):
        raise InvalidInputError(
            f"A model is a file, or a saved version of a trained step, not {type(version).__name__} {version!r:.60}. "
            "Save the step first: version = ws.links.save(step)."
        )
    content = version.bytes()  # checked against its digest
    suffix = ".zip" if content[:2] == b"PK" else ".json" if content[:1] in (b"{", b"[") else ".bin"
    with TemporaryDirectory(prefix="workbench-state-") as folder:
        path = Path(folder) / f"{record.step}-{'.'.join(map(str, record.number))}{suffix}"
        path.write_bytes(content)
        yield path


def _of_run(record: RunRecord) -> MadeBy:
    return MadeBy(kind="run", name=record.algorithm, id=record.id)


def _of_version(record: StepVersionRecord) -> MadeBy:
    return MadeBy(
        kind="pipeline" if record.kind == "pipeline" else "step",
        name=record.step,
        number=".".join(map(str, record.number)),
        major=record.major,
        minor=record.minor,
        patch=record.patch,
    )


def _named(catalog: Catalog, ref: str) -> StepVersionRecord:
    name, at, number = ref.partition("@")
    for kind in _KINDS:
        found = catalog.step_versions(kind, name)
        for record in found:
            if not at or ".".join(map(str, record.number)) == number:
                return record
        if found:
            there = ", ".join(".".join(map(str, record.number)) for record in found[:5])
            raise NotFoundError(
                f"made_by is {ref!r}, and {kind} {name!r} has no version {number}. It has {there}."
            )
    known = [step.name for kind in _KINDS for step in catalog.list_steps(kind)]
    raise NotFoundError(
        f"made_by is {ref!r}, and no step or pipeline {name!r} was saved.{did_you_mean(name, known)} {_HOW}"
    )


def _registered(catalog: Catalog, step: Step) -> StepVersionRecord:
    version = step.version
    wanted = (version.major, version.minor, version.patch)
    for record in catalog.step_versions("step", step.name):
        if (record.major, record.minor, record.patch) == wanted:
            return record
    raise NotFoundError(
        f"Step {step.name!r} as it is now ({version.short}) is no registered version. Save it first: ws.links.save(step)."
    )
