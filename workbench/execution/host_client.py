"""This process's line to the run host of a workspace: starts it on first use, gives it runs, hears of them."""

from __future__ import annotations

import itertools
import json
import os
import queue
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from workbench.errors import StorageError, WorkbenchError
from workbench.execution.host_address import HostAddress, address_of, tail
from workbench.execution.host_line import HostLine
from workbench.execution.remote_run import RemoteRun
from workbench.execution.wire import Decoder, Message, encode, receive
from workbench.models import ErrorRecord, RunRecord, RunStatus, now
from workbench.process_identity import wait_gone
from workbench.settings import interpreter_environment
from workbench.version import __version__

if TYPE_CHECKING:
    from workbench.execution.events import RunEvent
    from workbench.execution.runs import Runs
    from workbench.settings import Settings

PROTOCOL = 4
START_S = 60.0
ANSWER_S = 30.0
LAST_WORDS_S = 0.25  # a worker may save the end of its run before it notices that the host is gone
GONE_S = 4.0  # a run is settled within five seconds of its host's end
# The child of the started process is the host: an orphan of nobody's, and no zombie of the kernel when it ends.
_PROGRAM = "import os; os.fork() and os._exit(0); from workbench.hosting.host import main; main()"


class HostClient:
    """A connection to the run host, made and renewed when it is needed.

    Parameters
    ----------
    settings : Settings
    url : str
        The workspace.
    runs : Runs
    """

    def __init__(self, settings: Settings, url: str, runs: Runs) -> None:
        self._settings = settings
        self._url = url
        self._runs = runs
        self._address: HostAddress | None = None
        self._line: HostLine | None = None
        self._is_lost = threading.Event()  # the connection was, and is no more
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._remote: dict[str, RemoteRun] = {}
        self._answers: dict[int, queue.SimpleQueue[Message]] = {}
        self._numbers = itertools.count(1)
        self._unfiled: dict[str, RunRecord] = {}  # newer than what the catalog says, by id
        self.host_pid: int | None = None
        self.host_started: float | None = None
        self._silent_pid: int | None = None  # of a host that is there and did not answer
        self._is_outdated = False  # the host that is there is of a newer version
        self._refused_by: str | None = None  # the version of a host that took us for one of another version

    @property
    def address(self) -> HostAddress:
        """Where the host is."""
        if self._address is None:
            self._address = address_of(self._settings, self._url)
        return self._address

    def connect(self, *, start: bool) -> bool:
        """Be connected; return False if there is no host and none is to be started.

        Raises
        ------
        StorageError
            If a host cannot be started, with what it said; if it is of another version than what this process has imported;
            or if one is there and does not answer.
        """
        with self._lock:
            if self._pid != os.getpid():  # a fork of the process that was connected
                self._line, self._pid = None, os.getpid()
                self._remote.clear()
            if self._line is not None:
                return True
            if self._dial():
                return True
            if not start:
                return False
            if not self._is_outdated:
                with self.address.starting():
                    if self._dial():
                        return True
                    self._start()
                    if self._dial():
                        return True
            if self._refused_by is not None:
                found = "a changed one" if self._refused_by == __version__ else self._refused_by
                raise StorageError(
                    f"This kernel has workbench {__version__} loaded, and {found} was installed since: the run host of "
                    f"{self._url}, started from what is installed, takes no runs from it. Restart the kernel."
                )
            raise StorageError(
                f"The run host of {self._url} was started and does not answer at {self.address.socket}. "
                f"See {self.address.log}."
            )

    def submit(
        self,
        record: RunRecord,
        order: Message,
        keep: Callable[[RemoteRun], None],
        listener: Callable[[RunEvent], None] | None,
    ) -> RemoteRun:
        """Give the host a run; its events come to the returned one.

        Parameters
        ----------
        record : RunRecord
        order : dict
            What the host and the worker need beside the record.
        keep : callable
            Told of the run before its first event, to remember it.
        listener : callable, optional
            Called with every event from the first one on.

        Raises
        ------
        StorageError
            If the workspace takes no record; the run is not given away then.
        ConnectionError
            If the host has ended in this moment; nobody has the run then.
        """
        content = record.model_dump_json().encode()
        if order["list"]:
            try:
                self._runs.keep(record, content)
            except StorageError as error:
                raise type(error)(
                    f"The run was not started, for it could not be recorded. {error}"
                ) from error
            self._unfiled[record.id] = record
        remote = self._make(record)
        if listener is not None:
            remote.subscribe(listener)
        keep(remote)
        self._remote[record.id] = remote
        try:
            head = {
                "op": "submit",
                "run": record.id,
                "priority": record.priority,
                "timeout_s": record.timeout_s,
                **order,
            }
            self._send(head, content)
        except OSError as error:
            self._remote.pop(record.id, None)
            self._is_lost.wait(ANSWER_S)
            raise ConnectionError("the run host has ended") from error
        return remote

    def attach(self, record: RunRecord) -> RemoteRun | None:
        """Hear of a run that another process gave to the host; None if the host is not there or has forgotten it."""
        known = self._remote.get(record.id)
        if known is not None:
            return known
        if not self.connect(start=False):
            return None
        remote = self._make(record)
        self._remote[record.id] = remote
        answer = self.ask("watch", run=record.id)
        if not answer.get("known"):
            self._remote.pop(record.id, None)
            return None
        return remote

    def attach_group(self, group: str) -> dict[str, RemoteRun]:
        """Hear of all runs of a sweep that the host still has, whoever gave them to it; return them by id."""
        if not self.connect(start=False):
            return {}
        answer = self.ask("watch group", group=group)
        found: dict[str, RemoteRun] = answer["runs"]
        return found

    def cancel_group(self, group: str) -> None:
        """Ask the host to end all runs of a sweep; nothing if there is no host."""
        if self.connect(start=False):
            with suppress(OSError):
                self._send({"op": "cancel group", "group": group})

    def ask(self, op: str, **fields: Any) -> Message:
        """Ask the host something and return its answer; the connection must be there.

        Raises
        ------
        StorageError
            If it does not answer.
        """
        number = next(self._numbers)
        answers: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._answers[number] = answers
        try:
            self._send({"op": op, "ask": number, **fields})
            return answers.get(timeout=ANSWER_S)
        except queue.Empty:
            raise self._no_answer(self.host_pid) from None
        except OSError:
            raise StorageError(
                f"The run host of {self._url} has ended in this moment. Try again; see {self.address.log}."
            ) from None
        finally:
            self._answers.pop(number, None)

    def file(self) -> None:
        """Bring to the catalog what this process knows of its runs and others are about to record."""
        records = list(self._unfiled.values())
        if not records:
            return
        with suppress(WorkbenchError):  # one that can only be read is shown as it is
            self._runs.file(records)
            for record in records:
                if self._unfiled.get(record.id) is record:
                    self._unfiled.pop(record.id, None)

    def status(self) -> Message | None:
        """Return what the host is doing, or None if there is none."""
        return self.ask("status") if self.connect(start=False) else None

    def stop(self, *, force: bool = False) -> Message | None:
        """End the host, with ``force`` also its runs, and wait for its end; None if there is none.

        Returns
        -------
        dict
            ``stopping`` is False if it has runs and was not forced; ``active`` is their number.

        Raises
        ------
        StorageError
            If it was told to end and is still there.
        """
        try:
            if not self.connect(start=False):
                return None
            pid, started = self.host_pid, self.host_started
            answer = self.ask("stop", force=force)
        except StorageError:
            if not force or self._silent_pid is None:
                raise
            pid, started = self._silent_pid, None
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # its guard ends its workers
            answer = {"stopping": True, "active": 0}
        if answer["stopping"] and not wait_gone(pid, started, socket.gethostname(), ANSWER_S):
            raise StorageError(
                f"The run host of {self._url}, process {pid}, was told to end and is still there after {ANSWER_S:g} s. "
                f"End it: kill {pid}. See {self.address.log}."
            )
        return answer

    def close(self) -> None:
        """Let go of the connection; the runs go on."""
        with self._lock:
            line, self._line = self._line, None
        if line is not None:
            line.close()
        for remote in list(self._remote.values()):
            if remote.is_active:
                remote.detach()
        self._remote.clear()

    # -- connecting

    def _dial(self) -> bool:
        """Connect to the host that is there; return False if none is, or one of another version."""
        self._refused_by, self._silent_pid, self._is_outdated = None, None, False
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(ANSWER_S)
        try:
            connection.connect(str(self.address.socket))
            settings = self._settings.model_dump(mode="json")
            connection.sendall(
                encode(
                    {
                        "op": "hello",
                        "protocol": PROTOCOL,
                        "version": __version__,
                        "pid": os.getpid(),
                        "settings": {**settings, "url": self._url},
                        "chosen": sorted(self._settings.model_fields_set),
                    }
                )
            )
            decoder = Decoder()
            messages: list[Message] | None = []
            while messages == []:
                messages = _answered(connection, decoder)
            connection.settimeout(None)
        except (TimeoutError, BlockingIOError):  # the second: so many wait at its door that no more can
            pid = _pid_behind(connection)
            connection.close()
            raise self._no_answer(pid) from None
        except OSError:
            connection.close()
            return False
        if not messages or not messages[0].get("welcome"):
            # a host of another version; if it is older, it ends after its work and has left the address
            connection.close()
            if messages:
                self._refused_by = messages[0]["version"]
                self._is_outdated = messages[0].get("stays", False)
            return False
        self.host_pid, self.host_started = messages[0]["pid"], messages[0]["started"]
        self._is_lost.clear()
        self._line = HostLine(connection, decoder, self._hear, self._lost)
        return True

    def _no_answer(self, pid: int | None) -> StorageError:
        """Note that a host is there and silent; return what to say of it."""
        self._silent_pid = pid
        who = f"The run host of {self._url}" + (f", process {pid}," if pid else "")
        resume = f"if something has stopped it, resume it: kill -CONT {pid}. " if pid else ""
        return StorageError(
            f"{who} is there and does not answer for {ANSWER_S:g} s. If the machine is busy, wait; {resume}"
            f"To end it with its runs: workbench host stop --force. See {self.address.log}."
        )

    def _start(self) -> None:
        """Start a host and wait until it listens."""
        reading, writing = os.pipe()
        try:
            with self.address.log.open("ab") as log:
                done = subprocess.run(
                    [sys.executable, "-P", "-c", _PROGRAM, str(self.address.socket), str(writing)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(writing,),
                    start_new_session=True,
                    check=False,
                    env=interpreter_environment(),
                )
        finally:
            os.close(writing)
        with os.fdopen(reading, "rb") as ready:
            said = _read_within(ready.fileno(), START_S)
        if done.returncode != 0 or said != b"ready":
            raise StorageError(
                f"The run host of {self._url} could not be started. It said:\n{tail(self.address.log) or '(nothing)'}"
            )

    # -- hearing

    def _make(self, record: RunRecord) -> RemoteRun:
        return RemoteRun(record, self._runs, lambda: self._cancel(record.id), self.read_until)

    def _cancel(self, run_id: str) -> None:
        with suppress(OSError):
            self._send({"op": "cancel", "run": run_id})

    def _send(self, message: Message, body: bytes = b"") -> None:
        line = self._line
        if line is None:
            raise ConnectionError("not connected")
        line.send(message, body)

    def read_until(self, is_there: Callable[[], bool], timeout_s: float | None = None) -> None:
        """Hear of runs in the calling thread until something is there; return sooner where that cannot be."""
        if self._line is not None:
            self._line.read_until(is_there, timeout_s)

    def _lost(self, line: HostLine) -> None:
        with self._lock:
            was_ours = self._line is line
            if was_ours:
                self._line = None
                self._is_lost.set()
        if was_ours:
            self._orphaned([r for r in self._remote.values() if r.is_active])

    def _hear(self, message: Message) -> None:
        if "group" in message:
            message["runs"] = self._take_group(message["body"])
        answers = self._answers.get(message.get("ask", 0))
        if answers is not None:
            answers.put(message)
        event = message.get("event")
        if event == "filed":
            self._unfiled.pop(message["run"], None)
            self._runs.filed([message["run"]])
            return
        if event == "listed":
            self._unfiled.pop(message["run"], None)
            return
        remote = self._remote.get(message.get("run", ""))
        if remote is None:
            return
        if event == "state":
            record = RunRecord.model_validate_json(message["body"])
            if record.status.is_final:
                self._remote.pop(record.id, None)
                if message.get("filed", True):
                    self._unfiled.pop(record.id, None)
                    self._runs.filed([record.id])
                else:
                    self._unfiled[record.id] = record
            remote.take_record(record)
        elif event == "progress":
            remote.take_progress(message["fraction"], message["message"])
        elif event == "log":
            remote.take_log(message["size"])

    def _take_group(self, body: bytes) -> dict[str, RemoteRun]:
        """Follow the runs of an answer from here on; in the thread that reads, so that no event is missed."""
        found = {}
        for each in json.loads(body):
            record = RunRecord.model_validate(each)
            found[record.id] = self._remote.get(record.id) or self._make(record)
        self._remote.update(found)
        return found

    def _orphaned(self, remotes: list[RemoteRun]) -> None:
        """See to runs whose host has left: it may only have dropped us; if it is dead, so are they."""
        if not remotes:
            return
        for remote in list(remotes):
            with suppress(StorageError):
                if self.connect(start=False) and self.ask("watch", run=remote.record.id).get("known"):
                    remotes.remove(remote)
        end = time.monotonic() + GONE_S
        time.sleep(
            LAST_WORDS_S
        )  # of a worker that no record names yet; of the others, their end is waited for
        for remote in list(remotes):
            with suppress(WorkbenchError):
                record = self._runs.wait_gone(remote.record.id, end - time.monotonic())
                if record.status.is_final:
                    self._settled(remote, record)
                    remotes.remove(remote)
        for remote in remotes:  # the workspace is gone too: nobody is kept waiting
            error = ErrorRecord(
                type="ProcessGone",
                message=f"the run host of {self._url} has ended, and the workspace cannot be read",
                kind="run_lost",
            )
            lost = {"status": RunStatus.LOST, "finished": now(), "error": error}
            self._settled(remote, remote.record.model_copy(update=lost))

    def _settled(self, remote: RemoteRun, record: RunRecord) -> None:
        self._remote.pop(record.id, None)
        self._unfiled.pop(record.id, None)
        self._runs.filed([record.id])
        remote.take_record(record)


def _read_within(descriptor: int, seconds: float) -> bytes:
    ready, _, _ = select.select([descriptor], [], [], seconds)
    return os.read(descriptor, 16) if ready else b""


def _answered(connection: socket.socket, decoder: Decoder) -> list[Message] | None:
    """Receive, and raise TimeoutError if nothing comes in time."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    if not poll.poll(ANSWER_S * 1000):
        raise TimeoutError
    return receive(connection, decoder)


def _pid_behind(connection: socket.socket) -> int | None:
    """Return which process listens at the other end, where the system tells."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    with suppress(OSError):
        found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", found)[0]) or None
    return None
