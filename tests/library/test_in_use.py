"""What others were made from, read, or took over is not deleted; the error names who."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algorithm_folders import GAIN, write_algorithm

import workbench
from workbench.errors import InUseError
from workbench.models import RunRecord, now

PLACES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(params=PLACES)
def ws(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[workbench.Workspace]:
    options: dict[str, Any] = {}
    if request.param == "postgresql":
        options = {"catalog": request.getfixturevalue("pg_url")}
    with workbench.open(tmp_path / "ws", **options) as found:
        found.catalog.clear()
        yield found


def put(ws: workbench.Workspace, **facts: Any) -> Any:
    return ws.datasets.put({"image": np.ones((4, 4), np.float32)}, schema="ImageSchema", **facts)


def add(ws: workbench.Workspace, path: Path, **facts: Any) -> Any:
    path.write_bytes(b"w")
    return ws.entries.add("eos", path, "models", check=False, **facts)[0]


def push(ws: workbench.Workspace, folder: Path, **facts: Any) -> Any:
    folder.mkdir(exist_ok=True)
    (folder / "a.txt").write_text(f"{facts}")
    return ws.bundles.get("x", ws.bundles.push("x", folder, **facts).version)


def users_of(delete: Any, match: str) -> tuple[str, ...]:
    with pytest.raises(InUseError, match=match) as caught:
        delete()
    assert "Nothing was deleted" in str(caught.value)
    assert "force=True" in str(caught.value)
    return tuple(caught.value.users)


def test_a_dataset_is_kept_for_what_was_made_from_it(ws: workbench.Workspace, tmp_path: Path) -> None:
    scan = put(ws, name="scan")
    cut = put(ws, name="cut", parents=[scan.id])
    entry = add(ws, tmp_path / "net.pt", parents=[scan])
    bundle = push(ws, tmp_path / "ml", parents=[scan])
    match = rf"'scan'.* needed by dataset cut \({cut.id}\), entry eos/models@1/net.pt .*, bundle x@1"
    assert users_of(lambda: ws.datasets.delete(scan), match) == (cut.id, entry.id, bundle.id)
    assert ws.datasets.get(scan)["image"].shape == (4, 4)

    ws.datasets.delete(cut)
    ws.bundles.delete("x")
    ws.entries.remove(entry)  # from the trash it may come back
    assert users_of(lambda: ws.datasets.delete("scan"), "entry eos/models@1") == (entry.id,)
    ws.entries.purge(entry)
    ws.datasets.delete(scan)
    assert ws.datasets.exist([scan.id]) == [False]


def test_parents_are_known_again_after_a_reindex(ws: workbench.Workspace, tmp_path: Path) -> None:
    scan = put(ws)
    cut = put(ws, parents=[scan.id])
    bundle = push(ws, tmp_path / "ml", parents=[scan])
    ws.reindex()
    assert users_of(lambda: ws.datasets.delete(scan), "needed by dataset") == (cut.id, bundle.id)
    ws.datasets.delete(scan, force=True)
    assert ws.datasets.exist([scan.id]) == [False]


def test_an_entry_is_kept_for_datasets_and_bundles(ws: workbench.Workspace, tmp_path: Path) -> None:
    entry = add(ws, tmp_path / "net.pt")
    cut = put(ws, parents=[entry.id])
    bundle = push(ws, tmp_path / "ml", parents=[entry])
    assert users_of(lambda: ws.entries.purge(entry), r"net\.pt is still") == (cut.id, bundle.id)
    assert ws.entries.find(entry.id).path.exists()
    ws.entries.purge(entry, force=True)


def test_a_version_of_a_bundle_is_kept_for_what_was_made_from_it(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    first = push(ws, tmp_path / "ml")
    second = push(ws, tmp_path / "ml", message="second", parents=[first])
    entry = add(ws, tmp_path / "net.pt", parents=[second])
    assert users_of(lambda: ws.bundles.delete("x@1"), "Bundle x@1 .*bundle x@2") == (second.id,)
    # all versions go together, so only the entry is in the way
    assert users_of(lambda: ws.bundles.delete("x"), "Bundle x is still") == (entry.id,)
    assert [b.version for b in ws.bundles.versions("x")] == [2, 1]
    assert ws.bundles.delete("x@2", force=True) == 1
    assert ws.bundles.delete("x@1") == 1


def test_a_run_is_kept_for_what_was_made_from_what_it_made(ws: workbench.Workspace, tmp_path: Path) -> None:
    ws.algorithms.deploy(write_algorithm(tmp_path / "invert", extra=GAIN), check=False)
    first = ws.run("invert", put(ws))
    assert first.outputs
    second = ws.run("invert", first.datasets[0])
    again = ws.run("invert", first.inputs[0], reuse="auto")
    assert again.record.reused_from == first.id
    entry = add(ws, tmp_path / "net.pt", parents=[first])
    assert set(users_of(lambda: ws.runs.delete(first.id), f"Run {first.id} of invert@1.0 is still")) == {
        second.id,
        again.id,
        entry.id,
        second.outputs[0].id,  # names its input as parent
    }
    assert ws.runs.get(first.id).result() is not None

    ws.runs.delete(again.id)  # it computed nothing
    ws.entries.purge(entry)
    with pytest.raises(InUseError):
        ws.runs.delete(first.id)
    ws.runs.delete(first.id, second.id)  # together
    assert ws.catalog.get_runs([first.id, second.id]) == {}


def test_many_users_are_named_in_a_moment(ws: workbench.Workspace) -> None:
    scan = put(ws)
    record = scan.record
    ids = [f"{i:020d}" for i in range(3000)]
    ws.catalog.put_datasets(
        [record.model_copy(update={"id": id_, "parents": (scan.id,), "name": "n"}) for id_ in ids]
    )
    with pytest.raises(InUseError, match=r"(dataset n \(\d+\), ){4}dataset n \(\d+\) and more") as caught:
        ws.datasets.delete(scan)
    assert len(caught.value.users) < 100
    put(ws, name="other", parents=[scan.id])
    ws.catalog.put_runs(
        [
            RunRecord(id=f"r{i}", algorithm="a@1.0", algorithm_name="a", inputs=(scan.id,), created=now())
            for i in range(9)
        ]
    )
    users_of(lambda: ws.datasets.delete(scan), r"needed by run a@1\.0 .*dataset other")  # of each kind
