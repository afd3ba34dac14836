"""The checkout that an algorithm was deployed from: kept with what was not committed, and made again from a clone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from algorithm_folders import GAIN, INVERT, write_algorithm
from click.testing import CliRunner

import workbench
from workbench.algorithms import git_source
from workbench.cli import main
from workbench.errors import (
    AlreadyExistsError,
    DamagedError,
    InvalidInputError,
    NotFoundError,
    UnsupportedError,
)

PICTURE = np.arange(16, dtype=np.float32).reshape(4, 4)


def git(folder: Path, *words: str, **variables: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *words],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Give a repository with an algorithm and much around it, all committed."""
    root = tmp_path / "repository"
    write_algorithm(root / "algorithms" / "invert", extra=GAIN, files={"table.bin": bytes(range(256)) * 8})
    (root / "prepare.py").write_text("GAIN = 1\n")
    (root / "gone.txt").write_text("to be deleted\n")
    (root / "tool.sh").write_text("#!/bin/sh\n")
    (root / ".gitignore").write_text("*.weights\nscratch/\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    return root


def make_dirty(root: Path) -> None:
    """Change, delete, add, stage, and leave things that are no part of it."""
    folder = root / "algorithms" / "invert"
    (folder / "Runner.py").write_text(
        (folder / "Runner.py").read_text().replace("data.max() - data", "data * 3")
    )
    (folder / "table.bin").write_bytes(bytes(range(255, -1, -1)) * 8 + b"\0\n")
    (folder / "new.txt").write_text("not known to git, without an end of line")
    (folder / "best.weights").write_bytes(b"\0\1ignored by git, and an asset")
    (folder / "ü name.txt").write_text("a name\n")
    (root / "prepare.py").write_text("GAIN = 2\r\n")
    (root / "gone.txt").unlink()
    (root / "tool.sh").chmod(0o755)
    (root / "staged.py").write_text("x = 1\n")
    git(root, "add", "staged.py")
    (root / "data.csv").write_text("elsewhere, not known to git")
    (root / "scratch").mkdir()
    (root / "scratch" / "log").write_text("ignored")


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "ws") as found:
        yield found


def tree_of(root: Path, tmp_path: Path, *extra: str) -> str:
    """Return git's own digest of all files that git knows, as they lie there, and of some more."""
    index = {"GIT_INDEX_FILE": str(tmp_path / "index-of-test")}
    git(root, "read-tree", "HEAD", **index)
    git(root, "add", "-u", **index)
    for path in extra:
        git(root, "add", "-f", "--", path, **index)
    tree = git(root, "write-tree", **index)
    (tmp_path / "index-of-test").unlink()
    return tree


def test_a_clone_at_the_commit_with_the_changes_is_the_same_tree(
    ws: workbench.Workspace, repository: Path, tmp_path: Path
) -> None:
    make_dirty(repository)
    status, objects = (
        git(repository, "status", "--porcelain"),
        sorted((repository / ".git" / "objects").rglob("*")),
    )
    index = (repository / ".git" / "index").read_bytes()
    invert = ws.algorithms.deploy(repository / "algorithms" / "invert")
    known = invert.revision.git
    assert known is not None
    assert (known.commit, known.branch, known.path) == (
        git(repository, "rev-parse", "HEAD"),
        "main",
        "algorithms/invert",
    )
    assert (known.dirty, known.files, known.left_out) == (True, 9, ())
    assert "9 uncommitted files kept" in str(ws.algorithms.describe("invert"))
    # nothing of the repository was touched
    assert git(repository, "status", "--porcelain") == status
    assert sorted((repository / ".git" / "objects").rglob("*")) == objects
    assert (repository / ".git" / "index").read_bytes() == index

    made = invert.checkout(tmp_path / "clone")
    assert made == tmp_path / "clone" / "algorithms" / "invert"
    expected = tree_of(repository, tmp_path, "algorithms/invert", "staged.py")
    assert git(tmp_path / "clone", "write-tree") == expected
    assert tree_of(tmp_path / "clone", tmp_path, "algorithms/invert", "staged.py") == expected
    assert not (tmp_path / "clone" / "gone.txt").exists()
    assert os.access(tmp_path / "clone" / "tool.sh", os.X_OK)
    assert not (tmp_path / "clone" / "data.csv").exists()
    assert (made / "best.weights").read_bytes() == b"\0\1ignored by git, and an asset"
    with pytest.raises(AlreadyExistsError, match="is there already"):
        invert.checkout(tmp_path / "clone")


def test_a_run_is_replayed_from_a_fresh_clone_and_the_changes(
    ws: workbench.Workspace, repository: Path, tmp_path: Path
) -> None:
    make_dirty(repository)
    ws.algorithms.deploy(repository / "algorithms" / "invert", check=False)
    run = ws.run("invert", PICTURE, {"gain": 2.0})
    known = ws.algorithms.get("invert").revision.git
    assert known is not None
    assert run.environment["source"]["diff"] == known.diff
    crate = run.lineage().export(tmp_path / "crate")
    assert (crate / "environments" / f"{known.diff}.patch").read_bytes().startswith(b"diff --git")
    git(repository, "reset", "-q", "--hard")
    git(repository, "clean", "-qfdx")
    replay = run.replay(from_source=True)
    assert replay.is_identical
    assert "and 9 uncommitted files makes the same code, file by file." in repr(replay)
    np.testing.assert_array_equal(replay.run.result(), PICTURE * 6)

    git(repository, "clone", "-q", "--bare", str(repository), str(tmp_path / "origin.git"))
    shutil.rmtree(repository)
    with pytest.raises(
        NotFoundError, match=r"There is no repository to clone: .*run\.replay\(from_source='https://"
    ):
        run.replay(from_source=True)
    assert run.replay(from_source=tmp_path / "origin.git").is_identical
    done = CliRunner().invoke(main, ["-w", str(tmp_path / "ws"), "replay", run.id])
    assert done.exit_code == 0, done.output
    call = ["checkout", "invert", str(tmp_path / "again"), "--source", str(tmp_path / "origin.git")]
    done = CliRunner().invoke(main, ["-w", str(tmp_path / "ws"), *call])
    assert done.output == f"made {tmp_path / 'again' / 'algorithms' / 'invert'}\n"


