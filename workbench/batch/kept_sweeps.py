"""The records of sweeps in the store, and the right to give points of one away."""

from __future__ import annotations

from pydantic import ValidationError

from workbench.batch.sweep_lock import SweepLock
from workbench.errors import DamagedError, NotFoundError
from workbench.models import SweepRecord
from workbench.settings import Settings
from workbench.storage.store import Store

COLLECTION = "sweeps"
LOCK_WAIT_S = 60.0  # for another process that gives points away


class KeptSweeps:
    """Keeps sweeps as ``sweeps/<id>.json``.

    Parameters
    ----------
    store : Store
    settings : Settings
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def put(self, record: SweepRecord) -> None:
        """Keep a sweep as it is now."""
        self._store.create_collections([COLLECTION])
        self._store.put(COLLECTION, f"{record.id}.json", record.to_json())

    def find(self, id: str) -> SweepRecord | None:
        """Return the sweep of an id, or None.

        Raises
        ------
        DamagedError
            If its file is not what was written.
        """
        try:
            return SweepRecord.model_validate_json(self._store.get(COLLECTION, f"{id}.json"))
        except NotFoundError:
            return None
        except ValidationError as error:
            raise DamagedError(
                f"sweeps/{id}.json is damaged: {error.errors()[0]['msg']}. Restore it, or delete it; its runs stay."
            ) from error

    def ids(self) -> list[str]:
        """Return the ids of all sweeps, newest first."""
        try:
            keys = [info.key for info in self._store.list(COLLECTION)]
        except NotFoundError:
            return []
        return sorted((key.removesuffix(".json") for key in keys if key.endswith(".json")), reverse=True)

    def delete(self, id: str) -> None:
        """Delete the record of a sweep; its runs stay."""
        self._store.delete(COLLECTION, [f"{id}.json"])

    def lock(self, record: SweepRecord) -> SweepLock:
        """Hold the right to give a sweep's points away; with the host they are at once, in a kernel only when they are done."""
        self._store.create_collections([COLLECTION])
        key = f"{record.id}.lock"
        path = self._store.local_path(COLLECTION, key)
        if path is None:
            from workbench.execution.host_address import private_folder

            path = private_folder(self._settings.host_folder) / key
        return SweepLock(path, record.id, 1.0 if record.executor == "kernel" else LOCK_WAIT_S)
