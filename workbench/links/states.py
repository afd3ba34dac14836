"""The states of steps: bytes ``models/<step>/<digest>``, checked when they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.errors import AlreadyExistsError, DamagedError, NotFoundError
from workbench.links.files import MODELS, StepFiles, changing
from workbench.links.numbers import shown
from workbench.models import StepVersionRecord

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog
    from workbench.storage.store import Store


class States:
    """What trained steps are made of again.

    Parameters
    ----------
    store : Store
    catalog : Catalog
    """

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog

    def put(
        self, record: StepVersionRecord, data: bytes, *, replace: bool, trained_by: str = ""
    ) -> StepVersionRecord:
        """Keep the state of a version; return what its record has become.

        Raises
        ------
        NotFoundError
            If the version was deleted.
        AlreadyExistsError
            If another state of it is kept and is not to be replaced.
        """
        digest, key = _digest(data), ("step", record.step)
        if not replace:
            _check_free(record, digest)
        place = f"{record.step}/{digest}"
        self._store.put(MODELS, place, data)
        with changing(self._catalog, self._store, [key]) as change:
            before = change.catalog.get_version(key, record.number)
            if before is None or before.deleted:
                raise NotFoundError(f"{_ref(record)} was deleted meanwhile. Register it again.")
            if not replace:  # another one came in between
                _check_free(before, digest)
            if not self._store.exist(MODELS, [place])[
                0
            ]:  # deleted meanwhile, with another version of this state
                self._store.put(MODELS, place, data)
            became = before.model_copy(update={"data": digest, "size": len(data), "trained_by": trained_by})
            change.put(became)
            if before.data != digest:
                self.forget(change, before)
        return became

    def get(self, record: StepVersionRecord) -> bytes:
        """Return the state of a version.

        Raises
        ------
        NotFoundError
            If none is kept.
        DamagedError
            If it is not what was saved.
        """
        if not record.data:
            raise NotFoundError(
                f"{_ref(record)} has no state. Train the step and save it: ws.links.save(step)."
            )
        data = self._store.get_many(MODELS, [f"{record.step}/{record.data}"])[0]
        if data is None:
            newer = [r for r in self._catalog.step_versions("step", record.step) if r.number == record.number]
            if newer and newer[0].data != record.data:  # replaced since the record was read
                return self.get(newer[0])
            raise DamagedError(
                f"The state of {_ref(record)} is gone from the store. Load another version, or train it again."
            )
        found = _digest(data)
        if found != record.data:
            raise DamagedError(
                f"The state of {_ref(record)} is not what was saved: it has the digest {found[:16]}…, expected "
                f"{record.data[:16]}…. Nothing was loaded. Load another version, or train it again."
            )
        return data

    def forget(self, change: StepFiles, record: StepVersionRecord) -> None:
        """Delete the state that a version had, unless another one has it too."""
        used = {other.data for other in change.catalog.all_versions(("step", record.step))}
        if record.data and record.data not in used:
            change.forget(MODELS, [f"{record.step}/{record.data}"])


def _check_free(record: StepVersionRecord, digest: str) -> None:
    if record.data and record.data != digest:
        raise AlreadyExistsError(
            f"{_ref(record)} has another state already ({record.size} bytes, digest {record.data[:16]}…), and pipelines may be "
            "loading it. Register a new version, ws.links.register(step), or take its place: replace=True."
        )


def _ref(record: StepVersionRecord) -> str:
    return f"{record.step}@{shown(record.number)}"


def _digest(data: bytes) -> str:
    import blake3

    return str(blake3.blake3(data).hexdigest())