def test_what_is_committed_needs_no_patch(ws: workbench.Workspace, repository: Path, tmp_path: Path) -> None:
    git(repository, "remote", "add", "origin", "https://user:secret@example.org/lab/tools.git")
    invert = ws.algorithms.deploy(repository / "algorithms" / "invert", check=False)
    known = invert.revision.git
    assert known is not None
    assert (known.dirty, known.diff, known.remote) == (False, "", "https://example.org/lab/tools.git")
    assert "all committed" in str(ws.algorithms.describe("invert"))
    assert [i.key for i in ws.store.list("environments") if i.key.endswith("patch")] == []
    assert "makes the same code" in ws.algorithms.check_source("invert")
    (repository / "prepare.py").write_text("GAIN = 3\n")
    again = ws.algorithms.deploy(repository / "algorithms" / "invert", check=False)
    assert again.id == invert.id  # what surrounds it makes no new revision


def test_large_files_are_left_out_and_named(
    ws: workbench.Workspace, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_source, "LIMIT", 10_000)
    (repository / "algorithms" / "invert" / "large.bin").write_bytes(os.urandom(20_000))
    (repository / "prepare.py").write_text("GAIN = 2\n")
    invert = ws.algorithms.deploy(repository / "algorithms" / "invert", check=False)
    assert invert.revision.git is not None
    assert invert.revision.git.left_out == ("algorithms/invert/large.bin",)
    assert "1 too large to keep: algorithms/invert/large.bin" in invert.note
    run = ws.run("invert", PICTURE)
    with pytest.raises(UnsupportedError, match=r"large\.bin differ\. 1 files were too large"):
        run.replay(from_source=True)
    assert len(ws.runs.list()) == 1
    assert run.replay().is_identical  # the package has it


def test_outside_of_a_repository_nothing_is_kept(
    ws: workbench.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ws.algorithms.deploy(write_algorithm(tmp_path / "plain"), check=False)
    assert plain.revision.git is None
    with pytest.raises(InvalidInputError, match="was not deployed from a git checkout"):
        plain.checkout(tmp_path / "clone")
    run = ws.run("invert", PICTURE)
    with pytest.raises(InvalidInputError, match="was not deployed from a git checkout"):
        run.replay(from_source=True)
    folder = ws.run(str(write_algorithm(tmp_path / "folder")), PICTURE)
    with pytest.raises(UnsupportedError, match="only of what is deployed"):
        folder.replay(from_source=True)
    empty = tmp_path / "empty"
    write_algorithm(empty / "a", "other")
    git(empty, "init", "-q")
    assert ws.algorithms.deploy(empty / "a", check=False).revision.git is None  # no commit yet
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    assert ws.algorithms.deploy(write_algorithm(empty / "b", "third"), check=False).revision.git is None


def test_a_lost_commit_and_a_damaged_patch_say_so(
    ws: workbench.Workspace, repository: Path, tmp_path: Path
) -> None:
    make_dirty(repository)
    invert = ws.algorithms.deploy(repository / "algorithms" / "invert", check=False)
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    with pytest.raises(UnsupportedError, match=r"could not be had from .*other.*Name another place"):
        invert.checkout(tmp_path / "clone", source=other)
    assert not (tmp_path / "clone").exists()
    with pytest.raises(UnsupportedError, match="could not be had"):
        invert.checkout(tmp_path / "clone", source="ext::sh -c 'touch pwned'@x")
    assert not list(tmp_path.rglob("pwned"))
    assert invert.revision.git is not None
    key = f"{invert.revision.git.diff}.patch"
    patch = ws.store.get("environments", key)
    ws.store.put("environments", key, patch + b"\n")
    with pytest.raises(DamagedError, match="is damaged"):
        invert.checkout(tmp_path / "clone")
    ws.store.delete("environments", [key])
    with pytest.raises(NotFoundError, match="are gone"):
        invert.checkout(tmp_path / "clone")


def test_the_changes_travel_with_an_export(ws: workbench.Workspace, repository: Path, tmp_path: Path) -> None:
    make_dirty(repository)
    path = ws.algorithms.deploy(repository / "algorithms" / "invert", check=False).export(
        tmp_path / "a.wbalg"
    )
    with workbench.open(tmp_path / "there") as there:
        there.algorithms.import_file(path, check=False)
        assert there.algorithms.get("invert").revision.git == ws.algorithms.get("invert").revision.git
        assert "makes the same code" in there.algorithms.check_source("invert")


def test_a_redeploy_after_a_change_keeps_the_state_of_each(ws: workbench.Workspace, repository: Path) -> None:
    folder = repository / "algorithms" / "invert"
    first = ws.algorithms.deploy(folder, check=False)
    write_algorithm(folder, code=INVERT.replace("data.max() - data", "data + 1"), extra=GAIN)
    second = ws.algorithms.deploy(folder, check=False)
    git(repository, "commit", "-qam", "second")
    for algorithm in (first, second):
        assert "makes the same code" in ws.algorithms.check_source(algorithm.id)
    with pytest.raises(NotFoundError):
        ws.algorithms.check_source("0" * 20)
