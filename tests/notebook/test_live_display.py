"""A run that was started in the background and displayed is seen to its end, in the saved notebook too."""

from __future__ import annotations

from pathlib import Path

import nbformat
from algorithm_folders import write_algorithm
from nbclient import NotebookClient

import workbench

RUNNER = """
    import time
    from pathlib import Path
    from workbench.runners import BaseRunner

    class Runner(BaseRunner):
        def preprocess(self, data, args={}):
            return data
        def inference(self, data, args={}):
            self.set_progress(0.5, "half of it")
            while not Path(args["go"]).exists():
                time.sleep(0.02)
        def postprocess(self, data, args={}):
            return ["done"]
"""
TABLE = """
    [[tool.workbench.parameters]]
    name = "go"
    type = "string"
    default = ""
    description = "File that lets it go on"
    adjustable = false
"""
SEEN = """
import time
from workbench.notebook.painter import PAINTER

def wait_until(is_so):
    while not is_so():
        time.sleep(0.02)

painted = []
for view in PAINTER._ticking:
    update = view._handle.update
    view._handle.update = lambda data, **rest: (update(data, **rest), painted.append(data["text/html"]))
wait_until(lambda: any("half of it" in html for html in painted))
"""


def test_a_displayed_run_is_kept_up_to_date_in_the_output_it_has(tmp_path: Path, host_folder: Path) -> None:
    go = tmp_path / "go"
    with workbench.open(tmp_path / "ws") as ws:
        ws.algorithms.deploy(write_algorithm(tmp_path / "w", "waits", RUNNER, type="Generic", extra=TABLE))
    cells = [
        "%load_ext workbench\n%workbench ws",
        f"%algorun -b waits go={go} -o run",
        SEEN,
        f"open({str(go)!r}, 'w').close()\nrun.wait()\nwait_until(lambda: not PAINTER._ticking)",
        "run",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    shown: list[str] = []

    def note(cell: nbformat.NotebookNode, cell_index: int, **rest: object) -> None:
        if cell_index in (2, 3):
            shown.append(notebook.cells[1].outputs[0].data["text/html"])

    client.on_cell_executed = note
    client.execute()
    half, done = shown
    assert "RUNNING" in half
    assert "50% · " in half
    assert "half of it" in half
    assert "COMPLETED" in done
    assert "half of it" not in done
    assert "COMPLETED" in notebook.cells[1].outputs[0].data["text/plain"]
    assert "COMPLETED" in notebook.cells[4].outputs[0].data["text/html"]
