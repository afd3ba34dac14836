"""The code of an RO-Crate: in it always, brought only where somebody asks for it, and never executed unasked."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from algorithm_folders import GAIN, write_algorithm
from click.testing import CliRunner

import workbench
from workbench.cli import main
from workbench.errors import ConflictError, DamagedError, InvalidAlgorithmError, InvalidInputError
from workbench.pipelines import Node, Pipeline
from workbench.steps import MLStep

METADATA = "ro-crate-metadata.json"
KEPT = ("objects", "datasets", "runs", "environments", "packages", "assets", "algorithms", "code")
TELLS = """
    import os, pathlib
    from workbench.runners import Image2ImageRunner
    if "WORKBENCH_TEST_MARK" in os.environ:
        pathlib.Path(os.environ["WORKBENCH_TEST_MARK"]).touch()

    class Runner(Image2ImageRunner):
        def load_assets(self):
            self.offset = float(self.fetch_asset("offset.txt").read())

        def inference(self, data, args={}):
            return data * args["gain"] + self.offset
"""
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:rocrate")


def doubled(x: Any) -> Any:
    return x * factor


factor = 2.0


class Centre(MLStep):
    format = "json"

    def fit(self, x):
        self.model = float(x.mean())

    def predict(self, x):
        return x - self.model

    def dump_model(self):
        return str(self.model).encode()

    def load_model(self, data, trusted=()):
        return float(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give a workspace with a pipeline of an algorithm and a function, and the folder and zip of its lineage."""
    folder = tmp_path_factory.mktemp("crates")
    with workbench.open(folder / "from") as ws:
        source = write_algorithm(folder / "tells", "tells", TELLS, extra=GAIN)
        (source / "offset.txt").write_text("3")
        ws.algorithms.deploy(source)
        nodes = [Node("tells", "x", "told", name="tells"), Node(doubled, "told", "twice")]
        picture = np.arange(16, dtype=np.float32).reshape(4, 4)
        run = Pipeline(nodes, "both", inputs=["x"]).run(picture, parameters={"tells": {"gain": 2.0}})
        assert run.status == "COMPLETED", run.error
        run.lineage().export(folder / "crate")
        run.lineage().export(folder / "crate.zip")
        yield ws, folder, run


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.s3)])
def ws(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[workbench.Workspace]:
    url: Any = tmp_path / "to"
    options: dict[str, Any] = {}
    if request.param == "s3":
        s3 = request.getfixturevalue("s3")
        url, options = s3.new_url(), {"storage_options": s3.storage_options}
    with workbench.open(url, **options) as found:
        yield found


def contents(ws: workbench.Workspace) -> list[str]:
    return [f"{name}/{info.key}" for name in KEPT for info in ws.store.list(name)]


def revision_of(run: Any) -> str:
    return str(run.node("tells").record.revision)


@pytest.mark.parametrize("name", ["crate", "crate.zip"])
def test_an_algorithm_and_a_function_run_where_their_crate_was_imported(
    made: Any, ws: workbench.Workspace, name: str
) -> None:
    _, folder, run = made
    assert list(ws.import_crate(folder / name, dry_run=True, code=True).revisions) == [revision_of(run)]
    assert contents(ws) == []
    found = ws.import_crate(folder / name, code=True)
    assert (list(found.revisions), found.notes) == ([revision_of(run)], [])
    assert ws.algorithms.get("tells").id == revision_of(run)
    again = ws.run("tells", np.ones((2, 2), np.float32), {"gain": 5.0})
    np.testing.assert_array_equal(again.result(), np.full((2, 2), 8.0))
    ws.reindex()
    assert ws.runs.replay(run.node("tells").id).is_identical
    before = contents(ws)
    assert list(ws.import_crate(folder / name, code=True).revisions) == []
    assert contents(ws) == before


def test_a_process_that_knows_nothing_replays_all_of_an_imported_pipeline(made: Any, tmp_path: Path) -> None:
    _, folder, run = made
    with workbench.open(tmp_path / "to") as ws:
        ws.import_crate(folder / "crate.zip", code=True)
    code = "import sys, workbench\nws = workbench.open(sys.argv[1])\nprint(ws.runs.get(sys.argv[2]).replay().is_identical)"
    command = [sys.executable, "-c", code, str(tmp_path / "to"), run.id]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True", done.stdout + done.stderr


def test_what_a_step_has_learned_comes_with_the_prediction(tmp_path: Path) -> None:
    with workbench.open(tmp_path / "from") as ws:
        train = Pipeline([Node(Centre("fit"), "x", "nothing")], "train", inputs=["x"])
        assert train.run(np.arange(4.0)).status == "COMPLETED"
        train.save()
        use = Pipeline([Node(Centre("predict"), "x", "y")], "use", inputs=["x"])
        use.load()
        run = use.run(np.ones(2))
        run.lineage().export(tmp_path / "crate")
    with workbench.open(tmp_path / "to") as ws:
        ws.import_crate(tmp_path / "crate", code=True)
        found = ws.runs.get(run.id)
        assert found.result().tolist() == [-0.5, -0.5]
        assert found.replay().is_identical


def test_a_reused_run_is_replayed_where_the_run_that_computed_it_did_not_come(tmp_path: Path) -> None:
    draws = """
    from workbench.runners import Image2ImageRunner
    import numpy as np

    class Runner(Image2ImageRunner):
        def inference(self, data, args={}):
            return data + np.random.default_rng(np.random.randint(1 << 30)).random(data.shape).astype("float32")
    """
    with workbench.open(tmp_path / "from") as ws:
        ws.algorithms.deploy(write_algorithm(tmp_path / "draws", "draws", draws), check=False)
        picture = np.ones((2, 2), np.float32)
        first = ws.run("draws", picture, executor="process")
        again = ws.run("draws", picture, reuse="auto")
        assert again.reused_from == first.id
        again.lineage().export(tmp_path / "crate")
        ws.runs.delete(first.id, force=True)
        assert again.replay().is_identical
    with workbench.open(tmp_path / "to") as ws:
        assert list(ws.import_crate(tmp_path / "crate", code=True).runs) == [again.id]
        replay = ws.runs.get(again.id).replay()
        assert replay.is_identical, replay


def test_code_is_neither_brought_nor_executed_unasked(
    made: Any, ws: workbench.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder, run = made
    mark = tmp_path / "mark"
    monkeypatch.setenv("WORKBENCH_TEST_MARK", str(mark))
    found = ws.import_crate(folder / "crate.zip")
    assert list(found.revisions) == []
    assert "1 revisions of algorithms are not here" in repr(found)
    assert "code=True (--code) brings their code, and the functions of pipelines" in repr(found)
    kept = contents(ws)
    assert not [name for name in kept if name.startswith(("packages", "assets", "algorithms", "code"))]
    ws.import_crate(folder / "crate.zip", code=True, check=False)
    assert not mark.exists()
    assert ws.algorithms.get("tells").id == revision_of(run)
    assert len([name for name in contents(ws) if name.startswith("code/")]) == 1


def forge(crate: Path, name: str, content: bytes) -> None:
    """Change a file and its checksum, as somebody would who knows how."""
    (crate / name).write_bytes(content)
    described = json.loads((crate / METADATA).read_text())
    for entity in described["@graph"]:
        if entity["@id"] == name:
            entity |= {"sha256": hashlib.sha256(content).hexdigest(), "contentSize": str(len(content))}
    (crate / METADATA).write_text(json.dumps(described))


def names(crate: Path, pattern: str) -> str:
    [found] = crate.glob(pattern)
    return found.relative_to(crate).as_posix()


def changed_record(crate: Path, **facts: Any) -> None:
    name = names(crate, "algorithms/*.json")
    forge(crate, name, json.dumps({**json.loads((crate / name).read_text()), **facts}).encode())


def other_package(crate: Path) -> None:
    forge(crate, names(crate, "algorithms/*/package.zip"), b"PK nothing")


def other_asset(crate: Path) -> None:
    forge(crate, names(crate, "algorithms/*/offset.txt"), b"4")


def other_code(crate: Path) -> None:
    forge(crate, names(crate, "code/*.py"), b"import os")


def append_array(crate: Path) -> None:
    name = sorted(path.relative_to(crate).as_posix() for path in crate.glob("datasets/*.h5"))[0]
    with h5py.File(crate / name, "r+") as file:
        next(iter(file.values()))[0, 0] = 99
    forge(crate, name, (crate / name).read_bytes())


WRONG = {
    "package": (other_package, "was tampered with"),
    "asset": (other_asset, "was tampered with"),
    "function": (other_code, r"code/\w+\.py has another digest"),
    "name": (lambda c: changed_record(c, name="other"), "holds the record of other@"),
    "path out of it": (lambda c: changed_record(c, assets={"../../x": "0" * 64}), r"x is not in it"),
    "digest that is a path": (lambda c: changed_record(c, package="../../x"), "tampered with"),
    "array": (append_array, "is not what its record says"),
    "no record": (lambda c: forge(c, names(c, "algorithms/*.json"), b"[]"), "is no record"),
    "no package": (lambda c: (c / names(c, "algorithms/*/package.zip")).unlink(), "is not in it"),
}


@pytest.mark.parametrize("how", WRONG)
def test_code_that_was_tampered_with_is_refused_and_nothing_is_done(
    made: Any, tmp_path: Path, how: str
) -> None:
    _, folder, _ = made
    crate = shutil.copytree(folder / "crate", tmp_path / "crate")
    change, match = WRONG[how]
    change(crate)
    with workbench.open(tmp_path / "to") as ws:
        with pytest.raises(DamagedError, match=f"{match}.*Nothing was imported") as caught:
            ws.import_crate(crate, code=True)
        assert str(crate) in str(caught.value)
        assert contents(ws) == []


def test_code_that_does_not_pass_the_gate_is_refused_and_nothing_is_done(made: Any, tmp_path: Path) -> None:
    with workbench.open(tmp_path / "from") as source:
        broken = write_algorithm(
            tmp_path / "broken", "broken", TELLS.replace("import os", "import nowhere_to_be_found, os")
        )
        good = write_algorithm(tmp_path / "good", "good")
        source.algorithms.deploy(good)
        source.algorithms.deploy(broken, check=False)
        picture = np.ones((2, 2), np.float32)
        first = source.run("good", picture)
        assert source.run("broken", first.datasets[0]).status == "FAILED"
        first.lineage().export(tmp_path / "crate.zip")
    with workbench.open(tmp_path / "to") as ws:
        with pytest.raises(InvalidAlgorithmError, match="nowhere_to_be_found"):
            ws.import_crate(tmp_path / "crate.zip", code=True)
        assert contents(ws) == []


def test_a_revision_that_is_here_with_another_content_is_a_conflict(made: Any, tmp_path: Path) -> None:
    source, folder, run = made
    with workbench.open(tmp_path / "to") as ws:
        revision = source.catalog.get_revision(revision_of(run))
        ws.catalog.put_revision(revision.model_copy(update={"package": "0" * 64}))
        with pytest.raises(ConflictError, match=r"is here as tells@\d+\.\d+ with other package"):
            ws.import_crate(folder / "crate", code=True)
        assert contents(ws) == []


def test_the_command_line_brings_code(made: Any, tmp_path: Path) -> None:
    _, folder, _ = made

    def call(*words: str) -> Any:
        return CliRunner().invoke(main, ["-w", str(tmp_path / "to"), *words])

    assert "--code" in call("import", str(folder / "crate.zip")).output
    assert "revisions" in call("import", str(folder / "crate.zip"), "--code").output
    assert call("ls").output.count("tells@1.0") == 1
    refused = call("import", str(tmp_path / "x.wbalg"), "--code")
    assert isinstance(refused.exception, (InvalidInputError, SystemExit))
    assert "Leave it out" in refused.output
