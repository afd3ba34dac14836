"""A worker's line: who reads it, and what is heard when."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from workbench.execution.wire import Decoder, encode, receive
from workbench.hosting.line import Line

_OPEN: list[socket.socket] = []


@dataclass
class Worker:
    """A line, its other end, and what was cancelled by whom."""

    host: socket.socket
    line: Line
    cancelled: list[tuple[str, bool, str]] = field(default_factory=list)
    heard: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def worker() -> Iterator[Worker]:
    host, end = socket.socketpair()

    def cancel(run: str, hard: bool) -> None:
        made.cancelled.append((run, hard, threading.current_thread().name))
        made.heard.set()

    made = Worker(host, Line(end, cancel))
    yield made
    _OPEN.append(host)  # its end would be the end of this process


def _in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_orders_come_in_their_order_and_the_end_after_them(worker: Worker) -> None:
    worker.host.sendall(b"".join(encode({"op": "run", "run": str(n)}, b"r%d" % n) for n in range(3)))
    worker.host.sendall(encode({"op": "end"}))
    orders = [worker.line.next_order() for _ in range(4)]
    assert [order and order["body"] for order in orders] == [b"r0", b"r1", b"r2", None]


def test_an_order_that_comes_later_is_waited_for(worker: Worker) -> None:
    timer = threading.Timer(0.05, lambda: worker.host.sendall(encode({"op": "run", "run": "late"})))
    timer.start()
    order = worker.line.next_order()
    assert order is not None
    assert order["run"] == "late"


def test_a_cancel_is_heard_by_another_thread_while_a_run_lasts(worker: Worker) -> None:
    worker.host.sendall(encode({"op": "run", "run": "a"}))
    worker.line.next_order()
    worker.line.listen()
    worker.host.sendall(encode({"op": "cancel", "run": "a", "hard": True}))
    assert worker.heard.wait(5)
    assert worker.cancelled == [("a", True, "workbench-host")]


def test_an_order_heard_while_a_run_lasts_is_the_next_one(worker: Worker) -> None:
    worker.host.sendall(encode({"op": "run", "run": "a"}))
    worker.line.next_order()
    worker.line.listen()
    worker.host.sendall(encode({"op": "run", "run": "b"}) + encode({"op": "cancel", "run": "b"}))
    assert worker.heard.wait(5)
    order = worker.line.next_order()
    assert order is not None
    assert order["run"] == "b"


def test_a_cancel_of_a_run_too_short_to_be_listened_to_is_read_after_it(worker: Worker) -> None:
    worker.host.sendall(encode({"op": "run", "run": "a"}))
    worker.line.next_order()
    worker.host.sendall(encode({"op": "cancel", "run": "a"}))
    assert not worker.cancelled
    worker.host.sendall(encode({"op": "run", "run": "b"}))
    worker.line.next_order()
    assert worker.cancelled == [("a", False, threading.current_thread().name)]


def test_messages_of_several_threads_are_whole(worker: Worker) -> None:
    body = os.urandom(50_000)
    threads = [
        _in_thread(lambda n=n: [worker.line.tell({"event": "e", "n": n}, body) for _ in range(20)])  # type: ignore[misc]
        for n in range(4)
    ]
    decoder, seen = Decoder(), []
    while len(seen) < 80:
        messages = receive(worker.host, decoder)
        assert messages is not None
        seen += messages
    for thread in threads:
        thread.join()
    assert all(message["body"] == body for message in seen)


@pytest.mark.parametrize("wait", ["line.next_order()", "line.listen(); time.sleep(60)"])
def test_the_end_of_the_host_ends_the_worker(wait: str) -> None:
    host, end = socket.socketpair()
    code = (
        "import socket, sys, time; from workbench.hosting.line import Line; "
        "line = Line(socket.socket(fileno=int(sys.argv[1])), lambda run, hard: None); "
        f"line.next_order(); print('ready', flush=True); {wait}"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(end.fileno())],
        pass_fds=[end.fileno()],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        end.close()
        host.sendall(encode({"op": "run", "run": "a"}))
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        host.close()
        assert process.wait(10) == 1
