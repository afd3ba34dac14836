"""What is kept of records on their way: forgotten when done, taken up when its writer was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from algorithm_folders import NOOP, write_algorithm

import workbench
from workbench.errors import StorageFullError
from workbench.models import RunRecord, RunStatus
from workbench.names import new_id
from workbench.storage import journal as journals
from workbench.storage.journal import Journal

WRITER = """
    import sys
    from pathlib import Path
    from workbench.storage.journal import Journal

    journal = Journal(Path(sys.argv[1]))
    for line in sys.stdin:
        what, id = line.split()
        if what == "keep":
            journal.keep(id, b'{"id":"%s"}' % id.encode())
        elif what == "torn":
            journal._files[-1].write = None
            import os
            os.write(journal._files[-1].descriptor, b'{"id":"' + id.encode())
        else:
            journal.done([id])
        print(what, flush=True)
"""


def line(id: str, **more: object) -> bytes:
    return json.dumps({"id": id, **more}).encode()


def taken(folder: Path) -> list[str]:
    found: list[bytes] = []
    Journal(folder).take_up(found.extend)
    return [json.loads(record)["id"] for record in found]


def written_and_killed(folder: Path, *steps: str) -> None:
    """Let a process write and kill it."""
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdin is not None
    assert writer.stdout is not None
    with writer.stdin, writer.stdout:
        for step in steps:
            writer.stdin.write(f"{step}\n")
            writer.stdin.flush()
            assert writer.stdout.readline().strip() == step.split()[0]
        assert taken(folder) == []  # it lives
        writer.send_signal(signal.SIGKILL)
        writer.wait()


def test_what_a_killed_process_kept_is_taken_up_once(tmp_path: Path) -> None:
    written_and_killed(tmp_path, "keep a", "keep b", "keep c", "done b", "torn d")
    assert taken(tmp_path) == ["a", "c"]
    assert taken(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_what_a_power_cut_left_keeps_nobody_from_the_rest(tmp_path: Path) -> None:
    written_and_killed(tmp_path, "keep a")
    with next(tmp_path.iterdir()).open("ab") as file:
        file.write(bytes(100) + b"\n" + line("b") + b"\n")
    assert taken(tmp_path) == ["a", "b"]


def test_what_could_not_be_brought_to_its_place_is_kept(tmp_path: Path) -> None:
    written_and_killed(tmp_path, "keep a")
    with pytest.raises(StorageFullError):
        Journal(tmp_path).take_up(lambda records: (_ for _ in ()).throw(StorageFullError("full")))
    assert taken(tmp_path) == ["a"]


def test_two_that_take_up_do_not_do_it_twice(tmp_path: Path) -> None:
    written_and_killed(tmp_path, *(f"keep r{i}" for i in range(50)))
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.extend(taken(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(f"r{i}" for i in range(50))


def test_what_is_done_leaves_no_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "LARGEST", 10_000)
    journal = Journal(tmp_path)
    for i in range(1000):
        journal.keep(f"r{i}", line(f"r{i}", text="x" * 100))
        if i >= 3:  # three are always on their way
            journal.done([f"r{i - 3}"])
    files = list(tmp_path.iterdir())
    assert sum(file.stat().st_size for file in files) < 25_000
    assert {json.loads(record)["id"] for i in (997, 998, 999) for record in journal.find(f"r{i}")} == {
        "r997",
        "r998",
        "r999",
    }
    journal.done(["r997", "r998", "r999"])
    assert len(list(tmp_path.iterdir())) == 1
    journal.close(lambda records: pytest.fail(f"left: {records}"))
    assert list(tmp_path.iterdir()) == []


def test_one_that_stays_open_does_not_make_the_others_stay(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.keep("long", line("long", state=1))
    for i in range(5000):  # more than one file would take
        journal.keep(f"r{i}", line(f"r{i}", text="x" * 1000))
        journal.done([f"r{i}"])
    journal.keep("long", line("long", state=2))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < journals.MOST_IDLE + 10_000
    both = [journal.all(), Journal(tmp_path).all()]  # from memory, and as another process reads it
    assert [[json.loads(record) for record in found] for found in both] == [[{"id": "long", "state": 2}]] * 2
    assert both[0] == both[1]


def test_a_file_that_is_moved_while_others_look_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reader = Journal(tmp_path), Journal(tmp_path)
    writer.keep("long", line("long"))
    read = journals._records

    def moved_before(path: Path) -> list[bytes]:
        monkeypatch.setattr(journals, "_records", read)
        writer._move(writer._files[0])
        return read(path)

    monkeypatch.setattr(journals, "_records", moved_before)
    assert [json.loads(record)["id"] for record in reader.all()] == ["long"]


def test_what_is_open_at_the_close_is_brought_to_its_place(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.keep("a", line("a", state=1))
    journal.keep("a", line("a", state=2))
    journal.keep("b", line("b"))
    journal.done(["b"])
    found: list[bytes] = []
    journal.close(found.extend)
    assert [json.loads(record) for record in found] == [{"id": "a", "state": 2}]
    assert list(tmp_path.iterdir()) == []


def test_a_fork_has_a_file_of_its_own(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.keep("a", line("a"))
    child = os.fork()
    if child == 0:
        journal.done(["a"])  # not its own
        journal.keep("b", line("b"))
        os._exit(0)
    os.waitpid(child, 0)
    assert taken(tmp_path) == ["b"]
    assert len(journal.find("a")) == 1


def test_an_end_that_was_told_is_found_by_the_next_workspace(tmp_path: Path) -> None:
    code = """
        import os, sys
        import workbench
        from workbench.models import RunStatus
        from workbench.names import new_id

        ws = workbench.open(sys.argv[1])
        record = ws.run("noop").record
        for status in (RunStatus.PENDING, RunStatus.COMPLETED):
            record = record.model_copy(update={"id": new_id(), "status": status})
            ws.runs.keep(record, record.model_dump_json().encode())
            print(record.id, flush=True)
        os.kill(os.getpid(), 9)
    """
    with workbench.open(tmp_path / "ws") as ws:
        ws.algorithms.deploy(write_algorithm(tmp_path / "noop", "noop", NOOP, type="Generic"), check=False)
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "ws")], capture_output=True, text=True
    )
    waiting, ended = killed.stdout.split()
    with workbench.open(tmp_path / "ws") as ws:
        states = {run.id: run.status for run in ws.runs.list()}
        assert states[ended] == "COMPLETED"
        assert states[waiting] == "LOST"
        assert RunRecord.model_validate_json(ws.store.get("runs", f"{ended}.json")).status == "COMPLETED"
        ws.runs.delete(ended)
    with workbench.open(tmp_path / "ws") as ws:
        assert ended not in {run.id for run in ws.runs.list()}


def test_what_one_process_has_on_its_way_is_read_by_all(tmp_path: Path) -> None:
    with workbench.open(tmp_path / "ws") as ws:
        ws.algorithms.deploy(write_algorithm(tmp_path / "noop", "noop", NOOP, type="Generic"), check=False)
        runs = [ws.run("noop", executor="process", wait=False) for _ in range(20)]
        with workbench.open(tmp_path / "ws") as other:
            assert {run.id for run in other.runs.list()} == {run.id for run in runs}
        for run in runs:
            run.result()
            with workbench.open(tmp_path / "ws") as other:
                assert other.runs.get(run.id).status == "COMPLETED"
        ws.executor("process").client.stop(force=True)


def test_an_end_that_no_catalog_has_heard_of_is_found_all_the_same(tmp_path: Path) -> None:
    with workbench.open(tmp_path / "ws") as ws:
        ws.algorithms.deploy(write_algorithm(tmp_path / "noop", "noop", NOOP, type="Generic"), check=False)
        record = ws.run("noop").record.model_copy(update={"id": new_id()})
        ws.runs.keep(record, record.model_dump_json().encode())  # told, and not yet brought to its place
        assert ws.runs.records_of([record.id])[record.id].status == "COMPLETED"
        ws.runs._catalog.delete_runs([record.id])
        ws.runs.save_file(record)
        ws.runs.filed([record.id])  # forgotten between a look into the catalog and one into the journal
        assert ws.runs.get(record.id).status == "COMPLETED"


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunRecord:
    """Of a run that completed in `tmp_path / "ws"`, told by a process that was killed before it filed it."""
    with workbench.open(tmp_path / "ws") as ws:
        ws.algorithms.deploy(write_algorithm(tmp_path / "noop", "noop", NOOP, type="Generic"), check=False)
        done = ws.run("noop").record
        record = done.model_copy(update={"id": new_id(), "pid_started": 1.0})
        ws.runs.save(record.model_copy(update={"status": RunStatus.RUNNING}))
    written_and_killed(tmp_path / "ws" / ".journal", "keep x")
    (file,) = (tmp_path / "ws" / ".journal").iterdir()
    owner = file.read_bytes().splitlines(keepends=True)[0]
    file.write_bytes(owner + record.model_dump_json().encode() + b"\n")
    return record


def test_an_end_in_the_journal_of_another_user_is_no_loss(
    tmp_path: Path, record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*args: object) -> None:
        raise PermissionError("another user's")

    monkeypatch.setattr(Journal, "_take_up", denied)
    with workbench.open(tmp_path / "ws") as ws:
        assert ws.runs.list(limit=1)[0].status == "COMPLETED"
        assert RunRecord.model_validate_json(ws.store.get("runs", f"{record.id}.json")).status == "COMPLETED"


def test_a_deleted_run_does_not_come_back_from_a_journal(tmp_path: Path, record: RunRecord) -> None:
    with workbench.open(tmp_path / "ws") as ws:
        ws.runs._settled = True  # it was opened before the kill
        ws.runs.save(record)
        ws.runs.delete(record.id)
    with workbench.open(tmp_path / "ws") as ws:
        assert record.id not in [run.id for run in ws.runs.list()]


def test_what_a_living_process_keeps_is_listed_everywhere(tmp_path: Path, record: RunRecord) -> None:
    with workbench.open(tmp_path / "ws") as mine, workbench.open(tmp_path / "ws") as others:
        given = record.model_copy(update={"id": new_id(), "status": RunStatus.PENDING, "pid": os.getpid()})
        given = given.model_copy(update={"pid_started": None})
        mine.runs.keep(given, given.model_dump_json().encode())  # the host is starting, and has not listed it
        assert given.id in [run.id for run in others.runs.list()]


def test_what_is_attached_stays_with_its_record(tmp_path: Path) -> None:
    attached = {"a": b"\n", "b": b'[1]\n{"id":"a"}\n', "c": bytes(1000)}
    journal = Journal(tmp_path)
    for id, content in attached.items():
        journal.keep(id, line(id, attached=len(content)), content)
    journal.keep("d", line("d"))
    journal.done(["c"])
    wanted = [line(id, attached=len(attached[id])) + b"\n" + attached[id] + b"\n" for id in "ab"]
    wanted.append(line("d") + b"\n")
    assert journal.all() == Journal(tmp_path).all() == wanted
    assert journal.find("b") == Journal(tmp_path).find("b") == wanted[1:2]
    found: list[bytes] = []
    journal.close(found.extend)
    assert found == wanted


@pytest.mark.parametrize("cut", [1, 5, 100])
def test_a_record_whose_attached_bytes_are_cut_off_was_not_kept(tmp_path: Path, cut: int) -> None:
    journal = Journal(tmp_path)
    journal.keep("a", line("a", attached=4), b"kept")
    journal.keep("b", line("b", attached=99), b"x" * 99)
    (file,) = tmp_path.iterdir()
    os.truncate(file, file.stat().st_size - cut)
    assert [json.loads(record.splitlines()[0])["id"] for record in Journal(tmp_path).all()] == ["a"]
