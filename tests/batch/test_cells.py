"""One notebook in one fresh child: outputs, errors, ends, and that nothing leaks."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from nbformat import from_dict
from notebook_runs import execute, notebook, wait_until

from workbench.batch.children import fresh_child
from workbench.batch.kernels import why_other_kernel

pytestmark = pytest.mark.usefixtures("nursery")


def test_cells_share_a_namespace_and_count() -> None:
    done = execute(notebook("x = 20", "print(x)", "x + 1"))
    assert done.error is None
    assert done.text(1) == "20\n"
    assert done.result(2) == "21"
    assert [cell.execution_count for cell in done.notebook.cells] == [1, 2, 3]
    assert done.notebook.metadata.language_info.name == "python"


def test_each_cell_has_papermills_times() -> None:
    done = execute(notebook("1", "1/0", "2"))
    first, second, third = (cell.metadata.papermill for cell in done.notebook.cells)
    assert (first.status, first.exception) == ("completed", False)
    assert (second.status, second.exception) == ("failed", True)
    assert (third.status, third.start_time) == ("pending", None)
    assert first.end_time >= first.start_time
    assert first.duration >= 0
    assert done.notebook.metadata.papermill.exception is True


def test_streams_are_kept_in_their_order_also_from_below_python() -> None:
    source = """
