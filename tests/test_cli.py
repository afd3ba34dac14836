"""The command line: the same things as the magics, from a terminal."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from algorithm_folders import GAIN, generic, write_algorithm
from click.testing import CliRunner, Result

import workbench
from workbench.cli import main
from workbench.models import RunRecord, now
from workbench.names import new_id


@pytest.fixture
def call(tmp_path: Path):
    """Return a function that calls the command on a workspace of its own."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["-w", str(tmp_path / "ws"), *arguments], catch_exceptions=False)

    return run


def test_deploy_run_and_find_again(call, tmp_path: Path) -> None:
    folder = write_algorithm(tmp_path / "invert", extra=GAIN)
    assert "invert@1.0" in call("deploy", str(folder), "--no-check").output
    assert "invert@1.0" in call("ls").output
    assert "gain" in call("describe", "invert").output
    image = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    np.save(tmp_path / "image.npy", image)
    done = call("run", "invert", str(tmp_path / "image.npy"), "gain=2", "-o", str(tmp_path / "out.npy"))
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), (11.0 - image) * 2)
    with workbench.open(tmp_path / "ws") as ws:
        run_id = ws.runs.list()[0].id
    assert run_id in call("jobs").output
    assert "inverting" in call("jobs", run_id, "log").output


def test_several_outputs_are_numbered_files_or_a_folder(call, tmp_path: Path) -> None:
    folder = write_algorithm(tmp_path / "invert")
    np.save(tmp_path / "stack.npy", np.ones((2, 8, 8), np.float32))
    call("deploy", str(folder), "--no-check")
    assert call("run", "invert", str(tmp_path / "stack.npy"), "-o", str(tmp_path / "o.tif")).exit_code == 0
    assert sorted(p.name for p in tmp_path.glob("o*.tif")) == ["o-000.tif", "o-001.tif"]
    call("run", "invert", str(tmp_path / "stack.npy"), "-o", str(tmp_path / "out"))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["000.h5", "001.h5"]


def test_a_dry_run_says_what_would_be_stored(call, tmp_path: Path) -> None:
    folder = write_algorithm(tmp_path / "invert", files={"weights.bin": b"123", ".env/secret": b"x"})
    output = call("deploy", str(folder), "--dry-run").output
    assert all(word in output for word in ("Runner.py", "weights.bin", ".env"))
    assert "No algorithms" in call("ls").output


def test_an_error_is_one_message_and_exit_code_1(call) -> None:
    done = call("run", "nothing")
    assert done.exit_code == 1
    assert done.output.startswith("Error: ")
    assert "Traceback" not in done.output


def test_a_failed_run_shows_its_traceback_and_exits_with_1(call, tmp_path: Path) -> None:
    folder = write_algorithm(
        tmp_path / "bad", "bad", generic("raise ValueError('the true error')"), type="Generic"
    )
    done = call("run", str(folder))
    assert done.exit_code == 1
    assert "the true error" in done.output
    assert "Runner.py" in done.output


def test_import_list_and_export(call, tmp_path: Path) -> None:
    np.save(tmp_path / "scan.npy", np.arange(6.0).reshape(2, 3))
    assert call("import", str(tmp_path / "scan.npy"), "--name", "scan", "--tag", "raw").exit_code == 0
    assert "scan" in call("data", "--tag", "raw").output
    assert "No datasets" in call("data", "--tag", "other").output
    call("export", "scan", str(tmp_path / "again.npy"))
    np.testing.assert_array_equal(np.load(tmp_path / "again.npy"), np.arange(6.0).reshape(2, 3))


def test_reindex_counts_what_it_found(call, tmp_path: Path) -> None:
    np.save(tmp_path / "scan.npy", np.zeros((2, 3)))
    call("import", str(tmp_path / "scan.npy"))
    assert (
        call("reindex").output
        == "reindexed 1 datasets, 0 algorithms, 0 runs, 0 entries, 0 bundles, 0 versions of steps\n"
    )


