"""Workers that do not come up: those that fail by themselves, and those that something kills."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from algorithm_folders import NOOP, write_algorithm

import workbench
from workbench.errors import StorageError
from workbench.execution.slots import Needs
from workbench.execution.wire import Decoder, encode
from workbench.hosting import crew
from workbench.hosting.clients import Clients
from workbench.hosting.dispatcher import FAILED_STARTS, Dispatcher
from workbench.hosting.guard import Guard
from workbench.hosting.host import Host
from workbench.hosting.hosted_run import HostedRun
from workbench.hosting.loop import Loop
from workbench.hosting.workers import WorkerHandle
from workbench.process_identity import is_gone

# What every interpreter of the host imports first: new workers end here as often as a file has lines, the server never comes up
SITE = """
    import os, signal, sys
    from pathlib import Path

    words = " ".join(sys.orig_argv)
    left = Path({left!r})
    if "forkserver" in words:
        os._exit(3)
    if "spawn_main" in words and left.exists():
        *rest, line = left.read_text().splitlines() or [""]
        left.write_text("\\n".join(rest)) if rest else left.unlink()
        if line == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(3)
"""


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that says how the next starts end."""
    site = tmp_path / "site"
    site.mkdir()
    path = tmp_path / "left"
    (site / "sitecustomize.py").write_text(textwrap.dedent(SITE.format(left=str(path))))
    monkeypatch.syspath_prepend(str(site))
    return path


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "ws", workers=1) as workspace:
        workspace.algorithms.deploy(
            write_algorithm(tmp_path / "noop", "noop", NOOP, type="Generic"), check=False
        )
        yield workspace


def test_workers_that_are_killed_while_they_start_fail_no_run(ws: workbench.Workspace, left: Path) -> None:
    left.write_text("\n".join(["kill"] * (FAILED_STARTS + 2)))
    runs = [ws.run("noop", executor="process", wait=False) for _ in range(3)]
    assert [run.wait(60).status for run in runs] == ["COMPLETED"] * 3
    assert not left.exists()
    assert (
        "was killed by signal 9 (SIGKILL) while it started"
        in ws.executor("process").client.address.log.read_text()
    )


def test_workers_that_fail_by_themselves_give_up_what_waits_with_the_reason(
    ws: workbench.Workspace, left: Path
) -> None:
    left.write_text("\n".join(["fail"] * FAILED_STARTS))
    run = ws.run("noop", executor="process", wait=False).wait(60)
    assert run.status == "FAILED"
    assert run.record.error is not None
    assert "it never began" in run.record.error.message
    assert "ended itself with exit code 3" in run.record.error.message
    assert ws.run("noop", executor="process").status == "COMPLETED"  # mended since


HOLDS = NOOP.replace(
    "def inference(self, data, args={}):\n            return None",
    "def inference(self, data, args={}):\n            import ctypes\n            ctypes.PyDLL(None).sleep(4)\n"
    "            import time\n            time.sleep(0.5)",
)


class NoStarter:
    """Starts nothing and counts what was wanted."""

    is_warm = False

    def __init__(self, *args: object) -> None:
        self.wanted = 0

    def want(self) -> None:
        self.wanted += 1


class NoGuard(Guard):
    """Guards nothing: a test is no place to fork."""

    def __init__(self) -> None:
        pass

    def _say(self, line: str) -> None:
        pass


@pytest.fixture
def dispatcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dispatcher]:
    """One with room for a worker, whom nobody starts."""
    monkeypatch.setattr(crew, "WorkerStarter", NoStarter)
    with socket.socket(socket.AF_UNIX) as listener:
        loop = Loop()
        clients = Clients(loop, listener, lambda client, message: None, lambda client: None)
        yield Dispatcher({"workers": 1}, loop, clients, NoGuard(), lambda: None)
        for end in (loop._wake_in, loop._wake_out):
            end.close()


def test_a_worker_whose_last_word_is_ready_gets_no_run(dispatcher: Dispatcher) -> None:
    dispatcher.runs.add(HostedRun("r", {}, Needs(), ("a", "cpu"), None))
    dispatcher._waiting.add("r", 0, Needs())
    ours, theirs = socket.socketpair()
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    process.start()
    dispatcher._crew._starting = 1
    worker = WorkerHandle(process, ours, time.monotonic(), {})
    dispatcher._take_worker(worker)
    theirs.sendall(encode({"event": "ready", "pid": process.pid}))
    theirs.close()
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    dispatcher._worker_ended(worker)
    assert worker.is_ready, "its last word was heard"
    assert (worker.run_id, len(dispatcher._waiting)) == (None, 1)
    assert dispatcher._crew.workers == set()
    assert dispatcher._crew._starter.wanted == 1, "another one is to come"  # type: ignore[attr-defined]


