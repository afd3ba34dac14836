"""1 GiB from the kernel to another process, ten readers of it, 100,000 small items. Limits: a memory copy, a plain file."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from harness import Contest, Figures, seconds

SPAWN = multiprocessing.get_context("spawn")


def settings(folder: Path):  # type: ignore[no-untyped-def]
    from workbench.settings import Settings

    return Settings(session_folder=str(folder), session_spill="none")


def open_session(folder: Path):  # type: ignore[no-untyped-def]
    from workbench.sessions import Sessions

    sessions = Sessions(settings(folder), "file:///bench")
    return sessions, sessions.open("bench")


# -- the other process: told what to get, it answers how long get and sum took


def get_ours(folder: Path) -> Callable[[Any], Any]:
    session = open_session(folder)[1]
    return lambda key: session[key]


def get_file(folder: Path) -> Callable[[Any], Any]:
    return lambda path: np.memmap(path, np.float32, "r")


def get_joblib(folder: Path) -> Callable[[Any], Any]:
    import joblib

    return lambda path: joblib.load(path, mmap_mode="r")


def get_diskcache(folder: Path) -> Callable[[Any], Any]:
    import diskcache

    cache = diskcache.Cache(str(folder / "diskcache"), size_limit=1 << 34)
    return lambda key: cache[key]


def consume(pipe: Connection, make: Callable[[Path], Callable[[Any], Any]], folder: Path) -> None:
    get = make(folder)
    pipe.send("ready")
    while (name := pipe.recv()) is not None:
        begin = time.perf_counter()
        array = get(name)
        got = time.perf_counter()
        total = float(array.sum(dtype=np.float32))
        end = time.perf_counter()
        pipe.send((got - begin, end - got, total))
        del array


class Consumer:
    """A process that gets and sums what it is told."""

    def __init__(self, make: Callable[[Path], Callable[[Any], Any]], folder: Path) -> None:
        self.pipe, other = SPAWN.Pipe()
        self.process = SPAWN.Process(target=consume, args=(other, make, folder), daemon=True)
        self.process.start()
        assert self.pipe.recv() == "ready"

    def exchange(self, put: Callable[[], Any]) -> Figures:
        """Put in this process, get and sum in the other."""
        begin = time.perf_counter()
        name = put()
        done = time.perf_counter()
        self.pipe.send(name)
        get_s, sum_s, _ = self.pipe.recv()
        end = time.perf_counter()
        return {"put": done - begin, "get": get_s, "put + get + sum": end - begin, "sum": sum_s}

    def close(self) -> None:
        self.pipe.send(None)
        self.process.join()


# -- 1 GiB


def hand_off(folder: Path, mib: int, rounds: int) -> None:
    source = np.ones(mib << 18, np.float32)
    copy = np.ones_like(source)
    contest = Contest(f"{mib} MiB to another process, {folder}", limit="limit: memory copy")
    closing: list[Callable[[], Any]] = []

    def memory_copy() -> Figures:
        return {"put": seconds(lambda: np.copyto(copy, source)), "sum": seconds(source.sum)}

    contest.add("limit: memory copy", memory_copy)

    sessions, session = open_session(folder)
    ours = Consumer(get_ours, folder)
    closing += [ours.close, sessions.close]

    def put_recycled() -> str:
        session["volume"] = source
        return "volume"

    def recycled() -> Figures:
        for _ in range(2):  # others had their turn: bring back the memory that is kept between puts
            put_recycled()
        return ours.exchange(put_recycled)

    contest.add("workbench", recycled)

    def in_place() -> Figures:
        out = session.empty("born", source.shape, source.dtype)
        np.copyto(out, source)  # the work of whoever makes the array

        def put() -> str:
            session["born"] = out
            return "born"

        figures = ours.exchange(put)
        del session["born"]
        return figures

    contest.add("workbench, s.empty", in_place)
    with contest.peer("ray"):
        add_ray(contest, source, closing)
    with contest.peer("dask"):
        add_dask(contest, source, closing)
    with contest.peer("joblib"):
        add_joblib(contest, source, folder, closing)
    with contest.peer("diskcache"):
        add_diskcache(contest, source, folder, closing)
    contest.target("workbench", "put", ratio=0.8)
    contest.target("workbench", "get", seconds=0.0003)
    contest.run(rounds)
    for close in closing:
        close()


def add_ray(contest: Contest, source: np.ndarray, closing: list[Callable[[], Any]]) -> None:
    begin = time.perf_counter()
    import ray

    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=source.nbytes * 5 // 2,
        logging_level="ERROR",
        log_to_driver=False,
    )

    @ray.remote
    class Reader:
        def use(self, refs: list[Any]) -> tuple[float, float]:
            begin = time.perf_counter()
            array = ray.get(refs[0])
            got = time.perf_counter()
            array.sum()
            return got - begin, time.perf_counter() - got

    reader = Reader.remote()
    ray.get(reader.use.remote([ray.put(np.ones(10))]))
    print(f"ray: start-up {time.perf_counter() - begin:.1f} s", end="")

    def exchange() -> Figures:
        begin = time.perf_counter()
        ref = ray.put(source)
        done = time.perf_counter()
        get_s, sum_s = ray.get(reader.use.remote([ref]))
        end = time.perf_counter()
        return {"put": done - begin, "get": get_s, "put + get + sum": end - begin, "sum": sum_s}

    print(f", first put {exchange()['put'] * 1e3:.0f} ms")

    def warm() -> Figures:
        exchange()
        return exchange()

    contest.add("ray", warm)
    closing.append(ray.shutdown)


def timed_sum(array: np.ndarray) -> float:
    begin = time.perf_counter()
    array.sum()
    return time.perf_counter() - begin


def add_dask(contest: Contest, source: np.ndarray, closing: list[Callable[[], Any]]) -> None:
    from dask.distributed import Client, LocalCluster

    cluster = LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit="8GiB"
    )
    client = Client(cluster)

    def exchange() -> Figures:
        begin = time.perf_counter()
        (future,) = client.scatter([source], hash=False)
        done = time.perf_counter()
        sum_s = client.submit(timed_sum, future, pure=False).result()
        return {"put": done - begin, "put + get + sum": time.perf_counter() - begin, "sum": sum_s}

    contest.add("dask", exchange)
    closing += [client.close, cluster.close]


def add_joblib(contest: Contest, source: np.ndarray, folder: Path, closing: list[Callable[[], Any]]) -> None:
    import joblib

    path = str(folder / "joblib")
    reader = Consumer(get_joblib, folder)

    def exchange() -> Figures:
        figures = reader.exchange(lambda: joblib.dump(source, path)[0])
        Path(path).unlink()
        return figures

    contest.add("joblib", exchange)
    closing.append(reader.close)


def add_diskcache(
    contest: Contest, source: np.ndarray, folder: Path, closing: list[Callable[[], Any]]
) -> None:
    import diskcache

    cache = diskcache.Cache(str(folder / "diskcache"), size_limit=1 << 34)
    reader = Consumer(get_diskcache, folder)

    def put() -> str:
        cache["k"] = source
        return "k"

    def exchange() -> Figures:
        figures = reader.exchange(put)
        del cache["k"]
        return figures

    contest.add("diskcache", exchange)
    closing += [reader.close, cache.close]


def first_put(folder: Path, mib: int, rounds: int) -> None:
    source = np.ones(mib << 18, np.float32)
    contest = Contest(f"the first put of a process, {mib} MiB", limit="limit: plain file")

    def plain() -> Figures:
        path = folder / "plain"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)

        def write() -> None:
            view, done = memoryview(source).cast("B"), 0
            while done < len(view):
                done += os.write(descriptor, view[done : done + (1 << 30)])
            os.close(descriptor)

        taken = seconds(write)
        path.unlink()
        return {"first put": taken}

    def ours() -> Figures:
        sessions, session = open_session(folder)  # its pool is empty, as in a new process
        taken = seconds(lambda: session.__setitem__("first", source))
        session.clear()
        sessions.close()
        return {"first put": taken}

    def born() -> Figures:
        sessions, session = open_session(folder)
        array = session.empty("first", source.shape, source.dtype)
        np.copyto(array, source)
        begin = time.perf_counter()
        session["first"] = array
        taken = time.perf_counter() - begin
        session.clear()
        sessions.close()
        return {"first put": taken}

    contest.add("limit: plain file", plain)
    contest.add("workbench", ours)
    contest.add("workbench, s.empty", born)
    contest.target("workbench", "first put", ratio=1.2)
    contest.run(rounds)
    begin = time.perf_counter()
    sessions, session = open_session(folder)
    session["x"] = 1
    print(f"start-up: the first item of a new session after {(time.perf_counter() - begin) * 1e3:.2f} ms")
    session.drop()
    sessions.close()


# -- ten readers


def read_and_wait(pipe: Connection, folder: Path) -> None:
    def private() -> int:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))

    session = open_session(folder)[1]
    np.ones(1000).sum()
    pipe.send("ready")
    pipe.recv()
    before = private()
    array = session["volume"]
    array.sum()
    pipe.send("read")
    pipe.recv()  # all have it now: what is still private is this process's own
    pipe.send(private() - before)
    pipe.recv()


def readers(folder: Path, mib: int, count: int = 10) -> None:
    sessions, session = open_session(folder)
    session["volume"] = np.ones(mib << 18, np.float32)
    pipes, processes = [], []
    for _ in range(count):
        pipe, other = SPAWN.Pipe()
        process = SPAWN.Process(target=read_and_wait, args=(other, folder), daemon=True)
        process.start()
        pipes.append(pipe)
        processes.append(process)
    for pipe in pipes:
        pipe.recv()
    for pipe in pipes:
        pipe.send("read")
    for pipe in pipes:
        pipe.recv()
    for pipe in pipes:
        pipe.send("measure")
    added = [pipe.recv() for pipe in pipes]
    for pipe, process in zip(pipes, processes, strict=True):
        pipe.send("end")
        process.join()
    total = sum(added) / 1024
    print(
        f"\n{count} readers of {mib} MiB add {total:.1f} MB of private memory in all (bound 50): {'ok' if total < 50 else 'MISSED'}"
    )
    session.drop()
    sessions.close()


# -- small items


def small(folder: Path, count: int, rounds: int) -> None:
    contest = Contest(f"{count} small items; each", limit="limit: one file each")

    def value(number: int) -> dict[str, Any]:
        return {"a": number, "lr": 0.5, "name": "x" * 40, "l": list(range(20))}

    def each(put: Callable[[str, Any], Any], get: Callable[[str], Any]) -> Figures:
        keys = [f"item-{n}" for n in range(count)]
        begin = time.perf_counter()
        for number, key in enumerate(keys):
            put(key, value(number))
        middle = time.perf_counter()
        for key in keys:
            get(key)
        end = time.perf_counter()
        return {"put": (middle - begin) / count, "get": (end - middle) / count}

    def files() -> Figures:
        import pickle

        place = folder / "files"
        place.mkdir()

        def put(key: str, item: Any) -> None:
            with (place / key).open("wb") as file:
                pickle.dump(item, file)

        def get(key: str) -> Any:
            with (place / key).open("rb") as file:
                return pickle.load(file)

        figures = each(put, get)
        shutil.rmtree(place)
        return figures

    def ours() -> Figures:
        sessions, session = open_session(folder)
        figures = each(session.__setitem__, session.__getitem__)
        session.drop()
        sessions.close()
        return figures

    contest.add("limit: one file each", files)
    contest.add("workbench", ours)
    with contest.peer("diskcache"):
        import diskcache

        def cached() -> Figures:
            cache = diskcache.Cache(str(folder / "small"))
            figures = each(cache.__setitem__, cache.__getitem__)
            cache.close()
            shutil.rmtree(folder / "small")
            return figures

        contest.add("diskcache", cached)
    contest.target("workbench", "put", seconds=100e-6)
    contest.target("workbench", "get", seconds=100e-6)
    contest.run(rounds, warmup=0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=None, help="where to work; default: shared memory")
    args = parser.parse_args()
    shared = Path("/dev/shm")
    place = Path(tempfile.mkdtemp(dir=args.folder or (shared if shared.is_dir() else None)))
    try:
        hand_off(place, args.mib, args.rounds)
        first_put(place, args.mib, args.rounds)
        readers(place, args.mib)
        small(place, args.small, rounds=2)
    finally:
        shutil.rmtree(place)
