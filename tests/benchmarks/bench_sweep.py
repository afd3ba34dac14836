"""What a sweep costs beside its tasks: 1,000 points of 50 ms on two workers. Limit: all the time the tasks take, halved.

``python bench_sweep.py 100`` takes fewer points. A task works for its 50 ms (it does not sleep), so what the kernel, the host
and the records cost is taken from the same two cores. The whole number of points is swept once; what is beside it (a pool of
processes, reuse, tasks that sleep) takes turns over a fifth of them, and is told per point.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from harness import seconds

SUPPORT = str(Path(__file__).parents[1] / "support")
sys.path.insert(0, SUPPORT)
os.environ["PYTHONPATH"] = os.pathsep.join([SUPPORT, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
from algorithm_folders import write_algorithm  # noqa: E402
from busy_task import busy  # noqa: E402

JOBS = 2
MS = 50
BUSY = """
    import time
    from workbench.runners import BaseRunner

    class Runner(BaseRunner):
        def preprocess(self, input_data, args={}):
            return None

        def inference(self, data, args={}):
            end = time.thread_time() + args["ms"] / 1000
            while time.thread_time() < end:
                pass

        def postprocess(self, data, args={}):
            return []
"""
ASLEEP = BUSY.replace(
    'end = time.thread_time() + args["ms"] / 1000', 'time.sleep(args["ms"] / 1000)'
).replace("            while time.thread_time() < end:\n                pass\n", "")
TABLE = """
    [[tool.workbench.parameters]]
    name = "ms"
    type = "int"
    default = 50
    description = "How long it takes"

    [[tool.workbench.parameters]]
    name = "x"
    type = "int"
    default = 0
    description = "Which point it is"
"""


def main(count: int = 1000, rounds: int = 2) -> None:
    import workbench

    part = max(JOBS, count // 5)
    ideal = MS / 1000 / JOBS  # s of a point
    print(f"\n## {count} points of {MS} ms, {JOBS} at a time   load {os.getloadavg()[0]:.1f}")
    print(f"   ideal: {ideal * count:.2f} s; bound: 0.9 of the ideal speed-up; beside it: {part} points")
    each: dict[str, list[float]] = {}  # seconds per point
    with (
        ProcessPoolExecutor(JOBS) as pool,
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory(prefix="wb") as host_folder,
        workbench.open(Path(folder) / "ws", workers=JOBS, host_folder=host_folder) as ws,
    ):
        for name, code in (("busy", BUSY), ("asleep", ASLEEP)):
            ws.algorithms.deploy(
                write_algorithm(Path(folder) / name, name, code, type="Generic", extra=TABLE), check=False
            )
        host = ws.executor("process").client

        def sweep(name: str, points: int, reuse: str) -> Any:
            # others each time: with reuse, nothing must have been computed
            offset = int(time.perf_counter() * 1000) % 10**6 * 10_000
            made = ws.sweeps.run(
                name, {"x": range(offset, offset + points)}, fixed={"ms": MS}, jobs=JOBS, reuse=reuse
            )
            assert made.status == "COMPLETED", made
            return made

        ws.sweeps.run("busy", {"x": range(4)}, fixed={"ms": 1}, reuse="never")
        while not host.status()["forks"]:
            time.sleep(0.1)
        list(pool.map(busy, [1] * 4))
        begin = time.perf_counter()
        whole = sweep("busy", count, "never")
        each[f"sweep of {count}, busy"] = [(time.perf_counter() - begin) / count]
        table_s = seconds(lambda: len(whole.rows()))
        contestants = {
            "pool of processes, busy": lambda: list(pool.map(busy, [MS] * part)),
            f"sweep of {part}, busy": lambda: sweep("busy", part, "never"),
            f"sweep of {part}, busy, reuse": lambda: sweep("busy", part, "auto"),
            f"sweep of {part}, asleep": lambda: sweep("asleep", part, "never"),
        }
        for _ in range(rounds):
            for name, run in contestants.items():
                each.setdefault(name, []).append(seconds(run) / part)
        host.stop(force=True)
    pool_s = statistics.median(each["pool of processes, busy"])
    for name, values in each.items():
        middle = statistics.median(values)
        share = ideal / middle
        text = f"  {name:28}{middle * 1000:8.2f} ms a point   {share:.3f} of the ideal"
        text += f"   {'ok' if share >= 0.9 else 'MISSED'}" if name.startswith("sweep") else ""
        text += f"   {middle / pool_s:.2f} x the pool" if "busy" in name else ""
        print(text)
    print(f"  its table of {count} rows      {table_s * 1000:8.1f} ms")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
