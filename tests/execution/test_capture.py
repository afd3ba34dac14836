"""What is printed, logged and warned inside a run goes to that run and nowhere else."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from workbench.execution.capture import _Capture, _current, captured, current_sink


class History:
    """A sink that remembers."""

    def __init__(self, echo: bool = False) -> None:
        self.echo = echo
        self.is_active = True
        self.lines: list[tuple[str, str]] = []
        self.progress: list[tuple[float, str]] = []

    def take_echo(self, text: str) -> str:
        return text

    def write_log(self, level: str, message: str) -> None:
        self.lines.append((level, message))

    def report_progress(self, fraction: float, message: str) -> None:
        self.progress.append((fraction, message))


def test_print_becomes_lines_of_the_log_and_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    sink = History()
    with captured(sink):
        print("one", end=" ")
        print("line")
        print("no end", end="")
    print("after")
    assert sink.lines == [("PRINT", "one line"), ("PRINT", "no end")]
    assert capsys.readouterr().out == "after\n"


def test_print_is_also_shown_when_the_run_echoes(capsys: pytest.CaptureFixture[str]) -> None:
    sink = History(echo=True)
    with captured(sink):
        print("both")
    assert sink.lines == [("PRINT", "both")]
    assert capsys.readouterr().out == "both\n"


def test_stderr_is_captured_with_its_own_level() -> None:
    sink = History()
    with captured(sink):
        sys.stderr.write("trouble\n")
    assert sink.lines == [("STDERR", "trouble")]


def test_threads_of_the_algorithm_and_their_threads_belong_to_the_run() -> None:
    sink = History()

    def inner() -> None:
        print("inner")
        logging.getLogger("lab").info("inner log")

    def outer() -> None:
        thread = threading.Thread(target=inner)
        thread.start()
        thread.join()
        print("outer")

    with captured(sink):
        thread = threading.Thread(target=outer)
        thread.start()
        thread.join()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(print, ["a", "b"]))
    assert sorted(sink.lines) == [
        ("INFO", "lab: inner log"),
        ("PRINT", "a"),
        ("PRINT", "b"),
        ("PRINT", "inner"),
        ("PRINT", "outer"),
    ]


def test_two_runs_at_once_keep_their_lines_apart() -> None:
    sinks = [History(), History()]

    def work(number: int) -> None:
        with captured(sinks[number]):
            for i in range(50):
                print(number, i)
                time.sleep(0)

    threads = [threading.Thread(target=work, args=(n,)) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, sink in enumerate(sinks):
        assert sink.lines == [("PRINT", f"{number} {i}") for i in range(50)]


def test_logging_of_info_and_above_is_captured_and_the_root_level_is_restored() -> None:
    sink = History()
    before = (logging.root.level, list(logging.root.handlers))
    with captured(sink):
        logging.info("plain")
        logging.getLogger("a.b").warning("careful %d", 3)
        logging.getLogger("a.b").debug("not kept")
        try:
            raise ValueError("bad")
        except ValueError:
            logging.exception("it broke")
    assert (logging.root.level, list(logging.root.handlers)) == before
    assert sink.lines[:2] == [("INFO", "plain"), ("WARNING", "a.b: careful 3")]
    level, text = sink.lines[2]
    assert level == "ERROR"
    assert text.startswith("it broke\nTraceback")
    assert "ValueError: bad" in text


def test_a_handler_of_the_user_sees_no_more_than_before() -> None:
    seen: list[str] = []

    class Mine(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())

    mine = Mine()
    logging.root.addHandler(mine)
    former = logging.root.level
    logging.root.setLevel(logging.WARNING)
    try:
        with captured(History()):
            logging.info("new to the root level")
            logging.warning("as before")
    finally:
        logging.root.removeHandler(mine)
        logging.root.setLevel(former)
    assert seen == ["as before"]


def test_warnings_name_their_class_and_place() -> None:
    sink = History()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with captured(sink):
            warnings.warn("odd value", UserWarning, stacklevel=1)
    level, text = sink.lines[0]
    assert level == "WARNING"
    assert text.startswith("UserWarning: odd value (")
    assert "test_capture.py" in text


def test_a_tqdm_bar_feeds_progress_and_draws_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    from tqdm import tqdm

    sink = History()
    with captured(sink):
        for _ in tqdm(range(5), desc="slices", mininterval=0):
            pass
    assert sink.progress[-1] == (1.0, "slices")
    fractions = [f for f, _ in sink.progress]
    assert fractions == sorted(fractions)
    assert sink.lines == []
    out = capsys.readouterr()
    assert out.out + out.err == ""


def test_a_bar_of_a_notebook_feeds_progress_and_shows_no_widget(capsys: pytest.CaptureFixture[str]) -> None:
    from tqdm.notebook import tqdm

    sink = History()
    with captured(sink):
        for _ in tqdm(range(5), desc="slices", mininterval=0):
            pass
        assert list(tqdm(range(2), disable=True)) == [0, 1]
    assert sink.progress[0] == (0.0, "slices")
    assert sink.progress[-1] == (1.0, "slices")
    out = capsys.readouterr()
    assert out.out + out.err == ""


def test_a_bar_that_is_imported_during_the_run_feeds_its_progress() -> None:
    code = """
