"""What a run costs beside what its algorithm does. Limit: two small files and two commits, what a durable record takes."""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import peers
from harness import Contest, median_seconds

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from algorithm_folders import NOOP, write_algorithm


def main(rounds: int = 7, times: int = 30) -> None:
    import workbench

    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
        ws = workbench.open(Path(folder) / "ws")
        algorithm = ws.algorithms.deploy(write_algorithm(Path(folder) / "noop", "noop", NOOP, type="Generic"))
        cls = ws.algorithms.runner_class(algorithm.revision)

        def by_hand() -> None:
            runner = cls()
            runner.postprocess(runner.inference(runner.preprocess({"input_dataset_ids": []}, {}), {}), {})

        connection = sqlite3.connect(Path(folder) / "limit.sqlite", isolation_level=None)
        connection.execute("pragma journal_mode=wal")
        connection.execute("pragma synchronous=normal")
        connection.execute("create table runs (id integer primary key, text text)")

        def least() -> None:  # what a durable record costs at least: two small files and two commits
            for step in range(2):
                path = Path(folder) / f"record{step}"
                path.with_suffix(".tmp").write_text("x" * 600)
                path.with_suffix(".tmp").replace(path)
                connection.execute("insert into runs (text) values (?)", ("x" * 600,))

        contest = Contest("a run that does nothing, in the kernel", limit="limit: two files, two commits")
        contest.add("the methods by hand", lambda: {"run": median_seconds(by_hand, times)})
        contest.add("limit: two files, two commits", lambda: {"run": median_seconds(least, times)})
        contest.add("workbench", lambda: {"run": median_seconds(algorithm, times)})
        noop = peers.compox_folder(Path(folder) / "compox", NOOP)
        with contest.peer("compox debug session (no record)"):
            debug = peers.compox_debug(noop)
            contest.add("compox debug session (no record)", lambda: {"run": median_seconds(debug, times)})
        with contest.peer("compox server, POST to COMPLETED"):
            post = servers.enter_context(peers.compox_server(noop, Path(folder)))
            contest.add("compox server, POST to COMPLETED", lambda: {"run": median_seconds(post, 5)})
        contest.target("workbench", "run", seconds=0.003)
        contest.run(rounds)

        begin = time.perf_counter()
        for _ in range(200):
            algorithm()
        print(f"  200 in a row: {(time.perf_counter() - begin) / 200 * 1e3:.2f} ms each")
        ws.close()


if __name__ == "__main__":
    main()
