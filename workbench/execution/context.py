"""What a Runner reaches while it runs: data, assets, log, progress."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidInputError, UnsupportedError
from workbench.execution.live import LEVELS, LiveRun
from workbench.execution.progress import check_fraction

if TYPE_CHECKING:
    from workbench.library.datasets import Datasets
    from workbench.schemas import DataSchema


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

    def __init__(self, live: LiveRun, fetch: Callable[[str], bytes], device: str, datasets: Datasets) -> None:
        super().__init__(live, fetch, device)
        self._datasets = datasets

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

    def post_data(
        self, data: Sequence[Mapping[str, Any]], schema: type[DataSchema], parallel: bool = False
    ) -> list[str]:
        """Store outputs as datasets that remember this run and its inputs; return their ids."""
        self._live.check()
        made = self._datasets.put_many(
            list(data), schema=schema, run_id=self.run_id, parents=self._live.record.inputs, parallel=parallel
        )
        return [d.id for d in made]

    def set_progress(self, fraction: float, message: str = "") -> None:
        """Move the run's progress forward to a fraction 0..1."""
        value = check_fraction(fraction)
        self._live.check()
        self._live.report_progress(value, message)

    def save_item(self, obj: object, key: str) -> None:
        """Refuse: the run has no session."""
        raise self._no_session(key)

    def load_item(self, key: str) -> Any:
        """Refuse: the run has no session."""
        raise self._no_session(key)

    def remove_item(self, key: str) -> None:
        """Refuse: the run has no session."""
        raise self._no_session(key)

    def _no_session(self, key: str) -> UnsupportedError:
        return UnsupportedError(
            f"Run {self.run_id} has no session for item {key!r}: sessions are not in this version. "
            "Keep the value on self within the run, or in load_assets to share it."
        )
