"""The first page of 100,000 runs and datasets, plain and filtered; and, beside the peers, recording a run among 1,000.

Limit: sqlite3 by hand on the same columns.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import peers
from harness import Contest, median_seconds, seconds


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


@contextmanager
def ours(folder: Path) -> Iterator[peers.RunCatalog]:
    """Give what a run of ours records: its file and its row, when it starts and when it ends."""
    import workbench
    from workbench.models import RunRecord, RunStatus, now
    from workbench.names import new_id

    def record(parameters: dict[str, Any], is_good: bool) -> None:
        names = {"algorithm": "noop@1.0", "algorithm_name": "noop", "parameters": parameters}
        started = RunRecord(id=new_id(), status=RunStatus.STARTED, created=now(), **names)
        ws.runs.save(started, before=None, to_store=True)
        status = RunStatus.COMPLETED if is_good else RunStatus.FAILED
        ws.runs.save(started.model_copy(update={"status": status}), before=started, to_store=True)

    with workbench.open(folder / "ours") as ws:
        yield peers.RunCatalog(record, lambda: len(ws.runs.list(status="FAILED", limit=50)))


def by_hand(folder: Path) -> peers.RunCatalog:
    """Two commits for each run, and one query: no file beside them, no model around them."""
    rows = sqlite3.connect(folder / "hand.sqlite", isolation_level=None)
    rows.execute("pragma journal_mode=wal")
    rows.execute("pragma synchronous=normal")
    rows.execute("create table runs (id integer primary key, status text, parameters text)")
    rows.execute("create index by_status on runs (status, id desc)")

    def record(parameters: dict[str, Any], is_good: bool) -> None:
        made = rows.execute("insert into runs values (null, 'STARTED', ?)", [json.dumps(parameters)])
        status = "COMPLETED" if is_good else "FAILED"
        rows.execute("update runs set status = ? where id = ?", [status, made.lastrowid])

    query = "select parameters from runs where status = 'FAILED' order by id desc limit 50"
    return peers.RunCatalog(record, lambda: len([json.loads(text) for (text,) in rows.execute(query)]))


def beside_peers(count: int, rounds: int = 3) -> None:
    """Let all record runs and list the failed ones, in turn, each among ``count`` of its own."""
    with tempfile.TemporaryDirectory() as name, ours(Path(name)) as catalog:
        contest = Contest(
            f"a run recorded among {count:,}, and a page of the failed", limit="limit: sqlite3 by hand"
        )

        def add(name: str, catalog: peers.RunCatalog) -> None:
            made = iter(range(10**9))

            def record() -> None:
                i = next(made)
                catalog.record({"sigma": i % 7, "size": i, "mode": "ab"[i % 2], "gain": i / 8}, i % 10 > 0)

            for _ in range(count):
                record()
            assert catalog.failed() == min(50, (count + 9) // 10)
            contest.add(
                name,
                lambda: {
                    "record a run": seconds(lambda: [record() for _ in range(10)]) / 10,
                    "failed runs": median_seconds(catalog.failed, 5),
                },
            )

        add("limit: sqlite3 by hand", by_hand(Path(name)))
        add("workbench", catalog)
        for peer, make in {"mlflow": peers.mlflow, "kosh": peers.kosh}.items():
            with contest.peer(peer):
                add(peer, make(Path(name)))
        contest.target("workbench", "record a run", seconds=0.005)
        contest.target("workbench", "failed runs", seconds=0.020)
        contest.run(rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--beside-peers", type=int, default=1000, help="runs of each contestant")
    args = parser.parse_args()
    beside_peers(args.beside_peers)
    main(args.count)
