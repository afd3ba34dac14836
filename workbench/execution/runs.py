"""Runs: the records of all runs, kept in the store and the catalog."""

from __future__ import annotations

import builtins
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from workbench.catalog import Catalog
from workbench.errors import (
    NotFoundError,
    StorageError,
    UnsupportedError,
    did_you_mean,
)
from workbench.execution.active import ActiveRun
from workbench.execution.events import RunEvent
from workbench.execution.log_file import LogFile, log_key, log_path, read_log
from workbench.execution.needed_runs import refuse_needed_runs
from workbench.execution.nodes import left_over
from workbench.execution.pace import LEARNED_FROM, Pace
from workbench.execution.reuse import origin
from workbench.execution.run import Run
from workbench.models import ErrorRecord, OutputRef, RunRecord, RunStatus, now
from workbench.names import LAST, is_id
from workbench.pages import Page
from workbench.settings import Settings
from workbench.storage.failures import translate
from workbench.storage.journal import Journal, journal_folder
from workbench.storage.store import Store

if TYPE_CHECKING:
    from workbench.algorithms.comparison import Comparison
    from workbench.execution.replay import Replay
    from workbench.library.dataset import Dataset
    from workbench.library.datasets import Datasets
    from workbench.library.lineage import Direction, Lineage

COLLECTION = "runs"
_BATCH = 500  # records in one statement
FILED_S = 2.0  # a record that is kept so long belongs to a process that hears nothing
FILED_LOOK_S = 0.005
#: of a run that the run host does not have: a kernel has no door where others could hear of its own runs
POLL_S = 0.1


