"""Many writers, places that cannot be written, full disks and damaged files: what the user gets to read."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from workbench.catalog import Catalog
from workbench.errors import (
    DamagedError,
    InvalidInputError,
    ReadOnlyError,
    StorageError,
    StorageFullError,
    UnsupportedError,
)
from workbench.models import RunRecord, now
from workbench.names import new_id


def a_run() -> RunRecord:
    return RunRecord(
        id=new_id(), algorithm="denoise@1.0", algorithm_name="denoise", tags=("t",), created=now()
    )


def test_eight_processes_that_write_for_seconds_lose_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/catalog.sqlite"
    Catalog.open(url).close()
    code = """
import os, sys, time
from workbench.catalog.catalog import Catalog
from workbench.models import RunRecord, RunStatus, now
from workbench.names import new_id
for number in range(8):
    if os.fork() == 0:
        done, until = 0, time.monotonic() + 3
        with Catalog.open(sys.argv[1]) as catalog:
            while time.monotonic() < until:
                name = f"process{number}"
                run = RunRecord(id=new_id(), algorithm=name + "@1.0", algorithm_name=name, inputs=("a", "b"), created=now())
                catalog.put_run(run)
                catalog.update_progress(run.id, 0.5, "half")
                catalog.put_run(run.model_copy(update={"status": RunStatus.COMPLETED, "tags": ("t",)}))
                assert catalog.list_runs(algorithm=name, limit=1)[0][0].id == run.id
                done += 1
        os.write(1, f"{number} {done}\\n".encode())
        os._exit(0)
sys.exit(max(os.waitstatus_to_exitcode(os.wait()[1]) for number in range(8)))
"""
    out = subprocess.run([sys.executable, "-c", code, url], text=True, capture_output=True)
    assert (out.returncode, out.stderr) == (0, "")
    done = dict(map(int, line.split()) for line in out.stdout.splitlines())
    assert len(done) == 8
    assert min(done.values()) > 0
    with Catalog.open(url) as catalog:
        for number, expected in done.items():
            found = catalog.list_runs(
                algorithm=f"process{number}", status="COMPLETED", tags=["t"], limit=10**6
            )[0]
            assert len(found) == expected
        assert len(catalog.consumers("a", limit=10**6)) == sum(done.values())


def test_threads_share_one_catalog(catalog: Catalog) -> None:
    runs = [a_run() for _ in range(80)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(catalog.put_run, runs))
        pages = list(pool.map(lambda _: catalog.list_runs(limit=100)[0], range(20)))
    assert all({run.id for run in page} == {run.id for run in runs} for page in pages)


def test_catalog_in_memory_serves_all_threads() -> None:
    with Catalog.open("sqlite://") as catalog:
        test_threads_share_one_catalog(catalog)


def test_error_in_a_transaction_leaves_nothing_behind(catalog: Catalog) -> None:
    bad = a_run().model_copy(update={"tags": ("t", None)})  # the record goes in, its tag cannot
    with pytest.raises(StorageError):
        catalog.put_runs([a_run(), bad])
    assert catalog.list_runs() == ([], None)
    catalog.put_run(a_run())
    assert len(catalog.list_runs()[0]) == 1


@pytest.fixture
def read_only_folder() -> Iterator[Path]:
    """Give a folder with a catalog of one run, to be opened by a process without the right to write there."""
    folder = Path(tempfile.mkdtemp(prefix="wb-read-only-"))
    with Catalog.open(f"sqlite:///{folder}/catalog.sqlite") as catalog:
        catalog.put_run(a_run())
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def without_rights(code: str, folder: Path) -> str:
    """Run code in a process that may read the folder and not write it; return what it prints."""
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)
    drop = "import os, sys; from workbench.catalog.catalog import Catalog; import workbench.errors, sqlalchemy.dialects.sqlite\n"
    drop += "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    return subprocess.check_output(
        [sys.executable, "-c", drop + code, f"sqlite:///{folder}/catalog.sqlite"], text=True
    )


def test_read_only_folder_is_read_and_refuses_writing(read_only_folder: Path) -> None:
    code = """