def test_the_end_of_another_run_does_not_end_the_one_that_a_worker_has(dispatcher: Dispatcher) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker = WorkerHandle(None, ours, time.monotonic(), {}, run_id="has")
        end = {
            "event": "done",
            "run": "other",
            "failed": False,
            "unkept": False,
            "leaves": False,
            "body": b"{}",
        }
        dispatcher._hear(worker, end)
        assert worker.run_id == "has"
        dispatcher._hear(worker, {**end, "run": "has"})
        assert worker.run_id is None


def test_who_gives_a_run_away_before_any_hello_is_dropped_and_the_host_goes_on(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "host.sock"))
        listener.listen()
        host = Host(listener, tmp_path / "host.sock", NoGuard())
        thread = threading.Thread(target=host._loop.run)
        thread.start()
        client.settimeout(10)
        client.connect(str(tmp_path / "host.sock"))
        client.sendall(encode({"op": "submit", "run": "r"}))
        assert client.recv(1) == b""
        with socket.socket(socket.AF_UNIX) as other:
            other.settimeout(10)
            other.connect(str(tmp_path / "host.sock"))
            other.sendall(encode({"op": "status", "ask": 1}))
            (answer,) = Decoder().feed(other.recv(1 << 16))
            assert (answer["ask"], answer["queued"], answer["workers"]) == (1, 0, [])
        host._loop.from_thread(host._loop.end)
        thread.join(10)
        for end in (host._loop._wake_in, host._loop._wake_out):
            end.close()


def test_a_workspace_in_the_place_of_a_deleted_one_gets_a_host_of_its_own(tmp_path: Path) -> None:
    noop = write_algorithm(tmp_path / "noop", "noop", NOOP, type="Generic")
    hosts = []
    for _ in range(2):
        with workbench.open(tmp_path / "again", workers=1) as ws:
            ws.algorithms.deploy(noop, check=False)
            runs = [ws.run("noop", executor="process", reuse="never") for _ in range(2)]
            assert [ws.runs.get(run.id).status for run in runs] == ["COMPLETED"] * 2
            hosts.append(ws.executor("process").client.status()["pid"])
        while (tmp_path / "again").exists():  # records may be on their way into it
            shutil.rmtree(tmp_path / "again", ignore_errors=True)
    assert hosts[0] != hosts[1]


def test_the_host_goes_by_what_the_last_kernel_has_chosen(tmp_path: Path) -> None:
    says = NOOP + "\n        def load_assets(self):\n            self.log_message('loading', 'DEBUG')\n"
    place = tmp_path / "ws"
    options = {"executor": "process", "reuse": "never"}
    with workbench.open(place, workers=1, log_level="INFO") as first:
        first.algorithms.deploy(write_algorithm(tmp_path / "says", "says", says, type="Generic"), check=False)
        former = first.run("says", **options)
        host = first.executor("process").client
        known = host.status()
        assert ("loading" in former.log, len(known["workers"])) == (False, 1)
        with workbench.open(place) as plain:  # has chosen nothing, and changes nothing
            plain.run("says", **options)
            assert [w["pid"] for w in host.status()["workers"]] == [w["pid"] for w in known["workers"]]
        with workbench.open(place, workers=2, log_level="DEBUG") as last:
            assert "loading" in last.run("says", **options).log, "a worker that goes by the new word"
            both = [last.run("says", wait=False, **options) for _ in range(8)]
            assert {run.wait(60).status for run in both} == {"COMPLETED"}
            now = host.status()
    assert now["pid"] == known["pid"]
    assert known["workers"][0]["pid"] not in {worker["pid"] for worker in now["workers"]}


