"""The main job: open, deploy, run, look, find again."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from algorithm_folders import GAIN, NOOP, generic, write_algorithm

import workbench
from workbench.errors import (
    InvalidDataError,
    InvalidInputError,
    InvalidParameterError,
    NotFoundError,
    ReadOnlyError,
    RunCancelledError,
    RunFailedError,
    RunTimeoutError,
    StorageFullError,
    UnsupportedError,
    WorkspaceError,
)
from workbench.models import RunStatus
from workbench.names import new_id


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "ws") as workspace:
        yield workspace


@pytest.fixture
def stack() -> np.ndarray:
    return np.random.default_rng(0).random((4, 16, 12), dtype=np.float32)


def test_an_array_goes_in_and_an_array_comes_out(
    ws: workbench.Workspace, tmp_path: Path, stack: np.ndarray
) -> None:
    invert = ws.algorithms.deploy(write_algorithm(tmp_path / "invert", extra=GAIN))
    run = invert(stack, gain=2.0)
    assert run.status == "COMPLETED"
    assert run.progress == 1.0
    assert run.parameters == {"gain": 2.0}
    np.testing.assert_array_equal(run.result(), (stack.max() - stack) * 2.0)
    assert len(run.outputs) == 4
    assert "inverting" in run.log
    assert run.error is None


def test_tomorrow_everything_is_found_again(tmp_path: Path, stack: np.ndarray) -> None:
    with workbench.open(tmp_path / "ws") as ws:
        ws.algorithms.deploy(write_algorithm(tmp_path / "invert", extra=GAIN), check=False)
        run = ws.run("invert", stack)
        made = run.result()
    with workbench.open(tmp_path / "ws") as ws:
        again = ws.runs.get(run.id)
        assert again.status == "COMPLETED"
        np.testing.assert_array_equal(again.result(), made)
        assert again.log == run.log
        assert [r.id for r in ws.runs.list(algorithm="invert")] == [run.id]
        output = again.outputs[0]
        assert output.run_id == run.id
        assert output.parents == again.record.inputs
        assert again.environment["packages"]["numpy"] == np.__version__


def test_reindex_rebuilds_the_catalog_from_the_store(tmp_path: Path, stack: np.ndarray) -> None:
    with workbench.open(tmp_path / "ws") as ws:
        algorithm = ws.algorithms.deploy(write_algorithm(tmp_path / "invert", extra=GAIN), check=False)
        ws.algorithms.alias("invert@1.0", "stable")
        run = ws.run("invert", stack)
        before = [d.record for d in ws.datasets.list(limit=100)]
    for left in (tmp_path / "ws").glob("catalog.sqlite*"):
        left.unlink()
    with workbench.open(tmp_path / "ws") as ws:  # a catalog that is gone is built without being asked
        assert [d.record for d in ws.datasets.list(limit=100)] == before
        assert ws.reindex() == {
            "datasets": 8,
            "algorithms": 1,
            "runs": 1,
            "entries": 0,
            "bundles": 0,
            "versions of steps": 0,
        }
        assert ws.runs.get(run.id).record == run.record
        assert ws.algorithms.get("invert@stable").id == algorithm.id


@pytest.mark.parametrize(
    ("algorithm", "inputs", "parameters", "options", "error", "match"),
    [
        ("invrt", None, {}, {}, NotFoundError, "invert"),
        ("invert@2", None, {}, {}, NotFoundError, "1.0"),
        ("invert", None, {"gian": 1.0}, {}, InvalidParameterError, "'gain'"),
        ("invert", None, {"gain": "much"}, {}, InvalidParameterError, "gain"),
        ("invert", None, {"gain": 11.0}, {}, InvalidParameterError, "10"),
        ("invert", ["no-such-dataset"], {}, {}, NotFoundError, "no-such-dataset"),
        ("invert", np.zeros((4, 4), np.int32), {}, {}, InvalidDataError, "float32"),
        ("invert", np.zeros((2, 2, 2, 2), np.float32), {}, {}, InvalidDataError, "shape"),
        ("invert", object(), {}, {}, InvalidInputError, "expected an array"),
        ("invert", None, {}, {"device": "gpu"}, UnsupportedError, "supports cpu"),
        ("invert", None, {}, {"executor": "moon"}, NotFoundError, "kernel"),
        ("invert", None, {}, {"timeout_s": 0}, InvalidInputError, "greater than 0"),
        ("invert", None, {}, {"retries": -1}, InvalidInputError, "0 or larger"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(
    ws: workbench.Workspace,
    tmp_path: Path,
    algorithm: str,
    inputs: object,
    parameters: dict[str, object],
    options: dict[str, object],
    error: type[Exception],
    match: str,
) -> None:
    ws.algorithms.deploy(write_algorithm(tmp_path / "invert", extra=GAIN), check=False)
    before = sorted(p for p in (tmp_path / "ws").rglob("*") if "catalog" not in p.name)
    with pytest.raises(error, match=match):
        ws.run(
            algorithm, inputs if inputs is not None else np.zeros((4, 4), np.float32), parameters, **options
        )
    assert sorted(p for p in (tmp_path / "ws").rglob("*") if "catalog" not in p.name) == before
    assert len(ws.runs.list()) == 0


@pytest.mark.parametrize(
    ("data", "match"),
    [
        ({"data": np.zeros((8, 8), np.float32)}, r"no key 'image'.*'data' \(8, 8\) float32.*\.array"),
        ({"image": np.zeros((2, 3, 8, 8), np.float32)}, r"has shape \(2, 3, 8, 8\), expected \(H, W\)"),
        ({"image": np.zeros((8, 8), np.int64)}, r"is int64.*astype\('float32'\)"),
        ({"image": np.zeros((8, 8, 3), np.uint8)}, "moveaxis"),
        ({"image": np.zeros((0, 8), np.float32)}, "is empty"),
    ],
)
def test_a_dataset_that_does_not_fit_the_type_is_refused_before_the_run(
    ws: workbench.Workspace, tmp_path: Path, data: dict[str, np.ndarray], match: str
) -> None:
    ws.algorithms.deploy(write_algorithm(tmp_path / "invert"), check=False)
    ws.datasets.put(data, name="given")
    with pytest.raises(InvalidDataError, match=match):
        ws.run("invert", "given")
    assert len(ws.runs.list()) == 0


@pytest.mark.parametrize("key", ["volume", "image"])
def test_a_stack_in_a_dataset_is_taken_apart_as_an_array_is(
    ws: workbench.Workspace, tmp_path: Path, stack: np.ndarray, key: str
) -> None:
    ws.algorithms.deploy(write_algorithm(tmp_path / "invert"), check=False)
    dataset = ws.datasets.put({key: stack}, name="given")
    run = ws.run("invert", "given")
    np.testing.assert_array_equal(run.result(), stack.max() - stack)
    assert {d.parents for d in run.inputs} == {(dataset.id,)}


def test_a_file_is_an_input_and_nothing_is_stored_if_another_is_refused(
    ws: workbench.Workspace, tmp_path: Path, stack: np.ndarray
) -> None:
    ws.algorithms.deploy(write_algorithm(tmp_path / "invert"), check=False)
    np.save(tmp_path / "stack.npy", stack)
    with pytest.raises(NotFoundError):
        ws.run("invert", [tmp_path / "stack.npy", "nowhere"])
    assert len(ws.datasets.list()) == 0
    run = ws.run("invert", str(tmp_path / "stack.npy"))
    assert len(run.outputs) == 4
    assert run.inputs[0].source == str(tmp_path / "stack.npy")


def test_a_file_of_labels_is_an_input_as_it_is(ws: workbench.Workspace, tmp_path: Path) -> None:
    code = """
        from workbench.runners import Segmentation2SegmentationRunner

        class Runner(Segmentation2SegmentationRunner):
            def inference(self, data, args={}):
                return data
    """
    folder = write_algorithm(tmp_path / "keep", "keep", code, type="Segmentation2Segmentation")
    labels = np.arange(24, dtype="i4").reshape(2, 3, 4)
    np.save(tmp_path / "labels.npy", labels)
    run = ws.run(folder, tmp_path / "labels.npy")
    np.testing.assert_array_equal(run.result(), labels)
    assert run.result().dtype == labels.dtype


def test_colour_with_its_channels_last_is_refused_with_the_way_out(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    invert = ws.algorithms.deploy(write_algorithm(tmp_path / "invert"), check=False)
    for given in (np.zeros((64, 60, 3), np.uint8), [np.zeros((64, 60, 3), np.uint8)]):
        with pytest.raises(InvalidDataError, match="moveaxis"):
            invert(given)


def test_a_typed_algorithm_without_inputs_is_refused_before_the_run(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    invert = ws.algorithms.deploy(write_algorithm(tmp_path / "invert"), check=False)
    for call in (invert, lambda: invert([])):
        with pytest.raises(InvalidInputError, match="no input"):
            call()
    assert len(ws.runs.list()) == 0


def test_an_option_of_the_run_is_not_taken_for_a_parameter(ws: workbench.Workspace, tmp_path: Path) -> None:
    invert = ws.algorithms.deploy(write_algorithm(tmp_path / "invert"), check=False)
    with pytest.raises(InvalidParameterError, match=r"run_options=\{'device': 'cpu'\}"):
        invert(np.ones((8, 8)), device="cpu")


def test_an_empty_listing_of_a_mistyped_algorithm_says_so(ws: workbench.Workspace, tmp_path: Path) -> None:
    ws.algorithms.deploy(write_algorithm(tmp_path / "invert"), check=False)
    assert "Did you mean 'invert'" in repr(ws.runs.list(algorithm="invrt"))


def test_a_failed_run_keeps_the_true_error_first(ws: workbench.Workspace, tmp_path: Path) -> None:
    code = generic("""
        try:
            [][1]
        except IndexError:
            raise ValueError("the true error")
    """)
    run = ws.algorithms.deploy(write_algorithm(tmp_path / "bad", "bad", code, type="Generic"), check=False)(
        np.zeros(3)
    )
    assert run.status == "FAILED"
    error = run.error
    assert isinstance(error, RunFailedError)
    assert str(error).startswith("ValueError: the true error")
    assert error.phase == "inference"
    assert 'raise ValueError("the true error")' in error.traceback_text
    assert "workbench/execution" not in error.traceback_text
    assert isinstance(error.__cause__, ValueError)
    with pytest.raises(RunFailedError, match="the true error"):
        run.result()
    stored = ws.runs.get(run.id)
    assert str(stored.error) == str(error)
    assert "the true error" in stored.log


def test_an_import_inside_a_method_that_finds_nothing_says_what_to_install(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    code = generic("import package_that_is_not_here")
    run = ws.run(write_algorithm(tmp_path / "bad", "bad", code, type="Generic"), np.zeros(3))
    assert "pip install package_that_is_not_here" in str(run.error)


def test_an_algorithm_that_exits_ends_its_run_and_not_the_kernel(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    folder = write_algorithm(tmp_path / "bad", "bad", generic("import sys\nsys.exit(3)"), type="Generic")
    run = ws.run(folder, np.zeros(3))
    assert run.status == "FAILED"
    assert run.record.error is not None
    assert (run.record.error.type, run.record.error.message) == ("SystemExit", "3")


def test_debug_raises_in_the_frame_of_the_runner(ws: workbench.Workspace, tmp_path: Path) -> None:
    folder = write_algorithm(
        tmp_path / "bad", "bad", generic("raise ValueError('look here')"), type="Generic"
    )
    with pytest.raises(ValueError, match="look here") as caught:
        ws.run(folder, np.zeros(3), debug=True)
    innermost = caught.traceback[-1]
    assert Path(str(innermost.path)) == folder / "Runner.py"
    assert ws.algorithms.list().rows() == []
    assert ws.runs.list()[0].status == "FAILED"


def test_a_folder_runs_without_being_deployed_and_edits_are_picked_up(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    folder = write_algorithm(
        tmp_path / "twice", "twice", generic("return [d['data'] * 2 for d in data]"), type="Generic"
    )
    assert ws.run(folder, np.arange(3.0)).result().tolist() == [0, 2, 4]
    write_algorithm(folder, "twice", generic("return [d['data'] * 3 for d in data]"), type="Generic")
    assert ws.run(str(folder), np.arange(3.0)).result().tolist() == [0, 3, 6]


def test_cancel_is_noticed_at_the_next_progress_call(ws: workbench.Workspace, tmp_path: Path) -> None:
    code = generic("""
        import time
        for i in range(1000):
            self.set_progress(i / 1000)
            time.sleep(0.01)
    """)
    algorithm = ws.algorithms.deploy(
        write_algorithm(tmp_path / "slow", "slow", code, type="Generic"), check=False
    )
    running = threading.Event()
    run = ws.run(algorithm, np.zeros(3), wait=False, on_event=lambda e: e.fraction > 0.01 and running.set())
    assert running.wait(10)
    run.cancel()
    assert run.wait(5).status == "CANCELLED"
    assert 0 < run.progress < 1
    with pytest.raises(RunCancelledError):
        run.result()
    assert "Cancelled." in ws.runs.get(run.id).log


def test_a_queued_run_is_cancelled_before_it_starts(ws: workbench.Workspace, tmp_path: Path) -> None:
    code = generic("import time\nself.log_message('begin')\ntime.sleep(0.3)\nreturn []")
    algorithm = ws.algorithms.deploy(
        write_algorithm(tmp_path / "slow", "slow", code, type="Generic"), check=False
    )
    first = ws.run(algorithm, np.zeros(3), wait=False)
    second = ws.run(algorithm, np.zeros(3), wait=False)
    assert second.status == "PENDING"
    assert second.cancel().status == "CANCELLED"
    assert first.wait(10).status == "COMPLETED"
    assert "begin" not in second.log


def test_a_timeout_fails_the_run_and_says_how_long(ws: workbench.Workspace, tmp_path: Path) -> None:
    code = generic("""
        import time
        while True:
            self.log_message("busy")
            time.sleep(0.02)
    """)
    run = ws.run(write_algorithm(tmp_path / "slow", "slow", code, type="Generic"), np.zeros(3), timeout_s=0.2)
    assert run.status == "FAILED"
    with pytest.raises(RunTimeoutError, match=r"longer than 0.2 s"):
        run.result()


def test_waiting_for_a_result_has_its_own_time_limit(ws: workbench.Workspace, tmp_path: Path) -> None:
    code = generic("import time\ntime.sleep(0.5)\nreturn [d['data'] for d in data]")
    run = ws.run(write_algorithm(tmp_path / "slow", "slow", code, type="Generic"), np.arange(2.0), wait=False)
    with pytest.raises(RunTimeoutError, match="still"):
        run.result(timeout_s=0.05)
    assert run.result(timeout_s=10).tolist() == [0.0, 1.0]


def test_an_interrupt_cancels_the_run_and_stops_the_caller(tmp_path: Path) -> None:
    code = generic(
        "import time\nprint('ready', flush=True)\nfor _ in range(500): time.sleep(0.01)\nreturn []"
    )
    write_algorithm(tmp_path / "slow", "slow", code, type="Generic")
    script = f"""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in a background