class Runs:
    """Lists, finds and keeps runs: ``ws.runs``."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        datasets: Datasets,
        settings: Settings,
        attach: Callable[[RunRecord], ActiveRun | None] = lambda record: None,
        resume: Callable[..., Run] | None = None,
        replay: Callable[..., Replay] | None = None,
        compare: Callable[[RunRecord, RunRecord], Comparison] | None = None,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._datasets = datasets
        self._settings = settings
        self._attach = attach
        self._resume = resume
        self._replay = replay
        self._compare = compare
        self._live: dict[str, ActiveRun] = {}
        self._settled = False
        mode = 0o777 if store.is_local else 0o700
        self._taken_in: set[int] = set()  # lines of journals that are in the catalog
        self._journal = Journal(journal_folder(store), mode=mode, fsync=settings.durability == "fsync")

    # -- for scientists

    def list(
        self,
        *,
        status: str | Sequence[str] | None = None,
        algorithm: str | None = None,
        dataset: str | Dataset | None = None,
        sweep: str | None = None,
        tags: Sequence[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        order: str = "-created",
        after: str | None = None,
    ) -> Page[Run]:
        """Return a page of runs, newest first.

        Points of a sweep are in it from their start on; how many wait for their turn is in ``ws.sweeps.list()``.

        Parameters
        ----------
        status : str or sequence of str, optional
            For example ``"FAILED"`` or ``["STARTED", "RUNNING"]``.
        algorithm : str, optional
            ``name`` or ``name@major.minor``.
        dataset : str or Dataset, optional
            Runs that read or made it.
        sweep : str, optional
            Runs of this sweep, by its id.
        since, until : datetime, optional
            Created in the half-open range [since, until).
        limit : int, optional
            Runs per page; default: the setting ``page_size``.
        """
        self.settle()
        self.take_in()
        filters: dict[str, Any] = {
            "status": status,
            "algorithm": algorithm,
            "dataset": getattr(dataset, "id", dataset),
            "sweep": sweep,
            "tags": tags,
            "since": since,
            "until": until,
            "order": order,
        }
        size = self._settings.page_size if limit is None else limit
        records, cursor = self._catalog.list_runs(**filters, limit=size, after=after)
        if self._settle_gone(records):
            records, cursor = self._catalog.list_runs(**filters, limit=size, after=after)
        again: Callable[[], Page[Run]] | None = None
        if cursor is not None:
            given = {**filters, "limit": size, "after": cursor}
            again = lambda: self.list(**given)  # noqa: E731
        return Page([self._handle(r) for r in records], _row, again, "runs", self._hint(algorithm))

    def get(self, id: str) -> Run:
        """Return a run by its id; ``last`` is the newest that somebody has started: a pipeline, not one of its nodes.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        self.settle()
        if id == LAST:
            newest = self.names(1)
            if not newest:
                raise NotFoundError("There is no run yet. Start one with ws.run(...) or %algorun.")
            id = newest[0]
            pipeline = self.record(id).pipeline
            with suppress(NotFoundError):  # the pipeline's own was deleted
                id = self.record(pipeline).id if pipeline else id
        return self._handle(self.record(id))

    def delete(self, *ids: str, force: bool = False) -> None:
        """Delete the records and logs of runs. What they made stays; its lineage is gone.

        Raises
        ------
        ConflictError
            If one has not ended. Nothing was deleted.
        InUseError
            If others were made from what one made, or took its results over: it alone tells how. ``force=True`` deletes it
            nevertheless.
        """
        refuse_needed_runs(self._catalog, [self.record(id) for id in ids], force=force)
        for id in ids:
            self._delete(id)

    def _delete(self, id: str) -> None:
        self.take_up()  # what a killed process kept of it would bring it back, too
        end = time.monotonic() + FILED_S
        while self._journal.find(id) and time.monotonic() < end:  # who keeps it would bring it back
            time.sleep(FILED_LOOK_S)
        self._catalog.delete_runs([id])
        self._store.delete(COLLECTION, [f"{id}.json", log_key(id), _notebook_key(id)])

    def replay(self, id: str, **options: Any) -> Replay:
        """Compute a run again and compare its outputs; see `Workspace.replay`."""
        if self._replay is None:
            raise UnsupportedError("These runs belong to no open workspace, so none can be replayed.")
        return self._replay(id, **options)

    def compare(self, a: str | Run, b: str | Run) -> Comparison:
        """Return two runs side by side: parameters, code, inputs, environment, outputs, seconds.

        Parameters
        ----------
        a, b : str or Run
            Of any algorithms; ids, or ``last``.
        """
        if self._compare is None:
            raise UnsupportedError("These runs belong to no open workspace, so they cannot be compared.")
        one, other = (self.get(run if isinstance(run, str) else run.id).record for run in (a, b))
        return self._compare(one, other)

    def lineage(self, id: str, generations: int = 10, direction: Direction = "both") -> Lineage:
        """Return what a run was made from and what was made from it; see `Dataset.lineage`."""
        from workbench.library.lineage import lineage

        self.take_in()
        return lineage(self._catalog, self.get(id).id, "run", generations, direction, self._store)

    def resume(self, id: str, **options: Any) -> Run:
        """Go on with a run that did not complete; see `Workspace.resume`."""
        if self._resume is None:
            raise UnsupportedError("These runs belong to no open workspace, so none can be resumed.")
        return self._resume(id, **options)

    def names(self, limit: int = 20) -> Sequence[str]:
        """Return the newest ids, for completion."""
        self.take_in()
        return [r.id for r in self._catalog.list_runs(limit=limit)[0]]

    # -- for handles and executors

    @property
    def url(self) -> str:
        """Where the workspace is."""
        return self._store.url

    def record(self, id: str) -> RunRecord:
        """Return the record of a run: live, from the catalog, or as it is kept if the catalog lags behind; LOST if its process vanished."""
        live = self._live.get(id)
        if live is None:
            self.take_in()
        found = live.record if live is not None else self._catalog.get_run(id) or self._unlisted(id)
        if found is None:
            self._refuse_dataset(id)
            raise NotFoundError(
                f"There is no run {id!r}. See ws.runs.list() or %algojobs; a point of a sweep that waits for its turn is in "
                "ws.sweeps.get(ID).runs."
            )
        return next(iter(self._settle_gone([found])), found) if live is None else found

    def _refuse_dataset(self, id: str) -> None:
        """Raise for the id of a dataset, with the run that made it."""
        dataset = self._catalog.get_datasets([id]).get(id) if is_id(id) else None
        if dataset is not None:
            made = f"Run {dataset.run_id} made it" if dataset.run_id else "No run made it"
            raise NotFoundError(f"There is no run {id!r}: that is a dataset. {made}.")

    def records_of(self, ids: Sequence[str]) -> dict[str, RunRecord]:
        """Return the records of runs by id, those whose processes have vanished LOST; what was never kept is left out.

        What the catalog has not heard of is found where it is kept. A run that ended in the moment of a kill may lie in the store
        only: it is brought to the catalog.
        """
        live = dict(self._live)
        known = {id: live[id].record for id in ids if id in live}
        others = [id for id in ids if id not in known]
        if others:
            self.take_in()
            found = self._catalog.get_runs(others)
            known |= found | {record.id: record for record in self._settle_gone(list(found.values()))}
        if any(id not in known for id in others):
            self.take_up()
        for id in others:
            if id not in known and (record := self._unlisted(id)) is not None and record.status.is_final:
                known[id] = record
                with suppress(StorageError):  # of a disk that is full, what is known is shown all the same
                    LogFile(self._store, id).publish()
                    self._catalog.put_run(record)
        return known

    def live(self, ids: Iterable[str]) -> dict[str, ActiveRun]:
        """Return those of these runs that send events here."""
        live = dict(self._live)
        return {id: live[id] for id in ids if id in live}

    def active(self, record: RunRecord) -> ActiveRun | None:
        """Return the run that sends events, attached to where it happens; None where it cannot be followed."""
        live = self._live.get(record.id)
        if live is None and not record.status.is_final:
            live = self._attach(record)
        return live

    def add(self, live: ActiveRun) -> None:
        """Remember a run that sends events until it ends."""

        def forget(event: RunEvent) -> None:
            if event.status.is_final:
                self._live.pop(event.run_id, None)

        self._live[live.record.id] = live
        live.subscribe(forget)

    def save(self, record: RunRecord, *, before: RunRecord | None = None, to_store: bool = True) -> None:
        """Keep a record: the file first, then the catalog.

        Parameters
        ----------
        record : RunRecord
        before : RunRecord, optional
            What was saved last of this run, by the one process that saves it.
        to_store : bool
            False keeps it in the catalog only.
        """
        if to_store:
            self.save_file(record)
        self._catalog.put_run(record, before=before)

    def save_file(self, record: RunRecord) -> None:
        """Keep a record in the store: what it says is then kept, also if the catalog has not heard of it."""
        self._store.put(COLLECTION, f"{record.id}.json", record.to_json())

    def save_notebook(self, id: str, notebook: str) -> None:
        """Keep the notebook of a run, as JSON: before it, while it is executed, and after."""
        self._store.put(COLLECTION, _notebook_key(id), notebook)

    def read_notebook(self, id: str) -> str:
        """Return the notebook of a run, as JSON, with what was executed so far.

        Raises
        ------
        NotFoundError
            If the run was none of a notebook.
        """
        return self._store.get(COLLECTION, _notebook_key(id)).decode()

    @property
    def is_local(self) -> bool:
        """Whether all who look for runs are on this machine."""
        return self._store.is_local

    def keep(self, record: RunRecord, content: bytes) -> None:
        """Keep the record of a run that is about to be given away, or to be told as ended; `file` brings it to its place.

        Parameters
        ----------
        record : RunRecord
        content : bytes
            The record as JSON.
        """
        if (
            record.status.is_final and not self._store.is_local
        ):  # what is told may be read from another machine
            self.save_file(record)
        try:
            self._journal.keep(record.id, content)
        except OSError as error:
            raise translate(error, self.url, COLLECTION, f"{record.id}.json", True) from error

    def file(self, records: Sequence[RunRecord]) -> None:
        """Bring records that are kept to the catalog, and those of ended runs to the store, many at a time.

        What is said of a run that has not ended counts only where nothing is known of it.
        """
        ended = [record for record in records if record.status.is_final]
        others = [record for record in records if not record.status.is_final]
        if ended and self._store.is_local:
            self._store.put_many(COLLECTION, {f"{record.id}.json": record.to_json() for record in ended})
        if others:
            self._catalog.put_runs(others, only_new=True)
        if ended:
            self._catalog.put_runs(ended)

    def filed(self, ids: Iterable[str]) -> None:
        """Forget what is kept of runs whose end lies in its place."""
        self._journal.done(ids)

    def close(self) -> None:
        """Bring to its place what is kept still."""
        with suppress(StorageError):  # the next one that opens the workspace does it
            self._journal.close(self._file_lines)

    def before_reading(self, step: Callable[[], None]) -> None:
        """Do a step before every look into the catalog; see `Catalog.before_reading`."""
        self._catalog.before_reading(step)

    def save_reused(self, record: RunRecord) -> None:
        """Keep the record of a run that took the outputs of another one, and a log that says so."""
        log = LogFile(self._store, record.id)
        log.write("INFO", f"Nothing was computed: {origin(record)}.")
        log.close()
        self.save(record)

    def save_progress(self, id: str, fraction: float, message: str) -> None:
        """Keep the progress of a run in the catalog, for other kernels to see."""
        self._catalog.update_progress(id, fraction, message)

    def read_log(self, id: str) -> str:
        """Return the log of a run."""
        return read_log(self._store, id)

    def append_log(self, id: str, lines: Iterable[str]) -> None:
        """Add lines to the log of a run whose process is gone."""
        log = LogFile(self._store, id)
        for line in lines:
            log.write("STDERR", line)

    def log_path(self, id: str) -> Path:
        """Return the file that a run of this machine writes its log to."""
        return log_path(self._store, id)

    def datasets_of(self, ids: Iterable[str]) -> builtins.list[Dataset]:
        """Return the handles of datasets that a run names; one that was deleted since is left out."""
        return self._datasets.find_many([*ids])

    def live_record(self, value: Any) -> Any:
        """Return the object that a recorded value stands for."""
        from workbench.library.recorded import live_or_words

        return live_or_words(value, self._datasets)

    def load(self, output: OutputRef) -> dict[str, Any]:
        """Return all keys of an output dataset."""
        return self._datasets.get(output.dataset or "")

    def pace_of(self, record: RunRecord) -> Pace:
        """Return what earlier runs of the same revision took."""
        if record.revision is None:
            return Pace()
        earlier, _ = self._catalog.list_runs(
            revision=record.revision, status=RunStatus.COMPLETED, limit=LEARNED_FROM
        )
        return Pace.of([r for r in earlier if r.id != record.id])

    def environment_of(self, record: RunRecord) -> dict[str, Any]:
        """Return the environment facts of a record with its package versions, and where its code was deployed from."""
        facts = dict(record.environment)
        revision = self._catalog.get_revision(record.revision) if record.revision else None
        if revision is not None and revision.git is not None:
            facts["source"] = revision.git.model_dump()
        digest = facts.get("digest")
        if digest:
            try:
                facts.update(json.loads(self._store.get("environments", f"{digest}.json")))
            except NotFoundError:
                facts["packages"] = {}
        return facts

    def wait(self, id: str, timeout_s: float | None) -> None:
        """Wait for a run of another kernel's own process; one of the run host is heard of (`active`)."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while not self.settle_if_gone(id).status.is_final and (end is None or time.monotonic() < end):
            time.sleep(POLL_S)

    def cancel(self, id: str) -> None:
        """Cancel a run; one of another kernel can only be cancelled there."""
        record = self.record(id)
        live = self.active(record)
        if live is not None:
            live.request_cancel()
        elif not record.status.is_final and record.executor == "process":
            worker = f"kill {record.worker_pid}" if record.worker_pid else f"kill {record.pid}"
            raise UnsupportedError(
                f"Run {id} is with run host {record.pid} on {record.host!r}, which is one of another version, environment or "
                f"folder, and ends after its runs. To end this run now, on that machine: {worker}."
            )
        elif not record.status.is_final:
            raise UnsupportedError(
                f"Run {id} belongs to process {record.pid} on {record.host!r}. Cancel it there: "
                f"ws.runs.get({id!r}).cancel() or %algojobs {id} cancel; an interrupt does if a cell waits for it."
            )

    def settle(self, *, again: bool = False) -> None:
        """Mark runs whose process is gone as LOST; done once, at the first look."""
        if self._settled and not again:
            return
        self._settled = True
        self.take_up()
        self._settle_gone(self.unsettled())

    def unsettled(self) -> builtins.list[RunRecord]:
        """Return the records of runs that have not ended, as far as the catalog knows."""
        self.take_in()
        open_states = [s.value for s in RunStatus if not s.is_final]
        return self._catalog.list_runs(status=open_states, limit=1000)[0]

    def settle_if_gone(self, id: str) -> RunRecord:
        """Return the record of a run, LOST now if its processes have vanished."""
        record = self.record(id) if id not in self._live else self._catalog.get_run(id) or self.record(id)
        return next(iter(self._settle_gone([record], even_followed=True)), record)

    def wait_gone(self, id: str, timeout_s: float) -> RunRecord:
        """Wait until the processes of a run have ended; return its record, LOST now if they have not finished it."""
        from workbench.process_identity import wait_gone

        end = time.monotonic() + timeout_s
        record = self._catalog.get_run(id) or self.record(id)
        for pid, started in (
            (record.pid, record.pid_started),
            (record.worker_pid, record.worker_started),
        ):
            if pid is not None:
                wait_gone(pid, started, record.host, max(0.0, end - time.monotonic()))
        return self.settle_if_gone(id)

    def end(self, record: RunRecord, status: RunStatus, error: ErrorRecord | None) -> RunRecord:
        """Bring a run whose process is gone to a final state and return its record.

        One that it had brought to an end itself stays as it was, also if the catalog does not know that yet.
        """
        id = record.id
        self.take_up()
        kept = self._unlisted(id)  # another user's journal can only be read
        record = kept if kept is not None and kept.status.is_final else record
        LogFile(self._store, id).publish()
        if not record.status.is_final:
            nodes = left_over(record.nodes, status)
            end = {"status": status, "finished": now(), "error": error, "nodes": nodes}
            record = record.model_copy(update=end)
            self.save(record, before=self._catalog.get_run(id))
        else:
            self.file([record])
        return record

    def stored(self, id: str) -> RunRecord | None:
        """Return the record as it lies in the store, or None if it is absent or unreadable."""
        try:
            return RunRecord.model_validate_json(self._store.get(COLLECTION, f"{id}.json"))
        except (NotFoundError, ValidationError):
            return None

    def take_up(self) -> None:
        """Bring to its place what processes had kept that were killed before they could."""
        with suppress(StorageError):  # a workspace that can only be read is shown as it is
            self._journal.take_up(self._file_lines)

    def take_in(self, *, of_others: bool = False) -> None:
        """Bring to the catalog what processes have on its way there, so that it says what they know; or only what others have."""
        there = self._journal.of_others() if of_others else self._journal.all()
        new = [line for line in there if hash(line) not in self._taken_in]
        if new:
            with suppress(StorageError):  # a workspace that can only be read is shown as it is
                self._file_lines(new)
        seen = {hash(line) for line in there}
        self._taken_in = (self._taken_in | seen) if of_others else seen

    def _unlisted(self, id: str) -> RunRecord | None:
        """Return the record of a run that some process has given away, or brought to its end, in this moment.

        It goes from the journal to the store: whoever looks in this order does not miss it.
        """
        records = _readable(self._journal.find(id))
        if not any(record.status.is_final for record in records) and (stored := self.stored(id)) is not None:
            records.append(stored)
        return max(records, key=lambda record: record.status.is_final, default=None)

    def _file_lines(self, lines: builtins.list[bytes]) -> None:
        self.file(_readable(lines))

    def _settle_gone(
        self, records: Sequence[RunRecord], *, even_followed: bool = False
    ) -> builtins.list[RunRecord]:
        """Settle those whose processes are gone; return their records."""
        from workbench.process_identity import is_gone

        settled = []
        for record in records:
            if record.status.is_final or (record.id in self._live and not even_followed):
                continue
            if not is_gone(record.pid, record.pid_started, record.host) or not (
                record.worker_pid is None or is_gone(record.worker_pid, record.worker_started, record.host)
            ):
                continue
            lines = self.read_log(record.id).splitlines()
            last = f"; last log line: {lines[-1]}" if lines else ""
            error = ErrorRecord(
                type="ProcessGone",
                message=f"{_keeper(record)} on {record.host!r} {self._how_ended(record)} without finishing it{last}",
                kind="run_lost",
            )
            try:
                settled.append(self.end(record, RunStatus.LOST, error))
            except StorageError:  # a workspace that can only be read is shown as it is
                break
        return settled

    def _how_ended(self, record: RunRecord) -> str:
        from workbench.execution.host_address import how_ended, private_folder

        if record.executor != "process" or record.pid is None or record.pid_started is None:
            return "ended"
        with suppress(StorageError):
            return how_ended(private_folder(self._settings.host_folder), record.pid, record.pid_started)
        return "ended"

    def records(self) -> Iterator[RunRecord]:
        """Yield every stored record, for reindex; unreadable ones are skipped with a warning."""
        import warnings

        for info in self._store.list(COLLECTION):
            if info.key.endswith(".json"):
                try:
                    yield RunRecord.model_validate_json(self._store.get(COLLECTION, info.key))
                except ValidationError as error:
                    warnings.warn(
                        f"runs/{info.key} is not a run record and is skipped: {error}", stacklevel=2
                    )

    def reindex(self) -> int:
        """Bring the records of the store into the catalog; return how many."""
        records, count = iter(self.records()), 0
        while batch := list(islice(records, _BATCH)):
            self._catalog.put_runs(batch)
            count += len(batch)
        return count

    def _hint(self, algorithm: str | None) -> str:
        """Return what to do when a listing is empty: a name that was mistyped looks like lost work."""
        if algorithm is None:
            return "Start one with ws.run(...) or %algorun."
        name = algorithm.partition("@")[0]
        known = self._catalog.algorithm_names()
        return f"Algorithm {algorithm!r} has none.{'' if name in known else did_you_mean(name, known)}"

    def _handle(self, record: RunRecord) -> Run:
        return Run(record, self, self._live.get(record.id))


def _keeper(record: RunRecord) -> str:
    """Return which process was to see to a run."""
    return f"{'the run host, ' if record.executor == 'process' else ''}process {record.pid},"


def _readable(lines: Iterable[bytes]) -> builtins.list[RunRecord]:
    """Return the records of lines; one that another version has written may be none here."""
    records = []
    for line in lines:
        with suppress(ValidationError):
            records.append(RunRecord.model_validate_json(line))
    return records


def _notebook_key(run_id: str) -> str:
    return f"{run_id}.ipynb"


def _shortened(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _row(run: Run) -> dict[str, Any]:
    record = run.record
    return {
        "id": record.id,
        "algorithm": record.algorithm,
        "parameters": _shortened(", ".join(f"{k}={v}" for k, v in record.parameters.items())),
        "status": str(record.status),
        "progress": f"{run.progress:.0%}",
        "created": record.created,
        "seconds": round(record.seconds, 2) if record.seconds is not None else None,
        "device": "reused" if record.reused_from is not None else record.device,
        "outputs": len(record.outputs),
        "error": f"{record.error.type}: {record.error.message.splitlines()[0] if record.error.message else ''}"
        if record.error
        else "",
    }
