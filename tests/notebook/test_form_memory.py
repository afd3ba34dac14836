"""What a form remembers, and what it makes of files it did not write."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workbench.errors import ReadOnlyError
from workbench.notebook import where
from workbench.notebook.form_memory import FormMemory
from workbench.storage.fsspec_store import FsspecStore

VALUES = {"sigma": 0.1 + 0.2, "seed": 2**60 + 1, "text": "µ\n\"'", "none": None, "list": [], "flag": True}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FsspecStore]:
    opened = FsspecStore(str(tmp_path / "ws"))
    opened.create_collections(["forms"])
    yield opened
    opened.close()


@pytest.fixture
def memory(store: FsspecStore) -> FormMemory:
    return FormMemory(store, delay_s=0.05)


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "ws" / "forms").glob("*.json"))


def eventually(check: Callable[[], bool]) -> None:
    end = time.monotonic() + 3
    while not check():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_values_come_back_exactly_in_another_kernel(memory: FormMemory, store: FsspecStore) -> None:
    memory.remember("/home/a/study.ipynb", "denoise", VALUES, ["volume"])
    memory.flush()
    found = FormMemory(store).recall("/home/a/study.ipynb", "denoise")
    assert list(map(repr, found.values.items())) == list(map(repr, VALUES.items()))
    assert found.inputs == ["volume"]
    assert found.note == ""


def test_notebooks_and_algorithms_do_not_mix(memory: FormMemory) -> None:
    memory.remember("/a.ipynb", "denoise", {"sigma": 1.0}, [])
    memory.remember("/b.ipynb", "denoise", {"sigma": 2.0}, [])
    memory.remember(None, "denoise", {"sigma": 3.0}, [])
    memory.remember("/a.ipynb", "segment", {"sigma": 4.0}, [])
    memory.flush()
    asked = [("/a.ipynb", "denoise"), ("/b.ipynb", "denoise"), (None, "denoise"), ("/a.ipynb", "segment")]
    assert [memory.recall(*pair).values["sigma"] for pair in asked] == [1.0, 2.0, 3.0, 4.0]
    assert memory.recall("/c.ipynb", "denoise").values == {}


def test_file_can_be_read_by_a_person(memory: FormMemory, tmp_path: Path) -> None:
    memory.remember("/a.ipynb", "denoise", {"sigma": 1.0}, ["volume"])
    memory.flush()
    content = json.loads(files(tmp_path)[0].read_text("utf-8"))
    assert content["notebook"] == "/a.ipynb"
    assert content["algorithm"] == "denoise"
    assert content["values"] == {"sigma": 1.0}


def test_quick_changes_are_written_once_and_soon(memory: FormMemory, tmp_path: Path) -> None:
    for number in range(50):
        memory.remember("/a.ipynb", "denoise", {"n": number}, [])
    assert files(tmp_path) == []
    eventually(lambda: len(files(tmp_path)) == 1)
    assert memory.recall("/a.ipynb", "denoise").values == {"n": 49}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1]",
        b"\xff\xfe",
        b'{"format": 99, "kind": "values", "algorithm": "denoise"}',
        b'{"kind": "other"}',
    ],
)
def test_damaged_or_foreign_file_is_ignored_with_a_note(
    memory: FormMemory, tmp_path: Path, content: bytes
) -> None:
    memory.remember(None, "denoise", {"n": 1}, [])
    memory.flush()
    [file] = files(tmp_path)
    file.write_bytes(content)
    found = memory.recall(None, "denoise")
    assert found.values == {}
    assert "ignored" in found.note


def test_damaged_values_are_ignored_with_a_note(memory: FormMemory, tmp_path: Path) -> None:
    memory.remember(None, "denoise", {"n": 1}, [])
    memory.flush()
    [file] = files(tmp_path)
    file.write_text(file.read_text().replace('{\n  "n": 1\n }', "17"))
    found = memory.recall(None, "denoise")
    assert found.values == {}
    assert "damaged" in found.note


def test_presets_are_shared_by_notebooks_replaced_and_deleted(memory: FormMemory, store: FsspecStore) -> None:
    memory.save_preset("denoise", "soft", {"sigma": 1.0})
    memory.save_preset("denoise", "hard", {"sigma": 9.0})
    memory.save_preset("denoise", "soft", {"sigma": 2.0})
    assert FormMemory(store).presets("denoise") == {"hard": {"sigma": 9.0}, "soft": {"sigma": 2.0}}
    memory.delete_preset("denoise", "hard")
    memory.delete_preset("denoise", "never there")
    assert memory.presets("denoise") == {"soft": {"sigma": 2.0}}
    assert memory.presets("segment") == {}


def test_read_only_workspace_turns_the_memory_off_with_a_note() -> None:
    class ReadOnly:
        def get(self, collection: str, key: str) -> bytes:
            return b"{}"

        def put(self, collection: str, key: str, data: object) -> None:
            raise ReadOnlyError("no")

    quiet = FormMemory(ReadOnly())  # type: ignore[arg-type]
    quiet.remember(None, "denoise", {"n": 1}, [])
    quiet.flush()
    assert quiet.note == "Values are not remembered: the workspace is read-only."


def test_notebook_is_the_one_that_the_server_or_the_editor_names() -> None:
    vscode = {"__vsc_ipynb_file__": "/vs/b.ipynb"}
    assert where.notebook({"JPY_SESSION_NAME": "/lab/a.ipynb"}, vscode) == "/lab/a.ipynb"
    assert where.notebook({}, vscode) == "/vs/b.ipynb"
    assert where.notebook({"JPY_SESSION_NAME": ""}, {}) is None
    assert where.notebook({}, {"__vsc_ipynb_file__": 3}) is None
