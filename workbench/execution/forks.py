"""What an algorithm forks ends where its code returns to ours: the run is its parent's, and so are all the words about it."""

from __future__ import annotations

import os
import traceback
from contextlib import suppress


class Border:
    """Where code of others runs: a child that it has forked comes no further than to the end of the block."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __enter__(self) -> Border:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.check(error)

    def check(self, error: BaseException | None) -> None:
        """End this process, if it is such a child, as an interpreter would that has come to the end of its program."""
        if os.getpid() == self._pid:
            return
        code, said = 0, ""
        if isinstance(error, SystemExit):
            if isinstance(error.code, int):
                code = error.code & 0xFF
            elif error.code is not None:
                code, said = 1, f"{error.code}\n"
        elif error is not None:
            code = 1
            with suppress(Exception):  # what it says of itself may fail too
                said = "".join(traceback.format_exception(error))
        with suppress(OSError):
            os.write(2, said.encode("utf-8", "replace"))
        os._exit(code)
