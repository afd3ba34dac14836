"""How fast a fresh isolated worker is there, with numpy, h5py and torch at hand. Limits: the standard forkserver, a new interpreter."""

from __future__ import annotations

import multiprocessing
import queue
import subprocess
import sys
import time

from harness import Contest, Figures, seconds

READY = "import numpy, h5py, torch"


def main(rounds: int = 9) -> None:
    from workbench.execution.wire import receive
    from workbench.hosting.workers import WorkerStarter

    try:
        import torch  # noqa: F401
    except ImportError:
        print("\nfresh worker: left out (torch is not installed)")
        return
    contest = Contest(
        "a fresh process with numpy, h5py and torch (bound: 50 ms)", limit="forkserver, preloaded"
    )
    context = multiprocessing.get_context("forkserver")
    started: queue.SimpleQueue = queue.SimpleQueue()
    starter = WorkerStarter({}, started.put)
    while not starter.is_warm:
        time.sleep(0.1)

    def worker() -> Figures:
        begin = time.perf_counter()
        starter.want()
        handle = started.get()
        handle.connection.setblocking(True)
        receive(handle.connection, handle.decoder)
        taken = time.perf_counter() - begin
        handle.kill()
        handle.process.join()
        handle.connection.close()
        return {"ready": taken}

    def plain() -> Figures:
        reading, writing = context.Pipe(duplex=False)
        begin = time.perf_counter()
        process = context.Process(target=_ready, args=(writing,))
        process.start()
        reading.recv()
        taken = time.perf_counter() - begin
        process.join()
        return {"ready": taken}

    contest.add("forkserver, preloaded", plain)
    contest.add("workbench worker", worker)
    contest.add(
        "python -c import",
        lambda: {"ready": seconds(lambda: subprocess.run([sys.executable, "-c", READY], check=True))},
    )
    contest.target("workbench worker", "ready", seconds=0.050)
    contest.run(rounds)


def _ready(connection) -> None:  # type: ignore[no-untyped-def]
    import h5py  # noqa: F401
    import numpy  # noqa: F401
    import torch  # noqa: F401

    connection.send(True)


if __name__ == "__main__":
    main()
