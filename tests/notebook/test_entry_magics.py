"""``%entries`` and its kin in a real IPython shell, and ``workbench entries`` in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import workbench
from workbench.cli import main
from workbench.notebook.completion import complete


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with two files."""
    monkeypatch.chdir(tmp_path)
    for name in ("run1.h5", "run2.h5"):
        with h5py.File(name, "w") as file:
            file["inputs"] = np.ones((4, 2))
    return tmp_path


@pytest.fixture
def shell(files: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(files / "ipython"))
    hook, display = sys.excepthook, sys.displayhook
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell.run_line_magic("load_ext", "workbench")
    shell.run_line_magic("workbench", str(files / "ws"))
    yield shell
    workbench.current().close()
    shell.run_line_magic("unload_ext", "workbench")
    assert "entries" not in shell.magics_manager.magics["line"]
    InteractiveShell.clear_instance()
    sys.excepthook, sys.displayhook = hook, display


def test_files_are_added_found_promoted_and_removed(shell: InteractiveShell) -> None:
    do = shell.run_line_magic
    said = do("entryadd", "eos run1.h5 run2.h5 --kind candidates --dry-run")
    assert said == "would add to eos/candidates as version 1, copied: run1.h5, run2.h5"
    assert [e.version for e in do("entryadd", "eos run1.h5 run2.h5 T=300 mode=hot --kind candidates")] == [
        1,
        1,
    ]
    do("entryadd", "eos run1.h5 T=500 --kind candidates")
    assert [e.version for e in do("entries", 'eos --where "T > 400" --kind candidates')] == [2]
    assert [e.metadata["T"] for e in do("entries", "--order -T")] == [500, 300, 300]
    assert len(do("entries", "eos mode=hot")) == 2
    page = do("entries", "--version latest")
    assert "candidates" in repr(page)
    assert "<table>" in page._repr_html_()
    do("entrymove", "eos/candidates@2 --kind data --dry-run")
    assert [e.kind for e in do("entrymove", "eos/candidates@2 --kind data")] == ["data"]
    assert [e.kind for e in do("entrymove", "eos/data@2 --back")] == ["candidates"]
    with pytest.raises(UsageError, match="Leave --kind out"):
        do("entrymove", "eos/candidates@2 --back --kind data")
    do("entrymove", "eos/candidates@2 --kind data")
    (removed,) = do("entryremove", "eos/data")
    assert [e.id for e in do("entries", "--trash")] == [removed.id]
    do("entryremove", f"{removed.id} --restore")
    with pytest.raises(UsageError, match="--purge --yes"):
        do("entryremove", f"{removed.id} --purge")
    assert "No entries left" in repr(do("entryremove", f"{removed.id} --purge --yes"))
    do("entryremove", "--kind candidates T=300")
    assert [e.metadata["T"] for e in do("entries", "--trash")] == [300, 300]
    assert len(do("entryremove", "eos/candidates@1 --restore")) == 2
    assert do("entryremove", "--where 'T > 1000'").startswith("No entry fulfils")
    with pytest.raises(UsageError, match="what they fulfil is said too"):
        do("entryremove", "eos/candidates --kind data")
    with pytest.raises(UsageError, match="Did you mean 'eos'"):
        do("entries", "eoss")


def test_words_are_files_patterns_or_metadata(shell: InteractiveShell) -> None:
    do = shell.run_line_magic
    Path("run1.h5").rename("T=300.h5")
    assert [e.name for e in do("entryadd", "eos T=300.h5 T=300")] == ["T=300.h5"]
    assert [e.name for e in do("entryadd", "eos *.h5 mode=hot")] == ["T=300.h5", "run2.h5"]
    for line, text in (
        ("eos *.pt", r"No file matches '\*.pt'"),
        ("eos T=400.h5", "'T=400.h5' was read as metadata"),
        ("eos run2.h5 --version 2 --dry-run", "has a version 2"),
        ("eos run2.h5 --version 0 --dry-run", "whole number"),
        ("eos run2.h5 --kind models --dry-run", "neither TorchScript nor safetensors.*--no-check"),
        ("eos run2.h5 size=3 --dry-run", "has the key 'size'"),
    ):
        with pytest.raises(UsageError, match=text):
            do("entryadd", line)