import os, subprocess
print("a")
os.system("echo b")
print("c")
subprocess.run(["echo", "d"])
os.write(2, b"\\xc3"); os.write(2, b"\\xa9");  # one character in two writes
"""
    done = execute(notebook(source))
    assert done.text(0) == "a\nb\nc\nd\n"
    assert done.text(0, "stderr") == "é"
    assert len(done.notebook.cells[0].outputs) == 2


def test_a_subprocess_that_is_given_stdout_writes_into_the_cell() -> None:
    done = execute(notebook("import subprocess, sys\nsubprocess.run(['echo', 'x'], stdout=sys.stdout);"))
    assert done.text(0) == "x\n"


def test_more_than_a_pipe_holds_comes_through() -> None:
    done = execute(notebook("import os\nos.system('head -c 300000 /dev/zero | tr \"\\\\0\" x');"))
    assert done.text(0) == "x" * 300_000


def test_a_process_that_a_cell_forks_prints_into_the_cell() -> None:
    source = (
        "import os\npid = os.fork()\nif pid == 0:\n    print('child')\n    os._exit(0)\nos.waitpid(pid, 0);"
    )
    done = execute(notebook(source, "'still here'"))
    assert done.text(0) == "child\n"
    assert done.result(1) == "'still here'"


def test_displays_are_updated_and_cleared() -> None:
    done = execute(
        notebook(
            "h = display('old', display_id=True)",
            "from IPython.display import clear_output\nprint('gone')\nclear_output(wait=True)\nprint('stays')",
            "h.update('new')",
            "print('gone')\nclear_output()",
        )
    )
    cells = done.notebook.cells
    assert [output.data["text/plain"] for output in cells[0].outputs] == ["'new'"]
    assert [output.text for output in cells[1].outputs] == ["stays\n"]
    assert cells[2].outputs == cells[3].outputs == []
    told = [event["cells"] for event in done.events if event["event"] == "cell"]
    assert set(told[2]) == {"0", "2"}  # the update of an earlier cell is told with the cell that made it


def test_async_cells_magics_and_commands_run() -> None:
    done = execute(
        notebook(
            "import asyncio\nawait asyncio.sleep(0)\n'awaited'",
            "%%bash\necho from bash",
            "!echo from a shell",
            "%timeit -n1 -r1 1",
        )
    )
    assert done.error is None
    assert done.result(0) == "'awaited'"
    assert done.text(1) == "from bash\n"
    assert "from a shell" in done.text(2)
    assert "per loop" in done.text(3)


def test_a_task_that_one_cell_starts_goes_on_in_the_next() -> None:
    done = execute(notebook("import asyncio\nt = asyncio.create_task(asyncio.sleep(0, 7))", "await t"))
    assert done.result(1) == "7"


def test_figures_are_shown_by_the_cell_that_draws_them() -> None:
    pytest.importorskip("matplotlib")
    done = execute(
        notebook("import matplotlib.pyplot as plt\nplt.plot([1, 2]);", "plt.plot([2, 1])\nplt.show()")
    )
    assert done.error is None
    for cell in done.notebook.cells:
        assert [output.output_type for output in cell.outputs] == ["display_data"]
        assert "image/png" in cell.outputs[0].data


def test_an_error_ends_the_notebook_and_is_shown_as_a_kernel_shows_it() -> None:
    done = execute(notebook("def f():\n    return 1/0\nf()", "print('never')"))
    assert done.error is not None
    assert (done.error["index"], done.error["kind"], done.error["ename"]) == (0, "error", "ZeroDivisionError")
    output = done.notebook.cells[0].outputs[-1]
    assert output.output_type == "error"
    assert any("\x1b[" in line for line in output.traceback)
    assert done.notebook.cells[1].execution_count is None


def test_a_cell_tagged_raises_exception_may_raise() -> None:
    done = execute(notebook("1/0", "'on'", tags={0: ["raises-exception"]}))
    assert done.error is None
    assert done.notebook.cells[0].outputs[0].ename == "ZeroDivisionError"
    assert done.result(1) == "'on'"


def test_a_cell_tagged_skip_execution_and_an_empty_one_are_not_run() -> None:
    done = execute(notebook("1/0", "  ", "3", tags={0: ["skip-execution"]}))
    assert done.error is None
    assert [cell.execution_count for cell in done.notebook.cells] == [None, None, 1]


def test_exit_with_cells_to_come_is_an_error_of_its_own() -> None:
    done = execute(notebook("print('x')\nexit()", "print('never')"))
    assert done.error is not None
    assert (done.error["kind"], done.error["index"]) == ("exit", 0)
    assert "exit()" in done.error["evalue"]
    assert done.text(0) == "x\n"


def test_exit_in_the_last_cell_is_the_end() -> None:
    assert execute(notebook("1", "quit()")).error is None


def test_sys_exit_is_the_error_that_a_kernel_makes_of_it() -> None:
    done = execute(notebook("import sys; sys.exit(3)"))
    assert done.error is not None
    assert (done.error["ename"], done.error["evalue"]) == ("SystemExit", "3")


def test_a_cell_that_ends_the_process_leaves_what_was_told_before() -> None:
    done = execute(notebook("print('kept')", "import os; os._exit(7)"))
    assert [event["event"] for event in done.events] == ["begin", "cell", "begin"]
    assert done.events[1]["cells"]["0"]["outputs"][0]["text"] == "kept\n"
    assert done.child is not None
    assert "exit code 7" in done.child.why_ended()


def test_a_crash_of_compiled_code_is_named() -> None:
    done = execute(notebook("import ctypes; ctypes.string_at(0)"))
    assert done.child is not None
    assert done.child.code == -signal.SIGSEGV
    assert "compiled code has crashed" in done.child.why_ended()


@pytest.mark.parametrize(
    "source", ["while True: pass", "import time; time.sleep(600)", "import asyncio; await asyncio.sleep(600)"]
)
def test_a_cell_over_its_time_is_interrupted_and_says_so(source: str) -> None:
    done = execute(notebook("print('kept')", source, "3"), cell_timeout_s=0.3)
    assert done.error is not None
    assert (done.error["kind"], done.error["index"]) == ("timeout", 1)
    errors = [o for o in done.notebook.cells[1].outputs if o.output_type == "error"]
    assert [o.ename for o in errors] == ["CellTimeoutError"]
    assert "time limit" in errors[0].evalue
    assert done.text(0) == "kept\n"


def test_the_time_of_all_cells_together_is_limited_too() -> None:
    done = execute(notebook("import time; time.sleep(0.2)", "time.sleep(600)"), timeout_s=0.5)
    assert done.error is not None
    assert (done.error["kind"], done.error["index"]) == ("timeout", 1)


def test_a_cell_that_refuses_interrupts_is_given_up_with_the_notebook_so_far() -> None:
    stubborn = "import time\nwhile True:\n    try: time.sleep(600)\n    except KeyboardInterrupt: print('no')"
    done = execute(notebook("print('kept')", stubborn), cell_timeout_s=0.2)
    assert done.error is not None
    assert done.error["kind"] == "timeout"
    assert done.text(0) == "kept\n"


def test_an_interrupt_from_outside_ends_the_notebook() -> None:
    child = fresh_child({}, json.dumps(notebook("import time; time.sleep(600)", "2")).encode())
    try:
        events = child.events(60.0)
        begun = next(events)
        assert begun["event"] == "begin"
        os.kill(child.pid or 0, 0)  # it lives
        seen = []
        for event in _interrupting(child, events):
            seen.append(event)
    finally:
        child.close()
    assert seen[-1]["event"] == "end"
    assert seen[-1]["error"]["ename"] == "KeyboardInterrupt"


def test_a_child_that_nobody_waits_for_is_ended_with_what_it_has_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    source = f"""
import os, subprocess
p = subprocess.Popen(["sleep", "600"])
open({str(pids)!r}, "w").write(f"{{os.getpid()}} {{p.pid}}")
p.wait()
"""
    child = fresh_child({}, json.dumps(notebook(source)).encode())
    wait_until(lambda: pids.exists() and pids.read_text().count(" "))
    child.close()
    for pid in pids.read_text().split():
        wait_until(lambda pid=pid: not psutil.pid_exists(int(pid)) or is_zombie(int(pid)))


def is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _interrupting(child, events):
    """Interrupt until the cell has noticed: it may not have entered its sleep yet."""
    import threading

    ended = threading.Event()

    def again() -> None:
        while not ended.wait(0.1):
            child.interrupt()

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield from events
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("input('name?')", "input()"),
        ("import getpass; getpass.getpass()", "password"),
        ("import ipywidgets; ipywidgets.IntSlider()", "comm"),
        ("try: input()\nexcept Exception: pass", "input()"),
    ],
)
def test_what_only_a_kernel_can_do_is_found_while_running(source: str, why: str) -> None:
    done = execute(notebook("1", source))
    assert why in done.end["needs_kernel"]


def test_other_kernels_are_seen_before_anything_runs() -> None:
    made = notebook("x <- 1")
    made.metadata["kernelspec"] = {"name": "ir", "display_name": "R", "language": "R"}
    assert "R" in execute(made).end["needs_kernel"]
    assert "nonsense" in why_other_kernel(notebook("1"), "nonsense")
    assert why_other_kernel(notebook("1"), "python3") == ""


def test_recorded_values_are_told() -> None:
    source = """
