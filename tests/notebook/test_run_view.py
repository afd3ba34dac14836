"""A view of a run: live, cheap, and no burden for the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from workbench.execution.events import Events, RunEvent
from workbench.execution.run_html import elapsed, log_html, outputs_html
from workbench.models import ErrorRecord, OutputRef, RunRecord, RunStatus, now
from workbench.notebook.painter import Painter
from workbench.notebook.run_view import RunView, run_html, run_text

STAMP = "2026-03-01 09:30:00.123+0100"


class FakeRun:
    """A run that does what a test says, and remembers what views asked."""

    def __init__(self, **fields: Any) -> None:
        known = {"id": "r1", "algorithm": "denoise@1.0", "algorithm_name": "denoise", "created": now()}
        self.record = RunRecord(**{**known, **fields})
        self.progress, self.message, self.log = 0.0, "", ""
        self.outputs: list[Any] = []
        self.events = Events()
        self.cancelled = 0
        self.eta_s: float | None = None
        self.silence_s: float | None = None

    def subscribe(self, listener: Callable[[RunEvent], None]) -> Callable[[], None]:
        return self.events.subscribe(listener)

    def cancel(self) -> None:
        self.cancelled += 1

    def emit(self, kind: Any, text: str = "") -> None:
        self.events.emit(RunEvent("r1", kind, self.record.status, self.progress, self.message, text))

    def enter(self, status: str, **fields: Any) -> None:
        self.record = self.record.model_copy(update={"status": RunStatus(status), **fields})
        self.emit("state")

    def write(self, line: str) -> None:
        self.log += f"{STAMP} INFO {line}\n"
        self.emit("log", f"{STAMP} INFO {line}\n")

    def report(self, fraction: float, message: str) -> None:
        self.progress, self.message = fraction, message
        self.emit("progress")

    @property
    def listeners(self) -> int:
        return len(self.events._listeners)


@pytest.fixture
def painter() -> Painter:
    return Painter(interval_s=0.02, tick_s=0.05)


@pytest.fixture
def run() -> FakeRun:
    return FakeRun()


@pytest.fixture
def view(run: FakeRun, painter: Painter) -> Iterator[RunView]:
    made = RunView(run, painter=painter)  # type: ignore[arg-type]
    yield made
    made.close()


def shown(view: RunView) -> str:
    return view._head.value + view._log.value + view._result.value


def eventually(check: Callable[[], bool], timeout_s: float = 3.0) -> None:
    end = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_progress_message_and_log_of_a_thread_appear(run: FakeRun, view: RunView) -> None:
    assert "PENDING" in shown(view)

    def work() -> None:
        run.enter("RUNNING", started=now())
        run.report(0.25, "slice 3 <of> 12")
        run.write("hello & good bye")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    eventually(lambda: "good bye" in shown(view))
    assert "RUNNING" in shown(view)
    assert "25%" in shown(view)
    assert "slice 3 &lt;of&gt; 12" in shown(view)
    assert "09:30:00" in shown(view)
    assert "2026-03-01" not in shown(view)


def test_end_shows_outputs_and_the_view_listens_no_more(run: FakeRun, view: RunView) -> None:
    class Thing:
        def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
            return {"text/plain": "thing", "text/html": "<img src='x'>"}

    run.outputs = [Thing(), "plain <text>"]
    run.enter("COMPLETED", started=now(), finished=now())
    eventually(lambda: "<img" in view._result.value)
    assert "plain &lt;text&gt;" in view._result.value
    assert "100%" in view._head.value
    assert view._cancel.disabled
    assert run.listeners == 0


def test_failure_shows_the_message_and_folds_the_traceback(run: FakeRun, view: RunView) -> None:
    error = ErrorRecord(
        type="ValueError", message="bad <shape>", phase="inference", traceback="Traceback\n  line 3"
    )
    run.enter("FAILED", error=error)
    eventually(lambda: "bad &lt;shape&gt;" in view._result.value)
    assert "<details><summary" in view._result.value
    assert "in inference" in view._result.value


def test_view_of_a_run_that_has_ended_is_complete_at_once(painter: Painter) -> None:
    run = FakeRun(status=RunStatus.COMPLETED, started=now() - timedelta(seconds=75), finished=now())
    run.log = "".join(f"line {i}\n" for i in range(3))
    view = RunView(run, painter=painter)  # type: ignore[arg-type]
    assert "1 min 15 s" in shown(view)
    assert "line 2" in shown(view)
    assert run.listeners == 0
    view.close()


def test_log_shows_its_last_200_lines_and_search_looks_further_back(run: FakeRun, view: RunView) -> None:
    for number in range(1000):
        run.write(f"number {number}.")
    eventually(lambda: "number 999." in view._log.value)
    assert "number 800." in view._log.value
    assert "number 799." not in view._log.value
    view._search.value = "NUMBER 17."
    eventually(lambda: "<mark>number 17.</mark>" in view._log.value)
    assert "number 999." not in view._log.value


def test_cancel_button_asks_the_run_once(run: FakeRun, view: RunView) -> None:
    run.enter("RUNNING", started=now())
    view._cancel.click()
    view._cancel.click()
    assert run.cancelled >= 1
    assert view._cancel.disabled


def test_updates_are_at_most_one_per_interval() -> None:
    run, painter = FakeRun(), Painter(interval_s=0.1)
    view = RunView(run, painter=painter)  # type: ignore[arg-type]
    painted: list[str] = []
    view._head.observe(lambda change: painted.append(change["new"]), "value")
    begin = time.monotonic()
    number = 0
    while time.monotonic() - begin < 0.55:
        number += 1
        run.report(min(1.0, number * 1e-5), f"step {number}")
        time.sleep(0.001)
    eventually(lambda: f"step {number}<" in view._head.value)
    assert 3 <= len(painted) <= 9
    view.close()


def test_clock_goes_on_without_events(run: FakeRun, view: RunView) -> None:
    run.enter("RUNNING", started=now() - timedelta(seconds=5))
    eventually(lambda: "5 s" in view._head.value)
    run.record = run.record.model_copy(update={"started": now() - timedelta(seconds=42)})
    eventually(lambda: "42 s" in view._head.value)


def test_run_of_another_process_is_followed_without_events(run: FakeRun, view: RunView) -> None:
    run.log = "from elsewhere\n"
    run.record = run.record.model_copy(update={"status": RunStatus.RUNNING, "started": now()})
    eventually(lambda: "from elsewhere" in view._log.value and "RUNNING" in view._head.value)


def test_closed_view_costs_the_run_nothing(run: FakeRun, painter: Painter) -> None:
    view = RunView(run, painter=painter)  # type: ignore[arg-type]
    assert run.listeners == 1
    view.close()
    assert run.listeners == 0
    run.write("nobody reads this")
    assert view.comm is None


def test_front_end_that_is_gone_does_not_reach_the_run(run: FakeRun, view: RunView, painter: Painter) -> None:
    def broken(tick: bool) -> None:
        raise OSError("no connection")

    view._paint = broken  # type: ignore[method-assign]
    run.report(0.5, "half")
    run.enter("RUNNING", started=now())
    eventually(lambda: not painter._dirty and view not in painter._ticking and not painter._failed)
    run.report(0.6, "more")
    assert run.progress == 0.6


def test_a_front_end_that_fails_for_a_moment_sees_the_end(run: FakeRun, view: RunView) -> None:
    failures: list[str] = []

    def broken(change: Any) -> None:
        if len(failures) < 3:
            failures.append(change["new"])
            raise OSError("no connection")

    view._result.observe(broken, "value")
    run.outputs = ["all of it"]
    run.enter("COMPLETED", started=now(), finished=now())
    eventually(lambda: "all of it" in view._result.value and view._is_finished)
    assert len(failures) >= 1


def test_painting_thread_ends_when_there_is_nothing_to_paint(
    run: FakeRun, view: RunView, painter: Painter
) -> None:
    run.enter("COMPLETED", finished=now())
    eventually(lambda: painter._thread is None)
    other = RunView(FakeRun(), painter=painter)  # type: ignore[arg-type]
    assert painter._thread is not None
    other.close()


def test_view_can_turn_to_another_run(run: FakeRun, view: RunView) -> None:
    run.write("first")
    other = FakeRun(id="r2")
    other.log = "second\n"
    view.attach(other)  # type: ignore[arg-type]
    assert run.listeners == 0
    assert "second" in view._log.value
    assert "first" not in view._log.value


def test_fifty_views_of_busy_runs_stay_cheap(painter: Painter) -> None:
    runs = [FakeRun(id=f"r{i}", status=RunStatus.RUNNING, started=now()) for i in range(50)]
    begin = time.perf_counter()
    views = [RunView(run, painter=painter) for run in runs]  # type: ignore[arg-type]
    made = time.perf_counter() - begin
    begin = time.perf_counter()
    for run in runs:
        for number in range(100):
            run.report(number / 100, f"step {number}")
    told = (time.perf_counter() - begin) / 5000
    for view in views:
        view.close()
    assert made < 5.0
    assert told < 0.001  # seconds per event that a run pays


def test_static_html_names_state_values_error_and_outputs() -> None:
    record = FakeRun(
        status=RunStatus.FAILED,
        parameters={"sigma": 2.0, "mode": "<a>"},
        error=ErrorRecord(type="ValueError", message="no", traceback="tb"),
        warnings=("slow & old",),
    ).record
    page = run_html(record, ["text output"])
    for part in (
        "FAILED",
        "sigma=2.0",
        "&lt;a&gt;",
        "ValueError",
        "slow &amp; old",
        "text output",
        "denoise@1.0",
    ):
        assert part in page
    assert "widget" not in page


def test_text_reads_well_in_a_diff() -> None:
    begin = now()
    record = FakeRun(
        status=RunStatus.COMPLETED,
        parameters={"sigma": 2.0},
        outputs=(OutputRef(dataset="d1"), OutputRef(text="42")),
        started=begin,
        finished=begin + timedelta(seconds=1.5),
    ).record
    assert run_text(record).splitlines() == [
        "denoise@1.0  COMPLETED  r1  1.50 s on cpu",
        "  sigma = 2.0",
        "  → d1",
        "  → 42",
    ]


def test_broken_output_does_not_hide_the_others() -> None:
    class Broken:
        def _repr_mimebundle_(self) -> dict[str, str]:
            raise OSError("gone")

    page = outputs_html([Broken(), "fine", *["more"] * 20])  # type: ignore[list-item]
    assert "OSError: gone" in page
    assert "fine" in page
    assert "10 more" in page


def test_log_line_that_looks_like_html_is_shown_as_text() -> None:
    assert "&lt;script&gt;" in log_html(["<script>"])
    assert "<mark>&lt;s</mark>cript" in log_html(["<script>"], "<S")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.123, "0.12 s"), (12.4, "12 s"), (65, "1 min 05 s"), (3720, "1 h 02 min")]
)
def test_time_is_told_in_two_units_at_most(seconds: float, text: str) -> None:
    begin = now()
    assert elapsed(FakeRun(started=begin, finished=begin + timedelta(seconds=seconds)).record) == text
