"""Background runs, through a real run host and real workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from algorithm_folders import GAIN, INVERT, NOOP, generic, write_algorithm
from hosts import processes, stop_hosts

import workbench
from workbench.errors import (
    InvalidInputError,
    RunCancelledError,
    RunFailedError,
    RunLostError,
    RunTimeoutError,
    StorageError,
    UnsupportedError,
    WorkspaceError,
)
from workbench.execution.events import RunEvent

# An algorithm that tells when it has begun and then waits: for a file to go, or for ever
WAITS = generic("""
    import time
    from pathlib import Path
    self.log_message("begun")
    while Path(args["gate"]).exists():
        if args["asks"]:
            self.set_progress(0.5)
        time.sleep(0.01)
    return [self.fetch_data([], None)] and [__import__("numpy").zeros(3)]
""").replace("return [self.fetch_data([], None)] and ", "return ")
WAITS_TABLE = """
    [[tool.workbench.parameters]]
    name = "gate"
    type = "string"
    default = "/"
    description = "Goes on when this is gone"

    [[tool.workbench.parameters]]
    name = "asks"
    type = "bool"
    default = true
    description = "Whether it ever asks"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("background")


@pytest.fixture(scope="module")
def folders(place: Path) -> dict[str, Path]:
    return {
        "invert": write_algorithm(place / "invert", extra=GAIN),
        "noop": write_algorithm(place / "noop", "noop", NOOP, type="Generic"),
        "waits": write_algorithm(place / "waits", "waits", WAITS, type="Generic", extra=WAITS_TABLE),
    }


@pytest.fixture
def ws(place: Path, folders: dict[str, Path]) -> Iterator[workbench.Workspace]:
    """One workspace, and so one host, for all tests of this module; each opens it anew, as a kernel does."""
    with workbench.open(place / "ws", cancel_grace_s=2.0, workers=2) as workspace:
        for folder in folders.values():
            workspace.algorithms.deploy(folder, check=False)
        yield workspace


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    path = tmp_path / "gate"
    path.touch()
    return path