import numpy as np, workbench
ws = workbench.open({str(tmp_path / "ws")!r})
try:
    ws.run({str(tmp_path / "slow")!r}, np.zeros(3))
except KeyboardInterrupt:
    print(ws.runs.list()[0].status)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(2)
    assert process.communicate(timeout=20)[0] == "CANCELLED\n"


def test_a_run_whose_process_was_killed_is_lost_at_the_next_look(tmp_path: Path) -> None:
    code = generic("import time\nself.log_message('last words')\nprint('ready', flush=True)\ntime.sleep(60)")
    write_algorithm(tmp_path / "slow", "slow", code, type="Generic")
    script = f"""
import numpy as np, workbench
workbench.open({str(tmp_path / "ws")!r}).run({str(tmp_path / "slow")!r}, np.zeros(3))
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.communicate(timeout=20)
    with workbench.open(tmp_path / "ws") as ws:
        run = ws.runs.list()[0]
        assert run.status == "LOST"
        assert "last log line" in str(run.error)
        assert "PRINT ready" in str(run.error)
        assert "last words" in run.log


@pytest.mark.parametrize("look", ["handle", "get", "view"])
def test_whoever_watches_a_run_of_another_kernel_sees_it_lost(tmp_path: Path, look: str) -> None:
    code = generic("import time\nprint('ready', flush=True)\ntime.sleep(60)")
    write_algorithm(tmp_path / "slow", "slow", code, type="Generic")
    script = f"""
