"""Brings runs and workers together, and sees each run to its end."""

from __future__ import annotations

import selectors
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from workbench.execution.wire import Message
from workbench.hosting.clerk import Clerk, Ending
from workbench.hosting.clients import Client, Clients
from workbench.hosting.crew import Crew
from workbench.hosting.guard import Guard
from workbench.hosting.hosted_run import HostedRun
from workbench.hosting.known_runs import KnownRuns
from workbench.hosting.loop import Loop
from workbench.hosting.waiting import Slots, Waiting
from workbench.hosting.workers import WorkerHandle, oom_kills
from workbench.models import RunStatus
from workbench.settings import Settings

HARD_AFTER_S = 1.0  # of a cancel: the Python code is interrupted
TIMEOUT_GRACE_S = 1.0
LONG_GRACE_S = 6.0  # a notebook is interrupted, and kept as far as it came; a pipeline cancels its nodes
LIST_AFTER_S = 0.02  # a run that ends sooner is brought to the catalog once
FAILED_STARTS = 3  # of workers, in a row: what waits is then given up
PAUSE_S = 0.1  # before the next start after one that was killed; doubled each time
LONGEST_PAUSE_S = 10.0


class Dispatcher:
    """All runs of a host, what they wait for, and the workers that have them.

    Parameters
    ----------
    settings : dict
        Settings of the workspace.
    loop : Loop
    clients : Clients
    guard : Guard
        Told of all workers.
    after_each : callable
        Called when a run has ended.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        loop: Loop,
        clients: Clients,
        guard: Guard,
        after_each: Callable[[], None],
    ) -> None:
        self.settings = Settings(**settings)
        self._loop = loop
        self._guard = guard
        self._after_each = after_each
        self.runs = KnownRuns(clients.tell)
        self._unlisted: dict[str, HostedRun] = {}  # not in the catalog yet, by id
        self._waiting = Waiting()
        self._slots = Slots(self.settings.memory_budget or _machine_memory())
        self._crew = Crew(
            self.settings.workers,
            settings,
            lambda worker: loop.from_thread(lambda: self._take_worker(worker)),
        )
        self._clerk = Clerk(settings)
        self.last_work = time.monotonic()
        self._completed = 0
        self._failed_starts = 0
        self._killed_starts = 0
        self._oom_kills: deque[int] = deque([oom_kills()], maxlen=2)

    def begin(self) -> None:
        """Begin with what hosts before this one have left."""
        self._clerk.begin()

    def close(self) -> None:
        """End all workers."""
        for worker in self._crew.workers:
            worker.kill()
        self._clerk.close()

    def adopt(self, chosen: dict[str, Any]) -> None:
        """Go by what the kernel that came last has chosen: nobody would expect to be given what an earlier one chose."""
        former = self.settings.model_dump(mode="json")
        settings = {**former, **chosen, "url": former["url"]}
        if settings == former:
            return
        self.settings = Settings(**settings)
        self._slots.memory = self.settings.memory_budget or _machine_memory()
        self._crew.adopt(self.settings.workers, settings)
        self._dispatch()

    def client_left(self, client: Client) -> None:
        """Settle what a kernel that has ended had recorded, and not given away."""
        self.runs.leave(client)
        if client.pid:
            self._clerk.settle_unsent(client.pid, {run.id for run in self.runs})

    def has_worker(self, pid: int) -> bool:
        """Tell whether a process is a worker of ours."""
        return any(worker.pid == pid for worker in self._crew.workers)

    def status(self) -> dict[str, Any]:
        """Return what is going on."""
        return {
            "running": [run.id for run in self.runs if run.worker is not None],
            "queued": len(self._waiting) + self._waiting.held + self._waiting.aside,
            "completed": self._completed,
            "forks": self._crew.forks,
            "workers": self._crew.status(),
        }

    def look(self) -> None:
        """See to what nobody tells; called each second."""
        self._oom_kills.append(oom_kills())
        self._look_for_overdue()
        self._announce_silent()
        self._crew.look(self._oom_kills[0])  # before what may have happened in the last second
        self._clerk.look()

    # -- runs

    def submit(self, client: Client, message: Message) -> None:
        """Take a run from a client, who is told of it from now on."""
        run = HostedRun.submitted(message)
        self.runs.add(run)
        self.runs.watch(run, client)
        if message["list"]:
            if not self._unlisted:
                self._loop.at(LIST_AFTER_S, self._list)
            self._unlisted[run.id] = run
        if run.conducts:
            self._waiting.add_aside(run.id)
        else:
            self._waiting.add(run.id, message["priority"], run.needs, run.group, message.get("jobs", 1))
        self.last_work = time.monotonic()
        self._dispatch()

    def _list(self) -> None:
        """Let the clerk bring to the catalog what has been given here and has not ended."""
        runs, self._unlisted = [run for run in self._unlisted.values() if run.id in self.runs], {}

        def done() -> None:
            for run in runs:
                if run.id in self.runs:
                    self.runs.tell(run, {"event": "listed", "run": run.id})

        if runs:
            self._clerk.list_waiting([run.record for run in runs], lambda: self._loop.from_thread(done))

    def _dispatch(self) -> None:
        """Give waiting runs to free workers; see to it that workers come for the rest."""
        crew = self._crew
        crew.dismiss_outdated()
        while self._waiting.aside and (free := crew.choose_conductor()) is not None:
            self._begin(self.runs[self._waiting.next_aside()], free)
        chosen: WorkerHandle | None = None

        def choose(run_id: str) -> bool:
            nonlocal chosen
            run = self.runs[run_id]
            chosen = crew.choose(run.key, fresh=run.is_notebook)
            return chosen is not None

        while len(self._waiting) and crew.vacancies > 0:
            run_id = self._waiting.next(self._slots, choose)
            if run_id is None:
                break
            assert chosen is not None
            self._begin(self.runs[run_id], chosen)
        if not len(self._waiting) and not self._waiting.aside:
            crew.want(0, fresh=0)
            return
        # what is left waits for a worker, for slots that the end of a run gives back, or for its turn
        could = self._waiting.could_begin(self._slots, max(crew.most, 1))
        aside = min(self._waiting.aside, crew.batons)  # each has a node that comes soon
        wanted = aside + min(len(could) + aside, max(crew.vacancies, 0))
        crew.want(wanted, fresh=sum(self.runs[r].is_notebook for r in could))

    def _begin(self, run: HostedRun, worker: WorkerHandle) -> None:
        run.worker, worker.run_id = worker, run.id
        worker.is_used, worker.conducts = True, run.conducts
        worker.tell(run.order, run.record)
        self._loop.watch_writing(worker)
        if run.timeout_s is not None:
            grace_s = LONG_GRACE_S if run.is_notebook or run.conducts else TIMEOUT_GRACE_S
            run.deadline = time.monotonic() + run.timeout_s + grace_s

    def cancel(self, run_id: str, *, kill: bool = False) -> None:
        """End a run: one that waits at once, else step by step, or with a kill."""
        run = self.runs.get(run_id)
        if run is None or run.is_settling:
            return
        if run.worker is None:
            if self._waiting.remove(run_id):
                self._settle(run, Ending.cancelled())
                self._dispatch()  # another one of its group may have its turn now
            return
        run.ending = Ending.cancelled()
        if kill:
            run.worker.kill()
        elif not run.cancelled:
            run.cancelled = True
            run.worker.tell({"op": "cancel", "run": run_id})
            self._loop.at(HARD_AFTER_S, lambda: self._cancel_hard(run))
            self._loop.at(self.settings.cancel_grace_s, lambda: self._kill(run))
        self._loop.watch_writing(run.worker)

    def cancel_group(self, group: str) -> None:
        """Cancel all runs of a group, those first that are held back: none of them is to start meanwhile."""
        for run_id in [
            *self._waiting.held_of(group),
            *(r.id for r in self.runs if r.group == group),
        ]:
            self.cancel(run_id)

    def _cancel_nodes(self, pipeline: str) -> None:
        """Cancel the nodes of a pipeline whose conductor was killed before it could."""
        for run in [r for r in self.runs if r.part_of == pipeline]:
            self.cancel(run.id)

    def _fail_group(self, run: HostedRun) -> None:
        """End a group that is to end with its first run that fails; called for such a run."""
        if run.group is not None and run.fail_fast:
            self.cancel_group(run.group)

    def _cancel_hard(self, run: HostedRun) -> None:
        if run.worker is not None and self.runs.get(run.id) is run:
            run.worker.tell({"op": "cancel", "run": run.id, "hard": True})

    def _kill(self, run: HostedRun) -> None:
        if run.worker is not None and self.runs.get(run.id) is run:
            run.worker.kill()

    def _look_for_overdue(self) -> None:
        """End runs that did not notice themselves that their time is over."""
        moment = time.monotonic()
        for run in self.runs:
            if run.worker is not None and run.ending is None and moment > run.deadline:
                run.ending = Ending.timed_out(run.timeout_s or 0.0, _doing(run))
                run.worker.kill()

    def _announce_silent(self) -> None:
        """Say of runs that a worker has and says nothing of that they have begun: one that holds the interpreter cannot."""
        for run in [run for run in self.runs if run.is_silent]:
            if run.is_new:  # in most cases it says so itself in a moment
                run.is_new = False
                continue
            run.begin()
            self.runs.tell(run, {"event": "state", "run": run.id}, run.record)

    def _settle(self, run: HostedRun, ending: Ending) -> None:
        """Let the clerk write the end of a run whose worker cannot."""
        run.is_settling = True
        self._waiting.ended(run.id)
        if ending.status is not RunStatus.CANCELLED:
            self._fail_group(run)
        self._clerk.settle(
            run.record, ending, lambda record: self._loop.from_thread(lambda: self._finish(run, record))
        )

    def _finish(self, run: HostedRun, record: bytes, *, filed: bool = True) -> None:
        """Take note that a run has ended, and tell everyone."""
        self.runs.end(run, record, filed=filed)
        if run.worker is not None or run.is_settling:
            self._completed += 1
        self.last_work = time.monotonic()
        self._after_each()

    # -- workers

    def _take_worker(self, worker: WorkerHandle | Exception) -> None:
        if isinstance(worker, Exception):
            self._crew.give_up_one()
            print(f"a worker could not be started: {worker!r}", file=sys.stderr, flush=True)
            self._no_worker(f"no worker could be started: {worker}")
            return
        worker.oom_kills = self._oom_kills[0]
        self._guard.add(worker.pid)
        self._crew.take(worker)
        self._loop.add(worker.connection, lambda mask: self._serve_worker(worker, mask))
        worker.end = worker.watch_end()
        if worker.end is not None:
            self._loop.add(worker.end, lambda mask: self._worker_ended(worker))

    def _start_ended(self, worker: WorkerHandle) -> None:
        """Start another worker for one that ended before it was ready; called in a thread, for it waits for the end."""
        why = f"a worker {worker.why_ended()}"
        worker.kill()  # if only its line was closed
        step = self._start_killed if worker.was_killed else self._no_worker
        self._loop.from_thread(lambda: step(why))

    def _start_killed(self, why: str) -> None:
        """Hold what waits: a kill from outside says nothing about the next worker, however many there were."""
        pause = min(PAUSE_S * 2**self._killed_starts, LONGEST_PAUSE_S)
        self._killed_starts += 1
        print(f"{why} while it started; the next one in {pause:g} s", file=sys.stderr, flush=True)
        self._loop.at(pause, self._dispatch)

    def _no_worker(self, why: str) -> None:
        """Give up on what waits when workers fail by themselves, instead of letting it wait forever."""
        self._failed_starts += 1
        if self._failed_starts < FAILED_STARTS:
            self._loop.at(0.5, self._dispatch)
            return
        self._failed_starts = 0
        why = (
            f"it never began: {FAILED_STARTS} workers in a row ended before they were ready; the last: {why}. "
            "Run it again; if it stays so, `workbench doctor` tells what is wrong here."
        )
        for run in [r for r in self.runs if r.worker is None and not r.is_settling]:
            if self._waiting.remove(run.id):
                self._settle(run, Ending.failed("WorkerError", why))

    def _serve_worker(self, worker: WorkerHandle, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            worker.outbox.flush()
        if mask & selectors.EVENT_READ:
            try:
                data = worker.connection.recv(1 << 18)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            for message in worker.decoder.feed(data):
                self._hear(worker, message)
            if not data:
                self._worker_ended(worker)
                return
        self._loop.watch_writing(worker)

    def _hear(self, worker: WorkerHandle, message: Message) -> None:
        event = message["event"]
        if event == "ready":
            worker.is_ready = True
            worker.idle_since = time.monotonic()
            self._failed_starts = self._killed_starts = 0
            self._dispatch()
            return
        if event == "filed":
            worker.loaded = {(a, b) for a, b in message["loaded"]}
            worker.caches = message["caches"]
            for run_id in message["runs"]:
                worker.filing.discard(run_id)
                self.runs.filed(run_id)
            return
        run = self.runs.get(message["run"])
        if event == "done":
            if worker.run_id != message["run"]:
                return  # of a run that it does not have: what it has goes on
            worker.run_id = None
            worker.idle_since = time.monotonic()
            if message["leaves"]:
                worker.is_ready, worker.is_leaving = False, True
            if run is not None:
                self._finish(run, message["body"], filed=False)
                if not run.conducts:
                    worker.loaded.add(run.key)
                worker.filing.add(run.id)
                self._slots.give_back(run.needs)
                if message["unkept"]:
                    self._clerk.keep_later(message["body"])
                if message["failed"]:
                    self._fail_group(run)
                self._waiting.ended(run.id)
            self._dispatch()
            return
        if run is None:
            return
        body = message.pop("body", b"")
        if event == "state":
            run.record, run.is_told = body, True
        elif event == "progress":
            run.progress = (message["fraction"], message["message"])
        elif event == "log":
            run.log_size = message["size"]
        self.runs.tell(run, message, body)

    def _file(self, run_id: str) -> None:
        """Let the clerk bring a run to the catalog whose worker ended before it could."""
        record = self.runs.ended(run_id)
        if record is not None:
            told = lambda _: self._loop.from_thread(lambda: self.runs.filed(run_id))  # noqa: E731
            self._clerk.settle(record, Ending.kept(), told)

    def _hear_last_words(self, worker: WorkerHandle) -> None:
        """Take what a worker had sent before it ended."""
        with suppress(OSError, ValueError, KeyError):
            while data := worker.connection.recv(1 << 18):
                for message in worker.decoder.feed(data):
                    self._hear(worker, message)

    def _worker_ended(self, worker: WorkerHandle) -> None:
        if worker not in self._crew.workers:
            return
        self._crew.workers.discard(
            worker
        )  # first of all: it gets no other run, even if its last word is "ready"
        self._hear_last_words(worker)
        if worker.is_ready or worker.is_leaving:
            worker.kill()  # what it had started; one that was not ready is to tell how it ended
        self._guard.remove(worker.pid)
        if worker.end is not None:
            self._loop.remove(worker.end)
        for run_id in worker.filing:
            self._file(run_id)
        self._loop.remove(worker.connection)
        run = self.runs.get(worker.run_id or "")
        if run is not None:
            self._slots.give_back(run.needs)
            self._settle(run, run.ending or Ending.lost(worker, _doing(run)))
            if run.conducts and run.ending is not None:
                self._cancel_nodes(run.id)
                self._loop.at(
                    HARD_AFTER_S, lambda: self._cancel_nodes(run.id)
                )  # and what was on its way here
        elif not worker.is_ready and not worker.is_leaving:
            threading.Thread(target=self._start_ended, args=(worker,), daemon=True).start()
            return
        else:
            threading.Thread(target=worker.why_ended, daemon=True).start()  # reaps it
        self._dispatch()


def _doing(run: HostedRun) -> str:
    """Return what a run has said that it does."""
    return "" if run.progress is None else run.progress[1]


def _machine_memory() -> int:
    import psutil

    return int(psutil.virtual_memory().total)