with Catalog.open(sys.argv[1]) as catalog:
    run = catalog.list_runs()[0][0]
    print(catalog.read_only, run.algorithm)
    try:
        catalog.put_run(run)
    except workbench.errors.ReadOnlyError as error:
        print(error)
"""
    said = without_rights(code, read_only_folder).splitlines()
    assert said[0] == "True denoise@1.0"
    assert said[1] == (
        f"The catalog {read_only_folder}/catalog.sqlite is open for reading only. Make its folder writable and reopen."
    )


def test_read_only_folder_shows_what_a_living_writer_has_committed(read_only_folder: Path) -> None:
    with Catalog.open(f"sqlite:///{read_only_folder}/catalog.sqlite") as writer:
        writer.put_run(a_run())  # in the log beside the file, not in the file yet
        said = without_rights("print(len(Catalog.open(sys.argv[1]).list_runs()[0]))", read_only_folder)
    assert said == "2\n"


def test_absent_catalog_in_a_read_only_folder_is_refused(read_only_folder: Path) -> None:
    (read_only_folder / "catalog.sqlite").unlink()
    code = """
try:
    Catalog.open(sys.argv[1])
except workbench.errors.ReadOnlyError as error:
    print(error)
"""
    assert "cannot be made" in without_rights(code, read_only_folder)


def test_older_catalog_in_a_read_only_folder_is_refused(read_only_folder: Path) -> None:
    with sqlite3.connect(read_only_folder / "catalog.sqlite") as old:
        old.execute("UPDATE catalog_version SET version_num = '0001'")
    old.close()
    code = """
try:
    Catalog.open(sys.argv[1])
except workbench.errors.ReadOnlyError as error:
    print(error)