def keep(name, value, **more):
    bundle = {"application/vnd.workbench.record+json": {"name": name, "value": value, **more}, "text/plain": "x"}
    get_ipython().display_pub.publish(data=bundle, metadata={})
keep("a", 1); keep("a", 2)
keep("b", 1, append=True); keep("b", 2, append=True)
"""
    assert execute(notebook(source)).end["records"] == {"a": 2, "b": [1, 2]}


def test_files_left_open_are_written_and_exit_functions_called(tmp_path: Path) -> None:
    source = f"""
import atexit, tempfile
from pathlib import Path
f = open({str(tmp_path / "open.txt")!r}, "w"); f.write("written")
atexit.register(lambda: Path({str(tmp_path / "exit.txt")!r}).touch())
t = tempfile.TemporaryDirectory(); print(t.name, end="")
"""
    done = execute(notebook(source))
    assert (tmp_path / "open.txt").read_text() == "written"
    assert (tmp_path / "exit.txt").exists()
    assert not Path(done.text(0)).exists()


def test_a_fault_of_ours_is_told_with_its_traceback() -> None:
    made = notebook("1")
    made.cells[0]["metadata"] = None
    done = execute(made)
    assert done.events[-1]["event"] == "broken"
    assert "Traceback" in done.events[-1]["why"]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    done = execute(notebook("1"), cwd=str(tmp_path / "none"))
    assert done.events[-1]["event"] == "refused"
    assert "none" in done.events[-1]["why"]


def test_fifty_notebooks_do_not_see_each_other(tmp_path: Path) -> None:
    look = """
import builtins, json, os, random, sys
import numpy as np
seen = [
    "mine" in globals(), hasattr(builtins, "mine"), json.dumps is not json_dumps_of_old if "json_dumps_of_old" in globals() else False,
    json.dumps(1) != "1", "MINE" in os.environ, "mine" in sys.modules, "/mine" in sys.path, os.getcwd() != {here!r},
    not np.get_printoptions()["suppress"] is False,
]
print(seen, random.random(), np.random.rand(), os.getpid())
"""
    change = """
mine = builtins.mine = 1
json.dumps = lambda *a, **k: "patched"
os.environ["MINE"] = "1"; sys.modules["mine"] = os; sys.path.insert(0, "/mine")
os.chdir("/"); np.set_printoptions(suppress=True)
random.seed(1); np.random.seed(1)
print(random.random(), np.random.rand())
"""
    made = notebook(look.replace("{here!r}", repr(str(tmp_path))), change)
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: execute(from_dict(made), cwd=str(tmp_path)), range(50)))
    assert [d.error for d in done] == [None] * 50
    looks = [d.text(0).rsplit("]", 1) for d in done]
    assert {seen for seen, _ in looks} == {str([False] * 9)[:-1]}
    drawn = [rest.split() for _, rest in looks]
    assert all(len({row[i] for row in drawn}) == 50 for i in range(3))  # two generators, and the process
    assert len({d.text(1) for d in done}) == 1  # seeds are obeyed


def test_modules_of_the_folder_are_found_after_those_of_python(tmp_path: Path) -> None:
    (tmp_path / "wave.py").write_text("mine = True")
    (tmp_path / "beside.py").write_text("mine = True")
    cells = execute(notebook("import wave, beside", "hasattr(wave, 'mine'), beside.mine"), cwd=str(tmp_path))
    assert cells.result(1) == "(False, True)"
