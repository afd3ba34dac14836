"""Tables: two ways to make them, one result; older, newer, foreign and simultaneous ones."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from workbench.catalog import Catalog, is_current, schema, version
from workbench.catalog.conditions import parse
from workbench.catalog.entry_search import EntryQuestion
from workbench.catalog.search import micros
from workbench.errors import StorageError, WorkspaceError
from workbench.models import BundleRecord, DatasetRecord, EntryRecord, StepRecord, now


def alembic_config(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def description(url: str) -> dict[str, Any]:
    """Return all that a database says of its tables."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    inspector = sa.inspect(engine)
    found: dict[str, Any] = {}
    for name in inspector.get_table_names():
        found[name] = (
            [
                (c["name"], str(c["type"]), c["nullable"], getattr(c["type"], "collation", None))
                for c in inspector.get_columns(name)
            ],
            inspector.get_pk_constraint(name)["constrained_columns"],
            sorted((i["name"], tuple(i["column_names"]), i["unique"]) for i in inspector.get_indexes(name)),
            [
                (f["constrained_columns"], f["referred_table"], f["options"])
                for f in inspector.get_foreign_keys(name)
            ],
        )
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            found["without rowid"] = sorted(
                connection.scalars(sa.text("SELECT name FROM sqlite_master WHERE sql LIKE '%WITHOUT ROWID%'"))
            )
    return found


def test_what_was_made_from_what_is_read_from_the_records_of_before(new_url: Callable[[], str]) -> None:
    url, new = new_url(), new_url()
    base: dict[str, Any] = {"digest": "d", "schema_name": "S", "keys": {}, "nbytes": 1, "created": now()}
    given = [DatasetRecord(id=f"{i:020d}", parents=("a", "b") if i % 3 else (), **base) for i in range(4500)]
    pushed = BundleRecord(id="v1", bundle="b1", name="x", version=1, parents=("a", "a"), created=now())
    gone = pushed.model_copy(update={"id": "v2", "version": 2, "deleted": now()})
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0008")
        connection.execute(
            sa.text("INSERT INTO datasets VALUES (:id, '', 'S', 'd', '', 1, :record)"),
            [{"id": record.id, "record": record.model_dump_json()} for record in given],
        )
        connection.execute(
            sa.text("INSERT INTO bundles VALUES (:number, 'x', :number, :deleted, :record)"),
            [
                {"number": r.version, "deleted": int(r.deleted is not None), "record": r.model_dump_json()}
                for r in (pushed, gone)
            ],
        )
    with Catalog.open(url) as catalog:
        found = catalog.referrers("a", 10_000)
        assert [user.id for user in found if user.kind == "dataset"] == [
            r.id for r in reversed(given) if r.parents
        ]
        assert [(user.kind, user.label) for user in found[-1:]] == [("bundle", "x@1")]
        assert len(catalog.referrers("b", 10_000)) == 3000
    Catalog.open(new).close()
    assert description(url) == description(new)


def test_sizes_and_times_are_read_from_the_entries_of_before(new_url: Callable[[], str]) -> None:
    url, new = new_url(), new_url()
    begin = datetime(2026, 3, 1, 12, tzinfo=UTC)
    times = [begin + timedelta(microseconds=i) for i in (0, 1, 500_000, 10**9)]
    times[3] = times[3].astimezone(timezone(timedelta(hours=2)))
    base: dict[str, Any] = {"application": "a", "domain": "d", "kind": "data", "digest": "", "name": "x"}
    given = [
        EntryRecord(id=f"{i:020d}", version=i + 1, size=10 ** (4 * i), created=time, **base)
        for i, time in enumerate(times)
    ]
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0011")
        connection.execute(sa.text("INSERT INTO entry_scopes VALUES (1, 'a', 'd', 'data', 4)"))
        connection.execute(
            sa.text("INSERT INTO entries VALUES (:version, :id, 1, :version, 'x', 'f', 0, :record)"),
            [{"id": r.id, "version": r.version, "record": r.model_dump_json()} for r in given],
        )
        connection.execute(
            sa.text("INSERT INTO entry_values VALUES (:entry, 'note', 1, NULL, :text)"),
            [{"entry": i + 1, "text": f"{'long ' * 100}{i}"} for i in range(4)],
        )
    with Catalog.open(url) as catalog:
        for record in given:
            where = f"size == {record.size} and created == {micros(record.created)}"
            where += f" and note == {'long ' * 100 + str(record.version - 1)!r}"
            texts, _ = catalog.search_entries(EntryQuestion("a", where=parse(where)))
            assert [EntryRecord.model_validate_json(text) for text in texts] == [record]
    Catalog.open(new).close()
    assert description(url) == description(new)


