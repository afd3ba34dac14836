"""What is code, what is an asset, what is left out; the package and its digest."""

from __future__ import annotations

import io
import os
import socket
import tempfile
import zipfile
from pathlib import Path

import pytest

from workbench.algorithms import package
from workbench.algorithms.folder import read_folder
from workbench.algorithms.package import build_zip, collect, digest, hash_file, read_settled
from workbench.errors import DamagedError, InvalidAlgorithmError


def write(folder: Path, *paths: str, text: str = "x") -> None:
    for path in paths:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_python_files_are_code_and_everything_else_is_an_asset(tmp_path: Path) -> None:
    write(
        tmp_path,
        "Runner.py",
        "pkg/__init__.py",
        "pkg/deep/m.py",
        "pyproject.toml",
        "README.md",
        "files/w.pth",
        "LICENSE",
    )
    contents = collect(tmp_path)
    assert list(contents.code) == ["Runner.py", "pkg/__init__.py", "pkg/deep/m.py"]
    assert list(contents.assets) == ["LICENSE", "README.md", "files/w.pth", "pyproject.toml"]
    assert contents.left_out == {}


def test_what_is_no_part_of_the_algorithm_is_left_out_with_the_reason(tmp_path: Path) -> None:
    write(
        tmp_path, "Runner.py", "__pycache__/a.pyc", "a.pyc", ".git/config", ".DS_Store", ".ipynb_checkpoints/a.ipynb",
        "venv/pyvenv.cfg", "venv/lib/x.py", "env/conda-meta/history", "x.egg-info/PKG-INFO", "node_modules/a/index.js",
    )  # fmt: skip
    contents = collect(tmp_path)
    assert list(contents.code) == ["Runner.py"]
    assert contents.assets == {}
    assert contents.left_out == {
        ".DS_Store": "a dot file",
        ".git/": "a dot folder",
        ".ipynb_checkpoints/": "a dot folder",
        "__pycache__/": "compiled Python",
        "a.pyc": "compiled Python",
        "env/": "a virtual environment",
        "node_modules/": "installed packages (node_modules)",
        "venv/": "a virtual environment",
        "x.egg-info/": "packaging metadata",
    }


def test_ignore_files_hold_for_their_folder_and_the_deeper_one_wins(tmp_path: Path) -> None:
    write(
        tmp_path,
        "Runner.py",
        "a.log",
        "keep.log",
        "out/big.bin",
        "sub/a.log",
        "sub/b.tmp",
        "sub/deep/b.tmp",
        "b.tmp",
    )
    (tmp_path / ".gitignore").write_text("# comment\n*.log\n!keep.log\nout/\n")
    (tmp_path / "sub/.gitignore").write_text("!a.log\n/b.tmp\n")
    contents = collect(tmp_path)
    assert list(contents.assets) == ["b.tmp", "keep.log", "sub/a.log", "sub/deep/b.tmp"]
    assert contents.left_out["a.log"] == ".gitignore says *.log"
    assert contents.left_out["out/"] == ".gitignore says out/"
    assert contents.left_out["sub/b.tmp"] == "sub/.gitignore says /b.tmp"


def test_workbenchignore_overrides_gitignore(tmp_path: Path) -> None:
    write(tmp_path, "weights.pth", "other.pth", "notes.txt")
    (tmp_path / ".gitignore").write_text("*.pth\n")
    (tmp_path / ".workbenchignore").write_text("!weights.pth\nnotes.txt\n")
    contents = collect(tmp_path)
    assert list(contents.assets) == ["weights.pth"]
    assert contents.left_out["notes.txt"] == ".workbenchignore says notes.txt"


def test_links_inside_are_followed_once_and_links_outside_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "alg"
    write(folder, "real/w.bin", "Runner.py")
    write(tmp_path, "secret.txt", "elsewhere/x.py")
    (folder / "linked").symlink_to("real")
    (folder / "w2.bin").symlink_to("real/w.bin")
    (folder / "real/loop").symlink_to("..")
    (folder / "self").symlink_to("self")
    (folder / "nothing").symlink_to("absent")
    (folder / "secret").symlink_to(tmp_path / "secret.txt")
    (folder / "outside").symlink_to(tmp_path / "elsewhere")
    contents = collect(folder)
    assert list(contents.assets) == ["linked/w.bin", "real/w.bin", "w2.bin"]
    assert contents.left_out["real/loop"] == "a link to a folder that holds it"
    assert contents.left_out["secret"].startswith("a link that leaves the folder, to ")
    assert contents.left_out["outside"].startswith("a link that leaves the folder, to ")
    assert contents.left_out["self"] == contents.left_out["nothing"] == "a link to nothing, or to itself"


