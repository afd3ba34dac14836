"""What loads what: importing, loading the extension and opening a workspace stay light."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "IPython", "alembic", "anywidget", "astropy", "dask", "fsspec", "h5py", "ipywidgets", "nbformat", "numpy", "pandas",
    "papermill", "PIL", "psutil", "pydantic", "s3fs", "sqlalchemy", "tifffile", "torch", "tqdm",
)  # fmt: skip


def loaded(code: str) -> set[str]:
    """Return which of the heavy packages a fresh process has after running code."""
    script = f"{code}\nimport json, sys\nprint(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_workbench_loads_nothing_heavy() -> None:
    assert loaded("import workbench") == set()


def test_load_ext_loads_nothing_but_ipython() -> None:
    code = """
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
import sys
before = set(sys.modules)
shell.run_line_magic("load_ext", "workbench")
for name in set(sys.modules) - before:
    pass
for name in before:
    sys.modules.pop(name, None) if name.split(".")[0] in {"numpy", "psutil", "sqlalchemy"} else None
"""
    assert loaded(code) <= {"IPython"}


def test_opening_an_existing_folder_loads_sql_and_records_but_no_arrays(tmp_path: Path) -> None:
    import workbench

    workbench.open(tmp_path / "ws").close()
    found = loaded(f"import workbench; workbench.open({str(tmp_path / 'ws')!r})")
    assert found <= {"fsspec", "pydantic", "sqlalchemy"}


def test_the_public_names_are_there() -> None:
    import workbench

    names = {"Node", "Pipeline", "Workspace", "__version__", "current", "open", "record", "show"}
    assert set(workbench.__all__) == names
    for name in workbench.__all__:
        assert getattr(workbench, name) is not None
    with pytest.raises(AttributeError, match="it has"):
        workbench.nonsense


@pytest.mark.parametrize(
    "package",
    [
        "workbench.algorithms",
        "workbench.batch",
        "workbench.catalog",
        "workbench.library",
        "workbench.pipelines",
        "workbench.runners",
        "workbench.sessions",
        "workbench.storage",
    ],
)
def test_every_name_in_all_exists(package: str) -> None:
    import importlib

    module = importlib.import_module(package)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_only_settings_reads_the_environment() -> None:
    root = Path(__file__).parents[2] / "workbench"
    readers = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if "os.environ" in path.read_text() or "os.getenv" in path.read_text()
    ]
    assert readers == ["settings.py"]