def test_a_kernel_that_is_older_than_what_is_installed_is_to_be_restarted(
    ws: workbench.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as old:
        old.setattr("workbench.execution.host_client.__version__", "0.0.1")
        with pytest.raises(StorageError, match=r"kernel has workbench 0\.0\.1 loaded") as caught:
            ws.run("noop", executor="process")
    assert f"{workbench.__version__} was installed since" in str(caught.value)
    assert "Restart the kernel." in str(caught.value)
    with workbench.open(ws.url) as restarted:
        assert restarted.run("noop", executor="process").status == "COMPLETED"


@pytest.mark.parametrize("version", ["0.0.1", f"{workbench.__version__}rc1"])
def test_a_kernel_that_is_older_leaves_the_host_to_the_others(
    ws: workbench.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    ws.algorithms.deploy(write_algorithm(tmp_path / "holds", "holds", HOLDS, type="Generic"), check=False)
    run = ws.run("holds", executor="process", wait=False)
    host = ws.executor("process").client.status()["pid"]
    with workbench.open(ws.url) as other, monkeypatch.context() as old:
        old.setattr("workbench.execution.host_client.__version__", version)
        with pytest.raises(StorageError, match="Restart the kernel"):
            other.run("noop", executor="process")
    with workbench.open(ws.url) as restarted:
        assert restarted.executor("process").client.status()["pid"] == host
    assert run.wait(60).status == "COMPLETED"


def test_a_run_that_holds_the_interpreter_is_said_to_have_begun(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    ws.algorithms.deploy(write_algorithm(tmp_path / "holds", "holds", HOLDS, type="Generic"), check=False)
    said: list[str] = []
    run = ws.run("holds", executor="process", wait=False, on_event=lambda event: said.append(event.status))
    assert run.wait(60).status == "COMPLETED"
    assert list(dict.fromkeys(said)) == ["STARTED", "RUNNING", "COMPLETED"]
    assert run.record.worker_pid is not None


RUN = """
import sys, workbench
with workbench.open(sys.argv[1]) as ws:
    assert ws.run("noop", executor="process", reuse="never").status == "COMPLETED"
    print(ws.executor("process").client.host_pid)
"""


def test_an_environment_has_one_host_by_whatever_name_its_interpreter_is_called(
    ws: workbench.Workspace,
) -> None:
    assert ws.run("noop", executor="process").status == "COMPLETED"
    other = Path(sys.executable).with_name("python" if Path(sys.executable).name != "python" else "python3")
    if not other.exists():
        pytest.skip(f"this environment has no {other.name}")
    pids = [
        int(subprocess.run([python, "-c", RUN, ws.url], check=True, capture_output=True).stdout)
        for python in (sys.executable, other)
    ]
    assert pids == [ws.executor("process").client.host_pid] * 2


def test_environments_of_one_interpreter_have_hosts_of_their_own(tmp_path: Path) -> None:
    addresses = set()
    for name in ("one", "two"):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / name)], check=True)
        code = (
            f"import sys; sys.path[:0] = {sys.path!r}\n"
            "from workbench.execution.host_address import address_of\n"
            "from workbench.settings import Settings\n"
            "print(address_of(Settings(), '/ws').name)"
        )
        for python in ("python", "python3"):
            done = subprocess.run(
                [tmp_path / name / "bin" / python, "-c", code], check=True, capture_output=True, text=True
            )
            addresses.add((name, done.stdout.strip()))
    assert len(addresses) == 2
    assert len({address for _, address in addresses}) == 2


def test_a_host_that_is_stopped_is_named_and_gets_no_second_one_beside_it(
    ws: workbench.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ws.run("noop", executor="process").status == "COMPLETED"
    client = ws.executor("process").client
    pid = client.host_pid
    assert pid is not None
    with monkeypatch.context() as patient, workbench.open(ws.url) as other:
        patient.setattr("workbench.execution.host_client.ANSWER_S", 1.0)
        os.kill(pid, signal.SIGSTOP)
        try:
            for ask in (lambda: other.run("noop", executor="process", reuse="never"), client.status):
                with pytest.raises(StorageError, match=rf"process {pid}, is there .* kill -CONT {pid}"):
                    ask()
        finally:
            os.kill(pid, signal.SIGCONT)
    with workbench.open(ws.url) as other:
        assert other.run("noop", executor="process", reuse="never").status == "COMPLETED"
        assert other.executor("process").client.host_pid == pid


def test_a_host_that_is_stopped_is_ended_by_force(
    ws: workbench.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ws.run("noop", executor="process").status == "COMPLETED"
    pid = ws.executor("process").client.host_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    with monkeypatch.context() as patient, workbench.open(ws.url) as other:
        patient.setattr("workbench.execution.host_client.ANSWER_S", 3.0)
        with pytest.raises(StorageError, match="workbench host stop --force"):
            other.executor("process").client.stop()
        assert other.executor("process").client.stop(force=True) == {"stopping": True, "active": 0}
        assert is_gone(pid, None, socket.gethostname())
    with workbench.open(ws.url) as other:
        assert other.run("noop", executor="process", reuse="never").status == "COMPLETED"
