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
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from harness import Contest, Figures, median_seconds, seconds

SUPPORT = str(Path(__file__).parents[1] / "support")
sys.path.insert(0, SUPPORT)
# the workers of the peers import the function by its name
os.environ["PYTHONPATH"] = os.pathsep.join([SUPPORT, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
from algorithm_folders import NOOP, write_algorithm  # noqa: E402
from noop_task import noop  # noqa: E402

TIMES = 100
QUEUED = 1000


def answer(connection) -> None:  # type: ignore[no-untyped-def]
    while (data := connection.recv_bytes()) != b"end":
        function, arguments = pickle.loads(data)
        connection.send_bytes(pickle.dumps(function(*arguments)))


def pool_figures(submit: Callable[[], object], result: Callable[[object], object]) -> Callable[[], Figures]:
    """Return a contestant from how to submit one no-op and how to wait for it."""

    def run() -> Figures:
        one = median_seconds(lambda: result(submit()), TIMES)
        many = seconds(lambda: [result(f) for f in [submit() for _ in range(QUEUED)]])
        return {"submit to result": one, f"each of {QUEUED} queued": many / QUEUED}

    return run


def main(rounds: int = 5) -> None:
    import workbench

    contest = Contest(
        "a no-op in a warm background process (bound: fastest pool + 2 ms)", limit="limit: pickle over a pipe"
    )
    ends: list[Callable[[], object]] = []
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    child = fork.Process(target=answer, args=(theirs,), daemon=True)
    child.start()

    def over_pipe() -> None:
        ours.send_bytes(pickle.dumps((noop, ())))
        pickle.loads(ours.recv_bytes())

    def limit() -> Figures:
        one = median_seconds(over_pipe, TIMES)
        many = seconds(lambda: [over_pipe() for _ in range(QUEUED)])
        return {"submit to result": one, f"each of {QUEUED} queued": many / QUEUED}

    contest.add("limit: pickle over a pipe", limit)
    for method in ("fork", "forkserver"):
        pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method))
        ends.append(pool.shutdown)
        name = f"concurrent.futures {method}"
        contest.add(name, pool_figures(lambda pool=pool: pool.submit(noop), lambda f: f.result()))
    with contest.peer("loky"):
        from loky import get_reusable_executor

        loky = get_reusable_executor(max_workers=2, timeout=600)
        ends.append(loky.shutdown)
        contest.add("loky", pool_figures(lambda: loky.submit(noop), lambda f: f.result()))
    with contest.peer("pebble"):
        from pebble import ProcessPool

        pebble = ProcessPool(max_workers=2)
        ends += [pebble.stop, pebble.join]
        contest.add("pebble", pool_figures(lambda: pebble.schedule(noop), lambda f: f.result()))
    with contest.peer("dask LocalCluster"):
        from dask.distributed import Client, LocalCluster

        cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
        client = Client(cluster)
        ends += [client.close, cluster.close]
        contest.add(
            "dask LocalCluster", pool_figures(lambda: client.submit(noop, pure=False), lambda f: f.result())
        )
    with contest.peer("ipyparallel (load balanced)"):
        import ipyparallel

        engines = ipyparallel.Cluster(n=2, log_level=40)
        view = engines.start_and_connect_sync().load_balanced_view()
        ends.append(engines.stop_cluster_sync)
        contest.add(
            "ipyparallel (load balanced)", pool_figures(lambda: view.apply_async(noop), lambda f: f.get())
        )

    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(prefix="wb") as host_folder:
        ws = workbench.open(Path(folder) / "ws", workers=2, host_folder=host_folder)
        algorithm = ws.algorithms.deploy(write_algorithm(Path(folder) / "noop", "noop", NOOP, type="Generic"))
        first = seconds(lambda: ws.run(algorithm, executor="process"))
        host = ws.executor("process").client
        while not host.status()["forks"]:
            time.sleep(0.1)
        contest.add(
            "workbench",
            pool_figures(lambda: ws.run(algorithm, executor="process", wait=False), lambda run: run.result()),
        )
        figures = contest.run(rounds)
        one = {name: statistics.median(f["submit to result"]) for name, f in figures.items()}
        pools = {n: s for n, s in one.items() if n not in {"workbench", "limit: pickle over a pipe"}}
        fastest = min(pools, key=pools.__getitem__)
        bound = pools[fastest] + 0.002
        say = "ok" if one["workbench"] <= bound else "MISSED"
        print(f"  bound: {fastest} + 2 ms = {bound * 1e3:.2f} ms: {say}")
        for name in ("dask LocalCluster", "ipyparallel (load balanced)"):
            if name in one:
                ratio = one["workbench"] / one[name]
                print(f"  {ratio:.2f} x {name}   bound 0.2 x: {'ok' if ratio <= 0.2 else 'MISSED'}")
        rate = 1 / statistics.median(figures["workbench"][f"each of {QUEUED} queued"])
        print(f"  {rate:.0f} queued runs a second   bound 200: {'ok' if rate >= 200 else 'MISSED'}")
        print(f"  the very first background run, host start included: {first:.2f} s")
        host.stop(force=True)
        ws.close()
    for end in ends:
        end()
    ours.send_bytes(b"end")
    child.join()


if __name__ == "__main__":
    main()
