"""Where an output comes from: ten generations of runs, each of several inputs, among many other runs.

Limit: the same walk by sqlite3 by hand, one query for each run and dataset.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from harness import Contest, median_seconds


def main(others: int, generations: int = 10, width: int = 4, rounds: int = 5) -> None:
    import workbench
    from workbench.library.lineage import lineage
    from workbench.models import DatasetRecord, KeyInfo, OutputRef, RunRecord, RunStatus, now
    from workbench.names import new_id

    with tempfile.TemporaryDirectory() as name, workbench.open(Path(name) / "ws") as ws:
        begin = now() - timedelta(days=30)

        def dataset(run: str | None = None) -> DatasetRecord:
            keys = {"image": KeyInfo(kind="array", shape=(8, 8), dtype="float32", nbytes=256)}
            return DatasetRecord(
                id=new_id(), digest=new_id(), schema_name="ImageSchema", keys=keys, nbytes=256, created=begin, run_id=run
            )  # fmt: skip

        def run(inputs: list[str], outputs: list[str], id_: str) -> RunRecord:
            return RunRecord(
                id=id_, algorithm="step@1.0", algorithm_name="step", status=RunStatus.COMPLETED, inputs=tuple(inputs),
                outputs=tuple(OutputRef(dataset=output) for output in outputs), created=begin,
            )  # fmt: skip

        level = [dataset() for _ in range(width)]
        ws.catalog.put_datasets(level)
        for _ in range(generations):
            ids = [new_id() for _ in range(width)]
            made = [dataset(id_) for id_ in ids]
            ws.catalog.put_datasets(made)
            before = [one.id for one in level]
            ws.catalog.put_runs([run(before, [d.id], id_) for id_, d in zip(ids, made, strict=True)])
            level = made
        last = level[0].id
        for start in range(0, others, 2000):
            ws.catalog.put_runs(
                [run([new_id()], [new_id()], new_id()) for _ in range(min(2000, others - start))]
            )
        rows = sqlite3.connect(ws.catalog.url.removeprefix("sqlite:///"))

        def by_hand() -> int:
            seen, front = set(), [last]
            while front:
                dataset_id = front.pop()
                makers = rows.execute("select run_id from run_outputs where dataset_id = ?", [dataset_id])
                for (maker,) in makers.fetchall():
                    if maker not in seen:
                        seen.add(maker)
                        rows.execute("select record from runs where id = ?", [maker]).fetchall()
                        found = rows.execute("select dataset_id from run_inputs where run_id = ?", [maker])
                        front += [read for (read,) in found.fetchall()]
            return len(seen)

        def ours() -> Any:
            return lineage(ws.catalog, last, "dataset", generations, "up")

        assert by_hand() == 1 + width * (generations - 1)
        assert sum(node.kind == "run" for node in ours().nodes.values()) == by_hand()
        contest = Contest(
            f"{generations} generations of {width} runs, among {others:,}", limit="limit: by hand"
        )
        contest.add("limit: by hand", lambda: {"lineage": median_seconds(by_hand, 5)})
        contest.add("workbench", lambda: {"lineage": median_seconds(ours, 5)})
        contest.target("workbench", "lineage", seconds=0.050)
        contest.run(rounds)
        rows.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--others", type=int, default=20_000)
    main(parser.parse_args().others)
