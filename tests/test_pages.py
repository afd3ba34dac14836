"""Pages of listings and how they show themselves."""

from __future__ import annotations

from datetime import UTC, datetime

from workbench.pages import Page, html_table, text_table


def page(start: int, stop: int, total: int = 7) -> Page[int]:
    more = (lambda: page(stop, min(stop + 3, total), total)) if stop < total else None
    return Page(range(start, stop), lambda i: {"n": i, "square": i * i}, more, "numbers", "Count some.")


def test_a_page_is_a_list_that_goes_on() -> None:
    first = page(0, 3)
    assert (list(first), len(first), first[-1], first[1:]) == ([0, 1, 2], 3, 2, [1, 2])
    assert first.has_more
    assert list(first.next()) == [3, 4, 5]
    assert list(first.all()) == [0, 1, 2, 3, 4, 5, 6]


def test_after_the_last_page_comes_an_empty_one() -> None:
    last = page(6, 7)
    assert not last.has_more
    assert list(last.next()) == []


def test_the_empty_state_says_what_to_do() -> None:
    empty = Page([], lambda i: {"n": i}, None, "runs", "Start one.")
    assert repr(empty) == "No runs. Start one."
    assert "No runs. Start one." in empty._repr_html_()


def test_text_is_aligned_and_has_no_trailing_blanks() -> None:
    when = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    text = text_table(
        [{"name": "a", "tags": ("x", "y"), "when": when}, {"name": "long", "tags": (), "when": None}]
    )
    lines = text.split("\n")
    assert lines[0].startswith("name  tags  when")
    assert lines[2] == "long"
    assert all(line == line.rstrip() for line in lines)


def test_a_listing_cuts_sentences_and_leaves_names_whole() -> None:
    name, sentence = "n" * 90, "word " * 30
    shown = repr(Page([0], lambda _: {"name": name, "description": sentence}))
    assert name in shown
    assert shown.endswith("word…")
    assert len(shown.splitlines()[1]) <= 90 + 2 + 60


def test_html_escapes_what_people_typed() -> None:
    assert "<script>" not in html_table([{"name": "<script>alert(1)</script>"}])


def test_dates_and_sizes_stay_on_one_line() -> None:
    row = {"when": datetime(2026, 3, 1, tzinfo=UTC), "size": "256.0 KiB", "text": "long enough to wrap"}
    assert html_table([row]).count("nowrap") == 2


def test_a_table_becomes_a_frame() -> None:
    frame = page(0, 3).table()
    assert list(frame.columns) == ["n", "square"]
    assert frame["square"].tolist() == [0, 1, 4]
