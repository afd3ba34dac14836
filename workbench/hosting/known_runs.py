"""The runs that a host knows, and who is told what of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from workbench.execution.wire import Message
from workbench.hosting.clients import Client
from workbench.hosting.hosted_run import HostedRun

KEPT_ENDED = 256


class KnownRuns:
    """Runs that have not ended, and the final records of the last ones that have.

    Parameters
    ----------
    tell : callable
        Sends a message with its body to a client.
    """

    def __init__(self, tell: Callable[[Client, Message, bytes], None]) -> None:
        self._tell = tell
        self._runs: dict[str, HostedRun] = {}
        self._ended: dict[str, bytes] = {}  # id -> final record
        self._unfiled: dict[str, set[Client]] = {}  # id -> who waits for it to be in the catalog

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[HostedRun]:
        """Go over those there are now, whatever becomes of them meanwhile."""
        return iter(list(self._runs.values()))

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._runs

    def __getitem__(self, run_id: str) -> HostedRun:
        return self._runs[run_id]

    def get(self, run_id: str) -> HostedRun | None:
        """Return a run that has not ended, or None."""
        return self._runs.get(run_id)

    def ended(self, run_id: str) -> bytes | None:
        """Return the final record of a run that ended not long ago, or None."""
        return self._ended.get(run_id)

    def add(self, run: HostedRun) -> None:
        """Take a run."""
        self._runs[run.id] = run

    def watch(self, run: HostedRun, client: Client) -> None:
        """Tell a client of all that happens to a run from now on."""
        run.watchers.add(client)
        client.watches.add(run.id)

    def leave(self, client: Client) -> None:
        """Tell a client nothing any more."""
        for run_id in client.watches:
            if run_id in self._runs:
                self._runs[run_id].watchers.discard(client)

    def tell(self, run: HostedRun, message: Message, body: bytes = b"") -> None:
        """Tell everyone who watches a run."""
        for client in run.watchers.copy():
            self._tell(client, message, body)

    def answer_watch(self, client: Client, message: Message) -> None:
        """Tell a client how a run stands, and of it from now on; the answer is whether it is known."""
        run_id = message["run"]
        run = self._runs.get(run_id)
        record = run.record if run is not None else self._ended.get(run_id)
        if record is None:
            self._tell(client, {"ask": message["ask"], "known": False}, b"")
            return
        self._tell(client, {"event": "state", "run": run_id}, record)
        if run is not None:
            self.watch(run, client)
            if run.progress is not None:
                fraction, text = run.progress
                progress = {"event": "progress", "run": run_id, "fraction": fraction, "message": text}
                self._tell(client, progress, b"")
        self._tell(client, {"ask": message["ask"], "known": True}, b"")

    def answer_watch_group(self, client: Client, message: Message) -> None:
        """Tell a client of all runs of a group from now on; the answer is their records, as they are."""
        runs = [run for run in self._runs.values() if run.group == message["group"]]
        for run in runs:
            self.watch(run, client)
        body = b"[" + b",".join(run.record for run in runs) + b"]"
        self._tell(client, {"ask": message["ask"], "group": message["group"]}, body)

    def end(self, run: HostedRun, record: bytes, *, filed: bool) -> None:
        """Tell everyone that a run has ended; it is kept on disk already, and in the catalog soon."""
        watchers = run.watchers.copy()
        for client in watchers:
            client.watches.discard(run.id)
            self._tell(client, {"event": "state", "run": run.id, "filed": filed}, record)
        if not filed:
            self._unfiled[run.id] = watchers
        self._runs.pop(run.id, None)
        self._ended[run.id] = record
        while len(self._ended) > KEPT_ENDED:
            del self._ended[next(iter(self._ended))]

    def filed(self, run_id: str) -> None:
        """Tell those who wait for it that a run is in the catalog."""
        for client in self._unfiled.pop(run_id, ()):
            self._tell(client, {"event": "filed", "run": run_id}, b"")