def test_head_is_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [version.HEAD]


def test_migrations_make_the_same_tables_as_a_new_catalog(new_url: Callable[[], str]) -> None:
    made, migrated = new_url(), new_url()
    Catalog.open(made).close()
    engine = sa.create_engine(migrated, poolclass=sa.NullPool)
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "head")
    assert description(migrated) == description(made)


def test_older_catalog_is_migrated_and_keeps_its_records(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.sqlite")) as old:
        old.executescript((Path(__file__).parent / "data" / "catalog-0001.sql").read_text())
    old_url, new_url = f"sqlite:///{tmp_path}/old.sqlite", f"sqlite:///{tmp_path}/new.sqlite"
    with Catalog.open(old_url) as catalog:
        assert not catalog.is_new
        (dataset,), (run,) = (
            catalog.list_datasets(tags=["raw"])[0],
            catalog.list_runs(algorithm="denoise", status="COMPLETED")[0],
        )
        assert (dataset.name, run.inputs, run.progress.fraction) == ("stack", (dataset.id,), 0.5)
        assert [
            revision.package for revision in catalog.list_revisions(name="denoise", newest_only=False)[0]
        ] == ["p2", "p1"]
        assert catalog.get_aliases("denoise") == {"stable": "1.0"}
        assert (run.reuse_key, run.reused_from, catalog.runs_with_key("k")) == ("", None, [])
        catalog.put_run(run.model_copy(update={"reuse_key": "k"}))
        assert [found.id for found in catalog.runs_with_key("k")] == [run.id]
    Catalog.open(new_url).close()
    assert description(old_url) == description(new_url)


def test_runs_of_a_catalog_from_before_sweeps_belong_to_none(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.sqlite")) as old:
        old.executescript((Path(__file__).parent / "data" / "catalog-0003.sql").read_text())
    old_url, new_url = f"sqlite:///{tmp_path}/old.sqlite", f"sqlite:///{tmp_path}/new.sqlite"
    with Catalog.open(old_url) as catalog:
        (run,) = catalog.runs_with_key("k3")
        assert (run.sweep, run.point, catalog.list_runs(sweep="s")[0]) == (None, None, [])
        catalog.put_run(run.model_copy(update={"sweep": "s", "point": 7}))
        assert [(r.id, r.point) for r in catalog.list_runs(sweep="s")[0]] == [(run.id, 7)]
    Catalog.open(new_url).close()
    assert description(old_url) == description(new_url)


def test_a_catalog_from_before_steps_keeps_its_entries_and_takes_steps(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.sqlite")) as old:
        old.executescript((Path(__file__).parent / "data" / "catalog-0005.sql").read_text())
    old_url, new_url = f"sqlite:///{tmp_path}/old.sqlite", f"sqlite:///{tmp_path}/new.sqlite"
    with Catalog.open(old_url) as catalog:
        assert catalog.entry_versions(("workspace", "eos", "data")) == [1]
        assert catalog.list_steps("step") == []
        step = StepRecord(name="pca", created=now())
        with catalog.change_steps([("step", "pca")]) as change:
            change.put_step(step)
        assert catalog.get_step("step", "pca") == step
    Catalog.open(new_url).close()
    assert description(old_url) == description(new_url)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.sqlite")) as old:
        old.executescript((Path(__file__).parent / "data" / "catalog-0001.sql").read_text())
        old.execute("DROP INDEX ix_revisions_created")  # what the second step drops
    before = description(f"sqlite:///{tmp_path}/old.sqlite")
    with pytest.raises(StorageError):
        Catalog.open(f"sqlite:///{tmp_path}/old.sqlite")
    assert description(f"sqlite:///{tmp_path}/old.sqlite") == before


def test_second_opening_finds_the_tables(url: str) -> None:
    with Catalog.open(url) as catalog:
        assert catalog.is_new
    with Catalog.open(url) as catalog:
        assert not catalog.is_new


def test_catalog_of_a_newer_version_is_refused_with_both_versions(url: str) -> None:
    Catalog.open(url).close()
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {version.VERSION_TABLE} SET version_num = '0999'"))
    with pytest.raises(WorkspaceError, match=rf"0999.*{version.HEAD}.*pip install -U jupyter-workbench"):
        Catalog.open(url)
    with engine.connect() as connection:
        assert connection.scalar(sa.text(f"SELECT version_num FROM {version.VERSION_TABLE}")) == "0999"


def test_database_with_tables_of_something_else_is_refused(url: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE runs (distance INTEGER)"))
    with pytest.raises(WorkspaceError, match="tables of something else: runs"):
        Catalog.open(url)


def test_processes_that_open_a_new_catalog_at_once_all_succeed(tmp_path: Path) -> None:
    code = """
import os, sys, time
from workbench.catalog.catalog import Catalog
for round in range(4):
    start = time.monotonic() + 0.1
    for number in range(6):
        if os.fork() == 0:
            time.sleep(max(0, start - time.monotonic()))
            with Catalog.open(f"sqlite:///{sys.argv[1]}/{round}.sqlite") as catalog:
                os.write(1, f"{round} {catalog.is_new} {catalog.list_runs()}\\n".encode())
            os._exit(0)
    assert not any(os.wait()[1] for number in range(6))
"""
    answers = subprocess.check_output([sys.executable, "-c", code, str(tmp_path)], text=True).splitlines()
    expected = [f"{round} {is_new} ([], None)" for round in range(4) for is_new in [False] * 5 + [True]]
    assert sorted(answers) == expected


def test_threads_that_open_a_new_catalog_at_once_all_succeed(new_url: Callable[[], str]) -> None:
    for _ in range(5):
        url = new_url()
        with ThreadPoolExecutor(8) as pool:
            catalogs = list(pool.map(lambda _: Catalog.open(url), range(8)))  # noqa: B023
        assert sorted(catalog.is_new for catalog in catalogs) == [False] * 7 + [True]
        for catalog in catalogs:
            catalog.close()


def test_opening_an_existing_catalog_imports_no_alembic_and_no_other_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/catalog.sqlite"
    Catalog.open(url).close()
    code = (
        "import sys; from workbench.catalog import Catalog; catalog = Catalog.open(sys.argv[1]); catalog.list_runs();"
        "print(sorted({'alembic', 'numpy', 'sqlalchemy.dialects.postgresql'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code, url], text=True) == "[]\n"


def test_is_current_knows_a_catalog_without_sqlalchemy(tmp_path: Path) -> None:
    with Catalog.open(f"sqlite:///{tmp_path}/catalog.sqlite") as catalog:
        assert not is_current(tmp_path / "catalog.sqlite", "")  # nobody has filled it
        catalog.note_workspace("w", "here")
    code = (
        "import sys, pathlib; from workbench.catalog import is_current; folder = pathlib.Path(sys.argv[1]);"
        "print([is_current(folder / 'catalog.sqlite', id) for id in ('w', '', 'v')]);"
        "print(is_current(folder / 'none.sqlite', ''), 'sqlalchemy' in sys.modules)"
    )
    assert (
        subprocess.check_output([sys.executable, "-c", code, str(tmp_path)], text=True)
        == "[True, True, False]\nFalse False\n"
    )
    (tmp_path / "other.sqlite").write_bytes(b"not a database" * 100)
    assert not is_current(tmp_path / "other.sqlite", "")
    assert not (tmp_path / "none.sqlite").exists()