from workbench.execution.capture import captured
from test_capture import History
import sys

sink = History()
assert "tqdm" not in sys.modules
with captured(sink):
    from tqdm import tqdm

    list(tqdm(range(3), mininterval=0))
assert sink.progress[-1][0] == 1.0
"""
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_thread_that_outlives_its_run_prints_as_if_there_were_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sink = History()
    go = threading.Event()

    def late() -> None:
        go.wait(5)
        print("late")

    with captured(sink):
        thread = threading.Thread(target=late)
        thread.start()
    sink.is_active = False
    go.set()
    thread.join()
    assert sink.lines == []
    assert capsys.readouterr().out == "late\n"


def test_nothing_stays_behind_after_the_last_run() -> None:
    before = (sys.stdout, sys.stderr, warnings.showwarning, threading.Thread.start)
    with captured(History()):
        assert sys.stdout is not before[0]
        assert current_sink() is not None
    assert (sys.stdout, sys.stderr, warnings.showwarning, threading.Thread.start) == before
    assert current_sink() is None


@pytest.fixture
def kept() -> Iterator[_Capture]:
    """A capture that stays in place between runs, as in a worker."""
    capture = _Capture()
    capture.keep()
    yield capture
    capture._remove()


def test_a_kept_capture_stays_in_place_between_runs(kept: _Capture) -> None:
    before = sys.stdout
    kept.enter()
    up = sys.stdout
    kept.leave()
    assert sys.stdout is up is not before
    kept.enter()
    assert sys.stdout is up
    kept.leave()


@pytest.mark.parametrize("leave", ["stdout", "logging", "warnings", "thread"])
def test_a_run_that_leaves_something_replaced_does_not_silence_the_next_one(
    kept: _Capture, leave: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = History(), History()
    kept.enter()
    with captured(first):
        if leave == "stdout":
            monkeypatch.setattr(sys, "stdout", io.StringIO())
        elif leave == "logging":
            for handler in list(logging.root.handlers):
                logging.root.removeHandler(handler)
        elif leave == "warnings":
            monkeypatch.setattr(warnings, "showwarning", lambda *args, **rest: None)
        else:
            monkeypatch.setattr(threading.Thread, "start", lambda thread: None)
    kept.leave()
    if leave == "thread":
        monkeypatch.undo()
    kept.enter()
    token = _current.set(second)
    try:
        print("printed")
        logging.warning("logged")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("warned", stacklevel=1)
        thread = threading.Thread(target=print, args=["from a thread"])
        thread.start()
        thread.join()
    finally:
        _current.reset(token)
        kept.leave()
    text = "\n".join(line for _, line in second.lines)
    for said in ("printed", "logged", "UserWarning: warned", "from a thread"):
        assert said in text


PRINTS_MEANWHILE = """
import sys, threading, time
from workbench.execution.capture import captured

class Run:
    echo, is_active = False, True

done = threading.Event()

def runs():
    while not done.is_set():
        with captured(Run()):
            pass

thread = threading.Thread(target=runs)
thread.start()
end = time.monotonic() + 1
while time.monotonic() < end:
    print("from a cell", flush=True)
done.set()
thread.join()
"""


def test_who_prints_while_a_run_ends_elsewhere_prints_to_the_end() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PRINTS_MEANWHILE], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert set(ended.stdout.splitlines()) == {"from a cell"}
