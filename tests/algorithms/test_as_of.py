"""The registry as of a date: ``denoise@2026-03-01``, and listings as they were."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algorithm_folders import INVERT, write_algorithm
from click.testing import CliRunner

import workbench
from workbench.algorithms.refs import parse_ref, parse_time
from workbench.cli import main
from workbench.errors import InvalidInputError, InvalidNameError, NotFoundError
from workbench.models import Revision

#: when each was deployed, in UTC
DEPLOYS = [
    ("1.0", "2026-01-10T10:00"),
    ("1.0", "2026-02-01T00:30"),
    ("2.0", "2026-03-01T23:30"),
    ("1.1", "2026-03-05T12:00"),  # a mended version of the older major
]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def ws(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[workbench.Workspace]:
    catalog = request.getfixturevalue("pg_url") if request.param == "postgresql" else None
    with workbench.open(tmp_path / "ws", catalog=catalog) as found:
        found.catalog.clear()
        for number, (version, deployed) in enumerate(DEPLOYS):
            code = INVERT.replace("data.max() - data", f"data.max() - data + {number}")
            made = found.algorithms.deploy(
                write_algorithm(tmp_path / "a", code=code, version=version), check=False
            )
            backdate(found, made.revision, datetime.fromisoformat(deployed).replace(tzinfo=UTC))
        found.reindex()
        yield found


def backdate(ws: workbench.Workspace, revision: Revision, created: datetime) -> None:
    """Let the store say that a revision was deployed at another time."""
    key = f"{revision.name}/{revision.version}.json"
    text = ws.store.get("algorithms", key).decode()
    told = revision.model_dump(mode="json")["created"]
    assert told in text
    ws.store.put("algorithms", key, text.replace(told, created.isoformat()))


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    def use(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    use("UTC")
    yield use
    monkeypatch.undo()
    os.environ.pop("TZ", None)
    time.tzset()


def number_of(ws: workbench.Workspace, ref: str) -> int:
    """Return which deploy a reference names."""
    source = ws.algorithms.sources(ws.algorithms.get(ref).revision)["Runner.py"].decode()
    return int(source.partition("data.max() - data + ")[2].split()[0])


def test_a_date_names_what_the_name_stood_for_then(ws: workbench.Workspace, zone: Any) -> None:
    found = {
        when: number_of(ws, f"invert@{when}")
        for when in (
            "2026-01-10",
            "2026-01-31",
            "2026-02-01",
            "2026-02-28",
            "2026-03-01",
            "2026-03-02",
            "2026-12-24",
        )
    }
    assert list(found.values()) == [
        0,
        0,
        1,
        1,
        2,
        2,
        2,
    ]  # 1.1 came later, and 2.0 still is the newest version
    assert number_of(ws, "invert@2026-03-01T23:00") == 1
    assert number_of(ws, "invert@2026-03-01T23:30:00Z") == 2
    assert number_of(ws, "invert@2026-03-02T00:15+01:00") == 1
    assert number_of(ws, "INVERT@2026-02-01") == 1


def test_a_date_is_local_time(ws: workbench.Workspace, zone: Any) -> None:
    zone("America/New_York")  # 2026-02-01T00:30 UTC is the evening of January 31 there
    assert number_of(ws, "invert@2026-01-30") == 0
    assert number_of(ws, "invert@2026-01-31") == 1
    zone("Asia/Tokyo")  # 2026-03-01T23:30 UTC is March 2 there
    assert number_of(ws, "invert@2026-03-01") == 1
    assert number_of(ws, "invert@2026-03-02") == 2


def test_before_the_first_deploy_its_date_is_told(ws: workbench.Workspace, zone: Any) -> None:
    expected = (
        r"There was no algorithm 'invert' yet on 2026-01-09 23:59: the first one, invert@1\.0, was deployed on "
        r"2026-01-10 10:00\. Write 'invert@2026-01-10' or a later date\."
    )
    with pytest.raises(NotFoundError, match=expected) as raised:
        ws.algorithms.get("invert@2026-01-09")
    assert ws.algorithms.get(raised.value.near[0]).version == "1.0"
    with pytest.raises(NotFoundError, match="Did you mean 'invert'"):
        ws.algorithms.get("invret@2026-01-09")
    for bad in ("2026-13-01", "2026-02-30", "2026-3-1", "2026-03", "2026-03-01T25:00"):
        with pytest.raises(InvalidNameError, match=r"is no date .* such as 2026-03-01"):
            ws.algorithms.get(f"invert@{bad}")
    with pytest.raises(InvalidInputError, match="names no single version"):
        ws.algorithms.delete("invert@2026-03-01")


def test_a_run_names_the_revision_of_that_date(ws: workbench.Workspace, zone: Any, tmp_path: Path) -> None:
    picture = np.ones((4, 4), np.float32)
    run = ws.run("invert@2026-02-01", picture)
    assert run.record.revision == ws.algorithms.get("invert@1.0").id
    np.testing.assert_array_equal(run.result(), np.full((4, 4), 1, np.float32))
    np.testing.assert_array_equal(ws.run("invert@2026-01-10", picture).result(), np.zeros((4, 4), np.float32))
    with pytest.raises(NotFoundError, match="was deployed on"):
        ws.run("invert@2025-12-31", picture)
    assert len(ws.runs.list()) == 2


def test_listings_show_the_registry_as_it_was(ws: workbench.Workspace, zone: Any) -> None:
    def refs(when: Any, **options: Any) -> list[str]:
        return [a.ref for a in ws.algorithms.list(as_of=when, **options)]

    assert refs("2026-01-09") == []
    assert refs("2026-02-01") == ["invert@1.0"]
    assert [a.id for a in ws.algorithms.list(as_of="2026-01-31")] == [
        a.id for a in ws.algorithms.revisions("invert@1.0")
    ][1:]
    assert refs(date(2026, 3, 1)) == ["invert@2.0", "invert@1.0"]
    assert refs(datetime(2026, 3, 5, 12, tzinfo=UTC)) == ["invert@1.1", "invert@2.0", "invert@1.0"]
    assert refs(datetime(2026, 3, 5, 12, tzinfo=UTC) - timedelta(microseconds=1)) == [
        "invert@2.0",
        "invert@1.0",
    ]
    assert refs("2026-12-24", order="name") == ["invert@1.0", "invert@1.1", "invert@2.0"]
    assert refs("2026-12-24", major=1) == ["invert@1.1", "invert@1.0"]
    assert refs("2026-12-24", tags=["test"], name="inv*") == ["invert@1.1", "invert@2.0", "invert@1.0"]
    first = ws.algorithms.list(as_of="2026-12-24", limit=2)
    assert [a.ref for a in first] + [a.ref for a in first.next()] == [
        "invert@1.1",
        "invert@2.0",
        "invert@1.0",
    ]
    with pytest.raises(InvalidNameError, match="is no date"):
        ws.algorithms.list(as_of="yesterday")


def test_the_command_lists_and_runs_as_of_a_date(zone: Any, tmp_path: Path) -> None:
    with workbench.open(tmp_path / "ws") as ws:
        made = ws.algorithms.deploy(write_algorithm(tmp_path / "a"), check=False)
        backdate(ws, made.revision, datetime(2026, 1, 10, tzinfo=UTC))
        ws.reindex()

    def call(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(main, ["-w", str(tmp_path / "ws"), *words])
        assert done.exit_code == code, done.output
        return done.output

    assert "invert@1.0" not in call("ls", "--as-of", "2026-01-09")
    assert "invert" in call("ls", "--as-of", "2026-01-10")
    assert "was deployed on 2026-01-10" in call("run", "invert@2026-01-09", "x", code=1)
    assert "1.0" in call("describe", "invert@2026-01-11")


def test_times_are_read() -> None:
    assert parse_time(datetime(2026, 3, 1, tzinfo=UTC)) == datetime(2026, 3, 1, tzinfo=UTC)
    assert parse_ref("denoise@2.0").at is None
    assert parse_ref("denoise@20260301").major == 20260301
    with pytest.raises(InvalidNameError):
        parse_time(20260301)  # type: ignore[arg-type]
    with pytest.raises(InvalidNameError):
        parse_time(date.max)
