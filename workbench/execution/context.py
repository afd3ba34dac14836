"""What a Runner reaches while it runs: data, assets, log, progress, session."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidInputError, NotFoundError
from workbench.execution.live import LEVELS, LiveRun
from workbench.execution.progress import check_fraction

if TYPE_CHECKING:
    from workbench.library.datasets import Datasets
    from workbench.schemas import DataSchema
    from workbench.sessions import Session


class AssetContext:
    """What a Runner reaches in ``load_assets``: its assets, its log, its device.

    Parameters
    ----------
    live : LiveRun
        The run for which the assets are loaded; it gets the log lines.
    fetch : callable
        Returns the bytes of an asset by its path in the algorithm's folder.
    device : str
    """

    def __init__(self, live: LiveRun, fetch: Callable[[str], bytes], device: str) -> None:
        self.device = device
        self.run_id = live.record.id
        self._live = live
        self._fetch = fetch

    def fetch_asset(self, path: str) -> io.BytesIO:
        """Return an asset as a binary file."""
        self._live.check()
        return io.BytesIO(self._fetch(path))

    def log_message(self, message: str, level: str = "INFO") -> None:
        """Write to the run's log."""
        if level not in LEVELS:
            raise InvalidInputError(f"Log level is {level!r}, expected one of DEBUG, INFO, WARNING, ERROR.")
        self._live.check()
        self._live.write_log(level, str(message))


class RunContext(AssetContext):
    """What a Runner reaches during a run.

    Cancel and time-out are raised at every call.
    """

    def __init__(
        self,
        live: LiveRun,
        fetch: Callable[[str], bytes],
        device: str,
        datasets: Datasets,
        session: Callable[[str], Session] | None = None,
    ) -> None:
        super().__init__(live, fetch, device)
        self.made: set[str] = set()  # the datasets that it stored
        self._datasets = datasets
        self._open_session = session
        self._session: Session | None = None
        self._lock = threading.Lock()  # an algorithm may have threads

    def fetch_data(
        self, refs: Sequence[Any], schema: type[DataSchema], *keys: str, parallel: bool = False
    ) -> list[dict[str, Any]]:
        """Read datasets, validated by the schema.

        Parameters
        ----------
        refs : sequence of str or Dataset
        schema : type of DataSchema
        *keys : str
            Only these keys are read; one that a dataset lacks is None. Default: the keys of the schema.
        parallel : bool
            Read several datasets at once.

        Returns
        -------
        list of dict
            Key to value, one dict per dataset.
        """
        self._live.check()
        return self._datasets.fetch(list(refs), schema, *keys, parallel=parallel)

    def fetch_folder(self, ref: Any) -> Path:
        """Return a bundle that is an input as a read-only folder."""
        self._live.check()
        return self._datasets.folder(ref)

    def post_data(
        self, data: Sequence[Mapping[str, Any]], schema: type[DataSchema], parallel: bool = False
    ) -> list[str]:
        """Store outputs as datasets that remember this run and its inputs; return their ids."""
        self._live.check()
        made = self._datasets.put_many(
            list(data), schema=schema, run_id=self.run_id, parents=self._live.record.inputs, parallel=parallel
        )
        ids = [dataset.id for dataset in made]
        self.made.update(ids)
        return ids

    def set_progress(self, fraction: float, message: str = "") -> None:
        """Move the run's progress forward to a fraction 0..1."""
        value = check_fraction(fraction)
        self._live.check()
        self._live.report_progress(value, message)

    def save_item(self, obj: object, key: str) -> None:
        """Keep an object in the run's session; a run without one gets its own, named after the run."""
        self._live.check()
        self._the_session(key, make=True)[key] = obj

    def load_item(self, key: str) -> Any:
        """Return an object of the run's session.

        Raises
        ------
        NotFoundError
            If it is not there, with the reason.
        """
        self._live.check()
        return self._the_session(key)[key]

    def remove_item(self, key: str) -> None:
        """Remove an object from the run's session.

        Raises
        ------
        NotFoundError
            If it is not there, with the reason.
        """
        self._live.check()
        del self._the_session(key)[key]

    def _the_session(self, key: str, *, make: bool = False) -> Session:
        with self._lock:
            if self._session is None:
                name = self._live.record.session
                if name is None and make:
                    name = self.run_id
                    # what it leaves there is part of what it does: no later run may be spared for it
                    self._live.change(session=name, reuse_key="")
                if name is None or self._open_session is None:
                    raise NotFoundError(
                        f"Run {self.run_id} has no session, and so no item {key!r}. Start it in the session of the run that saved "
                        "the item: ws.run(..., session='tuning') or %algorun -s tuning."
                    )
                self._session = self._open_session(name)
            return self._session
