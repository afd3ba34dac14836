"""Schedules in the system's crontab: a stand-in on the path, and the real one where it exists."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from algorithm_folders import GAIN, write_algorithm
from click.testing import CliRunner, Result
from sweep_algorithms import write_scale

import workbench
from workbench.batch.schedule import add, check_when, every, log_of, remove, schedules
from workbench.cli import main
from workbench.errors import InvalidInputError, NotFoundError, StorageError, UnsupportedError

#: keeps its table in a file, and speaks as cron does
FAKE = """#!{python}
import sys
from pathlib import Path
table = Path({table!r})
if sys.argv[1:] == ["-l"]:
    if not table.exists():
        sys.exit("no crontab for you")
    print(table.read_text(), end="")
elif sys.argv[1:] == ["-"]:
    text = sys.stdin.read()
    if "refuse me" in text:
        sys.exit("errors in crontab file, can't install")
    table.write_text(text)
else:
    sys.exit(2)
"""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a crontab on the path, and return the file it keeps its lines in."""
    table, program = tmp_path / "table", tmp_path / "bin" / "crontab"
    program.parent.mkdir()
    program.write_text(FAKE.format(python=sys.executable, table=str(table)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return table


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("1m", "* * * * *"),
        ("15 min", "*/15 * * * *"),
        ("60m", "0 * * * *"),
        ("1h", "0 * * * *"),
        ("6H", "0 */6 * * *"),
        ("24h", "0 0 * * *"),
        ("1d", "0 0 * * *"),
        ("1w", "0 0 * * 0"),
    ],
)
def test_intervals_in_the_words_of_cron(text: str, when: str) -> None:
    assert every(text) == check_when(when) == when


@pytest.mark.parametrize("text", ["7m", "90m", "5h", "2d", "0m", "soon", "1", "-1h"])
def test_an_interval_that_cron_cannot_keep_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="--cron"):
        every(text)


