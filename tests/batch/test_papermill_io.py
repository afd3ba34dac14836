"""papermill reads and writes ``workbench://`` paths: its own loop over our handler."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from nbformat import v4

import workbench
from workbench.errors import InvalidNameError, NotFoundError

ENTRY_POINTS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"][
    "entry-points"
]


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "ws") as opened:
        yield opened


@pytest.fixture
def papermill_io(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give papermill's own registry with our handlers, registered as their entry points say."""
    from papermill.iorw import papermill_io

    monkeypatch.setattr(papermill_io, "_handlers", list(papermill_io._handlers))
    for scheme, target in ENTRY_POINTS["papermill.io"].items():
        module, _, name = target.partition(":")
        papermill_io.register(scheme, getattr(import_module(module), name))
    return papermill_io


def template() -> Any:
    cells = [
        v4.new_code_cell("sigma = 1.0", metadata={"tags": ["parameters"]}),
        v4.new_code_cell("print('sigma is', sigma)"),
    ]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": spec})


def test_papermill_runs_a_template_of_the_workspace_and_leaves_the_output_there(
    ws: workbench.Workspace, papermill_io: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import papermill

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    ws.templates.put(template(), "blur")
    papermill.execute_notebook(
        "workbench://blur.ipynb", "workbench://done/blur.ipynb", {"sigma": 3.5}, progress_bar=False
    )
    done = ws.templates.get("done/blur.ipynb").notebook
    assert done.cells[1].metadata.tags == ["injected-parameters"]
    assert done.cells[2].outputs[0].text == "sigma is 3.5\n"
    assert papermill_io.listdir("workbench://") == ["workbench://blur.ipynb", "workbench://done/blur.ipynb"]
    assert papermill_io.listdir("workbench://done") == ["workbench://done/blur.ipynb"]
    assert ws.url in papermill_io.pretty_path("workbench://blur.ipynb")


@pytest.mark.parametrize("scheme", ["memory://", "file://"])
def test_papermill_takes_urls_of_fsspec(
    papermill_io: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scheme: str
) -> None:
    import papermill

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    folder = f"{scheme}{tmp_path}"
    papermill_io.write(nbformat.writes(template()), f"{folder}/in/blur.ipynb")
    done = papermill.execute_notebook(
        f"{folder}/in/blur.ipynb", f"{folder}/out/blur.ipynb", {"sigma": 2.5}, progress_bar=False
    )
    assert done.cells[2].outputs[0].text == "sigma is 2.5\n"
    assert papermill_io.read(f"{folder}/out/blur.ipynb") == nbformat.writes(done)
    assert [Path(url).name for url in papermill_io.listdir(f"{folder}/out")] == ["blur.ipynb"]


def test_what_is_not_there_or_no_key_is_said_so(ws: workbench.Workspace, papermill_io: Any) -> None:
    ws.templates.put(template(), "blur")
    with pytest.raises(NotFoundError, match=r"no template 'blurr.ipynb' .* Did you mean 'blur.ipynb'"):
        papermill_io.read("workbench://blurr.ipynb")
    with pytest.raises(InvalidNameError, match="could leave its collection"):
        papermill_io.write(nbformat.writes(template()), "workbench://../x.ipynb")


def test_what_papermill_imports_of_ours_is_light() -> None:
    modules = {target.partition(":")[0] for target in ENTRY_POINTS["papermill.io"].values()}
    code = f"import {', '.join(modules)}, sys; print(*{{'pydantic', 'nbformat', 'numpy', 'blake3'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.filterwarnings("ignore:The specified file")  # whose URL ends with that of the archive
@pytest.mark.parametrize("how", ["zip://in.ipynb::{folder}/in.zip", "simplecache::file://{folder}/in.ipynb"])
def test_papermill_reads_through_chained_urls(tmp_path: Path, how: str) -> None:
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [v4.new_code_cell("print('chained')")]
    notebook = v4.new_notebook(cells=cells, metadata={"kernelspec": spec})
    (tmp_path / "in.ipynb").write_text(nbformat.writes(notebook))
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.write(tmp_path / "in.ipynb", "in.ipynb")
    out = tmp_path / "out.ipynb"
    papermill.execute_notebook(how.format(folder=tmp_path), out, engine_name="workbench", progress_bar=False)
    assert nbformat.read(out, as_version=4).cells[0].outputs[0].text == "chained\n"
