"""Plug-ins by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from workbench.errors import NotFoundError, UnsupportedError
from workbench.registry import Registry


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a package with two plug-ins, one of them broken."""
    info = tmp_path / "lab_plugins-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-plugins\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lab.codecs]\ngood = lab_good:Codec\nbad = lab_bad:Codec\n")
    (tmp_path / "lab_good.py").write_text("class Codec: pass\n")
    (tmp_path / "lab_bad.py").write_text("import package_that_is_not_here\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("lab_good", "lab_bad"):
        sys.modules.pop(name, None)


def test_built_in_names_come_first_and_are_imported_on_first_use(installed: Path) -> None:
    registry = Registry("codec", "lab.codecs", {"json": "json:JSONEncoder"})
    assert registry.names() == ["json", "good", "bad"]
    assert registry.get("json").__name__ == "JSONEncoder"
    assert "lab_good" not in sys.modules
    assert registry.get("good").__name__ == "Codec"


def test_a_plug_in_that_cannot_be_imported_leaves_the_others(installed: Path) -> None:
    registry = Registry("codec", "lab.codecs", {})
    with pytest.raises(UnsupportedError, match="package_that_is_not_here"):
        registry.get("bad")
    assert registry.get("good")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match=r"no codec 'jsn'. Known: json. Did you mean 'json'"):
        Registry("codec", "lab.codecs", {"json": "json:JSONEncoder"}).get("jsn")