@pytest.mark.parametrize(
    "when", ["0 2 * * *", "*/5 8-18 * * 1-5", "0 0 1,15 jan-mar sun", "@daily", "0 2 * * 7"]
)
def test_times_of_cron_are_taken(when: str) -> None:
    assert check_when(when) == when


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("0 2 * *", "4 fields"),
        ("60 2 * * *", "minute is '60'"),
        ("0 24 * * *", "hour is '24'"),
        ("0 2 0 * *", "day is '0'"),
        ("0 2 * 13 *", "month is '13'"),
        ("0 2 * * 8", "weekday is '8'"),
        ("0 5-2 * * *", "hour is '5-2'"),
        ("*/0 * * * *", "minute is"),
        ("@dayly", "Did you mean '@daily'"),
    ],
)
def test_what_is_no_time_is_refused_with_its_field(when: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        check_when(when)


def test_a_schedule_is_added_listed_and_removed_beside_lines_of_others(table: Path, tmp_path: Path) -> None:
    table.write_text("# mine\n5 5 * * * backup\n")
    first = add("0 2 * * *", ["echo", "50% of it's done"], tmp_path / "a b")
    second = add("@daily", ["true"], tmp_path)
    assert [s.id for s in schedules()] == [first.id, second.id]
    assert schedules()[0] == first
    lines = table.read_text().splitlines()
    assert lines[:2] == ["# mine", "5 5 * * * backup"]
    assert r"50\% of it" in lines[2]
    assert remove(first.id) == first
    assert [s.id for s in schedules()] == [second.id]
    assert table.read_text().splitlines()[:2] == ["# mine", "5 5 * * * backup"]
    with pytest.raises(NotFoundError, match=first.id):
        remove(first.id)


def test_the_scheduled_line_does_what_was_meant(table: Path, tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    schedule = add("@daily", [sys.executable, "-c", "import os; print(os.getcwd(), '50%')"], tmp_path / "a b")
    # cron gives a shell the text behind the time, with \% as %
    text = table.read_text().split(" ", 1)[1].replace(r"\%", "%")
    subprocess.run(["/bin/sh", "-c", text], check=True)
    assert log_of(schedule.id).read_text() == f"{tmp_path / 'a b'} 50%\n"


def test_what_cron_refuses_is_told_and_line_breaks_are_refused(table: Path) -> None:
    with pytest.raises(StorageError, match="errors in crontab file"):
        add("@daily", ["refuse me"])
    with pytest.raises(InvalidInputError, match="line breaks"):
        add("@daily", ["a\nb"])
    assert not table.exists()


def test_a_machine_without_cron_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnsupportedError, match="apt-get install cron"):
        schedules()


@pytest.mark.skipif(shutil.which("crontab") is None, reason="no crontab is installed here")
def test_the_real_crontab_takes_our_lines() -> None:
    schedule = add("0 2 29 2 *", ["true", "50%"])
    try:
        assert schedule in list(schedules())
    finally:
        remove(schedule.id)
    assert schedule not in list(schedules())


@pytest.fixture
def call(tmp_path: Path) -> Callable[..., Result]:
    """Return a function that calls the command on a workspace of its own, with an algorithm."""
    with workbench.open(tmp_path / "ws", workers=2) as ws:
        ws.algorithms.deploy(write_scale(tmp_path / "scale"), check=False)

    def run(*arguments: str, code: int = 0) -> Result:
        done = CliRunner().invoke(
            main, ["-w", str(tmp_path / "ws"), "batch", *arguments], catch_exceptions=False
        )
        assert done.exit_code == code, done.output
        return done

    return run


def test_a_sweep_from_the_command_line_writes_its_table(call: Callable[..., Result], tmp_path: Path) -> None:
    done = call("scale", "x=1:3", "ms=1", "-j", "1", "--name", "night", "-o", str(tmp_path / "t.csv"))
    assert "3 of 3 completed" in done.output
    assert "2.0" in (tmp_path / "t.csv").read_text()
    assert "night" in call().output
    assert "ValueError: x is 2" in call("scale", "x=1,2", "fails_at=2", code=1).output
    with workbench.open(tmp_path / "ws") as ws:
        newest = ws.sweeps.names()[0]
    assert "1 of 2 completed, 1 failed" in call("--resume", newest, code=1).output
    assert "--resume" in call("scale", "--resume", newest, code=1).output
    assert "2 of 2 completed" in call("scale", "x=1,2", "ms=1,2", "--zip").output
    assert "4 of 4 completed" in call("scale", "x=0:1", "--sample", "4").output


def test_a_sweep_over_inputs_writes_its_report(
    call: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with workbench.open(tmp_path / "ws") as ws:
        ws.algorithms.deploy(write_algorithm(tmp_path / "invert", extra=GAIN), check=False)
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", np.eye(3, dtype=np.float32))
    done = call(
        "invert", "*.npy", "gain=1,2", "--each-input", "--report", "pages"
    )  # as cron's shell passes it
    assert "4 of 4 completed" in done.output
    assert "a.npy" in done.output
    assert f"report: {Path('pages') / 'index.html'}" in done.output
    assert "b.npy" in (tmp_path / "pages" / "index.html").read_text()
    with workbench.open(tmp_path / "ws") as ws:
        newest = ws.sweeps.names()[0]
    done = call("--attach", newest, "-o", "t.csv", "--report")
    assert (tmp_path / f"report-{newest}" / "index.html").exists()
    assert f"report-{newest}" in done.output
    assert "input" in (tmp_path / "t.csv").read_text()
    (tmp_path / "file").touch()
    for option in ("-o", "--report"):  # said before anything is run
        done = call("scale", "x=1", option, "file/table.csv", code=1)
        assert "Choose another place" in done.output
        assert "completed" not in done.output
    assert "1 of 1 completed" in call("scale").output  # a point of defaults
    assert "--attach ID --report" in call("scale", "x=1", "-b", "--report", code=1).output


def test_a_scheduled_sweep_is_checked_first_and_its_line_runs_it(
    call: Callable[..., Result], table: Path, tmp_path: Path
) -> None:
    assert "is -200" in call("scale", "x=-200,1", "--every", "1h", code=1).output
    assert "Keep one" in call("scale", "x=1", "--every", "1h", "--cron", "@daily", code=1).output
    assert not table.exists()
    marks = tmp_path / "marks"
    report = str(tmp_path / "nightly-{id}")
    call(
        "scale",
        "x=4,5",
        f"marks={marks}",
        "--cron",
        "0 2 * * *",
        "--fail-fast",
        "-j",
        "1",
        "--report",
        report,
    )
    (schedule,) = schedules()
    assert schedule.when == "0 2 * * *"
    assert schedule.id in call("--list").output
    subprocess.run(["/bin/sh", "-c", schedule.command], check=True)
    assert "2 of 2 completed" in log_of(schedule.id).read_text()
    assert marks.read_text().split() == ["4", "5"]
    assert len(list(tmp_path.glob("nightly-*/index.html"))) == 1
    call("--remove", schedule.id)
    assert len(schedules()) == 0
