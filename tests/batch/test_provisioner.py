"""Warm kernels: found by their kernelspec, ready at once, ended at once, never shared."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning import KernelProvisionerFactory
from notebook_runs import notebook, save, wait_until
from traitlets.log import get_logger

from workbench.batch import children
from workbench.batch.nursery import kernels_path
from workbench.batch.provisioner import ForkedKernel
from workbench.settings import Settings, load

ROOT = Path(__file__).parents[2]


class EntryPoint:
    """What installing makes of the project's line."""

    def __init__(self, name: str, target: str) -> None:
        self.name = name
        self._target = target

    def load(self) -> Any:
        import importlib

        module, attribute = self._target.split(":")
        return getattr(importlib.import_module(module), attribute)


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(ROOT / "share" / "jupyter"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, target in project["entry-points"]["jupyter_client.kernel_provisioners"].items():
        monkeypatch.setitem(KernelProvisionerFactory.instance().provisioners, name, EntryPoint(name, target))


class Kernel:
    """A started kernel and its client."""

    def __init__(self, kernel_name: str = "workbench-warm", **options: Any) -> None:
        self.manager = KernelManager(kernel_name=kernel_name)
        self.manager.start_kernel(**options)
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        # not wait_for_ready, which always listens for 0.2 s more
        self.client.wait_for_ready(timeout=30)

    def says(self, code: str) -> str:
        """Return the text that code prints, or the name of the error."""
        texts = []

        def hear(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                texts.append(message["content"]["text"])
            elif message["msg_type"] == "error":
                texts.append(message["content"]["ename"])

        self.client.execute_interactive(code, timeout=30, output_hook=hear)
        return "".join(texts).strip()

    def end(self, now: bool = True) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=now)
        self.client.context.destroy()
        self.manager.context.destroy()


@pytest.fixture
def kernels(nursery: Settings) -> Iterator[Any]:
    made: list[Kernel] = []

    def start(**options: Any) -> Kernel:
        made.append(Kernel(**options))
        return made[-1]

    yield start
    for kernel in made:
        if kernel.manager.has_kernel:
            kernel.end()


@pytest.fixture(autouse=True)
def _jupyters_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let caplog have what Jupyter's own log says, also after a test that made an application."""
    monkeypatch.setattr(get_logger(), "propagate", True)


def test_a_warm_kernel_is_forked_and_speaks_over_files(kernels: Any) -> None:
    kernel = kernels()
    assert isinstance(kernel.manager.provisioner.process, ForkedKernel)
    assert kernel.manager.transport == "ipc"
    assert kernel.says("print(6 * 7)") == "42"


def test_two_kernels_share_nothing(kernels: Any, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = kernels(cwd=str(tmp_path / "a"), env={**os.environ, "WHO": "one"})
    one.says("import numpy as np, random, builtins, os\nx = builtins.x = 1\nos.environ['LEFT'] = '1'")
    two = kernels(cwd=str(tmp_path / "b"), env={**os.environ, "WHO": "two"})
    assert two.says("x") == "NameError"
    where = "import os; print(os.getcwd(), os.environ['WHO'], os.environ.get('LEFT'))"
    assert one.says(where) == f"{tmp_path / 'a'} one 1"
    assert two.says(where) == f"{tmp_path / 'b'} two None"
    draw = "import numpy as np, random; print(random.random(), np.random.rand(), os.getpid())"
    drawn = zip(one.says(draw).split(), two.says(draw).split(), strict=True)
    assert all(a != b for a, b in drawn)


LOOK = """
import builtins, json, logging, os, random, statistics, sys, tempfile
import numpy as np
print(json.dumps({
    "name": "mine" in globals(), "builtin": hasattr(builtins, "mine"), "module": "mine" in sys.modules, "path": "/mine" in sys.path,
    "patched": statistics.mean([1, 3]) != 2, "patched numpy": bool(np.mean([1, 3]) != 2), "variable": "MINE" in os.environ,
    "folder": os.getcwd() == "/", "options": bool(np.get_printoptions()["suppress"]), "log level": logging.root.level == 5,
    "temporary": tempfile.tempdir == "/mine", "magic": "mine" in get_ipython().magics_manager.magics["line"], "cells": len(In) != 2,
    "drawn": [random.random(), float(np.random.rand())], "process": os.getpid(),
}))
"""
CHANGE = """
mine = builtins.mine = 1
sys.modules["mine"] = os; sys.path.insert(0, "/mine"); os.environ["MINE"] = "1"; os.chdir("/")
statistics.mean = np.mean = lambda values: "mine"
np.set_printoptions(suppress=True); logging.root.setLevel(5); tempfile.tempdir = "/mine"
get_ipython().register_magic_function(lambda line: line, "line", "mine")
random.seed(1); np.random.seed(1)
print(random.random(), np.random.rand())
"""


def test_fifty_kernels_do_not_see_each_other(nursery: Settings) -> None:
    seen, first_draws, before = [], set(), None
    for _ in range(50):  # forked for it or made ahead, as they come; the one before still lives
        kernel = Kernel()
        assert isinstance(kernel.manager.provisioner.process, ForkedKernel)
        seen.append(json.loads(kernel.says(LOOK)))
        first_draws.add(kernel.says(CHANGE))
        if before is not None:
            before.end()
        before = kernel
    assert before is not None
    assert all(json.loads(before.says(LOOK))[what] for what, is_seen in seen[0].items() if is_seen is False)
    before.end()
    drawn = [number for one in seen for number in one.pop("drawn")]
    assert len(set(drawn)) == 100
    assert len({one.pop("process") for one in seen}) == 50
    assert [one for one in seen if any(one.values())] == []
    assert len(first_draws) == 1  # a seed draws what it draws everywhere


def test_a_spare_kernel_is_made_for_the_next_and_has_its_folder_and_environment(
    kernels: Any, tmp_path: Path, nursery: Settings
) -> None:
    taken = f"k{kernels().manager.provisioner.pid}-5"
    folder = children.nursery_address(nursery).folder
    wait_until(lambda: {path.name for path in folder.glob("k*-5")} - {taken})  # the last socket of the spare
    kernel = kernels(cwd=str(tmp_path), env={**os.environ, "WHO": "spare"})
    assert f"k{kernel.manager.provisioner.pid}" == Path(kernel.manager.ip).name
    assert kernel.says("import os; print(os.getcwd(), os.environ['WHO'])") == f"{tmp_path} spare"
    assert kernel.says("%cd -q /\nprint(os.getcwd())") == "/"


def test_an_interrupt_stops_the_cell_and_not_the_kernel(kernels: Any) -> None:
    kernel = kernels()
    kernel.says("kept = 5")
    asked = kernel.client.execute("import time\nprint('in', flush=True)\ntime.sleep(600)")
    while True:
        message = kernel.client.get_iopub_msg(timeout=30)
        if message["msg_type"] == "stream":
            break
    kernel.manager.interrupt_kernel()
    reply = kernel.client.get_shell_msg(timeout=30)
    assert reply["parent_header"]["msg_id"] == asked
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    # what comes at once belongs for ipykernel to the queue that the error has ended
    wait_until(lambda: kernel.says("print(kept)") == "5")


def test_a_kernel_that_is_started_again_keeps_its_address_and_nothing_else(kernels: Any) -> None:
    kernel = kernels()
    kernel.says("x = 1")
    address, pid = kernel.manager.ip, kernel.manager.provisioner.pid
    kernel.manager.restart_kernel(now=True)
    kernel.client.wait_for_ready(timeout=30)
    assert kernel.manager.ip == address
    assert kernel.manager.provisioner.pid != pid
    assert isinstance(kernel.manager.provisioner.process, ForkedKernel)
    assert kernel.says("x") == "NameError"


@pytest.mark.parametrize("now", [True, False])
def test_a_kernel_that_is_shut_down_is_gone(kernels: Any, now: bool, tmp_path: Path) -> None:
    kernel = kernels(cwd=str(tmp_path))
    kernel.says("f = open('left.txt', 'w'); f.write('written')")
    pid = kernel.manager.provisioner.pid
    kernel.end(now=now)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    if not now:
        assert (tmp_path / "left.txt").read_text() == "written"


def test_a_killed_kernel_is_noticed(kernels: Any) -> None:
    kernel = kernels()
    process = kernel.manager.provisioner.process
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not kernel.manager.is_alive())
    assert process.returncode == -signal.SIGKILL


def test_a_kernel_ends_with_the_process_that_asked_for_it(nursery: Settings) -> None:
    from workbench.execution.wire import encode

    connection = children.connected(kernels_path(children.nursery_address(nursery).socket))
    assert connection is not None
    forked = ForkedKernel(connection)
    connection.sendall(encode({"op": "kernel", "cwd": "/", "environment": dict(os.environ)}))
    assert asyncio.run(forked.ready()) is not None
    connection.close()

    def is_gone() -> bool:
        try:
            os.kill(forked.pid, 0)
        except ProcessLookupError:
            return True
        return False

    wait_until(is_gone)


def test_where_nothing_is_warm_the_kernel_starts_cold_and_says_why(
    kernels: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WORKBENCH_NOTEBOOK_PRELOAD", "json")  # another nursery, which is not there
    kernel = kernels()
    assert "only starting now" in caplog.text
    assert not isinstance(kernel.manager.provisioner.process, ForkedKernel)
    assert kernel.says("print(1)") == "1"
    settings = load()[0]
    wait_until(lambda: children.is_warm(settings))
    children.stop_nursery(settings)


def test_papermill_and_widgets_work_in_it(kernels: Any, tmp_path: Path) -> None:
    import nbformat
    import papermill

    path = save(notebook("import ipywidgets; ipywidgets.IntSlider(3)", "1 + 1"), tmp_path / "in.ipynb")
    papermill.execute_notebook(path, tmp_path / "out.ipynb", kernel_name="workbench-warm", progress_bar=False)
    made = nbformat.read(tmp_path / "out.ipynb", 4)
    assert made.cells[1].outputs[0].data["text/plain"] == "2"
    assert "widgets" in made.metadata


def test_a_kernel_has_its_users_configuration_and_start_up_files(
    kernels: Any, tmp_path: Path, nursery: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = tmp_path / "ipython" / "profile_default"
    (profile / "startup").mkdir(parents=True)
    (profile / "startup" / "first.py").write_text("begun = True")
    config = profile / "ipython_config.py"
    config.write_text("c = get_config()\nc.InteractiveShellApp.exec_lines = ['said = 1']")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    kernels()  # cold, while the process that forks starts
    wait_until(lambda: children.is_warm(nursery))
    folder = children.nursery_address(nursery).folder
    for value in (1, 2):
        config.write_text(f"c = get_config()\nc.InteractiveShellApp.exec_lines = ['said = {value}']")
        before = set(folder.glob("k*-5"))
        kernel = kernels()
        assert isinstance(kernel.manager.provisioner.process, ForkedKernel)
        assert kernel.says("print(begun, said)") == f"True {value}"
        own = folder / f"k{kernel.manager.provisioner.pid}-5"
        wait_until(lambda before=before, own=own: set(folder.glob("k*-5")) - before - {own})  # the spare
    children.stop_nursery(nursery)


def test_a_nursery_removes_what_kernels_of_an_ended_one_have_left(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    names = {f"k{ended.pid}-1": False, f"k{os.getpid()}-1": True, "k12345678-1": True}
    for name in names:
        (tmp_path / name).touch()
    settings = Settings(host_folder=str(tmp_path), notebook_preload=())
    children.start_nursery(settings)
    wait_until(lambda: children.is_warm(settings))
    children.stop_nursery(settings)
    assert {name: (tmp_path / name).exists() for name in names} == names


def test_what_is_read_only_once_is_never_of_another_environment(nursery: Settings) -> None:
    environment = {**os.environ, "TZ": "Asia/Tokyo"}
    assert children.nursery_address(nursery, environment) != children.nursery_address(nursery)
    environment = {**os.environ, "WHO": "somebody"}
    assert children.nursery_address(nursery, environment) == children.nursery_address(nursery)


def test_a_kernel_with_options_of_its_own_starts_cold(kernels: Any, caplog: pytest.LogCaptureFixture) -> None:
    kernel = kernels(extra_arguments=["--no-automagic"])
    assert "options of its own (--no-automagic)" in caplog.text
    assert kernel.says("print(1)") == "1"


def test_a_forked_kernel_is_set_up_as_one_of_an_interpreter(kernels: Any) -> None:
    asked = """
    ip = get_ipython()
    print(ip.execution_count, len(In), ip.parent is ip.kernel, ip.kernel.shell is ip, ip.kernel.parent in ip.configurables)
    print(type(ip.kernel).__name__, sorted({type(c).__name__ for c in ip.configurables} - {"IPKernelApp", "WarmKernelApp"}))
    """
    kernel, cold = kernels(), kernels(kernel_name="python3")
    assert isinstance(kernel.manager.provisioner.process, ForkedKernel)
    assert kernel.says(asked) == cold.says(asked)
    kernel.client.execute("exit")
    wait_until(lambda: not kernel.manager.is_alive())


def test_a_forked_kernel_can_be_debugged(kernels: Any) -> None:
    pytest.importorskip("debugpy")
    client = kernels().client

    def ask(command: str, **arguments: Any) -> dict[str, Any]:
        content = {"type": "request", "seq": 1, "command": command, "arguments": arguments}
        message = client.session.msg("debug_request", content)
        client.control_channel.send(message)
        reply: dict[str, Any] = client.get_control_msg(timeout=30)["content"]
        return reply

    assert "debugger" in client.kernel_info(reply=True, timeout=30)["content"]["supported_features"]
    assert ask("initialize", clientID="test", adapterID="", pathFormat="path")["success"]
    assert ask("attach")["success"]
    source = ask("dumpCell", code="x = 1\ny = x + 1\nz = y + 1")["body"]["sourcePath"]
    assert ask("setBreakpoints", source={"path": source}, breakpoints=[{"line": 2}])["body"]["breakpoints"][
        0
    ]["verified"]
    assert ask("configurationDone")["success"]
    client.execute("x = 1\ny = x + 1\nz = y + 1")
    while True:
        message = client.get_iopub_msg(timeout=30)
        if message["msg_type"] == "debug_event" and message["content"]["event"] == "stopped":
            break
    assert ask("continue", threadId=message["content"]["body"]["threadId"])["success"]
    assert client.get_shell_msg(timeout=30)["content"]["status"] == "ok"
