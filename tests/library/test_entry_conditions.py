"""Conditions on what every entry has of its own, and on long and strange texts, with both databases."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import workbench
from workbench.errors import InvalidInputError

CATALOGS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(params=CATALOGS)
def ws(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[workbench.Workspace]:
    catalog = request.getfixturevalue("pg_url") if request.param == "postgresql" else None
    with workbench.open(tmp_path / "ws", catalog=catalog) as found:
        found.catalog.clear()
        yield found


def test_what_every_entry_has_is_searched_and_sorted_by(ws: workbench.Workspace, tmp_path: Path) -> None:
    for i, (domain, kind) in enumerate([("eos", "data"), ("eos", "models"), ("wind", "models")]):
        path = tmp_path / f"run{i}.h5"
        path.write_bytes(bytes(1000 * i))
        ws.entries.add(domain, path, kind, metadata={"val_error": i / 10}, check=False)

    def names(where: str | None = None, **more: Any) -> str:
        return " ".join(entry.name[3] for entry in ws.entries.search(where, **{"order": "created", **more}))

    assert names("size >= 1000 and kind == 'models' and val_error < 0.15") == "1"
    assert names("size < '1.5 kB' and size != 0") == names("0 < size < 1999.5") == "1"
    assert names("kind in ('data', 'candidates') or domain == 'wind'") == "0 2"
    assert names("not kind == 'models'") == names("name == 'run0.h5'") == names("size == 0") == "0"
    assert names(metadata={"kind": "models", "domain": "eos"}) == names("size == 1000", kind="models") == "1"
    assert names(order="-size") == names(order="-name") == names(order="-domain") == "2 1 0"
    assert names(order="kind") == "0 1 2"
    assert names("domain == 'elsewhere'") == ""
    ws.reindex()
    assert names("size > 1000") == "2"
    assert names("size > 500", order="-size", limit=1) == "2"
    ws.entries.remove("wind/models")
    assert names(order="-size") == names("size > 999 or kind == 'data'", order="-size") == "1 0"


def test_a_day_or_a_time_is_compared_with_when_an_entry_was_added(
    ws: workbench.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        times = ["2026-03-07T04:59", "2026-03-07T05:00", "2026-03-08T15:30", "2026-03-09T03:59:59.999999"]
        for i, text in enumerate(times):
            moment = datetime.fromisoformat(f"{text}+00:00")
            monkeypatch.setattr("workbench.library.entry_additions.now", lambda moment=moment: moment)
            (tmp_path / f"{i}.h5").write_bytes(b"x")
            ws.entries.add("eos", tmp_path / f"{i}.h5", check=False)

        def found(where: str) -> str:
            return "".join(entry.name[0] for entry in ws.entries.search(where, order="created"))

        # that day begins at 5:00 in UTC, and the next one, on which clocks are set forward, is over at 4:00
        assert found("created >= '2026-03-07'") == "123"
        assert found("created < '2026-03-07'") == found("created <= '2026-03-06'") == "0"
        assert found("created == '2026-03-08'") == "23"
        assert found("created != '2026-03-08'") == "01"
        assert found("created in ('2026-03-06', '2026-03-07')") == "01"
        assert found("created > '2026-03-08'") == ""
        assert found("'2026-03-07' <= created <= '2026-03-08'") == "123"
        assert found("created == '2026-03-07T00:00'") == found("created == '2026-03-07T05:00Z'") == "1"
        assert (
            found("created > '2026-03-07T00:00:00' and created < '2026-03-08T15:30:00.000001+00:00'") == "2"
        )
    finally:
        monkeypatch.undo()
        time.tzset()


def test_long_texts_are_found_compared_and_sorted_by(ws: workbench.Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"rows")
    draw = random.Random(3)
    notes = ["".join(draw.choices("abcdefghij äß", k=9000)) for _ in range(3)]
    notes += [notes[0] + "!", "short"]
    for note in notes:
        ws.entries.add("eos", path, metadata={"note": note}, check=False)
    for i, note in enumerate(notes):
        (found,) = ws.entries.search(metadata={"note": note})
        assert (found.version, found.metadata["note"]) == (i + 1, note)
    assert [e.version for e in ws.entries.search(f"note in ({notes[1]!r}, 'short')", order="version")] == [
        2,
        5,
    ]
    assert [e.metadata["note"][:9] for e in ws.entries.search("note >= ''", order="note")] == sorted(
        note[:9] for note in notes
    )
    ws.reindex()
    assert len(ws.entries.search(f"note != {notes[1]!r}")) == 4
    ws.entries.add("eos", path, metadata={"seed": 16**3000}, check=False)
    assert len(ws.entries.search(metadata={"seed": 16**3000})) == 1
    assert not ws.entries.search(metadata={"seed": 16**3000 + 1})


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"": 1}, "metadata has the key ''"),
        ({"=x": "5", "x": 2**60}, "metadata has the key '=x'"),
        ({"k" * 201: 1}, "of 201 characters, and at most 200"),
        ({"k\0": 1}, "A key of metadata is 'k\\\\x00', which has"),
        ({"note": "a\0b"}, r"metadata\['note'\] is 'a\\x00b', which has '\\x00'"),
        ({"note": {"inner": ["\ud800"]}}, r"metadata\['note'\] is '\\ud800'"),
    ],
)
def test_metadata_that_no_database_keeps_is_refused(
    ws: workbench.Workspace, tmp_path: Path, facts: dict[str, Any], text: str
) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"rows")
    with pytest.raises(InvalidInputError, match=text):
        ws.entries.add("eos", path, metadata=facts, check=False)
    assert not ws.entries.list()
    for asked in (
        {"metadata": {"x": "a\0"}},
        {"where": "`a\ud800` == 1"},
        {"order": "a\0"},
        {"domain": "a\0"},
    ):
        with pytest.raises(InvalidInputError, match="no character of a text"):
            ws.entries.search(**asked)


def test_pages_of_a_search_by_time_follow_one_another(ws: workbench.Workspace, tmp_path: Path) -> None:
    file = tmp_path / "run.h5"
    file.write_bytes(b"x")
    for number in range(5):
        ws.entries.add("eos", file, metadata={"number": number}, check=False)
    page = ws.entries.search("created >= '2026-01-01' and size < '1 kB'", limit=2)
    assert [entry.metadata["number"] for entry in page.all()] == [4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("size > 10 kB", "size > '10 kB'"),
        ("kind = 'models'", "Write =="),
        ("name like 'run%'", "ws.entries.list"),
        ("created > 'yesterday'", "no time. Write"),
    ],
)
def test_a_slip_in_a_condition_is_told(ws: workbench.Workspace, text: str, told: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(told)):
        ws.entries.search(text)