"""
    assert "has tables of version 0001" in without_rights(code, read_only_folder)


def test_full_disk_is_named_and_nothing_is_half_recorded(tmp_path: Path) -> None:
    with Catalog.open(f"sqlite:///{tmp_path}/catalog.sqlite") as catalog:
        kept = a_run()
        catalog.put_run(kept)

        def fill(connection: sqlite3.Connection, record: object) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count={pages}")

        sa.event.listen(catalog._database.engine, "connect", fill)
        catalog._database.engine.dispose()
        with pytest.raises(StorageFullError, match=r"No space is left.*nothing was recorded"):
            catalog.put_runs([a_run().model_copy(update={"device_reason": "x" * 1000}) for _ in range(500)])
        assert [run.id for run in catalog.list_runs()[0]] == [kept.id]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root to mount a small disk"
)
def test_really_full_disk_is_named(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(small)], capture_output=True
    ).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with Catalog.open(f"sqlite:///{small}/catalog.sqlite") as catalog:
            long = a_run().model_copy(update={"device_reason": "x" * 1000})
            with pytest.raises(StorageFullError, match="No space is left"):
                catalog.put_runs([long.model_copy(update={"id": new_id()}) for _ in range(2000)])
            assert catalog.list_runs() == ([], None)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").write_bytes(os.urandom(8192))
    with pytest.raises(DamagedError, match=r"catalog\.sqlite is damaged.*workbench reindex"):
        Catalog.open(f"sqlite:///{tmp_path}/catalog.sqlite")


def test_damaged_page_is_reported_when_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "catalog.sqlite"
    with Catalog.open(f"sqlite:///{file}") as catalog:
        catalog.put_runs([a_run() for _ in range(500)])
    content = bytearray(file.read_bytes())
    for page in range(4096, len(content), 4096):
        if (
            content[page] == 13 and content.count(b"denoise@1.0", page, page + 4096) > 3
        ):  # a leaf of the table of runs
            content[page : page + 4096] = b"\xff" * 4096
    file.write_bytes(content)
    with Catalog.open(f"sqlite:///{file}") as catalog, pytest.raises(DamagedError, match="workbench reindex"):
        catalog.list_runs(limit=500)


def test_record_that_cannot_be_read_is_damaged(catalog: Catalog) -> None:
    catalog.put_run(a_run())
    with catalog._database.write() as connection:
        connection.execute(sa.text("UPDATE runs SET record = '{}'"))
    with pytest.raises(DamagedError, match=r"RunRecord that cannot be read.*workbench reindex"):
        catalog.list_runs()


def test_damaged_catalog_is_set_aside_and_begun_anew(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/catalog.sqlite"
    (tmp_path / "catalog.sqlite").write_bytes(b"no database" * 1000)
    aside = Catalog.set_aside(url)
    assert Path(aside).read_bytes() == b"no database" * 1000
    with Catalog.open(url) as catalog:
        assert catalog.is_new


def test_catalog_in_an_absent_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadOnlyError, match="absent or read-only"):
        Catalog.open(f"sqlite:///{tmp_path}/absent/catalog.sqlite")


def test_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").mkdir()
    with pytest.raises(StorageError, match="cannot be opened"):
        Catalog.open(f"sqlite:///{tmp_path}/catalog.sqlite")


@pytest.mark.parametrize("text", ["catalog.sqlite", "", "sqlite:/x", "sqlite://x"])
def test_text_that_is_no_url_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidInputError, match="sqlite:////path"):
        Catalog.open(text)


def test_database_of_another_kind_is_refused_with_examples() -> None:
    for url in ("mysql://user:secret@host/database", "mariadb+pymysql://user:secret@host/database"):
        with pytest.raises(
            UnsupportedError, match=r"fixed length.*Leave catalog out.*postgresql\+psycopg://"
        ) as caught:
            Catalog.open(url)
        assert "secret" not in str(caught.value)
    with pytest.raises(UnsupportedError, match=r"'oracle'.*postgresql\+psycopg://"):
        Catalog.open("oracle://user:secret@host/database")


def test_server_that_does_not_answer_is_named_without_the_password() -> None:
    with pytest.raises(StorageError, match="does not answer") as caught:
        Catalog.open("postgresql+psycopg://user:secret@127.0.0.1:9/database")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("durability", "synchronous"), [("process", 1), ("fsync", 2)])
def test_durability_decides_what_a_commit_waits_for(
    tmp_path: Path, durability: str, synchronous: int
) -> None:
    with (
        Catalog.open(f"sqlite:///{tmp_path}/catalog.sqlite", durability=durability) as catalog,
        catalog._database.read() as connection,
    ):
        assert connection.scalar(sa.text("PRAGMA synchronous")) == synchronous
        assert connection.scalar(sa.text("PRAGMA journal_mode")) == "wal"


def test_file_name_with_odd_characters_is_opened(tmp_path: Path) -> None:
    folder = tmp_path / "50% of #1? %41 ü"
    folder.mkdir()
    Catalog.open(f"sqlite:///{folder}/catalog.sqlite").close()
    assert (folder / "catalog.sqlite").is_file()


def _open_files(path: Path) -> int:
    links = [fd for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    return sum(fd.readlink() == path for fd in links if fd.is_symlink())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_connections_end_with_their_threads_and_with_the_catalog(tmp_path: Path) -> None:
    catalog = Catalog.open(f"sqlite:///{tmp_path}/catalog.sqlite")
    run = a_run()
    catalog.put_run(run, before=None)
    before = _open_files(tmp_path / "catalog.sqlite")
    for _ in range(25):
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(lambda _: catalog.get_run(run.id) == run, range(20)))
    # SQLite itself keeps a file that it closed while another connection had a lock, for the next one that opens it
    assert _open_files(tmp_path / "catalog.sqlite") <= before + 4
    catalog.close()
    assert _open_files(tmp_path / "catalog.sqlite") == 0
    assert catalog.get_run(run.id) == run  # it opens again
    catalog.close()


def test_a_fork_reads_and_writes_on_connections_of_its_own(tmp_path: Path) -> None:
    catalog = Catalog.open(f"sqlite:///{tmp_path}/catalog.sqlite")
    first, second = a_run(), a_run()
    catalog.put_run(first, before=None)
    child = os.fork()
    if child == 0:
        is_there = catalog.get_run(first.id) == first
        catalog.put_run(second, before=None)
        os._exit(0 if is_there else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert catalog.get_runs([first.id, second.id]) == {first.id: first, second.id: second}
    catalog.close()