import numpy as np, workbench
workbench.open({str(tmp_path / "ws")!r}).run({str(tmp_path / "slow")!r}, np.zeros(3))
"""
    with workbench.open(tmp_path / "ws") as ws:
        assert len(ws.runs.list()) == 0  # what is settled once at the first look is settled
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        run = ws.runs.list()[0]
        assert run.status == "RUNNING"
        view = run.view() if look == "view" else None
        process.kill()
        process.communicate(timeout=20)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            if look == "get":
                run = ws.runs.get(run.id)
            is_lost = "LOST" in view._head.value if view is not None else run.status == "LOST"
            if is_lost:
                break
            time.sleep(0.05)
        assert is_lost
        if view is not None:
            view.close()


def test_a_failing_run_is_tried_again_as_often_as_asked(ws: workbench.Workspace, tmp_path: Path) -> None:
    counter = tmp_path / "count"
    code = generic(f"""
        import pathlib
        path = pathlib.Path({str(counter)!r})
        done = int(path.read_text()) if path.exists() else 0
        path.write_text(str(done + 1))
        if done < 2:
            raise OSError("flaky")
        return [d["data"] for d in data]
    """)
    run = ws.run(write_algorithm(tmp_path / "flaky", "flaky", code, type="Generic"), np.zeros(2), retries=2)
    assert run.status == "COMPLETED"
    assert counter.read_text() == "3"
    assert "Attempt 2 of 3 failed" in run.log


@pytest.mark.parametrize(
    ("declared", "attempts"),
    [
        ('["ConnectionError"]', 3),  # and so its subclass ConnectionResetError
        ('["ValueError", "OSError"]', 3),
        ('["ValueError"]', 1),
        ("false", 1),
        ("true", 3),
    ],
)
def test_only_errors_that_the_algorithm_calls_retryable_are_tried_again(
    ws: workbench.Workspace, tmp_path: Path, declared: str, attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.execution.perform.BACKOFF_S", 0.01)
    code = generic("print('attempt'); raise ConnectionResetError('gone')")
    extra = f"retryable = {declared}\n"
    folder = write_algorithm(tmp_path / "flaky", "flaky", code, type="Generic", extra=extra)
    run = ws.run(folder, np.zeros(2), retries=2)
    assert run.status == "FAILED"
    assert run.log.count("PRINT attempt") == attempts


def test_a_cancel_ends_the_wait_between_attempts(
    ws: workbench.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.execution.perform.BACKOFF_S", 600.0)
    code = generic("raise OSError('gone')")
    run = ws.run(
        write_algorithm(tmp_path / "flaky", "flaky", code, type="Generic"),
        np.zeros(2),
        retries=1,
        wait=False,
    )
    failed = threading.Event()
    run.subscribe(lambda event: failed.set() if "Trying again" in event.text else None)
    assert failed.wait(10) or "Trying again" in run.log
    assert run.cancel().wait(10).status == "CANCELLED"


def test_outputs_that_name_no_dataset_stay_text_with_a_warning(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    code = NOOP.replace("return []", 'return ["hello"]')
    run = ws.run(write_algorithm(tmp_path / "talk", "talk", code, type="Generic"))
    assert run.outputs == ["hello"]
    assert "kept as text" in run.record.warnings[0]


def test_load_assets_runs_once_and_what_it_sets_is_locked(ws: workbench.Workspace, tmp_path: Path) -> None:
    code = """
        from workbench.runners import BaseRunner

        class Runner(BaseRunner):
            def load_assets(self):
                self.table = self.fetch_asset("files/table.txt").read().decode()
                self.log_message("loaded")

            def preprocess(self, input_data, args={}):
                self.mine = 1

            def inference(self, data, args={}):
                try:
                    self.table = "other"
                except AttributeError as error:
                    return str(error)

            def postprocess(self, data, args={}):
                return [self.table, data]
    """
    folder = write_algorithm(
        tmp_path / "asset", "asset", code, type="Generic", files={"files/table.txt": "tab"}
    )
    algorithm = ws.algorithms.deploy(folder)
    first, second = algorithm(), algorithm()
    assert first.outputs[0] == second.outputs[0] == "tab"
    assert "locked" in first.outputs[1]
    assert "loaded" in first.log
    assert "loaded" not in second.log


def test_print_and_logging_of_a_run_and_its_threads_are_in_its_log(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    code = generic("""
        import logging, threading
        print("printed")
        logging.getLogger("lab").info("logged")
        thread = threading.Thread(target=lambda: (self.log_message("from a thread"), print("thread print")))
        thread.start()
        thread.join()
        return [d["data"] for d in data]
    """)
    run = ws.run(write_algorithm(tmp_path / "talk", "talk", code, type="Generic"), np.zeros(2), echo=False)
    for text in ("PRINT printed", "INFO lab: logged", "INFO from a thread", "PRINT thread print"):
        assert text in run.log


def test_colour_is_one_image_in_a_list_and_a_stack_when_bare(ws: workbench.Workspace, tmp_path: Path) -> None:
    invert = ws.algorithms.deploy(write_algorithm(tmp_path / "invert"), check=False)
    rgb = np.random.default_rng(0).random((3, 8, 8))
    assert len(invert([rgb]).outputs) == 1
    assert len(invert(rgb).outputs) == 3


def test_names_ids_datasets_and_arrays_mix(ws: workbench.Workspace, tmp_path: Path) -> None:
    ws.algorithms.deploy(write_algorithm(tmp_path / "invert"), check=False)
    image = np.random.default_rng(0).random((8, 8))
    a = ws.datasets.put({"image": image}, name="first")
    b = ws.datasets.put({"image": image * 2})
    run = ws.run("invert", ["first", b.id, a, image])
    assert len(run.outputs) == 4
    assert run.record.inputs[0] == run.record.inputs[2] == a.id


def test_a_memory_workspace_lives_in_one_process(tmp_path: Path, stack: np.ndarray) -> None:
    with workbench.open("memory://test-workspace") as ws:
        ws.algorithms.deploy(write_algorithm(tmp_path / "invert"), check=False)
        run = ws.run("invert", stack)
        assert run.result().shape == stack.shape
        assert "inverting" in ws.runs.get(run.id).log
    with workbench.open("memory://test-workspace") as ws:
        assert ws.runs.get(run.id).status == "COMPLETED"


@pytest.mark.s3
def test_the_same_calls_work_on_s3(s3: object, tmp_path: Path, stack: np.ndarray) -> None:
    url = s3.new_url()  # type: ignore[attr-defined]
    options = s3.storage_options  # type: ignore[attr-defined]
    with workbench.open(url, storage_options=options) as ws:
        ws.algorithms.deploy(write_algorithm(tmp_path / "invert", extra=GAIN), check=False)
        run = ws.run("invert", stack)
        np.testing.assert_array_equal(run.result(), stack.max() - stack)
    with workbench.open(url, storage_options=options) as ws:
        assert "inverting" in ws.runs.get(run.id).log


def test_a_catalog_whose_filling_was_killed_is_filled_at_the_next_open(tmp_path: Path) -> None:
    with workbench.open(tmp_path / "ws") as ws:
        ws.datasets.put({"data": np.zeros(3)}, name="kept")
    for left in (tmp_path / "ws").glob("catalog.sqlite*"):
        left.unlink()
    script = f"""
