"""What is written past Python, passed on line by line and once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.hosting.raw_output import RawOutput, last_words


@pytest.fixture
def raw(tmp_path: Path) -> Iterator[RawOutput]:
    made = RawOutput(tmp_path / "worker-1.out")
    yield made
    made.close()


def taken(raw: RawOutput, *, all_of_it: bool = False) -> list[str]:
    lines: list[str] = []
    raw.take(lines.append, all_of_it=all_of_it)
    return lines


def test_whole_lines_are_passed_on_once_and_the_rest_at_the_end(raw: RawOutput, tmp_path: Path) -> None:
    with raw.of_run():
        os.write(raw.fileno(), b"one\ntwo\nhal")
        assert taken(raw) == ["one", "two"]
        assert taken(raw) == []
        os.write(raw.fileno(), b"f")
        assert taken(raw, all_of_it=True) == ["half"]
    with raw.of_run():
        os.write(raw.fileno(), b"of the next run\nlast words\n")
        assert taken(raw) == ["of the next run", "last words"]
        os.write(raw.fileno(), b"crash\n")
    assert last_words(tmp_path / "worker-1.out") == ["crash"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_keeps_nothing_from_being_passed_on(raw: RawOutput) -> None:
    full = os.open("/dev/full", os.O_RDWR)
    os.dup2(full, raw._mark)
    os.close(full)
    with raw.of_run():
        os.write(raw.fileno(), b"one\n")
        assert taken(raw) == ["one"]
        os.write(raw.fileno(), b"two\n")
        assert taken(raw) == ["two"]
