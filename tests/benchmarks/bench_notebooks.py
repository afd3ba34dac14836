"""What a parameterised notebook costs, and what a kernel costs to start and end.

Limit for notebooks: children of a warm process that run the same cells in IPython and write the notebook, with no protocol.
Two notebooks at a time, except where a contestant does one.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness import Contest, Figures, seconds

ROOT = Path(__file__).parents[2]
OURS = 20  # notebooks of a round
THEIRS = 2  # of the slow ones
BODIES = {"plain": "y = n * 2", "torch": "import torch; y = int(torch.ones(n).sum()) * 2"}

# The limit: reads "in out" lines, forks a child for each, says when it has ended.
ZYGOTE = """
import gc, os, sys
import nbformat
from nbformat.v4 import new_output
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config
import torch
gc.freeze()
print("ready", flush=True)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        source, target = line.split()
        notebook = nbformat.read(source, 4)
        shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
        for cell in notebook.cells:
            with capture_output() as said:
                done = shell.run_cell(cell.source, store_history=True)
            if said.stdout:
                cell.outputs.append(new_output("stream", name="stdout", text=said.stdout))
            cell.execution_count = shell.execution_count - 1
        nbformat.write(notebook, target)
        os._exit(0)
    os.waitpid(pid, 0)
    print("done", flush=True)
"""


def make(folder: Path, kind: str) -> Path:
    """Write the notebook, with its parameters in it, as papermill gives it to an engine."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    cells = [
        new_code_cell("n = 1\nname = 'x'", metadata={"tags": ["parameters"]}),
        new_code_cell(BODIES[kind]),
        new_code_cell("print(name, y)"),
    ]
    made = new_notebook(cells=cells)
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made.metadata["language_info"] = {"name": "python"}
    nbformat.write(made, folder / f"{kind}.ipynb")
    return folder / f"{kind}.ipynb"


def check(path: Path) -> None:
    text = path.read_text()
    assert "x 2" in text or "job 42" in text, f"{path} was not executed"


