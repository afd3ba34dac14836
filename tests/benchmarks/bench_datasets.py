"""A 512 MiB float32 stack: write, read, one slice; peak memory. Limit: a raw file."""

from __future__ import annotations

import argparse
import io
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import peers
from harness import Contest, Figures, seconds

SLICE = (1024, 1024)


def source(slices: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((slices, *SLICE), dtype=np.float32)


def raw_write(path: Path, array: np.ndarray) -> None:
    view = memoryview(array).cast("B")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    done = 0
    while done < len(view):
        done += os.write(descriptor, view[done : done + (1 << 29)])
    os.close(descriptor)


def raw_read(path: Path, shape: tuple[int, ...], offset: int = 0) -> np.ndarray:
    array = np.empty(shape, np.float32)
    view = memoryview(array).cast("B")
    done = 0
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        while done < len(view):
            done += file.readinto(view[done:])
    return array


def figures(put: float, get: float, look: float, one_slice: float) -> Figures:
    """What is got may be mapped, and cost its time when it is looked at: hence the sum."""
    return {
        "put": put,
        "get": get,
        "put + get": put + get,
        "put + get + sum": put + get + look,
        "one slice": one_slice,
    }


def remove(path: Path) -> None:
    """Remove a file, or the folder of a zarr group."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def main(folder: Path, slices: int, rounds: int) -> None:
    import workbench

    array = source(slices)
    contest = Contest(f"{array.nbytes >> 20} MiB stack in {folder}", limit="limit: raw file")
    several = [k * slices // 128 for k in (17, 93, 60, 5, 41)]

    def file_contestant(name, write, read, one):  # type: ignore[no-untyped-def]
        path = folder / "contestant"

        def run() -> Figures:
            remove(path)
            put = seconds(lambda: write(path))
            arrays: list[np.ndarray] = []
            get = seconds(lambda: arrays.append(read(path)))
            look = seconds(arrays[0].sum)
            slice_s = statistics.median(seconds(lambda k=k: one(path, k)) for k in several)
            remove(path)
            return figures(put, get, look, slice_s)

        contest.add(name, run)

    file_contestant(
        "limit: raw file",
        lambda p: raw_write(p, array),
        lambda p: raw_read(p, array.shape),
        lambda p, k: raw_read(p, SLICE, k * 4 * SLICE[0] * SLICE[1]),
    )
    file_contestant(
        "np.save",
        lambda p: np.save(p.open("wb"), array),
        np.load,
        lambda p, k: np.load(p, mmap_mode="r")[k].copy(),
    )

    def h5_write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file["image"] = array

    def h5_read(path: Path, index: object = ()) -> np.ndarray:
        with h5py.File(path, "r") as file:
            return file["image"][index]

    file_contestant("h5py", h5_write, h5_read, h5_read)

    def bytes_write(path: Path) -> None:
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            file["image"] = array
        path.write_bytes(buffer.getvalue())

    def bytes_read(path: Path, index: object = ()) -> np.ndarray:
        with h5py.File(io.BytesIO(path.read_bytes()), "r") as file:
            return file["image"][index]

    file_contestant("HDF5 through memory (Compox way)", bytes_write, bytes_read, bytes_read)

    slice_chunks = {"chunks": (1, *SLICE)}
    for name, options in {
        "zarr": {},
        "zarr, a slice per chunk": slice_chunks,
        "zarr, a slice per chunk, not packed": {**slice_chunks, "compressors": None},
    }.items():
        with contest.peer(name):
            stack = peers.zarr(**options)
            file_contestant(name, lambda p, stack=stack: stack.write(p, array), stack.read, stack.one)

    with contest.peer("compox in memory"):
        post, fetch, delete = peers.compox_data()

        def compox() -> Figures:
            ids: list[str] = []
            put = seconds(lambda: ids.extend(post(array)))
            arrays: list[np.ndarray] = []
            get = seconds(lambda: arrays.append(fetch(ids)[0]["data"]))
            look = seconds(arrays[0].sum)
            delete(ids)
            return figures(put, get, look, get)  # of one slice too: it fetches whole datasets

        contest.add("compox in memory", compox)

    ws = workbench.open(folder / "workspace")

    def ours() -> Figures:
        made = []
        put = seconds(lambda: made.append(ws.datasets.put({"data": array})))
        dataset = made[0]
        arrays: list[np.ndarray] = []
        get = seconds(lambda: arrays.append(ws.datasets.get(dataset.id, "data")["data"]))
        look = seconds(arrays[0].sum)

        def one_slice(index: int) -> None:
            with ws.datasets.open(dataset.id) as file:
                file["data"][index]

        slice_s = statistics.median(seconds(lambda k=k: one_slice(k)) for k in several)
        ws.datasets.delete(dataset.id)
        return figures(put, get, look, slice_s)

    contest.add("workbench", ours)
    contest.target("workbench", "put + get", ratio=1 / 0.85)
    contest.target("workbench", "put + get + sum", ratio=1 / 0.85)
    contest.target("workbench", "one slice", ratio=2.5)
    contest.run(rounds)
    ws.close()


# VmHWM and not ru_maxrss: the latter of a child begins at the peak of its parent
PEAK = """
from pathlib import Path
def peak():
    line = next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
"""


def memory(folder: Path, slices: int) -> None:
    """Print the growth of a process's peak memory over put (with its array) and over get, as a multiple of the array."""
    begin = f"{PEAK}\nimport numpy as np, workbench\nws = workbench.open({str(folder / 'memory')!r})\n"
    put = f"""
small = ws.datasets.put({{"data": np.zeros(10, np.float32)}})
ws.datasets.get(small.id)
before = peak()
array = np.ones(({slices}, {SLICE[0]}, {SLICE[1]}), np.float32)
ws.datasets.put({{"data": array}})
print((peak() - before) / array.nbytes)
"""
    get = """
small, big = sorted(ws.datasets.list(), key=lambda d: d.nbytes)
ws.datasets.get(small.id)
before = peak()
ws.datasets.get(big.id)
print((peak() - before) / big.nbytes)
"""
    print("\npeak memory as a multiple of the array (bound 1.15)")
    for name, code in {"put": put, "get": get}.items():
        done = subprocess.run(
            [sys.executable, "-c", begin + code], capture_output=True, text=True, check=True
        )
        print(f"  {name}: {float(done.stdout):.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--slices", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--folder", type=Path, default=None, help="where to write; default: the temporary folder"
    )
    args = parser.parse_args()
    place = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        main(place, args.slices, args.rounds)
        memory(place, args.slices)
    finally:
        shutil.rmtree(place)
