"""The first page of 100,000 runs and datasets, plain and filtered; one recorded run. Limit: sqlite3 by hand on the same columns."""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
from datetime import timedelta
from pathlib import Path

from harness import Contest, median_seconds


def main(count: int, rounds: int = 5) -> None:
    import workbench
    from workbench.models import DatasetRecord, KeyInfo, RunRecord, RunStatus, now
    from workbench.names import new_id

    with tempfile.TemporaryDirectory() as folder:
        ws = workbench.open(Path(folder) / "ws")
        begin = now() - timedelta(days=365)
        statuses = [RunStatus.COMPLETED] * 9 + [RunStatus.FAILED]
        raw = sqlite3.connect(Path(folder) / "limit.sqlite", isolation_level=None)
        raw.execute("pragma journal_mode=wal")
        raw.execute(
            "create table runs (id text primary key, created text, status text, algorithm text, record text)"
        )
        raw.execute("create index by_time on runs (created desc)")
        raw.execute("create index by_status on runs (status, created desc)")
        raw.execute("begin")
        datasets = []
        for i in range(count):
            created = begin + timedelta(seconds=i)
            run = RunRecord(
                id=new_id(),
                algorithm=f"algo{i % 20}@1.{i % 3}",
                algorithm_name=f"algo{i % 20}",
                status=statuses[i % 10],
                parameters={"sigma": i % 7},
                created=created,
            )
            ws.catalog.put_run(run)
            raw.execute(
                "insert into runs values (?,?,?,?,?)",
                (run.id, created.isoformat(), str(run.status), run.algorithm, run.to_json()),
            )
            datasets.append(
                DatasetRecord(
                    id=new_id(),
                    digest=f"{i:064x}",
                    schema_name="ImageSchema",
                    keys={"image": KeyInfo(kind="array", shape=(512, 512), dtype="float32", nbytes=1 << 20)},
                    nbytes=1 << 20,
                    name=f"scan-{i % 1000}",
                    tags=("raw",) if i % 2 else ("raw", "good"),
                    created=created,
                )
            )
        raw.execute("commit")
        for start in range(0, count, 5000):
            ws.catalog.put_datasets(datasets[start : start + 5000])

        def by_hand(where: str = "", *values: str) -> None:
            query = f"select record from runs {where} order by created desc limit 50"
            for (text,) in raw.execute(query, values).fetchall():
                json.loads(text)

        contest = Contest(f"first page of {count:,}", limit="limit: sqlite3 by hand")
        contest.add(
            "limit: sqlite3 by hand",
            lambda: {
                "runs": median_seconds(by_hand, 20),
                "failed runs": median_seconds(lambda: by_hand("where status = ?", "FAILED"), 20),
            },
        )
        contest.add(
            "workbench",
            lambda: {
                "runs": median_seconds(ws.runs.list, 20),
                "failed runs": median_seconds(lambda: ws.runs.list(status="FAILED"), 20),
                "runs of an algorithm": median_seconds(lambda: ws.runs.list(algorithm="algo7"), 20),
                "datasets": median_seconds(ws.datasets.list, 20),
                "datasets by tag": median_seconds(lambda: ws.datasets.list(tag="good"), 20),
                "datasets by name": median_seconds(lambda: ws.datasets.list(name="scan-7"), 20),
            },
        )
        for metric in (
            "runs",
            "failed runs",
            "runs of an algorithm",
            "datasets",
            "datasets by tag",
            "datasets by name",
        ):
            contest.target("workbench", metric, seconds=0.020)
        contest.run(rounds)
        ws.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=100_000)
    main(parser.parse_args().count)
