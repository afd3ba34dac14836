"""The views of entries without a browser: a form that adds a model, a table to search in, a promotion that can be undone."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import workbench
from workbench.errors import AlreadyExistsError, InvalidInputError
from workbench.notebook.entry_browser import EntryBrowser
from workbench.notebook.model_form import ModelForm
from workbench.notebook.promotion_view import PromotionView


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "ws") as found:
        yield found


def safetensors(path: Path, number: float = 0.0) -> Path:
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + np.float32(number).tobytes())
    return path


def hdf5(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["inputs"] = np.ones((4, 2))
    return path


def test_a_model_is_added_by_its_form_and_ranked(ws: workbench.Workspace, tmp_path: Path) -> None:
    first = safetensors(tmp_path / "old.safetensors", 1.0)
    ws.entries.add_model("eos", first, val_error=0.02)
    form = ModelForm(ws.entries)
    assert form.problem == "domain: needs a value"
    path = safetensors(tmp_path / "net.safetensors", 2.0)
    form.write(
        domain="eos", file=str(path), val_error=0.1, uq_type="random", metadata="layers=3\nfamily=relu"
    )
    assert form.problem is None
    assert "eos/models version 2" in form._reason.value
    assert "layers': 3" in form.code()
    form.add()
    assert form.added is not None
    assert form.added.metadata == {"layers": 3, "family": "relu", "val_error": 0.1, "uq_type": "random"}
    shown = form._ranking.value
    assert shown.index("old.safetensors") < shown.index("net.safetensors (added)")
    exec(form.code(), {"ws": ws})  # what the form shows does the same
    assert ws.entries.find("eos/models@3").metadata == form.added.metadata
    form.close()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"file": "ne.safetensors"}, "Did you mean 'net.safetensors'"),
        ({"file": "."}, "is a folder"),
        ({"domain": "a/b"}, "Try 'a-b'"),
        ({"val_error": float("nan")}, "val_error: val_error is nan, expected a number"),
        ({"threshold": float("inf")}, "threshold: threshold is inf"),
        ({"file": "pickled.pt"}, "file: pickled.pt is no TorchScript model, perhaps a pickled one"),
        ({"uq_type": "deltaUQ"}, "needs uq_aggregate: max or mean"),
        ({"metadata": "version=3"}, "'version', which every entry has"),
        ({"metadata": "val_error=3"}, "which is an argument"),
        ({"metadata": "layers"}, "is no key=value"),
    ],
)
def test_the_form_says_what_is_wrong_at_its_field(
    ws: workbench.Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    values: dict[str, str],
    problem: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    safetensors(tmp_path / "net.safetensors")
    with zipfile.ZipFile("pickled.pt", "w") as archive:
        archive.writestr("pickled/data.pkl", pickle.dumps([1]))
    form = ModelForm(ws.entries, "eos", "net.safetensors")
    assert form.problem is None
    form.write(**values)
    assert form.problem is not None
    assert problem in form.problem
    assert form._button.disabled
    form.add()
    assert form.added is None
    assert len(ws.entries.list()) == 0


def test_a_file_that_is_no_model_is_refused_in_the_form(ws: workbench.Workspace, tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(b"not a model")
    form = ModelForm(ws.entries, "eos", str(tmp_path / "net.pt"))
    form.add()
    assert "neither TorchScript nor safetensors" in form._reason.value
    assert form._button.disabled
    assert len(ws.entries.list()) == 0


def test_files_are_suggested_from_the_folder_that_is_typed(
    ws: workbench.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    safetensors(tmp_path / "models" / "a.safetensors")
    (tmp_path / "models" / "a.txt").touch()
    form = ModelForm(ws.entries, "eos")
    assert "models/" in form._file.options
    form.write(file="models/")
    assert form._file.options == ("models/a.safetensors",)


def test_a_promotion_is_shown_done_and_taken_back(ws: workbench.Workspace, tmp_path: Path) -> None:
    copied = ws.entries.add("eos", hdf5(tmp_path / "a.h5"), "candidates", metadata={"T": 300})[0]
    lying = ws.entries.add("eos", hdf5(tmp_path / "b.h5"), "candidates", copy=False)[0]
    view = PromotionView(ws.entries, [copied.id, lying.id], kind="data", folder=tmp_path / "staged")
    assert "candidates@1" in repr(view)
    assert len(ws.entries.list(kind="candidates")) == 2
    view.promote()
    assert [e.ref for e in ws.entries.list("eos", "data", order="created")] == [
        "eos/data@1/a.h5",
        "eos/data@2/b.h5",
    ]
    assert (tmp_path / "staged" / "b.h5").exists()
    assert not (tmp_path / "b.h5").exists()
    view.promote()  # a second click does nothing
    view.undo()
    back = ws.entries.list("eos", "candidates", order="created")
    assert [(e.id, e.version, e.metadata) for e in back] == [(copied.id, 1, {"T": 300}), (lying.id, 2, {})]
    assert (tmp_path / "b.h5").exists()
    assert not (tmp_path / "staged" / "b.h5").exists()
    assert [(p.kind, p.version) for p in back[0].promotions] == [("candidates", 1), ("data", 1)]
    for entry in back:
        entry.verify()
    ws.catalog.clear()
    ws.entries.reindex()
    assert [e.record for e in ws.entries.list("eos", order="created")] == [e.record for e in back]


def test_what_is_in_the_way_of_an_undo_is_named_and_nothing_moves(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    entry = ws.entries.add("eos", hdf5(tmp_path / "a.h5"), "candidates")[0]
    with pytest.raises(InvalidInputError, match="was never moved"):
        ws.entries.move_back(entry)
    view = PromotionView(ws.entries, entry, kind="data")
    view.promote()
    ws.entries.add("eos", tmp_path / "a.h5", "candidates", version=1, extend=True)
    view.undo()
    assert "has a file" in view._reason.value
    assert view.is_done
    assert len(ws.entries.list("eos", "data")) == 1
    with pytest.raises(AlreadyExistsError):
        ws.entries.move_back(entry.id)


def test_a_version_that_is_joined_is_said_before(ws: workbench.Workspace, tmp_path: Path) -> None:
    ws.entries.add("eos", hdf5(tmp_path / "a.h5"))
    ws.entries.add("eos", [hdf5(tmp_path / f"{name}.h5") for name in "bc"], "candidates")
    with pytest.raises(AlreadyExistsError, match="Join it with extend=True"):
        PromotionView(ws.entries, "eos/candidates@1", kind="data")
    view = PromotionView(ws.entries, "eos/candidates@1", kind="data", extend=True)
    assert "They join eos/data@1 with its 1 file." in view._reason.value
    view.promote()
    assert len(ws.entries.list("eos", "data", version=1)) == 3


def test_an_error_that_nobody_expected_leaves_the_buttons_alive(
    ws: workbench.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws.entries.add("eos", hdf5(tmp_path / "a.h5"), "candidates")
    view = PromotionView(ws.entries, "eos/candidates@1", kind="data")

    def fail(*args: Any, **options: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(type(ws.entries), "move", fail)
    with pytest.raises(MemoryError):
        view.promote()
    assert (view._do.disabled, "MemoryError: no room" in view._reason.value) == (False, True)


def test_the_table_searches_and_turns_pages(ws: workbench.Workspace, tmp_path: Path) -> None:
    path = safetensors(tmp_path / "net.safetensors")
    for i in range(7):
        ws.entries.add_model("eos", path, val_error=i / 10)
    ws.entries.add("other", hdf5(tmp_path / "a.h5"))
    table = EntryBrowser(ws.entries, limit=3)
    assert "other" in table._table.value
    assert "1 to 3, more follow" in table._note.value
    table.next()
    assert "4 to 6" in table._note.value
    table.back()
    assert "1 to 3" in table._note.value
    table._where.value = "val_error < 0.2"
    assert table.page is not None
    assert len(table.page) == 2
    shown = table._table.value
    table._where.value = "val_error <"
    assert "not understood" in table._note.value
    assert table._table.value == shown  # what was found before is still there
    assert table._older.disabled
    table._where.value = ""
    table._kind.value, table._order.value = "models", "val_error"
    assert [e.metadata["val_error"] for e in table.page or ()] == [0.0, 0.1, 0.2]
    table._latest.value = True
    assert [e.version for e in table.page or ()] == [7]


def test_the_table_of_no_entries_says_so(ws: workbench.Workspace) -> None:
    assert "No entry" in EntryBrowser(ws.entries)._note.value
