"""Add and find entries with metadata beside Kosh; and filtered pages of a million entries.

Limit of the first: sqlite3 by hand, a row for each entry and one for each key. Limit of the second: the bound of 10 ms.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import peers
from harness import Contest, median_seconds, seconds


class EntryStore(NamedTuple):
    """Add one file with metadata; count those with ``val_error`` below a number, at most 50."""

    add: Callable[[dict[str, Any]], object]
    below: Callable[[float], int]


def facts(i: int) -> dict[str, Any]:
    return {"val_error": (i * 7919 % 100_003) / 100_003, "layers": i % 7, "family": "abc"[i % 3], "seed": i}


@contextmanager
def ours(folder: Path, file: Path, copy: bool) -> Iterator[EntryStore]:
    import workbench

    with workbench.open(folder / f"ours-{copy}") as ws:
        yield EntryStore(
            lambda metadata: ws.entries.add("eos", file, metadata=metadata, copy=copy, check=False),
            lambda bound: len(ws.entries.search(f"val_error < {bound}", "eos", "data", limit=50)),
        )


def by_hand(folder: Path, file: Path) -> EntryStore:
    """One commit for each entry, no file beside it, no digest."""
    rows = sqlite3.connect(folder / "hand.sqlite", isolation_level=None)
    rows.execute("pragma journal_mode=wal")
    rows.execute("pragma synchronous=normal")
    rows.execute("create table entries (id integer primary key, version integer, record text)")
    rows.execute(
        "create table facts (entry integer, key text, value, primary key (entry, key)) without rowid"
    )
    rows.execute("create index by_value on facts (key, value, entry)")

    def add(metadata: dict[str, Any]) -> None:
        rows.execute("begin immediate")
        version = rows.execute("select coalesce(max(id), 0) + 1 from entries").fetchone()[0]
        text = json.dumps({"file": str(file), **metadata})
        made = rows.execute("insert into entries values (null, ?, ?)", [version, text]).lastrowid
        rows.executemany("insert into facts values (?, ?, ?)", [(made, *item) for item in metadata.items()])
        rows.execute("commit")

    query = (
        "select record from facts join entries on id = entry where key = 'val_error' and value < ? limit 50"
    )
    return EntryStore(add, lambda bound: len([json.loads(text) for (text,) in rows.execute(query, [bound])]))


def beside_kosh(count: int, rounds: int = 3) -> None:
    """Let all add entries and find some, in turn, each among ``count`` of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "run.h5"
        file.write_bytes(bytes(4096))
        contest = Contest(f"an entry added to {count:,}, and a page found", limit="limit: sqlite3 by hand")

        def enter(name: str, store: EntryStore) -> None:
            made = iter(range(10**9))
            for _ in range(count):
                store.add(facts(next(made)))
            assert store.below(0.5) == 50
            contest.add(
                name,
                lambda: {
                    "add": seconds(lambda: [store.add(facts(next(made))) for _ in range(20)]) / 20,
                    "find a few": median_seconds(lambda: store.below(0.01), 5),
                    "find half, a page": median_seconds(lambda: store.below(0.5), 5),
                },
            )

        enter("limit: sqlite3 by hand", by_hand(folder, file))
        with ours(folder, file, False) as references, ours(folder, file, True) as copies:
            enter("workbench, by reference", references)
            enter("workbench, copied", copies)
            with contest.peer("kosh"):
                enter("kosh", EntryStore(*peers.kosh_files(folder, file)))
            contest.run(rounds)


def million(count: int, rounds: int = 3) -> None:
    """Pages of many entries in ten domains, plain, filtered and sorted."""
    import workbench
    from workbench.models import EntryKind, EntryRecord, now
    from workbench.names import new_id

    with tempfile.TemporaryDirectory() as name, workbench.open(Path(name) / "ws") as ws:
        begin = now() - timedelta(days=30)

        def record(i: int) -> EntryRecord:
            return EntryRecord(
                id=new_id(), application="workspace", domain=f"d{i % 10}", kind=EntryKind.MODELS, version=i // 10 + 1,
                name="net.pt", digest=f"{i:064x}", size=1, metadata=facts(i), created=begin + timedelta(seconds=i),
            )  # fmt: skip

        keys = [("workspace", f"d{i}", "models") for i in range(10)]
        for start in range(0, count, 20_000):
            with ws.catalog.change_entries(keys) as change:
                change.add([record(i) for i in range(start, min(count, start + 20_000))])
        asked: dict[str, dict[str, Any]] = {
            "newest": {},
            "few: val_error < 0.001": {"where": "val_error < 0.001"},
            "val_error < 0.1, best first": {"where": "val_error < 0.1", "order": "val_error"},
            "val_error < 0.1 and layers == 3": {"where": "val_error < 0.1 and layers == 3"},
            "range and text, best first": {
                "where": "0.2 <= val_error < 0.3 and family == 'a'",
                "order": "val_error",
            },
            "seed == 7777": {"where": "seed == 7777"},
            "latest": {"version": "latest"},
        }
        contest = Contest(f"a page of 50 among {count:,} entries", limit="one domain of ten")
        for title, domain in (("one domain of ten", "d7"), ("all ten domains", None)):

            def turn(domain: str | None = domain) -> dict[str, float]:
                return {
                    what: median_seconds(
                        lambda options=options: ws.entries.search(  # type: ignore[misc]
                            domain=domain, kind="models", limit=50, **options
                        ),
                        7,
                    )
                    for what, options in asked.items()
                }

            contest.add(title, turn)
            for what in asked:
                contest.target(title, what, seconds=0.010)
        contest.run(rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--beside-kosh", type=int, default=2000, help="entries of each contestant")
    args = parser.parse_args()
    beside_kosh(args.beside_kosh)
    million(args.count)