def test_settings_show_value_and_origin(call, tmp_path: Path) -> None:
    lines = call("settings").output.splitlines()
    assert any(
        line.startswith("url") and str(tmp_path / "ws") in line and "argument" in line for line in lines
    )


def test_the_doctor_finds_a_catalog_that_lags_behind(call, tmp_path: Path) -> None:
    np.save(tmp_path / "scan.npy", np.zeros((2, 3)))
    call("import", str(tmp_path / "scan.npy"))
    well = call("doctor")
    assert well.exit_code == 0
    assert " in memory, in " in well.output or " on a disk, in " in well.output
    with workbench.open(tmp_path / "ws") as ws:
        ws.catalog.clear()
    sick = call("doctor")
    assert sick.exit_code == 1
    assert "!!  catalog: 0 datasets indexed, 1 stored; run: workbench reindex" in sick.output
    call("reindex")
    assert call("doctor").exit_code == 0


def test_the_doctor_points_at_runs_that_were_lost_lately(call, tmp_path: Path) -> None:
    def lost(days: float) -> RunRecord:
        then = now() - timedelta(days=days)
        return RunRecord(
            id=new_id(), algorithm="fit@1.0", algorithm_name="fit", status="LOST", created=then, finished=then
        )

    with workbench.open(tmp_path / "ws") as ws:
        ws.catalog.put_runs([lost(30), lost(8)])
        assert "ok  lost runs: none in the last 7 days" in call("doctor").output
        new = [lost(days) for days in (4, 3, 2, 1)]
        ws.catalog.put_runs(new)
    found = call("doctor")
    assert found.exit_code == 0  # nothing is wrong with the workspace
    line = next(line for line in found.output.splitlines() if "lost runs" in line)
    assert line.startswith(
        f"--  lost runs: 4 in the last 7 days, whose process vanished: {new[3].id} (fit@1.0), {new[2].id}"
    )
    assert "and 1 more" in line
    assert f"workbench jobs {new[3].id}" in line


def test_the_doctor_names_a_folder_that_is_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    done = CliRunner().invoke(main, ["-w", str(tmp_path), "doctor"])
    assert done.exit_code == 1
    assert "!!  workspace" in done.output


def test_a_background_run_is_followed_and_its_host_is_seen_and_ended(call, tmp_path: Path) -> None:
    folder = write_algorithm(tmp_path / "invert", extra=GAIN)
    call("deploy", str(folder), "--no-check")
    np.save(tmp_path / "image.npy", np.zeros((3, 4), np.float32))
    assert "No run host" in call("host", "status").output
    assert "There is no run host" in call("host", "stop").output
    done = call("run", "-b", "invert", str(tmp_path / "image.npy"))
    run_id = done.output.split()[1]
    followed = call("jobs", run_id, "attach").output
    assert followed.startswith((tmp_path / "ws" / "runs" / f"{run_id}.log").read_text())
    assert "COMPLETED" in followed
    assert "1 ended" in call("host", "status").output
    assert "run host" in call("doctor").output
    assert "has ended" in call("host", "stop").output
    assert "No run host" in call("host", "status").output


def test_a_run_is_reused_and_tells_why(call, tmp_path: Path) -> None:
    call("deploy", str(write_algorithm(tmp_path / "invert", extra=GAIN)), "--no-check")
    np.save(tmp_path / "image.npy", np.ones((4, 5), np.float32))
    first = call("run", "invert", str(tmp_path / "image.npy")).output.split()[1]
    again = call(
        "run", "invert", str(tmp_path / "image.npy"), "--reuse", "auto", "-o", str(tmp_path / "o.npy")
    )
    assert f"reused from {first}" in again.output
    np.testing.assert_array_equal(np.load(tmp_path / "o.npy"), np.zeros((4, 5)))
    assert f"reused from {first}" in call("why", "last").output
    assert "Nothing was computed" in call("jobs", "last", "log").output
    assert "reuse was off" in call("why", first).output
    refused = call("run", "invert", str(tmp_path / "image.npy"), "gain=2", "--reuse", "only")
    assert refused.exit_code == 1
    assert "parameter gain: 1.0 -> 2.0" in refused.output
