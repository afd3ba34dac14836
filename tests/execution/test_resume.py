"""A run that did not complete goes on after its last finished phase."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from algorithm_folders import INVERT, write_algorithm

import workbench
from workbench.errors import InvalidInputError, UnsupportedError

# Fails or vanishes in the phase that a file names, as often as the file says
STEPS = """
    import os
    from pathlib import Path
    import numpy as np
    from workbench.runners import Image2ImageRunner

    class Runner(Image2ImageRunner):
        def load_assets(self):
            self.table = np.arange(3)

        def trouble(self, phase, args):
            path = Path(args["trouble"]) / phase
            self.log_message(f"computing {phase}")
            if path.exists():
                kind = path.read_text()
                path.unlink()
                if kind == "vanish":
                    os._exit(9)
                raise OSError(f"no {phase} today")

        def preprocess(self, input_data, args={}):
            data = super().preprocess(input_data, args)
            self.scale = 2.0
            self.trouble("preprocess", args)
            return data

        def inference(self, data, args={}):
            self.trouble("inference", args)
            return data * self.scale + self.table[1]

        def postprocess(self, data, args={}):
            self.trouble("postprocess", args)
            return super().postprocess(data, args)
"""
TABLE = """
    resumable = true

    [[tool.workbench.parameters]]
    name = "trouble"
    type = "string"
    default = ""
    description = "Folder of troubles"
"""
IMAGES = np.random.default_rng(0).random((2, 64, 48), dtype=np.float32)


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "ws", session_folder=str(tmp_path / "sessions")) as workspace:
        folder = write_algorithm(tmp_path / "steps", "steps", STEPS, extra=TABLE)
        workspace.algorithms.deploy(folder, check=False)
        yield workspace


@pytest.fixture
def trouble(tmp_path: Path) -> Path:
    folder = tmp_path / "trouble"
    folder.mkdir()
    return folder


def computed(run: workbench.Run) -> list[str]:
    return [line.split()[-1] for line in run.log.lines() if " computing " in line]


@pytest.mark.parametrize("executor", ["kernel", "process"])
def test_a_failed_run_goes_on_after_its_last_finished_phase(
    ws: workbench.Workspace, trouble: Path, executor: str
) -> None:
    (trouble / "postprocess").write_text("raise")
    failed = ws.run("steps", IMAGES, {"trouble": str(trouble)}, executor=executor)
    assert failed.status == "FAILED"
    assert computed(failed) == ["preprocess", "inference", "postprocess"]
    resumed = failed.resume()
    assert resumed.status == "COMPLETED", resumed.error
    assert computed(resumed) == ["postprocess"]
    assert "Resumed after inference" in resumed.log
    np.testing.assert_allclose(resumed.result(), IMAGES * 2 + 1)
    assert resumed.record.resumed_from == failed.id
    assert resumed.record.inputs == failed.record.inputs
    assert resumed.record.executor == executor
    assert not any(s.name.startswith("phases-") for s in ws.sessions.list())


def test_a_run_whose_worker_vanished_is_resumed_and_resumed_again(
    ws: workbench.Workspace, trouble: Path
) -> None:
    (trouble / "inference").write_text("vanish")
    lost = ws.run("steps", IMAGES, {"trouble": str(trouble)}, executor="process")
    assert lost.status == "LOST"
    (trouble / "postprocess").write_text("raise")
    second = lost.resume(executor="kernel")
    assert (second.status, computed(second)) == ("FAILED", ["inference", "postprocess"])
    third = second.resume()
    assert (third.status, computed(third)) == ("COMPLETED", ["postprocess"])
    np.testing.assert_allclose(third.result(), IMAGES * 2 + 1)


def test_an_attempt_goes_on_where_the_one_before_failed(
    ws: workbench.Workspace, trouble: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.execution.perform.BACKOFF_S", 0.01)
    (trouble / "inference").write_text("raise")
    run = ws.run("steps", IMAGES, {"trouble": str(trouble)}, retries=1)
    assert run.status == "COMPLETED"
    assert computed(run) == ["preprocess", "inference", "inference", "postprocess"]


def test_phases_that_are_gone_are_computed_again(ws: workbench.Workspace, trouble: Path) -> None:
    (trouble / "postprocess").write_text("raise")
    failed = ws.run("steps", IMAGES, {"trouble": str(trouble)})
    for session in ws.sessions.list():
        ws.sessions.drop(session.name)
    resumed = failed.resume()
    assert (resumed.status, computed(resumed)) == ("COMPLETED", ["preprocess", "inference", "postprocess"])
    assert "No finished phase is kept" in resumed.log


def test_what_cannot_be_resumed_says_why(ws: workbench.Workspace, trouble: Path, tmp_path: Path) -> None:
    done = ws.run("steps", IMAGES, {"trouble": str(trouble)})
    with pytest.raises(InvalidInputError, match="is COMPLETED; only one that did not complete"):
        done.resume()
    code = INVERT.replace("out = data", "raise OSError('no')\n            out = data")
    ws.algorithms.deploy(write_algorithm(tmp_path / "plain", "plain", code), check=False)
    with pytest.raises(UnsupportedError, match="does not declare resumable = true"):
        ws.run("plain", IMAGES).resume()
    with pytest.raises(UnsupportedError, match="of a folder"):
        ws.run(tmp_path / "plain", IMAGES).resume()
