"""Ids, names and keys."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import InvalidNameError
from workbench.names import check_key, check_name, is_id, new_id


def test_ids_sort_by_time_and_never_meet() -> None:
    first = new_id()
    time.sleep(0.002)
    ids = [new_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert all(first < i for i in ids)
    assert all(is_id(i) for i in ids)


@pytest.mark.parametrize("text", ["", "abc", "0" * 21, "I" * 20, "0" * 19 + "u", "0" * 20 + "\n"])
def test_what_is_no_id(text: str) -> None:
    assert not is_id(text)


@pytest.mark.parametrize("name", ["denoise", "Denoise_2", "a", "3d-seg", "v1.2", "x" * 100])
def test_good_names(name: str) -> None:
    assert check_name(name, "Name") == name


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("a~b", r"'~'.*Try 'a-b'"),
        ("a/b", "Try 'a-b'"),
        ("x" * 300, "300 characters, at most 100"),
        ("caf\u00e9", "only letters"),
        ("\U0001f52c", "only letters"),
        ("", "is empty"),
        ("-a", "Try 'a'"),
        ("..", "only letters"),
        ("a ", "Try 'a'"),
        ("a\n", "Try 'a'"),
        (3, "expected text"),
        (None, "expected text"),
    ],
)
def test_bad_names_say_what_is_wrong_and_what_would_do(name: object, match: str) -> None:
    with pytest.raises(InvalidNameError, match=match):
        check_name(name, "Algorithm name")


@pytest.mark.parametrize("key", ["a", "a/b.json", "stack-01/image.h5", "x y", "\u00e4/\u00f6", "a" * 512])
def test_good_keys(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize(
    ("key", "match"),
    [
        ("", "is empty"),
        ("../x", "leave its collection"),
        ("a/../../x", "leave its collection"),
        ("./x", "leave its collection"),
        ("/etc/passwd", "relative"),
        ("a//b", "empty segment"),
        ("a/", "empty segment"),
        ("a\\b", "backslash"),
        ("a\x00b", "control"),
        ("a/.hidden", "reserved"),
        ("\u00e4" * 300, "600 bytes"),
        (b"a", "expected text"),
    ],
)
def test_bad_keys_say_why(key: object, match: str) -> None:
    with pytest.raises(InvalidNameError, match=match):
        check_key(key)


@given(st.text(max_size=40))
def test_a_key_that_is_accepted_stays_inside_its_folder(key: str) -> None:
    import posixpath

    try:
        check_key(key)
    except InvalidNameError:
        return
    joined = posixpath.normpath(posixpath.join("/top/collection", key))
    assert joined.startswith("/top/collection/")
    assert joined == f"/top/collection/{key}"