class Zygote:
    """The limit's process."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", ZYGOTE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def run(self, source: Path, target: Path) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{source} {target}\n")
        self.process.stdin.flush()
        self.process.stdout.readline()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def each(one: Callable[[Path, Path], object], sources: dict[str, Path], times: int, at_once: int) -> Figures:
    """Return seconds per notebook of each kind."""
    figures = {}
    for kind, source in sources.items():
        targets = [source.with_name(f"out_{kind}_{i}.ipynb") for i in range(times)]
        with ThreadPoolExecutor(at_once) as pool:
            figures[kind] = (
                seconds(lambda s=source, t=targets: list(pool.map(lambda x: one(s, x), t))) / times
            )
        for target in targets:
            check(target)
            target.unlink()
    return figures


def main(rounds: int = 3) -> None:
    scratch = tempfile.TemporaryDirectory(prefix="wb")
    folder = Path(scratch.name)
    os.environ["WORKBENCH_HOST_FOLDER"] = str(folder / "hosts")
    os.environ["IPYTHONDIR"] = str(folder / "ipython")
    os.environ["JUPYTER_PATH"] = str(ROOT / "share" / "jupyter")

    from workbench.batch import children
    from workbench.settings import load

    settings = load()[0]
    children.start_nursery(settings)
    while not children.is_warm(settings):
        time.sleep(0.1)
    try:
        notebooks(folder, settings, rounds)
        kernels(folder, settings, rounds)
    finally:
        children.stop_nursery(settings)
    scratch.cleanup()


def notebooks(folder: Path, settings: Any, rounds: int) -> None:
    from workbench.batch.children import fresh_child

    sources = {kind: make(folder, kind) for kind in BODIES}
    contest = Contest(
        f"a three-cell notebook, {OURS} of them, two at a time", limit="limit: forked, no protocol"
    )
    zygotes = [Zygote(), Zygote()]
    free = list(zygotes)

    def limit(source: Path, target: Path) -> None:
        zygote = free.pop()
        zygote.run(source, target)
        free.append(zygote)

    def ours(source: Path, target: Path) -> None:
        child = fresh_child({}, source.read_bytes(), settings)
        for event in child.events():
            if event["event"] == "end":
                target.write_bytes(event["body"])
        child.close()

    contest.add("limit: forked, no protocol", lambda: each(limit, sources, OURS, 2))
    contest.add("workbench", lambda: each(ours, sources, OURS, 2))
    contest.target("workbench", "plain", ratio=4)
    contest.target("workbench", "torch", ratio=4)

    with contest.peer("papermill"):
        import logging

        import papermill
        from papermill.engines import papermill_engines

        from workbench.batch.engine import WorkbenchEngine

        logging.getLogger("papermill").setLevel(logging.ERROR)
        papermill_engines.register("workbench", WorkbenchEngine)

        def api(engine: str | None) -> Callable[[Path, Path], object]:
            return lambda source, target: papermill.execute_notebook(
                source,
                target,
                {"n": 21, "name": "job"},
                engine_name=engine,
                kernel_name="python3",
                progress_bar=False,
            )

        def command(source: Path, target: Path) -> None:
            words = [sys.executable, "-m", "papermill", str(source), str(target), "-p", "n", "21"]
            subprocess.run([*words, "-p", "name", "job"], check=True, capture_output=True)

        contest.add("papermill API, our engine", lambda: each(api("workbench"), sources, 5, 1))
        contest.add("papermill API", lambda: each(api(None), sources, THEIRS, 1))
        contest.add("papermill command", lambda: each(command, sources, THEIRS, 2))
    with contest.peer("nbclient"):
        import nbclient
        import nbformat

        def client(source: Path, target: Path) -> None:
            made = nbformat.read(source, 4)
            nbclient.NotebookClient(made, kernel_name="python3").execute()
            nbformat.write(made, target)

        contest.add("nbclient", lambda: each(client, sources, THEIRS, 1))
    with contest.peer("nbconvert"):
        import nbconvert  # noqa: F401

        def convert(source: Path, target: Path) -> None:
            words = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", str(source)]
            subprocess.run([*words, "--output", target.name], check=True, capture_output=True)

        contest.add("nbconvert command", lambda: each(convert, sources, THEIRS, 2))
    with contest.peer("ploomber-engine (in our process)"):
        from ploomber_engine import execute_notebook

        contest.add(
            "ploomber-engine (in our process)",
            lambda: each(lambda s, t: execute_notebook(s, t, progress_bar=False), sources, 5, 1),
        )
    figures = contest.run(rounds, warmup=1)
    for peer, bounds in {
        "papermill command": {"plain": 1 / 25, "torch": 1 / 25},
        "papermill API": {"plain": 1 / 10, "torch": 1 / 15},
    }.items():
        for kind, bound in bounds.items():
            if peer in figures:
                told("workbench", figures["workbench"][kind], peer, figures[peer][kind], kind, bound)
    for zygote in zygotes:
        zygote.close()


def told(name: str, ours: list[float], peer: str, theirs: list[float], what: str, bound: float) -> None:
    """Print a ratio beside its bound."""
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    verdict = "ok" if ratio <= bound else "MISSED"
    print(f"  {name} / {peer}, {what}: {ratio:.4f} ({1 / ratio:.1f} x faster)   bound {bound:.4f}: {verdict}")


def kernels(folder: Path, settings: Any, rounds: int) -> None:
    """A kernel: from asking to the first reply; and its end.

    Of a prepared kernel's time, 10 ms are a pause that jupyter_client makes in every start.
    """
    from jupyter_client.manager import KernelManager
    from jupyter_client.provisioning import KernelProvisionerFactory

    from workbench.batch import children
    from workbench.batch.provisioner import WarmProvisioner

    class EntryPoint:
        name = "workbench-warm"

        def load(self) -> Any:
            return WarmProvisioner

    KernelProvisionerFactory.instance().provisioners["workbench-warm"] = EntryPoint()
    place = children.nursery_address(settings).folder

    def kernel(name: str, wait_for_spare: bool, now: bool = True, running: bool = False) -> Figures:
        """Measure one kernel; a running one is handed out, so that only its front end has to come."""
        if wait_for_spare:
            time.sleep(0.3)
            while not list(place.glob("k*-5")):
                time.sleep(0.05)
            time.sleep(0.3)
        manager = KernelManager(kernel_name=name)
        begin = time.perf_counter()
        manager.start_kernel()
        if running:
            time.sleep(0.5)
            begin = time.perf_counter()
        client = manager.client()
        client.start_channels()
        # not wait_for_ready, which always listens for 0.2 s more
        client.kernel_info(reply=True, timeout=60)
        client.execute("x = 1", reply=True, timeout=60)
        ready = time.perf_counter() - begin
        client.stop_channels()
        begin = time.perf_counter()
        manager.shutdown_kernel(now=now)
        ended = time.perf_counter() - begin
        client.context.destroy()
        manager.context.destroy()
        return {"first reply": ready, "end" if now else "end, gracefully": ended}

    def forked() -> Figures:
        for spare in place.glob("k*-5"):  # none is ready
            os.kill(int(spare.name[1:].split("-")[0]), 9)
        time.sleep(0.3)
        return kernel("workbench-warm", False)

    def graceful(name: str) -> Figures:
        return {k: v for k, v in kernel(name, False, now=False).items() if k != "first reply"}

    kernel("workbench-warm", False)  # from now on there is a spare one
    contest = Contest("a kernel, from asking to the reply to x = 1, and its end", limit="cold")
    contest.add("cold", lambda: kernel("python3", False) | graceful("python3"))
    contest.add("warm, forked", forked)
    contest.add("warm, running", lambda: kernel("workbench-warm", False, running=True))
    contest.add("warm, prepared", lambda: kernel("workbench-warm", True) | graceful("workbench-warm"))
    contest.target("warm, forked", "first reply", ratio=0.3)
    contest.target("warm, running", "first reply", ratio=0.05)
    contest.target("warm, forked", "end", seconds=0.05)
    contest.target("warm, prepared", "end", seconds=0.05)
    contest.target("warm, prepared", "end, gracefully", seconds=0.05)
    contest.run(rounds)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