def test_versions_are_listed_with_their_files_and_the_next(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    do = shell.run_line_magic
    with pytest.raises(UsageError, match="no domain 'eos'"):
        do("entryversions", "eos")
    do("entryadd", "eos run1.h5 run2.h5")
    do("entryadd", "eos run1.h5")
    do("entryremove", "eos/data@2")
    page = do("entryversions", "eos")
    assert capsys.readouterr().out == "The next one is 3.\n"
    assert [(row["version"], row["files"]) for row in page] == [("eos/data@1", ("run1.h5", "run2.h5"))]
    assert page[0]["size"] == sum(Path(name).stat().st_size for name in page[0]["files"])
    assert "run1.h5, run2.h5" in repr(page)
    assert "No versions" in repr(do("entryversions", "eos --kind models"))
    with pytest.raises(UsageError, match="expected one of data, candidates, models"):
        do("entryversions", "eos --kind modles")


def test_the_lineage_of_an_entry_is_listed(shell: InteractiveShell) -> None:
    do = shell.run_line_magic
    do("entryadd", "eos run1.h5 --kind candidates")
    workbench.current().entries.add("eos", "run2.h5", parents=["eos/candidates@1"])
    workbench.current().entries.add("eos", "run1.h5", parents=["eos/data@1"])
    rows = do("entrylineage", "eos/candidates")
    assert [row["entry"] for row in rows] == [
        "eos/candidates@1/run1.h5",
        "eos/data@1/run2.h5",
        "eos/data@2/run1.h5",
    ]
    assert [row["step"] for row in do("entrylineage", "eos/data@2 -n 1")] == [-1, 0]
    for line, text in (("eos/data@9", "There is no entry"), ("eos/data@1 -n 0", "generations is 0")):
        with pytest.raises(UsageError, match=text):
            do("entrylineage", line)


def test_files_are_exported_all_or_none(shell: InteractiveShell, files: Path) -> None:
    do = shell.run_line_magic
    do("entryadd", "eos run1.h5 run2.h5")
    with pytest.raises(UsageError, match="has 2 files, and out is no folder"):
        do("entryexport", "eos/data@1 out")
    (files / "my out").mkdir()
    (files / "my out" / "run2.h5").write_bytes(b"mine")
    with pytest.raises(UsageError, match="There is a file"):
        do("entryexport", "eos/data@1 'my out'")
    assert [path.name for path in (files / "my out").iterdir()] == ["run2.h5"]
    assert (files / "my out" / "run2.h5").read_bytes() == b"mine"
    assert do("entryexport", "eos/data@1/run1.h5 'my out/copy.h5'") == [Path("my out/copy.h5")]
    (files / "my out" / "run2.h5").unlink()
    assert [path.name for path in do("entryexport", "eos/data@1 'my out'")] == ["run1.h5", "run2.h5"]
    assert (files / "my out" / "copy.h5").read_bytes() == (files / "run1.h5").read_bytes()


def test_files_are_verified_and_names_suggested(shell: InteractiveShell) -> None:
    do = shell.run_line_magic
    with h5py.File("run2.h5", "a") as file:
        file["outputs"] = np.zeros((4, 1))
    first, _ = do("entryadd", "eos run1.h5 run2.h5")
    assert [row["verdict"] for row in do("entryverify", "eos/data").rows()] == ["ok", "ok"]
    first.path.chmod(0o644)
    first.path.write_bytes(b"!")
    rows = do("entryverify", "eos/data").rows()
    assert [row["entry"] for row in rows] == ["eos/data@1/run1.h5", "eos/data@1/run2.h5"]
    assert [row["verdict"] == "ok" for row in rows] == [False, True]
    name = do("entryname", "models eos")
    assert name.startswith("eos_")
    assert name.endswith(".pt")
    assert do("entryname", "data").endswith(".h5")
    with pytest.raises(UsageError, match="Did you mean 'models'"):
        do("entryname", "modles")


def test_views_are_shown_and_refuse_what_they_do_not_take(shell: InteractiveShell) -> None:
    do = shell.run_line_magic
    do("entryadd", "eos run1.h5 T=300 --kind candidates")
    assert "eos/candidates@1/run1.h5 → eos/data@1/run1.h5" in repr(do("entrypromote", "eos/candidates@1"))
    assert [e.kind for e in workbench.current().entries.list()] == ["candidates"]  # nothing has moved
    assert "eos" in repr(do("modelform", "eos net.pt"))
    assert len(do("entries", "eos --browse --kind candidates -n 5").page) == 1
    for line in ("eos T=300 --browse", "--browse --trash", "a b --browse"):
        with pytest.raises(UsageError, match="--browse takes a domain"):
            do("entries", line)
    with pytest.raises(UsageError, match="expected one of data"):
        do("entries", "--browse --kind modles")
    with pytest.raises(UsageError, match="Did you mean 'eos'"):
        do("entries", "eso --browse")
    with pytest.raises(UsageError, match="There is no entry"):
        do("entrypromote", "eos/candidates@9")


def test_words_are_completed(shell: InteractiveShell) -> None:
    shell.run_line_magic("entryadd", "eos run1.h5")
    assert "eos" in complete(shell, "%entries e")[1]
    assert complete(shell, "%entries eos --kind c")[1] == ["candidates"]
    assert complete(shell, "%entryadd eos run")[1] == ["run1.h5", "run2.h5"]
    assert complete(shell, "%entrymove eos")[1] == ["eos/data@1/run1.h5"]
    assert complete(shell, "%entrypromote eos")[1] == ["eos/data@1/run1.h5"]
    for magic in ("entrylineage", "entryexport", "entryverify"):
        assert complete(shell, f"%{magic} eos")[1] == ["eos/data@1/run1.h5"]
    Path("out").mkdir()
    assert complete(shell, "%entryexport eos/data@1 ou")[1] == ["out/"]
    assert complete(shell, "%entryversions e")[1] == ["eos"]
    assert complete(shell, "x = %entryversions eos --k")[1] == ["--kind"]
    assert complete(shell, "%entryname m")[1] == ["models"]
    assert complete(shell, "%entryname models e")[1] == ["eos"]
    assert complete(shell, "%modelform e")[1] == ["eos"]
    assert complete(shell, "%modelform eos run")[1] == ["run1.h5", "run2.h5"]


def test_the_command_line_does_the_same(files: Path) -> None:
    def call(*words: str, **options: str) -> str:
        done = CliRunner().invoke(main, ["-w", str(files / "ws"), "entries", *words], **options)  # type: ignore[arg-type]
        return done.output

    assert "eos/candidates@1/run1.h5" in call("add", "eos", "run1.h5", "T=300", "--kind", "candidates")
    assert "run1.h5" in call("ls", "eos", "--where", "T > 200")
    assert "No entries" in call("--app", "solver", "ls")
    assert "eos/data@1/run1.h5" in call("move", "eos/candidates", "--kind", "data")
    assert "eos/candidates@1/run1.h5" in call("move", "eos/data", "--back")
    assert "eos/data@1/run1.h5" in call("move", "eos/candidates", "--kind", "data")
    assert "ok  eos/data@1/run1.h5" in call("verify", "eos/data@1")
    assert "Aborted" in call("rm", "eos/data", "--purge", input="n\n")
    assert "1" in call("ls", "eos")
    assert "purged eos/data@1/run1.h5" in call("rm", "eos/data", "--purge", "--yes")
    assert "No entries" in call("ls")
    with h5py.File("run2.h5", "a") as file:
        file["outputs"] = np.zeros((4, 1))
    call("add", "eos", "run*.h5", "T=300")
    call("add", "eos", "run1.h5", "T=500")
    assert call("versions", "eos") == "eos/data@2  run1.h5, run2.h5\neos/data@3  run1.h5\nthe next one is 4\n"
    assert "is no folder" in call("export", "eos/data@2", "out")
    (files / "out").mkdir()
    assert call("export", "eos/data@2", "out") == "out/run1.h5\nout/run2.h5\n"
    assert "eos/data@3/run1.h5" in call("lineage", "eos/data@3")
    assert call("name", "models", "eos").startswith("eos_")
    assert "Where to? Name --kind" in call("move", "eos/data")
    with workbench.open(files / "ws") as ws:
        damaged = ws.entries.find("eos/data@2/run1.h5").path
        damaged.chmod(0o644)
        damaged.write_bytes(b"!")
    done = CliRunner().invoke(
        main, ["-w", str(files / "ws"), "entries", "verify", "eos/data@2", "eos/data@3"]
    )
    assert [line[:23] for line in done.output.splitlines()] == [
        "bad eos/data@2/run1.h5:",
        "ok  eos/data@2/run2.h5",
        "bad eos/data@3/run1.h5:",
    ]
    assert done.exit_code == 1
    assert "No entry fulfils this" in call("rm", "--where", "T > 1000")
    assert "eos/data@3/run1.h5" in call("rm", "--domain", "eos", "T=500")
    assert call("rm", "--version", "2", "--kind", "data").count("Entry") == 2
    assert call("rm", "--domain", "eos", "--restore").count("Entry") == 3
    assert "Error: There is no file" in call("add", "eos", "nothing.h5")
