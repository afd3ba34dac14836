"""What a background run costs beside what its algorithm does. Limit: a pickled call over a pipe.

Every run of ours is a full record: kept before it is given away, kept again before its end is told, and brought to a file and a
catalog row of its own in the time that is measured as well.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from harness import Contest, Figures, Round, median_seconds, seconds

SUPPORT = str(Path(__file__).parents[1] / "support")
sys.path.insert(0, SUPPORT)
# the workers of the peers import the function by its name
os.environ["PYTHONPATH"] = os.pathsep.join([SUPPORT, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
from algorithm_folders import NOOP, write_algorithm  # noqa: E402
from noop_task import noop  # noqa: E402

TIMES = 100
QUEUED = 1000
LIMIT = "limit: pickle over a pipe"
IPYPARALLEL, DASK = "ipyparallel (load balanced)", "dask LocalCluster"


def answer(connection) -> None:  # type: ignore[no-untyped-def]
    while (data := connection.recv_bytes()) != b"end":
        function, arguments = pickle.loads(data)
        connection.send_bytes(pickle.dumps(function(*arguments)))


def pool_figures(submit: Callable[[], object], result: Callable[[object], object]) -> Round:
    """Return a contestant from how to submit one no-op and how to wait for it."""

    def run() -> Figures:
        one = median_seconds(lambda: result(submit()), TIMES)
        many = seconds(lambda: [result(f) for f in [submit() for _ in range(QUEUED)]])
        return {"submit to result": one, f"each of {QUEUED} queued": many / QUEUED}

    return run


@contextmanager
def over_pipe() -> Iterator[Round]:
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    child = fork.Process(target=answer, args=(theirs,), daemon=True)
    child.start()

    def call() -> object:
        ours.send_bytes(pickle.dumps((noop, ())))
        return pickle.loads(ours.recv_bytes())

    yield pool_figures(call, lambda result: result)
    ours.send_bytes(b"end")
    child.join()


@contextmanager
def futures(method: str) -> Iterator[Round]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        yield pool_figures(lambda: pool.submit(noop), lambda f: f.result())  # type: ignore[attr-defined]


@contextmanager
def futures_fork() -> Iterator[Round]:
    with futures("fork") as run:
        yield run


@contextmanager
def futures_forkserver() -> Iterator[Round]:
    with futures("forkserver") as run:
        yield run


@contextmanager
def loky() -> Iterator[Round]:
    from loky import get_reusable_executor

    pool = get_reusable_executor(max_workers=2, timeout=600)
    yield pool_figures(lambda: pool.submit(noop), lambda f: f.result())
    pool.shutdown()


@contextmanager
def pebble() -> Iterator[Round]:
    from pebble import ProcessPool

    pool = ProcessPool(max_workers=2)
    yield pool_figures(lambda: pool.schedule(noop), lambda f: f.result())
    pool.stop()
    pool.join()


@contextmanager
def dask() -> Iterator[Round]:
    from dask.distributed import Client, LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        yield pool_figures(lambda: client.submit(noop, pure=False), lambda f: f.result())


@contextmanager
def ipyparallel() -> Iterator[Round]:
    import ipyparallel

    engines = ipyparallel.Cluster(n=2, log_level=40)
    view = engines.start_and_connect_sync().load_balanced_view()
    yield pool_figures(lambda: view.apply_async(noop), lambda f: f.get())
    engines.stop_cluster_sync()


@contextmanager
def workbench() -> Iterator[Round]:
    import workbench

    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(prefix="wb") as host_folder:
        ws = workbench.open(Path(folder) / "ws", workers=2, host_folder=host_folder)
        algorithm = ws.algorithms.deploy(write_algorithm(Path(folder) / "noop", "noop", NOOP, type="Generic"))
        first = seconds(lambda: ws.run(algorithm, executor="process"))
        print(f"  the very first background run, host start included: {first:.2f} s", flush=True)
        host = ws.executor("process").client
        while not host.status()["forks"]:
            time.sleep(0.1)
        yield pool_figures(
            lambda: ws.run(algorithm, executor="process", wait=False), lambda run: run.result()
        )
        host.stop(force=True)
        ws.close()


def main(rounds: int = 5) -> None:
    contest = Contest("a no-op in a warm background process (bound: fastest pool + 2 ms)", limit=LIMIT)
    contest.add_apart(LIMIT, over_pipe)
    contest.add_apart("concurrent.futures fork", futures_fork)
    contest.add_apart("concurrent.futures forkserver", futures_forkserver)
    contest.add_apart("loky", loky)
    contest.add_apart("pebble", pebble)
    contest.add_apart(DASK, dask)
    contest.add_apart(IPYPARALLEL, ipyparallel)
    contest.add_apart("workbench", workbench)
    figures = contest.run(rounds)
    one = {name: statistics.median(f["submit to result"]) for name, f in figures.items()}
    pools = {n: s for n, s in one.items() if n not in {"workbench", LIMIT}}
    fastest = min(pools, key=pools.__getitem__)
    bound = pools[fastest] + 0.002
    say = "ok" if one["workbench"] <= bound else "MISSED"
    print(f"  bound: {fastest} + 2 ms = {bound * 1e3:.2f} ms: {say}")
    for name in (DASK, IPYPARALLEL):
        if name in one:
            rounds_of = zip(
                figures["workbench"]["submit to result"], figures[name]["submit to result"], strict=True
            )
            ratio = statistics.median(ours / theirs for ours, theirs in rounds_of)
            print(f"  {ratio:.2f} x {name}   bound 0.2 x: {'ok' if ratio <= 0.2 else 'MISSED'}")
    rate = 1 / statistics.median(figures["workbench"][f"each of {QUEUED} queued"])
    print(f"  {rate:.0f} queued runs a second   bound 200: {'ok' if rate >= 200 else 'MISSED'}")


if __name__ == "__main__":
    main()