def test_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    write(tmp_path, "a/1.bin", "b/2.bin")
    (tmp_path / "a/b").symlink_to("../b")
    (tmp_path / "b/a").symlink_to("../a")
    contents = collect(tmp_path)
    assert list(contents.assets) == ["a/1.bin", "a/b/2.bin", "b/2.bin", "b/a/1.bin"]
    assert contents.left_out["a/b/a"] == "a link in a linked folder"


def test_a_folder_reached_through_a_link_is_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "alg", "Runner.py", "w.bin")
    (tmp_path / "link").symlink_to("alg")
    contents = collect(tmp_path / "link")
    assert (list(contents.code), list(contents.assets)) == (["Runner.py"], ["w.bin"])


def test_pipes_and_sockets_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("sock")
        contents = collect(tmp_path)
    assert contents.left_out == {"pipe": "not a regular file", "sock": "not a regular file"}


def test_names_that_are_no_text_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "line\nbreak.txt").write_text("x")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.txt")).write_text("x")
    contents = collect(tmp_path)
    assert contents.assets == {}
    assert len(contents.left_out) == 2


def test_unreadable_files_are_problems_that_name_them() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        write(folder, "Runner.py", "w.bin")
        for path in ("Runner.py", "w.bin"):
            (folder / path).chmod(0)
        is_root = os.geteuid() == 0
        try:
            if is_root:  # who reads everything
                os.seteuid(65534)
            with pytest.raises(InvalidAlgorithmError) as caught:
                read_folder(folder)
        finally:
            if is_root:
                os.seteuid(0)
    assert [p.split()[0] for p in caught.value.problems if "chmod" in p] == ["Runner.py", "w.bin"]


def test_package_bytes_follow_from_names_and_contents_alone(tmp_path: Path) -> None:
    first = build_zip({"b.py": b"2", "a.py": b"1"})
    assert first == build_zip({"a.py": b"1", "b.py": b"2"})
    assert digest(first) != digest(build_zip({"a.py": b"12", "b.py": b""}))
    assert digest(first) != digest(build_zip({"a.py": b"1", "c.py": b"2"}))
    # a fixed value: the format must not change from one version of Python or zlib to the next
    assert (
        digest(build_zip({"é.py": b"x = 1\n"}))
        == "ad7d5d807b402ff0ab56897854a22b429034bda7122dca894181b988ce14303d"
    )
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert archive.namelist() == ["a.py", "b.py"]
        assert archive.testzip() is None
        assert {i.date_time for i in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_touching_files_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, "Runner.py", "w.bin")
    before = build_zip(collect(tmp_path).code)
    os.utime(tmp_path / "Runner.py", (1, 1))
    (tmp_path / "Runner.py").chmod(0o755)
    assert build_zip(collect(tmp_path).code) == before


def test_large_file_is_hashed_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "BLOCK", 1000)
    data = os.urandom(3500)
    (tmp_path / "w.bin").write_bytes(data)
    assert [len(b) for b in package.blocks(tmp_path / "w.bin")] == [1000, 1000, 1000, 500]
    assert hash_file(tmp_path / "w.bin") == (digest(data), 3500)


def test_file_at_rest_is_hashed_once_and_a_changed_one_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "BLOCK", 1000)
    file = tmp_path / "w.bin"
    file.write_bytes(b"a" * 2000)
    os.utime(file, (1, 1))
    first = hash_file(file)
    monkeypatch.setattr(package, "blocks", lambda path: iter([b"read again"]))
    assert hash_file(file) == first
    os.utime(file, (2, 2))
    assert hash_file(file)[0] == digest(b"read again")


def test_file_that_keeps_changing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "w.bin"
    file.write_bytes(b"x" * 1000)
    look = package._state

    def look_and_grow(descriptor: int) -> tuple[int, int]:  # as someone who writes between any two looks
        found = look(descriptor)
        with file.open("ab") as out:
            out.write(b"y")
        return found

    monkeypatch.setattr(package, "_state", look_and_grow)
    with pytest.raises(DamagedError, match="changes while it is being read"):
        read_settled(file)
    with pytest.raises(DamagedError, match="changes while it is being read"):
        hash_file(file)