import os, workbench
from workbench.workspace import Workspace
Workspace.reindex = lambda self: os._exit(9)
workbench.open({str(tmp_path / "ws")!r})
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    for _ in range(2):
        with workbench.open(tmp_path / "ws") as ws:
            assert [d.name for d in ws.datasets.list()] == ["kept"]


def test_a_damaged_catalog_is_kept_aside_and_built_anew(tmp_path: Path) -> None:
    with workbench.open(tmp_path / "ws") as ws:
        ws.datasets.put({"data": np.zeros(3)}, name="kept")
    (tmp_path / "ws" / "catalog.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.warns(UserWarning, match="built anew"), workbench.open(tmp_path / "ws") as ws:
        assert [d.name for d in ws.datasets.list()] == ["kept"]
    assert len(list((tmp_path / "ws").glob("catalog.sqlite.damaged-*"))) == 1


def test_a_folder_that_is_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(WorkspaceError, match="not a workspace and not empty"):
        workbench.open(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["thesis.tex"]


def test_a_workspace_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    workbench.open(tmp_path / "ws").close()
    marker = tmp_path / "ws" / "workbench.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "format": 99}))
    with pytest.raises(WorkspaceError, match="format 99"):
        workbench.open(tmp_path / "ws")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """Give a workspace with one run on a file system that is mounted read-only."""
    with workbench.open(tmp_path / "ws") as ws:
        ws.algorithms.deploy(write_algorithm(tmp_path / "invert"), check=False)
        ws.run("invert", np.ones((4, 4), np.float32))
    mount = tmp_path / "mount"
    mount.mkdir()
    for options in (["--bind", str(tmp_path / "ws")], ["-o", "remount,ro,bind"]):
        if subprocess.run(["mount", *options, str(mount)], capture_output=True, check=False).returncode:
            pytest.skip("this machine does not let the tests mount a folder read-only")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_read_only_workspace_is_read_and_refuses_changes(read_only: Path, tmp_path: Path) -> None:
    with workbench.open(read_only) as ws:
        assert ws.runs.list()[0].result().shape == (4, 4)
        assert len(ws.datasets.list()) == 2
        for change in (
            lambda: ws.datasets.put({"data": np.ones(3)}),
            lambda: ws.run("invert", np.ones((4, 4), np.float32)),
            lambda: ws.algorithms.deploy(tmp_path / "invert"),
            ws.reindex,
        ):
            with pytest.raises(ReadOnlyError) as refused:
                change()
            assert ".tmp-" not in str(refused.value)


def test_a_full_disk_stores_nothing_and_the_next_run_works(small_disk: Path, tmp_path: Path) -> None:
    with workbench.open(small_disk / "ws") as ws:
        invert = ws.algorithms.deploy(write_algorithm(tmp_path / "invert"), check=False)
        with pytest.raises(StorageFullError):
            invert(np.ones((900, 900)))
        assert len(ws.datasets.list()) == len(ws.runs.list()) == 0
        assert [i.key for i in ws.store.list("objects")] == []
        big = generic("import numpy as np\nreturn [np.ones(1_000_000)]")
        failed = ws.run(write_algorithm(tmp_path / "big", "big", big, type="Generic"), np.zeros(3))
        assert failed.status == "FAILED"
        assert "No space is left" in str(failed.error)
        assert invert(np.ones((40, 40), np.float32)).status == "COMPLETED"


def test_current_is_the_workspace_opened_last(tmp_path: Path) -> None:
    with workbench.open(tmp_path / "a"), workbench.open(tmp_path / "b") as second:
        assert workbench.current() is second


def test_a_closed_workspace_says_so(tmp_path: Path) -> None:
    ws = workbench.open(tmp_path / "ws")
    ws.close()
    with pytest.raises(WorkspaceError, match="is closed"):
        ws.run("anything")


def test_progress_is_seen_from_another_workspace_while_it_runs(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    code = generic(f"""
        import pathlib, time
        self.set_progress(0.5, "half way")
        self.log_message("working")
        while not pathlib.Path({str(go)!r}).exists():
            time.sleep(0.02)
        return []
    """)
    run = ws.run(write_algorithm(tmp_path / "slow", "slow", code, type="Generic"), np.zeros(2), wait=False)
    with workbench.open(tmp_path / "ws") as other:
        end = time.monotonic() + 30
        while time.monotonic() < end and other.runs.get(run.id).progress < 0.5:
            time.sleep(0.02)
        seen = other.runs.get(run.id)
        assert (seen.progress, seen.message) == (0.5, "half way")
        assert seen.status in {"STARTED", "RUNNING"}
        assert "working" in seen.log
        go.touch()
        assert seen.wait(10).status == "COMPLETED"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"priority": "high"}, "priority is 'high', expected a whole number"),
        ({"timeout_s": "5"}, "timeout_s is '5', expected seconds"),
        ({"executor": 5}, "executor is 5, expected"),
        ({"executor": ""}, "executor is '', expected"),
        ({"reuse": True}, "reuse is True, expected one of never"),
        ({"parameters": ["gain"]}, r"parameters is \['gain'\], expected values by name"),
    ],
)
def test_options_of_the_wrong_kind_are_refused_in_words(
    ws: workbench.Workspace, tmp_path: Path, stack: np.ndarray, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        ws.run(write_algorithm(tmp_path / "invert"), stack, **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="None names no algorithm"):
        ws.run(None, stack)  # type: ignore[arg-type]
    assert len(ws.runs.list()) == 0


def test_a_bare_name_is_what_was_deployed_and_a_path_is_the_folder(
    ws: workbench.Workspace, tmp_path: Path, stack: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_algorithm(tmp_path / "invert")
    assert ws.run("invert", stack).record.revision is None  # there is none yet
    ws.algorithms.deploy(folder, check=False)
    assert ws.run("invert", stack).algorithm == "invert@1.0"
    assert ws.run("./invert", stack).record.revision is None


def test_a_thousand_printed_lines_are_shown_and_all_are_logged(
    ws: workbench.Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = generic("for i in range(1500): print('line', i)\nreturn []")
    for executor in ("kernel", "process"):
        run = ws.run(
            write_algorithm(tmp_path / "many", "many", code, type="Generic"), np.zeros(2), executor=executor
        )
        shown = capsys.readouterr().out.splitlines()
        assert len(shown) == 1001
        assert shown[-1] == f"… more lines are in the log: %algojobs {run.id} log"
        assert run.log.count("PRINT line") == 1500


def test_an_algorithm_that_goes_to_another_folder_leaves_the_kernel_where_it_was(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    here = Path.cwd()
    code = generic(f"import os; os.chdir({str(tmp_path)!r}); return []")
    ws.run(write_algorithm(tmp_path / "goes", "goes", code, type="Generic"), np.zeros(2))
    assert Path.cwd() == here


def test_a_closed_workspace_says_so_everywhere(tmp_path: Path) -> None:
    ws = workbench.open(tmp_path / "ws")
    _ = ws.datasets, ws.algorithms, ws.sessions
    ws.close()
    for use in (lambda: ws.datasets, lambda: ws.algorithms, lambda: ws.sessions, lambda: ws.run("a")):
        with pytest.raises(WorkspaceError, match=r"is closed\. Open it again"):
            use()


def test_a_file_is_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkspaceError, match="is a file, and a workspace is a folder"):
        workbench.open(tmp_path / "file")
    with pytest.raises(WorkspaceError, match=r"cannot be a workspace: .*file is a file"):
        workbench.open(tmp_path / "file" / "below")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at open files in /proc")
def test_a_catalog_that_nobody_asked_for_is_closed_with_its_workspace(tmp_path: Path) -> None:
    workbench.open(tmp_path / "ws").close()
    links = [fd for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    assert not any(str(tmp_path) in str(fd.readlink()) for fd in links if fd.is_symlink())


def test_a_listener_that_cannot_be_called_is_refused_before_anything_is_recorded(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    folder = write_algorithm(tmp_path / "noop", "noop", NOOP, type="Generic")
    with pytest.raises(InvalidInputError, match="on_event is 3, expected a function"):
        ws.run(folder, on_event=3)  # type: ignore[arg-type]
    assert len(ws.runs.list()) == 0


def test_a_run_of_another_run_host_says_how_to_end_it(ws: workbench.Workspace, tmp_path: Path) -> None:
    folder = write_algorithm(tmp_path / "noop", "noop", NOOP, type="Generic")
    there = {
        "executor": "process",
        "host": "elsewhere",
        "pid": 41,
        "worker_pid": 42,
        "status": RunStatus.RUNNING,
    }
    record = ws.run(folder).record.model_copy(update={**there, "id": new_id()})
    ws.catalog.put_run(record)
    with pytest.raises(UnsupportedError, match=r"run host 41 on 'elsewhere'.*ends after its runs.*kill 42"):
        ws.runs.get(record.id).cancel()
