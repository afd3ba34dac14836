"""What a process does that was made for one notebook: it takes one order, tells each cell, and ends."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import threading
import traceback
from pathlib import Path
from typing import Any

from workbench.batch import learned
from workbench.execution.wire import Decoder, Message, encode, receive

_to_json = json.JSONEncoder().encode  # a notebook may replace json.dumps


def serve(connection: socket.socket) -> None:
    """Execute the notebook that is ordered over a connection.

    The order is a message with the notebook's JSON as its body and these keys:

    ``cwd``, ``environment``
        Where the cells work and which variables they have; null: as this process.
    ``timeout_s``, ``cell_timeout_s``, ``merge_streams``
        As ``run_cells`` takes them.
    ``learned``
        The file in which to note what it has imported.
    ``tell_outputs``
        Whether to tell each output at once; else the outputs of a cell come when it has ended.

    The answers are messages with an ``event``: ``begin`` (index), ``output`` (index, output), ``cell`` (index, total, and in
    ``cells`` the outputs, numbers and times (execution) of this cell and of those that have changed with it), and ``end`` (error, needs_kernel,
    records; the notebook's JSON is the body). Or ``refused`` (why) when nothing can be begun, and ``broken`` (why) for a fault of
    ours.
    """
    order = _first(connection)
    if order is not None:
        execute(connection, order)


def execute(connection: socket.socket, order: Message) -> None:
    """Execute the notebook of an order that has been read."""
    from nbformat.v4 import reads

    from workbench.batch.cells import Outcome, run_cells
    from workbench.batch.fresh import make_fresh

    sending = threading.Lock()
    owner = os.getpid()

    def tell(message: Message, body: bytes = b"") -> None:
        if os.getpid() == owner:
            with sending:
                connection.sendall(encode(message, body))

    def end(outcome: Outcome) -> None:
        error = None if outcome.error is None else dataclasses.asdict(outcome.error)
        message = {
            "event": "end",
            "error": error,
            "needs_kernel": outcome.needs_kernel,
            "records": outcome.records,
        }
        tell(message, _to_json(outcome.notebook).encode())

    def stuck(outcome: Outcome) -> None:
        end(outcome)
        os._exit(1)

    def cell(index: int, total: int, changed: set[int]) -> None:
        told = {str(i): _said(notebook.cells[i]) for i in sorted({index, *changed})}
        tell({"event": "cell", "index": index, "total": total, "cells": told})

    tell({"event": "hello", "pid": owner})
    try:
        make_fresh(order.get("cwd"), order.get("environment"))
    except OSError as error:
        tell({"event": "refused", "why": f"the working folder cannot be entered: {error}"})
        return
    try:
        notebook = reads(order["body"].decode())
        outcome = run_cells(
            notebook,
            timeout_s=order.get("timeout_s"),
            cell_timeout_s=order.get("cell_timeout_s"),
            merge_streams=order.get("merge_streams", True),
            on_begin=lambda index: tell({"event": "begin", "index": index}),
            on_change=cell,
            on_message=(lambda index, output: tell({"event": "output", "index": index, "output": output}))
            if order.get("tell_outputs")
            else None,
            on_stuck=stuck,
        )
    except Exception:  # ours, not the notebook's; what is written here now lands in a cell
        tell({"event": "broken", "why": traceback.format_exc()})
        return
    if outcome.error is None and order.get("learned"):
        learned.note(Path(order["learned"]), outcome.notebook)
    end(outcome)


def _said(cell: Any) -> dict[str, Any]:
    if cell.cell_type != "code":
        return {}
    said = {"outputs": cell.outputs, "execution_count": cell.execution_count}
    return {**said, "execution": cell.metadata.get("execution")}


def _first(connection: socket.socket) -> Message | None:
    decoder = Decoder()
    while (messages := receive(connection, decoder)) is not None:
        if messages:
            return messages[0]
    return None


def main(descriptor: int) -> None:
    """Serve as an interpreter of its own, where there was nothing to fork."""
    with socket.socket(fileno=descriptor) as connection:
        serve(connection)
    os._exit(0)