def still_there(ended: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Return those that go on after so many seconds; one that nobody has waited for yet has ended."""
    end = time.monotonic() + seconds
    alive = ended
    while alive and time.monotonic() < end:
        _, alive = psutil.wait_procs(alive, timeout=0.1)
        alive = [p for p in alive if _state(p) != psutil.STATUS_ZOMBIE]
    return alive


def _state(process: psutil.Process) -> str:
    try:
        return str(process.status())
    except psutil.NoSuchProcess:
        return psutil.STATUS_ZOMBIE


def until(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s"
        time.sleep(0.01)


def begun(run: workbench.Run) -> None:
    until(lambda: "begun" in run.log, "the run's first log line")


def host_of(ws: workbench.Workspace) -> int:
    status = ws.executor("process").client.status()
    assert status is not None
    return int(status["pid"])


def test_a_background_run_gives_the_same_as_one_in_the_kernel(ws: workbench.Workspace) -> None:
    stack = np.random.default_rng(0).random((3, 16, 12), dtype=np.float32)
    here = ws.run("invert", stack, {"gain": 2.0})
    there = ws.run("invert", stack, {"gain": 2.0}, executor="process")
    assert there.status == "COMPLETED"
    np.testing.assert_array_equal(there.result(), here.result())
    assert there.record.executor == "process"
    assert there.record.worker_pid not in {None, os.getpid()}
    assert "inverting" in there.log
    assert there.environment["packages"] == here.environment["packages"]
    assert there.outputs[0].record.run_id == there.id


def test_events_of_a_waited_for_run_come_in_the_callers_thread(ws: workbench.Workspace) -> None:
    heard: list[tuple[RunEvent, int]] = []
    image = np.zeros((8, 8), np.float32)
    ws.run(
        "invert",
        image,
        executor="process",
        on_event=lambda event: heard.append((event, threading.get_ident())),
    )
    assert {thread for _, thread in heard} == {threading.get_ident()}
    assert any("inverting" in event.text for event, _ in heard if event.kind == "log")
    assert heard[-1][0].status == "COMPLETED"


def test_what_it_prints_appears_where_it_is_waited_for(
    ws: workbench.Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = INVERT.replace('self.log_message("inverting")', 'print("two  words")')
    ws.algorithms.deploy(write_algorithm(tmp_path / "says", "says", code), check=False)
    ws.run("says", np.zeros((8, 8), np.float32), executor="process")
    assert capsys.readouterr().out == "two  words\n"


def test_a_run_goes_on_while_the_kernel_works(ws: workbench.Workspace, gate: Path) -> None:
    run = ws.run("waits", parameters={"gate": str(gate)}, executor="process", wait=False)
    begun(run)
    until(lambda: run.status == "RUNNING", "the state RUNNING")
    until(lambda: run.progress == 0.5, "progress")
    gate.unlink()
    assert run.wait(20).status == "COMPLETED"
    assert run.progress == 1.0


def test_a_run_that_is_silent_for_long_says_so_in_text(
    ws: workbench.Workspace, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.execution.pace.LEAST_SILENCE_S", 0.2)
    monkeypatch.setattr("workbench.execution.pace.UNKNOWN_SILENCE_S", 0.2)
    parameters = {"gate": str(gate), "asks": False}
    run = ws.run("waits", parameters=parameters, executor="process", wait=False)
    until(lambda: "no sign of life for 1 s" in repr(run), "the word about silence")
    gate.unlink()
    run.wait(20)
    assert "no sign of life" not in repr(run)


def test_an_error_is_the_true_one_with_its_traceback(ws: workbench.Workspace, tmp_path: Path) -> None:
    code = generic('raise ValueError("no light in frame 3")')
    ws.algorithms.deploy(write_algorithm(tmp_path / "dark", "dark", code, type="Generic"), check=False)
    run = ws.run("dark", np.zeros(3), executor="process")
    assert run.status == "FAILED"
    with pytest.raises(RunFailedError, match="no light in frame 3") as caught:
        run.result()
    assert "inference" in caught.value.traceback_text
    assert "ValueError" in run.log


def test_a_folder_runs_without_being_deployed(ws: workbench.Workspace, folders: dict[str, Path]) -> None:
    run = ws.run(folders["invert"], np.ones((4, 4), np.float32), executor="process")
    assert run.status == "COMPLETED", run.error
    assert run.record.revision is None


def test_it_works_in_the_folder_of_the_kernel(
    ws: workbench.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = generic("import os; self.log_message(os.getcwd()); return [data[0]['data']]")
    ws.algorithms.deploy(write_algorithm(tmp_path / "where", "where", code, type="Generic"), check=False)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert str(tmp_path / name) in ws.run("where", np.zeros(3), executor="process").log


def test_it_takes_chosen_variables_from_the_kernel(
    ws: workbench.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = generic("import os; self.log_message(str(os.environ.get('OMP_NUM_THREADS'))); return []")
    ws.algorithms.deploy(write_algorithm(tmp_path / "env", "env", code, type="Generic"), check=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert "INFO 3\n" in ws.run("env", np.zeros(3), executor="process").log
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert "INFO None\n" in ws.run("env", np.zeros(3), executor="process").log


def test_a_cancelled_run_ends_gracefully_and_its_worker_stays(ws: workbench.Workspace, gate: Path) -> None:
    run = ws.run("waits", parameters={"gate": str(gate)}, executor="process", wait=False)
    begun(run)
    until(lambda: run.record.worker_pid, "the state RUNNING")
    worker = run.record.worker_pid
    assert run.cancel().wait(20).status == "CANCELLED"
    with pytest.raises(RunCancelledError):
        run.result()
    assert worker is not None
    assert psutil.pid_exists(worker)


def test_a_python_loop_that_never_asks_is_interrupted(ws: workbench.Workspace, gate: Path) -> None:
    run = ws.run("waits", parameters={"gate": str(gate), "asks": False}, executor="process", wait=False)
    begun(run)
    assert run.cancel().wait(20).status == "CANCELLED"
    assert ws.run("noop", executor="process").status == "COMPLETED"


STUCK = generic("""
    import ctypes, signal
    self.log_message("begun")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    ctypes.PyDLL(None).sleep(600)  # holds the GIL: no Python code runs in this process
""")


def test_a_run_that_hears_nothing_is_killed(ws: workbench.Workspace, tmp_path: Path) -> None:
    ws.algorithms.deploy(write_algorithm(tmp_path / "stuck", "stuck", STUCK, type="Generic"), check=False)
    run = ws.run("stuck", np.zeros(3), executor="process", wait=False)
    begun(run)
    assert run.cancel().wait(20).status == "CANCELLED"
    assert ws.runs.get(run.id).status == "CANCELLED"
    stuck = ws.run("stuck", np.zeros(3), executor="process", timeout_s=0.3, wait=False)
    assert stuck.wait(20).status == "FAILED"
    with pytest.raises(RunTimeoutError, match=r"0\.3 s"):
        stuck.result()
    assert ws.run("noop", executor="process").status == "COMPLETED"


def test_a_run_over_its_time_ends_gracefully_where_it_can(ws: workbench.Workspace, gate: Path) -> None:
    run = ws.run("waits", parameters={"gate": str(gate)}, executor="process", timeout_s=0.3)
    with pytest.raises(RunTimeoutError, match="Pass a larger timeout_s"):
        run.result()


def test_queued_runs_start_by_priority_and_can_be_cancelled(
    ws: workbench.Workspace, gate: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.touch()
    busy = [
        ws.run("waits", parameters={"gate": str(path)}, executor="process", wait=False)
        for path in (gate, other)
    ]
    for run in busy:
        begun(run)
    low, cancelled, high = (
        ws.run("noop", executor="process", wait=False, priority=priority) for priority in (0, 0, 5)
    )
    assert [r.status for r in (low, cancelled, high)] == ["PENDING"] * 3
    assert cancelled.cancel().wait(20).status == "CANCELLED"
    gate.unlink()  # one worker is free: they run one after the other
    for run in (busy[0], low, high):
        assert run.wait(20).status == "COMPLETED"
    assert high.record.started < low.record.started
    assert cancelled.record.started is None
    other.unlink()
    assert busy[1].wait(20).status == "COMPLETED"


def test_a_worker_that_is_killed_loses_its_run_with_signal_and_last_line(
    ws: workbench.Workspace, gate: Path
) -> None:
    run = ws.run("waits", parameters={"gate": str(gate)}, executor="process", wait=False)
    until(lambda: run.record.worker_pid, "the state RUNNING")
    os.kill(run.record.worker_pid or 0, signal.SIGKILL)
    began = time.monotonic()
    assert run.wait(10).status == "LOST"
    assert time.monotonic() - began < 5.0
    with pytest.raises(RunLostError, match=r"killed by signal 9 \(SIGKILL\); last log line: .* begun"):
        run.result()
    assert ws.run("noop", executor="process").status == "COMPLETED"


def test_a_crash_in_compiled_code_is_named(ws: workbench.Workspace, tmp_path: Path) -> None:
    code = generic("import ctypes; ctypes.string_at(0)")
    ws.algorithms.deploy(write_algorithm(tmp_path / "crash", "crash", code, type="Generic"), check=False)
    run = ws.run("crash", np.zeros(3), executor="process")
    assert run.status == "LOST"
    assert "SIGSEGV" in str(run.error)


def test_an_algorithm_that_ends_its_process_is_found_out(ws: workbench.Workspace, tmp_path: Path) -> None:
    code = generic("import os; os._exit(3)")
    ws.algorithms.deploy(write_algorithm(tmp_path / "leaves", "leaves", code, type="Generic"), check=False)
    run = ws.run("leaves", np.zeros(3), executor="process")
    assert run.status == "LOST"
    assert "ended itself with exit code 3" in str(run.error)


def test_host_and_worker_that_die_together_lose_their_runs_within_seconds(
    ws: workbench.Workspace, gate: Path
) -> None:
    running = ws.run("waits", parameters={"gate": str(gate)}, executor="process", wait=False)
    queued = [
        ws.run("waits", parameters={"gate": str(gate)}, executor="process", wait=False) for _ in range(3)
    ]
    begun(running)
    for process in processes(host_of(ws)):
        with suppress(psutil.NoSuchProcess):  # it has ended with the one before
            process.kill()
    began = time.monotonic()
    for run in (running, *queued):
        assert run.wait(10).status == "LOST"
    assert time.monotonic() - began < 5.0
    assert "was killed by signal 9 (SIGKILL)" in str(running.error)
    assert "last log line" in str(running.error)
    assert ws.run("noop", executor="process").status == "COMPLETED"  # a new host


def test_workers_end_with_their_host(ws: workbench.Workspace, gate: Path, tmp_path: Path) -> None:
    ws.algorithms.deploy(write_algorithm(tmp_path / "stuck", "stuck", STUCK, type="Generic"), check=False)
    ws.run("noop", executor="process")
    until(lambda: (ws.executor("process").client.status() or {})["forks"], "forked workers", 60)
    run = ws.run("stuck", np.zeros(3), executor="process", wait=False)
    begun(run)
    everyone = processes(host_of(ws))
    everyone[0].kill()
    assert still_there(everyone, 5.0) == []
    assert run.wait(10).status == "LOST"


KERNEL = """
    import sys, time, workbench
    ws = workbench.open(sys.argv[1])
    run = ws.run("waits", parameters={"gate": sys.argv[2]}, executor="process", wait=False)
    print(run.id, flush=True)
    time.sleep(600)
"""


def test_a_run_survives_its_kernel_and_another_one_attaches(ws: workbench.Workspace, gate: Path) -> None:
    kernel = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KERNEL), ws.url, str(gate)], stdout=subprocess.PIPE, text=True
    )
    assert kernel.stdout is not None
    with kernel.stdout:
        run_id = kernel.stdout.readline().strip()
    begun(ws.runs.get(run_id))
    kernel.kill()
    kernel.wait()
    run = ws.runs.get(run_id)
    heard: list[RunEvent] = []
    run.subscribe(heard.append)
    until(lambda: any(event.kind == "progress" for event in heard) or run.progress == 0.5, "progress")
    gate.unlink()
    assert run.wait(20).status == "COMPLETED"
    assert heard[-1].status == "COMPLETED"
    assert str(run.log).encode() == (Path(ws.url) / "runs" / f"{run_id}.log").read_bytes()


def test_another_kernel_cancels_it(ws: workbench.Workspace, gate: Path) -> None:
    run = ws.run("waits", parameters={"gate": str(gate)}, executor="process", wait=False)
    begun(run)
    code = "import sys, workbench; workbench.open(sys.argv[1]).runs.get(sys.argv[2]).cancel()"
    subprocess.run([sys.executable, "-c", code, ws.url, run.id], check=True)
    assert run.wait(20).status == "CANCELLED"


def test_the_runner_stays_warm_by_version_and_device(ws: workbench.Workspace, tmp_path: Path) -> None:
    code = NOOP + "\n        def load_assets(self):\n            print('loading')\n"
    ws.algorithms.deploy(write_algorithm(tmp_path / "warm", "warm", code, type="Generic"), check=False)
    runs = [ws.run("warm", executor="process") for _ in range(4)]
    assert "loading" in runs[0].log
    assert [("loading" in run.log) for run in runs[1:]] == [False] * 3


def test_debug_is_refused_before_anything_starts(ws: workbench.Workspace) -> None:
    before = len(ws.runs.list(limit=1000))
    with pytest.raises(UnsupportedError, match="executor='kernel'"):
        ws.run("noop", executor="process", debug=True)
    assert len(ws.runs.list(limit=1000)) == before


def test_a_workspace_in_memory_names_the_folder_to_use(memory_url: str, folders: dict[str, Path]) -> None:
    with (
        workbench.open(memory_url) as ws,
        pytest.raises(UnsupportedError, match=r"workbench\.open\('data/bench'\)"),
    ):
        ws.run(folders["noop"], executor="process")


def test_a_folder_that_others_use_stays_as_it_is_and_gets_a_private_one(
    place: Path, folders: dict[str, Path]
) -> None:
    with tempfile.TemporaryDirectory(prefix="wb") as name:
        shared, ours = Path(name), Path(name) / f"workbench-{os.getuid()}"
        shared.chmod(0o1777)
        with workbench.open(place / "shared", host_folder=name) as ws:
            assert ws.executor("process").client.status() is None  # looking changes nothing either
            assert shared.stat().st_mode & 0o7777 == 0o1777
            assert ws.run(folders["noop"], executor="process").status == "COMPLETED"
            assert ws.executor("process").client.address.folder == ours
        assert shared.stat().st_mode & 0o7777 == 0o1777
        assert [path.name for path in shared.iterdir()] == [ours.name]
        assert ours.stat().st_mode & 0o7777 == 0o700
        stop_hosts(ours)
        ours.chmod(0o755)
        with (
            workbench.open(place / "shared", host_folder=name) as ws,
            pytest.raises(StorageError, match="not a private folder of yours"),
        ):
            ws.run(folders["noop"], executor="process")


def test_a_folder_with_too_long_a_path_is_refused(place: Path, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    with (
        workbench.open(place / "ws", host_folder=str(long)) as ws,
        pytest.raises(StorageError, match="too long a path"),
    ):
        ws.run("noop", executor="process")


def test_the_host_ends_when_it_is_idle_or_its_workspace_is_gone(tmp_path: Path) -> None:
    for name, options in {"idle": {"host_idle_s": 0.5}, "gone": {}}.items():
        with workbench.open(tmp_path / name, **options) as ws:
            ws.algorithms.deploy(
                write_algorithm(tmp_path / "noop", "noop", NOOP, type="Generic"), check=False
            )
            ws.run("noop", executor="process")
            everyone = processes(host_of(ws))
        if name == "gone":
            (tmp_path / name).rename(
                tmp_path / "elsewhere"
            )  # at once, whatever a worker writes in this moment
        assert still_there(everyone, 40.0) == []


def test_a_host_of_another_version_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with workbench.open(tmp_path / "ws") as ws:
        ws.algorithms.deploy(write_algorithm(tmp_path / "noop", "noop", NOOP, type="Generic"), check=False)
        ws.run("noop", executor="process")
        old = processes(host_of(ws))
    monkeypatch.setattr("workbench.execution.host_client.PROTOCOL", 99)
    with workbench.open(tmp_path / "ws") as ws:
        client = ws.executor("process").client
        assert not client.connect(start=False)
        monkeypatch.undo()
        monkeypatch.setenv("WORKBENCH_HOST_FOLDER", str(client.address.folder))
        assert ws.run("noop", executor="process").status == "COMPLETED"
        assert host_of(ws) != old[0].pid
    assert still_there(old, 30.0) == []  # their server imports to the end before it ends


def test_the_caches_of_all_processes_are_seen(ws: workbench.Workspace) -> None:
    image = np.ones((4, 4), np.float32)
    for executor in ("kernel", "kernel", "process", "process", "process"):
        assert ws.run("invert", image, executor=executor).status == "COMPLETED"
    here = next(s for s in ws.caches() if (s.cache, s.process) == ("runners", "this process"))
    assert (here.hits, here.misses) == (1, 1)

    def hits_elsewhere() -> int:
        return sum(s.hits for s in ws.caches() if s.cache == "runners" and s.process != "this process")

    until(lambda: hits_elsewhere() >= 1, "a worker tells of its caches when it has filed its runs")
    assert "hit rate" in repr(ws.caches())


def test_runs_whose_declared_memory_does_not_fit_together_take_turns(tmp_path: Path) -> None:
    extra = 'memory = "6 GB"\n' + textwrap.dedent(WAITS_TABLE)
    with workbench.open(tmp_path / "ws", workers=2, memory_budget=10_000_000_000) as ws:
        ws.algorithms.deploy(
            write_algorithm(tmp_path / "large", "large", WAITS, type="Generic", extra=extra), check=False
        )
        ws.algorithms.deploy(write_algorithm(tmp_path / "noop", "noop", NOOP, type="Generic"), check=False)
        gates = [tmp_path / "one", tmp_path / "two"]
        for path in gates:
            path.touch()
        first, second = (
            ws.run("large", parameters={"gate": str(path)}, executor="process", wait=False) for path in gates
        )
        begun(first)
        assert ws.run("noop", executor="process").status == "COMPLETED"  # a worker is free, memory is not
        assert second.status == "PENDING"
        gates[0].unlink()
        begun(second)
        assert first.wait(20).status == "COMPLETED"
        gates[1].unlink()
        assert second.wait(20).status == "COMPLETED"


def test_a_process_with_the_number_of_one_that_is_gone_does_not_keep_a_run_alive(tmp_path: Path) -> None:
    from workbench.models import RunRecord, RunStatus, now
    from workbench.names import new_id

    with workbench.open(tmp_path / "ws") as ws:
        record = RunRecord(
            id=new_id(),
            algorithm="noop@1.0",
            algorithm_name="noop",
            status=RunStatus.RUNNING,
            executor="process",
            pid=os.getpid(),  # it lives, and began at another time
            pid_started=psutil.Process().create_time() - 3600,
            host=__import__("socket").gethostname(),
            created=now(),
        )
        ws.runs.save(record)
        assert [run.status for run in ws.runs.list()] == ["LOST"]


def test_a_run_of_a_closed_workspace_keeps_nobody_waiting(ws: workbench.Workspace, gate: Path) -> None:
    run = ws.run("waits", parameters={"gate": str(gate)}, executor="process", wait=False)
    begun(run)
    url = ws.url
    waiter = threading.Thread(target=lambda: suppressed(run.wait), daemon=True)
    waiter.start()
    ws.close()
    waiter.join(10)
    assert not waiter.is_alive()
    with pytest.raises(WorkspaceError, match=r"was closed, and the run goes on\. Open it again"):
        run.result()
    gate.unlink()
    with workbench.open(url) as again:
        assert again.runs.get(run.id).wait(20).status == "COMPLETED"
    until(lambda: run.status == "COMPLETED", "other workspaces hear of it")


def suppressed(function: Callable[[], object]) -> None:
    with suppress(WorkspaceError):
        function()


CHILDREN = generic("""
    import multiprocessing, subprocess, time
    forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    forked.start()
    other = subprocess.Popen(["sleep", "600"])
    self.log_message(f"begun {forked.pid} {other.pid}")
    while True:
        self.set_progress(0.5)
        time.sleep(0.01)
""")


@pytest.mark.parametrize("how", ["cancel", "timeout", "worker", "host", "worker and host"])
def test_what_an_algorithm_started_ends_with_its_run(
    ws: workbench.Workspace, tmp_path: Path, how: str
) -> None:
    ws.algorithms.deploy(
        write_algorithm(tmp_path / "parent", "parent", CHILDREN, type="Generic"), check=False
    )
    timeout_s = 1.0 if how == "timeout" else None
    run = ws.run("parent", np.zeros(3), executor="process", wait=False, timeout_s=timeout_s)
    begun(run)
    line = next(line for line in run.log.lines() if " begun " in line)
    children = [psutil.Process(int(word)) for word in line.split()[-2:]]
    if how == "cancel":
        run.cancel()
    elif how != "timeout":
        until(lambda: run.record.worker_pid, "the state RUNNING")
        for name, pid in {"worker": run.record.worker_pid, "host": host_of(ws)}.items():
            if name in how:
                os.kill(pid or 0, signal.SIGKILL)
    assert run.wait(10).status == {"cancel": "CANCELLED", "timeout": "FAILED"}.get(how, "LOST")
    assert still_there(children, 5.0) == []


def test_what_a_run_sets_in_its_environment_is_gone_with_it(ws: workbench.Workspace, tmp_path: Path) -> None:
    code = generic("import os; print(os.environ.get('LEFT')); os.environ['LEFT'] = 'behind'; return []")
    ws.algorithms.deploy(write_algorithm(tmp_path / "leaves", "sets", code, type="Generic"), check=False)
    for _ in range(3):
        assert "PRINT None" in ws.run("sets", np.zeros(3), executor="process").log


def test_a_workspace_has_one_host_by_whatever_name_it_is_opened(
    ws: workbench.Workspace, tmp_path: Path, gate: Path
) -> None:
    run = ws.run("waits", parameters={"gate": str(gate)}, executor="process", wait=False)
    begun(run)
    (tmp_path / "link").symlink_to(ws.url)
    with workbench.open(tmp_path / "link") as other:
        assert host_of(other) == host_of(ws)
        assert other.runs.get(run.id).cancel().wait(20).status == "CANCELLED"


def test_a_completed_run_is_an_input(ws: workbench.Workspace, gate: Path) -> None:
    image = np.arange(16.0, dtype=np.float32).reshape(4, 4)
    first = ws.run("invert", image, executor="process")
    np.testing.assert_array_equal(ws.run("invert", first).result(), image)
    waiting = ws.run("waits", parameters={"gate": str(gate)}, executor="process", wait=False)
    with pytest.raises(InvalidInputError, match=r"Only what a completed run has put out.*run\.wait\(\)"):
        ws.run("invert", waiting)
    waiting.cancel()


def test_a_workspace_that_is_deleted_under_a_run_keeps_nobody_waiting(tmp_path: Path, gate: Path) -> None:
    with workbench.open(tmp_path / "ws") as ws:
        folder = write_algorithm(tmp_path / "waits", "waits", WAITS, type="Generic", extra=WAITS_TABLE)
        ws.algorithms.deploy(folder, check=False)
        run = ws.run("waits", parameters={"gate": str(gate)}, executor="process", wait=False)
        begun(run)
        (tmp_path / "ws").rename(tmp_path / "elsewhere")
        assert run.wait(20).status == "LOST"
        assert "the workspace cannot be read" in str(run.error)


def test_what_is_written_past_python_is_in_the_log(ws: workbench.Workspace, tmp_path: Path) -> None:
    code = generic("""
        import os, subprocess
        print("from Python")
        os.system("echo from a shell; echo and its error >&2")
        subprocess.run(["echo", "from a program"])
        if args.get("crash"):
            os.write(2, b"terminate called after throwing\\n")
            os.abort()
        return []
    """)
    table = """
        [[tool.workbench.parameters]]
        name = "crash"
        type = "bool"
        default = false
        description = "Whether it crashes"
    """
    ws.algorithms.deploy(
        write_algorithm(tmp_path / "raw", "raw", code, type="Generic", extra=table), check=False
    )
    for _ in range(2):
        log = ws.run("raw", np.zeros(3), executor="process").log
        for text in ("from Python", "from a shell", "and its error", "from a program"):
            assert log.count(text) == 1
    lost = ws.run("raw", np.zeros(3), {"crash": True}, executor="process")
    assert lost.status == "LOST"
    assert "SIGABRT" in str(lost.error)
    assert "last log line" in str(lost.error)
    assert "terminate called after throwing" in str(lost.error)
    assert "from a program" in lost.log


def test_what_is_written_past_python_is_in_the_log_while_it_is_written(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    code = generic("""
        import os, time
        from pathlib import Path
        os.system("echo first of a shell; printf half")
        while not Path(args["gate"]).exists():
            time.sleep(0.02)
        os.system("echo ' a line'")
        if args["crash"]:
            os.write(2, b"last words\\n")
            os.abort()
        return []
    """)
    table = (
        '[[tool.workbench.parameters]]\nname = "gate"\ntype = "string"\ndefault = ""\n'
        '[[tool.workbench.parameters]]\nname = "crash"\ntype = "bool"\ndefault = false\n'
    )
    ws.algorithms.deploy(
        write_algorithm(tmp_path / "slow", "slow", code, type="Generic", extra=table), check=False
    )
    for crash in (False, True):
        gate = tmp_path / f"gate{crash}"
        values = {"gate": str(gate), "crash": crash}
        run = ws.run("slow", np.zeros(3), values, executor="process", wait=False)
        until(lambda run=run: "first of a shell" in run.log, "what the shell says")  # type: ignore[misc]
        assert "half" not in run.log
        gate.touch()
        run.wait(20)
        said = [line for line in run.log.splitlines() if "STDERR" in line]
        texts = ["first of a shell", "half a line", *(["last words"] if crash else [])]
        assert [line.split("STDERR ")[1] for line in said][: len(texts)] == texts
