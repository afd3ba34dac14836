"""The line to the host: read by its thread, or by who waits; an interrupt never tears a message apart."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from workbench.execution.host_line import HostLine
from workbench.execution.wire import Decoder, encode

PATIENCE_S = 30.0


class Peer:
    """The other side of a line, and what has been heard here and in which thread."""

    def __init__(self) -> None:
        ours, self.socket = socket.socketpair()
        self.heard: list[tuple[int, str]] = []
        self.news = threading.Condition()
        self.lost = threading.Event()
        self.on_message = lambda number: None
        self.line = HostLine(ours, Decoder(), self._hear, lambda line: self.lost.set())

    def _hear(self, message: dict) -> None:
        self.on_message(message["number"])
        with self.news:
            self.heard.append((message["number"], threading.current_thread().name))
            self.news.notify_all()

    def say(self, number: int) -> None:
        self.socket.sendall(encode({"number": number}))

    def has_heard(self, number: int) -> bool:
        return any(number == n for n, _ in self.heard)

    def read_until(self, is_there: Callable[[], bool], first: Callable[[], object] = lambda: None) -> None:
        """Read in this thread, and do a step as soon as it is this thread that reads."""
        has_begun = False

        def look() -> bool:
            nonlocal has_begun
            if not has_begun:
                has_begun = True
                first()
            return is_there()

        while not has_begun:  # the line's thread may just be reading
            self.line.read_until(look, PATIENCE_S)

    def wait_heard(self, number: int) -> str:
        with self.news:
            assert self.news.wait_for(lambda: self.has_heard(number), PATIENCE_S)
        return dict(self.heard)[number]


@pytest.fixture
def peer() -> Iterator[Peer]:
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # ignored where tests run in a background
    made = Peer()
    yield made
    signal.signal(signal.SIGINT, before)
    made.line.close()
    assert made.lost.wait(PATIENCE_S)
    made.socket.close()


def here() -> str:
    return threading.current_thread().name


def test_the_thread_reads_where_nobody_waits(peer):
    peer.say(1)
    assert peer.wait_heard(1) == "workbench-host-client"


def test_who_waits_hears_it_at_first_hand_and_the_thread_reads_on_afterwards(peer):
    peer.say(1)
    peer.wait_heard(1)
    peer.read_until(lambda: peer.has_heard(3), lambda: [peer.say(2), peer.say(3)])
    assert peer.heard[1:] == [(2, here()), (3, here())]
    peer.say(4)
    assert peer.wait_heard(4) == "workbench-host-client"


def test_what_is_there_already_is_not_waited_for(peer):
    peer.line.read_until(lambda: True, None)


def test_a_time_limit_ends_the_waiting(peer):
    peer.line.read_until(lambda: False, 0.01)
    peer.say(1)
    assert peer.wait_heard(1) == "workbench-host-client"


def test_a_second_one_who_waits_leaves_the_reading_to_the_first(peer):
    began = threading.Event()

    def first() -> None:
        peer.read_until(lambda: peer.has_heard(1), began.set)

    thread = threading.Thread(target=first, name="first")
    thread.start()
    assert began.wait(PATIENCE_S)
    peer.line.read_until(lambda: False, None)  # comes back at once
    peer.say(1)
    thread.join(PATIENCE_S)
    assert peer.heard == [(1, "first")]


def test_the_other_side_goes_while_somebody_waits(peer):
    peer.read_until(lambda: False, peer.socket.close)
    assert peer.lost.wait(PATIENCE_S)


def test_closing_it_lets_go_who_waits(peer):
    peer.read_until(lambda: False, peer.line.close)
    assert peer.lost.wait(PATIENCE_S)


def test_an_interrupt_ends_the_waiting_and_the_next_one_hears_on(peer):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        peer.read_until(lambda: False, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) is before
    peer.say(1)
    peer.read_until(lambda: peer.has_heard(1))
    assert peer.wait_heard(1)


def test_an_interrupt_while_a_message_is_taken_in_comes_after_it(peer):
    steps = []

    def interrupted(number: int) -> None:
        signal.raise_signal(signal.SIGINT)
        steps.append(number)  # the message is taken in to its end

    peer.on_message = interrupted
    both = encode({"number": 1}) + encode({"number": 2})
    with pytest.raises(KeyboardInterrupt):
        peer.read_until(lambda: False, lambda: peer.socket.sendall(both))
    assert steps == [1, 2]
    assert [n for n, _ in peer.heard] == [1, 2]


def test_a_thread_that_waits_leaves_interrupts_alone(peer):
    seen = []
    before = signal.getsignal(signal.SIGINT)
    peer.on_message = lambda number: seen.append(signal.getsignal(signal.SIGINT))
    thread = threading.Thread(
        target=lambda: peer.read_until(lambda: peer.has_heard(1), lambda: peer.say(1)), name="waits"
    )
    thread.start()
    thread.join(PATIENCE_S)
    assert seen == [before]
    assert peer.heard == [(1, "waits")]


def test_a_forked_child_does_not_touch_its_parents_line(peer):
    child = os.fork()
    if child == 0:
        peer.line.read_until(lambda: False, None)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    peer.say(1)
    assert peer.wait_heard(1) == "workbench-host-client"
