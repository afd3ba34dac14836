"""The run host: one small process that outlives kernels, queues their runs and keeps workers for them.

A single thread with one selector talks to clients and workers and never waits for either. What touches the store or starts
processes happens in threads of their own, which hand their results back through a queue.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.execution.host_address import made_at
from workbench.execution.host_client import PROTOCOL
from workbench.execution.wire import Message
from workbench.hosting.clerk import Clerk, Ending
from workbench.hosting.clients import Client, Clients
from workbench.hosting.crew import Crew
from workbench.hosting.guard import Guard
from workbench.hosting.hosted_run import HostedRun
from workbench.hosting.loop import Loop
from workbench.hosting.waiting import Slots, Waiting
from workbench.hosting.workers import WorkerHandle, oom_kills, resident_bytes
from workbench.models import RunStatus
from workbench.process_identity import this_process
from workbench.version import __version__

if TYPE_CHECKING:
    from workbench.settings import Settings

LOOK_EVERY_S = 1.0
HARD_AFTER_S = 1.0  # of a cancel: the Python code is interrupted
TIMEOUT_GRACE_S = 1.0
LONG_GRACE_S = 6.0  # a notebook is interrupted, and kept as far as it came; a pipeline cancels its nodes
LIST_AFTER_S = 0.02  # a run that ends sooner is brought to the catalog once
KEPT_ENDED = 256
FAILED_STARTS = 3  # of workers, in a row: what waits is then given up
PAUSE_S = 0.1  # before the next start after one that was killed; doubled each time
LONGEST_PAUSE_S = 10.0


class Host:
    """The loop of the host.

    Parameters
    ----------
    listener : socket
        Bound to the host's address and listening.
    path : Path
        The socket's file.
    guard : Guard
        Told of all workers.
    """

    def __init__(self, listener: socket.socket, path: Path, guard: Guard) -> None:
        self._listener = listener
        self._path = path
        self._guard = guard
        self._loop = Loop()
        self._clients = Clients(self._loop, listener, self._answer, self._client_left)
        self._crew: Crew | None = None
        self._runs: dict[str, HostedRun] = {}
        self._ended: dict[str, bytes] = {}  # id -> final record, of the last ones
        self._unfiled: dict[str, set[Client]] = {}  # id -> who waits for it to be in the catalog
        self._unlisted: dict[str, HostedRun] = {}  # not in the catalog yet, by id
        self._waiting = Waiting()
        self._settings: Settings | None = None
        self._slots = Slots(0)
        self._clerk: Clerk | None = None
        self._is_retired = False
        self._made: str | None = None
        self._last_work = time.monotonic()
        self._completed = 0
        self._failed_starts = 0
        self._killed_starts = 0
        self._oom_kills: deque[int] = deque([oom_kills()], maxlen=2)

    # -- the loop

    def serve(self) -> None:
        """Serve until told to stop, idle for long, or without a workspace."""
        self._loop.at(LOOK_EVERY_S, self._look)
        try:
            self._loop.run()
        finally:
            self._leave_address()
            for worker in self._crew.workers if self._crew is not None else ():
                worker.kill()
            if self._clerk is not None:
                self._clerk.close()

    def _leave_address(self) -> None:
        if not self._is_retired:
            self._is_retired = True
            self._loop.remove(self._listener)
            with suppress(OSError):
                self._path.unlink()

    # -- clients

    def _client_left(self, client: Client) -> None:
        for run_id in client.watches:
            if run_id in self._runs:
                self._runs[run_id].watchers.discard(client)
        if self._clerk is not None and client.pid:
            self._clerk.settle_unsent(client.pid, set(self._runs))

    def _answer(self, client: Client, message: Message) -> None:
        op = message["op"]
        if op == "submit":
            self._submit(client, message)
        elif op == "hello":
            self._greet(client, message)
        elif op == "cancel":
            self._cancel(message["run"])
        elif op == "cancel group":
            self._cancel_group(message["group"])
        elif op == "watch group":
            self._watch_group(client, message)
        elif op == "watch":
            self._watch(client, message)
        elif op == "status":
            self._clients.tell(client, {"ask": message["ask"], **self._status()})
        elif op == "stop":
            self._stop(client, message)

    def _greet(self, client: Client, message: Message) -> None:
        pid, started, _, _ = this_process()
        theirs, ours = (message["protocol"], message["version"]), (PROTOCOL, __version__)
        is_new_place = self._settings is not None and made_at(self._settings.url) != self._made
        if theirs != ours or is_new_place:
            stays = not is_new_place and _is_older(*theirs)
            refusal = {"welcome": False, "pid": pid, "version": __version__, "stays": stays}
            self._clients.tell(client, refusal)
            if not stays:  # a newer package is asking, or a new workspace has come to the place of the one that this host is for:
                # leave the address to its host and end after what is left
                self._leave_address()
                self._end_if_idle(0.0)
            return
        client.pid = message["pid"]
        if self._settings is None:
            self._settle_in(message["settings"])
        elif self._crew is not None and client.pid not in {worker.pid for worker in self._crew.workers}:
            # a worker that conducts has its settings from here
            self._adopt({name: message["settings"][name] for name in message.get("chosen", ())})
        self._clients.tell(client, {"welcome": True, "pid": pid, "started": started, "version": __version__})

    def _settle_in(self, settings: dict[str, Any]) -> None:
        from workbench.settings import Settings

        self._settings = Settings(**settings)
        self._made = made_at(self._settings.url)
        self._slots = Slots(self._settings.memory_budget or _machine_memory())
        self._crew = Crew(
            self._settings.workers,
            settings,
            lambda worker: self._loop.from_thread(lambda: self._take_worker(worker)),
        )
        self._clerk = Clerk(settings)
        self._clerk.begin()

    def _adopt(self, chosen: dict[str, Any]) -> None:
        """Go by what the kernel that came last has chosen: nobody would expect to be given what an earlier one chose."""
        from workbench.settings import Settings

        assert self._crew is not None
        assert self._settings is not None
        former = self._settings.model_dump(mode="json")
        settings = {**former, **chosen, "url": former["url"]}
        if settings == former:
            return
        self._settings = Settings(**settings)
        self._slots.memory = self._settings.memory_budget or _machine_memory()
        self._crew.adopt(self._settings.workers, settings)
        self._dispatch()

    def _stop(self, client: Client, message: Message) -> None:
        active = len(self._runs)
        if active and not message.get("force"):
            self._clients.tell(client, {"ask": message["ask"], "stopping": False, "active": active})
            return
        self._leave_address()
        for run in list(self._runs.values()):
            self._cancel(run.id, kill=True)
        self._clients.tell(client, {"ask": message["ask"], "stopping": True, "active": active})
        self._end_if_idle(0.0)

    def _status(self) -> Message:
        pid, started, _, _ = this_process()
        return {
            "pid": pid,
            "started": started,
            "version": __version__,
            "running": [r.id for r in self._runs.values() if r.worker is not None],
            "queued": len(self._waiting) + self._waiting.held + self._waiting.aside,
            "completed": self._completed,
            "clients": len(self._clients),
            "forks": self._crew is not None and self._crew.forks,
            "rss": resident_bytes(pid),
            "workers": self._crew.status() if self._crew is not None else [],
        }

    # -- runs

    def _submit(self, client: Client, message: Message) -> None:
        run = HostedRun.submitted(message)
        run.watchers.add(client)
        client.watches.add(run.id)
        self._runs[run.id] = run
        if message["list"]:
            if not self._unlisted:
                self._loop.at(LIST_AFTER_S, self._list)
            self._unlisted[run.id] = run
        if run.conducts:
            self._waiting.add_aside(run.id)
        else:
            self._waiting.add(run.id, message["priority"], run.needs, run.group, message.get("jobs", 1))
        self._last_work = time.monotonic()
        self._dispatch()

    def _list(self) -> None:
        """Let the clerk bring to the catalog what has been given here and has not ended."""
        assert self._clerk is not None
        runs, self._unlisted = [run for run in self._unlisted.values() if run.id in self._runs], {}

        def done() -> None:
            for run in runs:
                if run.id in self._runs:
                    for client in run.watchers.copy():
                        self._clients.tell(client, {"event": "listed", "run": run.id})

        if runs:
            self._clerk.list_waiting([run.record for run in runs], lambda: self._loop.from_thread(done))

    def _watch(self, client: Client, message: Message) -> None:
        run_id = message["run"]
        run = self._runs.get(run_id)
        record = run.record if run is not None else self._ended.get(run_id)
        if record is None:
            self._clients.tell(client, {"ask": message["ask"], "known": False})
            return
        self._clients.tell(client, {"event": "state", "run": run_id}, record)
        if run is not None:
            run.watchers.add(client)
            client.watches.add(run_id)
            if run.progress is not None:
                fraction, text = run.progress
                self._clients.tell(
                    client, {"event": "progress", "run": run_id, "fraction": fraction, "message": text}
                )
        self._clients.tell(client, {"ask": message["ask"], "known": True})

    def _watch_group(self, client: Client, message: Message) -> None:
        """Tell a client of all runs of a group from now on; the answer is their records, as they are."""
        runs = [run for run in self._runs.values() if run.group == message["group"]]
        for run in runs:
            run.watchers.add(client)
            client.watches.add(run.id)
        body = b"[" + b",".join(run.record for run in runs) + b"]"
        self._clients.tell(client, {"ask": message["ask"], "group": message["group"]}, body)

    def _dispatch(self) -> None:
        """Give waiting runs to free workers; see to it that workers come for the rest."""
        crew = self._crew
        if crew is None:
            return
        crew.dismiss_outdated()
        while self._waiting.aside and (free := crew.choose_conductor()) is not None:
            self._begin(self._runs[self._waiting.next_aside()], free)
        chosen: WorkerHandle | None = None

        def choose(run_id: str) -> bool:
            nonlocal chosen
            run = self._runs[run_id]
            chosen = crew.choose(run.key, fresh=run.is_notebook)
            return chosen is not None

        while len(self._waiting) and crew.vacancies > 0:
            run_id = self._waiting.next(self._slots, choose)
            if run_id is None:
                break
            assert chosen is not None
            self._begin(self._runs[run_id], chosen)
        if not len(self._waiting) and not self._waiting.aside:
            crew.want(0, fresh=0)
            return
        # what is left waits for a worker, for slots that the end of a run gives back, or for its turn
        could = self._waiting.could_begin(self._slots, max(crew.most, 1))
        aside = min(self._waiting.aside, crew.batons)  # each has a node that comes soon
        wanted = aside + min(len(could) + aside, max(crew.vacancies, 0))
        crew.want(wanted, fresh=sum(self._runs[r].is_notebook for r in could))

    def _begin(self, run: HostedRun, worker: WorkerHandle) -> None:
        run.worker, worker.run_id = worker, run.id
        worker.is_used, worker.conducts = True, run.conducts
        worker.tell(run.order, run.record)
        self._loop.watch_writing(worker)
        if run.timeout_s is not None:
            grace_s = LONG_GRACE_S if run.is_notebook or run.conducts else TIMEOUT_GRACE_S
            run.deadline = time.monotonic() + run.timeout_s + grace_s

    def _cancel(self, run_id: str, *, kill: bool = False) -> None:
        run = self._runs.get(run_id)
        if run is None or run.is_settling:
            return
        if run.worker is None:
            if self._waiting.remove(run_id):
                self._settle(run, Ending.cancelled())
                self._dispatch()  # another one of its group may have its turn now
            return
        assert self._settings is not None
        run.ending = Ending.cancelled()
        if kill:
            run.worker.kill()
        elif not run.cancelled:
            run.cancelled = True
            run.worker.tell({"op": "cancel", "run": run_id})
            self._loop.at(HARD_AFTER_S, lambda: self._cancel_hard(run))
            self._loop.at(self._settings.cancel_grace_s, lambda: self._kill(run))
        self._loop.watch_writing(run.worker)

    def _cancel_group(self, group: str) -> None:
        """Cancel all runs of a group, those first that are held back: none of them is to start meanwhile."""
        for run_id in [
            *self._waiting.held_of(group),
            *(r.id for r in self._runs.values() if r.group == group),
        ]:
            self._cancel(run_id)

    def _cancel_nodes(self, pipeline: str) -> None:
        """Cancel the nodes of a pipeline whose conductor was killed before it could."""
        for run in [r for r in self._runs.values() if r.part_of == pipeline]:
            self._cancel(run.id)

    def _fail_group(self, run: HostedRun) -> None:
        """End a group that is to end with its first run that fails; called for such a run."""
        if run.group is not None and run.fail_fast:
            self._cancel_group(run.group)

    def _cancel_hard(self, run: HostedRun) -> None:
        if run.worker is not None and self._runs.get(run.id) is run:
            run.worker.tell({"op": "cancel", "run": run.id, "hard": True})

    def _kill(self, run: HostedRun) -> None:
        if run.worker is not None and self._runs.get(run.id) is run:
            run.worker.kill()

    def _look_for_overdue(self) -> None:
        """End runs that did not notice themselves that their time is over."""
        moment = time.monotonic()
        for run in self._runs.values():
            if run.worker is not None and run.ending is None and moment > run.deadline:
                run.ending = Ending.timed_out(run.timeout_s or 0.0, _doing(run))
                run.worker.kill()

    def _announce_silent(self) -> None:
        """Say of runs that a worker has and says nothing of that they have begun: one that holds the interpreter cannot."""
        for run in [run for run in self._runs.values() if run.is_silent]:
            if run.is_new:  # in most cases it says so itself in a moment
                run.is_new = False
                continue
            run.begin()
            for client in run.watchers.copy():
                self._clients.tell(client, {"event": "state", "run": run.id}, run.record)

    def _settle(self, run: HostedRun, ending: Ending) -> None:
        """Let the clerk write the end of a run whose worker cannot."""
        assert self._clerk is not None
        run.is_settling = True
        self._waiting.ended(run.id)
        if ending.status is not RunStatus.CANCELLED:
            self._fail_group(run)
        self._clerk.settle(
            run.record, ending, lambda record: self._loop.from_thread(lambda: self._finish(run, record))
        )

    def _finish(self, run: HostedRun, record: bytes, *, filed: bool = True) -> None:
        """Tell everyone that a run has ended; it is kept on disk already, and in the catalog soon."""
        watchers = run.watchers.copy()
        for client in watchers:
            client.watches.discard(run.id)
            self._clients.tell(client, {"event": "state", "run": run.id, "filed": filed}, record)
        if not filed:
            self._unfiled[run.id] = watchers
        self._runs.pop(run.id, None)
        if run.worker is not None or run.is_settling:
            self._completed += 1
        self._ended[run.id] = record
        while len(self._ended) > KEPT_ENDED:
            del self._ended[next(iter(self._ended))]
        self._last_work = time.monotonic()
        if self._is_retired:
            self._end_if_idle(0.0)

    # -- workers

    def _take_worker(self, worker: WorkerHandle | Exception) -> None:
        assert self._crew is not None
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
        for run in [r for r in self._runs.values() if r.worker is None and not r.is_settling]:
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
                self._tell_filed(run_id)
            return
        run = self._runs.get(message["run"])
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
                if message["unkept"] and self._clerk is not None:
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
        for client in run.watchers.copy():
            self._clients.tell(client, message, body)

    def _tell_filed(self, run_id: str) -> None:
        for client in self._unfiled.pop(run_id, ()):
            self._clients.tell(client, {"event": "filed", "run": run_id})

    def _file(self, run_id: str) -> None:
        """Let the clerk bring a run to the catalog whose worker ended before it could."""
        assert self._clerk is not None
        told = lambda record: self._loop.from_thread(lambda: self._tell_filed(run_id))  # noqa: E731
        if run_id in self._ended:
            self._clerk.settle(self._ended[run_id], Ending.kept(), told)

    def _hear_last_words(self, worker: WorkerHandle) -> None:
        """Take what a worker had sent before it ended."""
        with suppress(OSError, ValueError, KeyError):
            while data := worker.connection.recv(1 << 18):
                for message in worker.decoder.feed(data):
                    self._hear(worker, message)

    def _worker_ended(self, worker: WorkerHandle) -> None:
        assert self._crew is not None
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
        run = self._runs.get(worker.run_id or "")
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

    # -- looking around

    def _look(self) -> None:
        moment = time.monotonic()
        self._oom_kills.append(oom_kills())
        self._look_for_overdue()
        self._announce_silent()
        if self._crew is not None:
            self._crew.look(self._oom_kills[0])  # before what may have happened in the last second
        if self._clerk is not None:
            self._clerk.look()
        if self._settings is not None:
            self._end_if_idle(0.0 if self._is_retired else self._settings.host_idle_s)
            if made_at(self._settings.url) != self._made:
                self._loop.end()  # the workspace was deleted, and what runs in it
        elif moment - self._last_work > 60:
            self._loop.end()  # nobody ever said hello
        self._loop.at(LOOK_EVERY_S, self._look)

    def _end_if_idle(self, seconds: float) -> None:
        if not self._runs and time.monotonic() - self._last_work >= seconds:
            self._loop.end()


def _doing(run: HostedRun) -> str:
    """Return what a run has said that it does."""
    return "" if run.progress is None else run.progress[1]


def _is_older(protocol: int, version: str) -> bool:
    """Tell whether a kernel has loaded an older package than this process."""
    from packaging.version import Version

    return (protocol, Version(version)) < (PROTOCOL, Version(__version__))


def _machine_memory() -> int:
    import psutil

    return int(psutil.virtual_memory().total)


def main() -> None:
    """Be the host at the address in the arguments: the socket's path, and where to say that it listens."""
    os.chdir("/")
    path, ready = Path(sys.argv[1]), int(sys.argv[2])
    guard = Guard(path.parent)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with suppress(OSError):
        path.unlink()  # of a host that was killed: whoever started this one holds the lock and found nobody there
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(64)
    os.write(ready, b"ready")
    os.close(ready)
    sys.argv[:] = ["workbench-host"]
    Host(listener, path, guard).serve()
    os._exit(0)
