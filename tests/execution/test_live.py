"""The state machine of a run."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import RunCancelledError, RunTimeoutError
from workbench.execution.events import RunEvent
from workbench.execution.live import FOLLOWS, LiveRun
from workbench.execution.log_file import LogFile, read_log
from workbench.models import RunRecord, RunStatus, now
from workbench.names import new_id
from workbench.storage.fsspec_store import FsspecStore


class History:
    """Keeps what a run saves, in order; the place of ``ws.runs``."""

    def __init__(self) -> None:
        self.saved: list[RunRecord] = []
        self.progress: list[float] = []

    def save(self, record: RunRecord, *, before: RunRecord | None = None, to_store: bool = True) -> None:
        assert before == (self.saved[-1] if self.saved else None)
        self.saved.append(record)

    def save_progress(self, id: str, fraction: float, message: str) -> None:
        self.progress.append(fraction)


@pytest.fixture
def store(tmp_path: Path) -> FsspecStore:
    store = FsspecStore(tmp_path)
    store.create_collections(["runs"])
    return store


def start(store: FsspecStore, **facts: object) -> tuple[LiveRun, History, list[RunEvent]]:
    record = RunRecord(id=new_id(), algorithm="a@1.0", algorithm_name="a", created=now(), **facts)
    history: History = History()
    live = LiveRun(record, history, LogFile(store, record.id))
    events: list[RunEvent] = []
    live.subscribe(events.append)
    return live, history, events


def test_a_good_run_goes_through_its_states_and_saves_each(store: FsspecStore) -> None:
    live, history, events = start(store)
    assert live.advance(RunStatus.STARTED)
    assert live.advance(RunStatus.RUNNING)
    assert live.end(RunStatus.COMPLETED)
    assert [r.status for r in history.saved] == ["STARTED", "RUNNING", "COMPLETED"]
    assert [e.status for e in events] == ["STARTED", "RUNNING", "COMPLETED"]
    final = history.saved[-1]
    assert final.progress.fraction == 1.0
    assert final.started is not None
    assert final.finished is not None
    assert final.started.utcoffset() is not None
    assert live.wait(0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(list(RunStatus)), max_size=8))
def test_no_order_of_requests_leaves_a_final_state_or_skips_the_rules(
    tmp_path_factory: pytest.TempPathFactory, wishes: list[RunStatus]
) -> None:
    store = FsspecStore(tmp_path_factory.mktemp("live"))
    store.create_collections(["runs"])
    live, history, _ = start(store)
    for wish in wishes:
        before = live.record.status
        done = live.end(wish) if wish.is_final else live.advance(wish)
        assert done == (wish in FOLLOWS.get(before, ()))
        assert live.record.status == (wish if done else before)
    assert live.is_active == (not live.record.status.is_final)
    assert sum(r.status.is_final for r in history.saved) <= 1


def test_progress_never_goes_back(store: FsspecStore) -> None:
    live, _, _ = start(store)
    live.advance(RunStatus.STARTED)
    live.advance(RunStatus.RUNNING)
    for fraction in (0.1, 0.5, 0.3, 0.5, 0.2, 0.9):
        live.report_progress(fraction)
        assert live.fraction >= fraction
    assert live.fraction == 0.9
    live.report_progress(0.4, "last step")
    assert (live.fraction, live.message) == (0.9, "last step")


def test_progress_reported_a_thousand_times_is_saved_a_few_times(store: FsspecStore) -> None:
    live, history, events = start(store)
    live.advance(RunStatus.STARTED)
    live.advance(RunStatus.RUNNING)
    for i in range(1000):
        live.report_progress(i / 1000)
    assert len(history.progress) < 20
    assert len([e for e in events if e.kind == "progress"]) < 200


def test_cancel_before_the_start_ends_it_at_once_and_later_it_is_raised(store: FsspecStore) -> None:
    waiting, _, _ = start(store)
    waiting.request_cancel()
    assert waiting.record.status == "CANCELLED"
    assert not waiting.advance(RunStatus.STARTED)
    running, _, _ = start(store)
    running.advance(RunStatus.STARTED)
    running.request_cancel()
    assert running.record.status == "STARTED"
    with pytest.raises(RunCancelledError):
        running.check()


def test_a_deadline_is_raised_with_the_seconds(store: FsspecStore) -> None:
    live, _, _ = start(store, timeout_s=1e-9)
    live.check()
    live.advance(RunStatus.STARTED)
    with pytest.raises(RunTimeoutError, match="1e-09 s"):
        live.check()


def test_after_the_end_nothing_is_written(store: FsspecStore) -> None:
    live, _, _ = start(store)
    live.advance(RunStatus.STARTED)
    live.write_log("INFO", "before")
    live.end(RunStatus.FAILED)
    live.write_log("INFO", "after")
    live.report_progress(0.9)
    assert "before" in read_log(store, live.record.id)
    assert "after" not in read_log(store, live.record.id)
    assert live.record.progress.fraction == 0.0


def test_a_listener_that_raises_is_dropped_and_the_run_goes_on(store: FsspecStore) -> None:
    live, _, events = start(store)

    def broken(event: RunEvent) -> None:
        raise RuntimeError("dead front end")

    live.subscribe(broken)
    with pytest.warns(RuntimeWarning, match="dead front end"):
        live.advance(RunStatus.STARTED)
    live.advance(RunStatus.RUNNING)
    assert [e.status for e in events] == ["STARTED", "RUNNING"]


def test_a_log_is_never_said_to_be_longer_than_its_file(
    store: FsspecStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, write, ahead = LogFile(store, "x"), os.write, []

    def write_a_little(descriptor: int, data: memoryview) -> int:
        ahead.append(log.size - os.fstat(descriptor).st_size)
        return write(descriptor, data[:7])

    monkeypatch.setattr("workbench.execution.log_file.os.write", write_a_little)
    for number in range(3):
        log.write("INFO", f"line {number}")
    assert len(ahead) > 3
    assert set(ahead) == {0}


@pytest.mark.parametrize("url", ["folder", "memory://logs"])
def test_a_log_holds_whole_lines_from_many_threads(tmp_path: Path, url: str) -> None:
    store = FsspecStore(tmp_path if url == "folder" else url)
    store.create_collections(["runs"])
    run_id = new_id()
    log = LogFile(store, run_id)

    def write(number: int) -> None:
        for i in range(100):
            log.write("INFO", f"thread {number} line {i}\nsecond half")

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log.read().splitlines()) == 800
    log.close()
    log.close()
    lines = read_log(store, run_id).splitlines()
    assert len(lines) == 800
    assert all(line == "    second half" for line in lines[1::2])
    assert log.read() == read_log(store, run_id)


def test_a_log_stamps_time_with_zone_and_survives_odd_text(store: FsspecStore) -> None:
    import re

    log = LogFile(store, "x")
    line = log.write("INFO", "\udc80 odd \u00e4")
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d{4} INFO ", line)
    log.close()
    assert "odd \u00e4" in read_log(store, "x")
