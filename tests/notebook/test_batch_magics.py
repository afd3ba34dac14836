"""``%algobatch`` in a real IPython shell, and the widget that follows a sweep."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from algorithm_folders import GAIN, write_algorithm
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from sweep_algorithms import write_scale
from traitlets.config import Config

import workbench
from workbench.notebook.completion import complete
from workbench.notebook.painter import Painter
from workbench.notebook.sweep_view import SweepView


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("WORKBENCH_WORKERS", "2")
    monkeypatch.chdir(tmp_path)
    hook, display = sys.excepthook, sys.displayhook
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell.run_line_magic("load_ext", "workbench")
    shell.run_line_magic("workbench", str(tmp_path / "ws"))
    workbench.current().algorithms.deploy(write_scale(tmp_path / "scale"), check=False)
    yield shell
    workbench.current().close()
    shell.run_line_magic("unload_ext", "workbench")
    assert "algobatch" not in shell.magics_manager.magics["line"]
    InteractiveShell.clear_instance()
    sys.excepthook, sys.displayhook = hook, display


def test_a_line_is_a_sweep(shell: InteractiveShell) -> None:
    sweep = shell.run_line_magic("algobatch", "scale x=1:2:0.5 ms=0,1 -j 2 -x kernel -o s")
    assert shell.user_ns["s"] is sweep
    assert [(p["x"], p["ms"]) for p in sweep.parameters] == [(x, ms) for x in (1, 1.5, 2) for ms in (0, 1)]
    assert sweep.counts == {"COMPLETED": 6}
    assert [s.id for s in shell.run_line_magic("algobatch", "")] == [sweep.id]
    side = shell.run_line_magic("algobatch", "scale x=1,2 ms=0,1 --zip -x kernel")
    assert [(p["x"], p["ms"]) for p in side.parameters] == [(1, 0), (2, 1)]
    drawn = shell.run_line_magic("algobatch", "scale x=2:3 ms=1,2 --sample 5 --seed 1 -x kernel")
    assert len(drawn) == 5
    assert all(2 <= p["x"] <= 3 for p in drawn.parameters)


def test_frames_of_the_notebook_and_cell_bodies_are_points(shell: InteractiveShell) -> None:
    shell.user_ns["frame"] = pd.DataFrame({"x": [3.0, 4.0]})
    sweep = shell.run_line_magic("algobatch", "scale --table frame ms=1 -x kernel")
    assert [(p["x"], p["ms"]) for p in sweep.parameters] == [(3.0, 1), (4.0, 1)]
    sweep = shell.run_cell_magic("algobatch", "scale -x kernel", "x: [5, 6]\nms: 1\n")
    assert [(p["x"], p["ms"]) for p in sweep.parameters] == [(5.0, 1), (6.0, 1)]


def test_a_sweep_over_inputs_and_its_report(
    shell: InteractiveShell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workbench.current().algorithms.deploy(write_algorithm(tmp_path / "invert", extra=GAIN), check=False)
    shell.user_ns["images"] = [np.eye(3, dtype=np.float32), np.ones((3, 3), np.float32)]
    sweep = shell.run_line_magic("algobatch", "invert images gain=1,2 -x kernel --each-input --report pages")
    assert [row["input"] for row in sweep.rows()] == ["input 0", "input 0", "input 1", "input 1"]
    assert f"report: {Path('pages') / 'index.html'}" in capsys.readouterr().out
    assert shell.run_line_magic("algobatch", f"--attach {sweep.id} --report").id == sweep.id
    assert (tmp_path / f"report-{sweep.id}" / "index.html").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("scale x=1,-200", "point 1: Parameter 'x' is -200"),
        ("scale y=1", "'y' is not known"),
        ("scall x=1", "Did you mean 'scale'"),
        ("scale x=1 --sample 3", "nothing to draw from"),
        ("scale x=1,2 --zip --sample 3", "Keep one"),
        ("scale x=1 -o 3", "no variable name"),
        ("scale x=1 -b --report", "--attach ID --report"),
        ("scale x=1 --each-input", "there are none"),
        ("scale x=1 --resume nothing", "Leave it out"),
        ("--resume nothing", "no sweep 'nothing'"),
        ("scale x=1,2 nothing.png", "no variable, dataset or file"),
        ("scale x=1,2 --table none.csv", "no table"),
    ],
)
def test_bad_lines_are_one_line_of_usage(shell: InteractiveShell, line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        shell.run_line_magic("algobatch", line)
    assert workbench.current().sweeps.names() == []


def test_a_background_sweep_is_attached_cancelled_and_resumed(
    shell: InteractiveShell, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    sweep = shell.run_line_magic("algobatch", f"scale x=1,2,3 gate={gate} -b --reuse never")
    assert sweep.status == "RUNNING"
    view = shell.run_line_magic("algobatch", f"--attach {sweep.id}")
    assert "Sweep" in repr(view)
    shell.run_line_magic("algobatch", f"--cancel {sweep.id}")
    assert sweep.wait(30).status == "CANCELLED"
    gate.unlink()
    assert shell.run_line_magic("algobatch", f"--resume {sweep.id}").status == "COMPLETED"
    view.close()


def test_names_parameters_and_options_are_completed(shell: InteractiveShell) -> None:
    Path("report.ipynb").write_text("{}")
    assert {"scale", "report.ipynb"} <= set(complete(shell, "%algobatch ")[1])
    assert complete(shell, "%algobatch scale fa")[1] == ["fails_at="]
    assert "--fail-fast" in complete(shell, "%algobatch scale --fa")[1]
    sweep = shell.run_line_magic("algobatch", "scale x=1,2 -x kernel")
    assert set(complete(shell, "%algobatch --resume ")[1]) == {sweep.id, "last"}


def test_the_view_follows_a_sweep_to_its_end(shell: InteractiveShell, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    table = [{"x": 1, "fails_at": 1}, {"x": 2, "gate": str(gate)}]
    failed = threading.Event()
    sweep = workbench.current().sweeps.run(
        "scale",
        table=table,
        wait=False,
        reuse="never",
        on_event=lambda event: failed.set() if event.status == "FAILED" else None,
    )
    view = SweepView(sweep, painter=Painter(interval_s=0.01, tick_s=60))
    head, body = view.children[1].children[0], view.children[2]
    assert failed.wait(30)
    view.paint()
    assert "1 failed" in head.value
    assert "RUNNING" in head.value
    assert sweep.point(0).error == "ValueError: x is 1"
    gate.unlink()
    sweep.wait(30)
    view.paint()
    assert "FAILED" in head.value
    assert "<table" in body.value
    assert view.children[1].children[1].disabled
    view.close()


def test_the_button_cancels(shell: InteractiveShell, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    sweep = workbench.current().sweeps.run("scale", {"x": range(5)}, fixed={"gate": str(gate)}, wait=False)
    view = sweep.view()
    view.children[1].children[1].click()
    assert sweep.wait(30).status == "CANCELLED"
    view.close()
