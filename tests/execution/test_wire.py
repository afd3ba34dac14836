"""Messages over a socket: whole, in order, and never waited for."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.execution.wire import Decoder, Outbox, encode, receive

MESSAGES = st.lists(st.dictionaries(st.text(max_size=8), st.one_of(st.text(), st.integers(), st.none())))


@given(MESSAGES, st.data())
def test_messages_come_whole_however_the_bytes_are_cut(messages: list[dict], data: st.DataObject) -> None:
    stream = b"".join(encode(m) for m in messages)
    decoder, found = Decoder(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += decoder.feed(stream[:size])
        stream = stream[size:]
    assert found == messages


@given(st.lists(st.tuples(st.dictionaries(st.just("n"), st.integers()), st.binary(max_size=50))), st.data())
def test_bodies_stay_with_their_messages(sent: list[tuple[dict, bytes]], data: st.DataObject) -> None:
    stream = b"".join(encode(m, body) for m, body in sent)
    decoder, found = Decoder(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += decoder.feed(stream[:size])
        stream = stream[size:]
    assert found == [{**m, "body": body} if body else m for m, body in sent]


def test_bytes_that_are_no_messages_are_refused() -> None:
    with pytest.raises(ValueError, match="is no message"):
        Decoder().feed(b"\xff" * 8)
    with pytest.raises(ValueError):
        Decoder().feed(b"\x00\x00\x00\x02\x00\x00\x00\x00{{")


def test_a_reader_that_does_not_read_is_not_waited_for() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        outbox = Outbox(ours, most=1 << 20)
        frame = encode({"text": "x" * 10_000})
        sent = 0
        while outbox.put(frame):
            sent += 1
        assert sent > 100
        assert not outbox.is_empty
        decoder, count = Decoder(), 0
        while not outbox.is_empty:  # it begins to read at last: nothing was lost
            count += len(receive(theirs, decoder) or [])
            assert outbox.flush()
        while count < sent + 1:
            count += len(receive(theirs, decoder) or [])


def test_the_end_of_the_other_side_is_seen() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        assert receive(ours, Decoder()) is None
        assert not Outbox(ours).put(encode({}))
