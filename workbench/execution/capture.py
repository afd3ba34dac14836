"""What an algorithm prints, logs and warns belongs to its run, also from threads that it starts.

One capture is installed while any run of this process is active and taken away after the last one. It asks, for each line,
which run the calling thread works for: the thread that executes the run, or one started by it, however deep.
"""

from __future__ import annotations

import contextvars
import logging
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TextIO

from workbench.execution.progress import TqdmFeed


class Sink(Protocol):
    """Where captured lines go: a run."""

    echo: bool

    @property
    def is_active(self) -> bool: ...

    def take_echo(self, text: str) -> str: ...

    def write_log(self, level: str, message: str) -> None: ...

    def report_progress(self, fraction: float, message: str) -> None: ...


_current: contextvars.ContextVar[Sink | None] = contextvars.ContextVar("workbench_run", default=None)
_LOGGING_LEVEL = logging.INFO


def current_sink() -> Sink | None:
    """Return the run that the calling thread works for, or None."""
    sink = _current.get()
    return sink if sink is not None and sink.is_active else None


def captured(sink: Sink) -> AbstractContextManager[None]:
    """Send what the calling thread and its threads print, log, warn and report by tqdm to the sink."""
    return _Captured(sink)


class _Captured:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._token: contextvars.Token[Sink | None]

    def __enter__(self) -> None:
        self._token = _current.set(self._sink)
        _capture.enter()

    def __exit__(self, *args: object) -> None:
        _capture.flush(self._sink)
        _capture.leave()
        _current.reset(self._token)


def keep_installed() -> None:
    """Leave the capture in place between runs, for a process that does nothing but runs: putting it up costs each of them."""
    _capture.keep()


class _Stream:
    """Stands for sys.stdout or sys.stderr: lines of a run go to its log, everything else to the stream it replaces."""

    def __init__(self, original: TextIO, level: str) -> None:
        self._original = original
        self._level = level
        self._lock = threading.Lock()
        self._partial: dict[
            tuple[int, int], tuple[Sink, str]
        ] = {}  # (sink, thread) -> text without a line end yet

    def write(self, text: str) -> int:
        sink = current_sink()
        if sink is None or not isinstance(text, str):
            return self._original.write(text)
        key = (id(sink), threading.get_ident())
        with self._lock:
            _, before = self._partial.pop(key, (sink, ""))
            lines = (before + text).split("\n")
            if lines[-1]:
                self._partial[key] = (sink, lines[-1])
        for line in lines[:-1]:
            text_of_line = line.rsplit("\r", 1)[-1]
            if text_of_line or self._level == "PRINT":  # bars that end leave empty lines on stderr
                sink.write_log(self._level, text_of_line)
        if sink.echo:
            self._original.write(sink.take_echo(text))
        return len(text)

    def stands_for(self, original: TextIO, level: str) -> bool:
        """Tell whether it could take the place of a stream once more."""
        return self._original is original and self._level == level

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._original.flush()

    def finish(self, sink: Sink) -> None:
        """Write what a run has left without a line end."""
        with self._lock:
            left = [(k, t) for k, (s, t) in self._partial.items() if s is sink]
            for key, _ in left:
                del self._partial[key]
        for _, text in left:
            sink.write_log(self._level, text.rsplit("\r", 1)[-1])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


#: The last ones stay alive: ``print`` goes on with the stream that it has found and does not hold, while another thread takes it away.
_former: deque[_Stream] = deque(maxlen=8)


class _Handler(logging.Handler):
    """Takes the records of runs; a record from elsewhere is treated as if the handler were not there."""

    def emit(self, record: logging.LogRecord) -> None:
        sink = current_sink()
        if sink is None:
            if (
                len(logging.root.handlers) == 1
                and logging.lastResort
                and record.levelno >= logging.lastResort.level
            ):
                logging.lastResort.handle(record)
            return
        try:
            message = record.getMessage()
            if record.exc_info:
                message += "\n" + (self.formatter or logging.Formatter()).formatException(record.exc_info)
        except Exception as error:  # a wrong format string must not end a run
            message = f"{record.msg} (not formatted: {error})"
        name = "" if record.name == "root" or "workbench_algorithm" in record.name else f"{record.name}: "
        sink.write_log(record.levelname, name + message)


class _FormerLevel(logging.Filter):
    """Keeps records that only runs want away from the handlers that others have put up."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self.level = level

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= self.level


class _Capture:
    """The one capture of the process, counted by the runs that need it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._is_kept = False
        self._undo: list[Callable[[], None]] = []
        self._streams: list[_Stream] = []
        self._in_place: list[Callable[[], bool]] = []
        self._tqdm = TqdmFeed(_report_of_current)

    def enter(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1 and not self._is_in_place():
                self._remove()
                self._install()

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and not self._is_kept:
                self._remove()

    def keep(self) -> None:
        self._is_kept = True

    def _is_in_place(self) -> bool:
        """Whether it is up, and no run has put something else there and left it."""
        return bool(self._in_place) and all(is_there() for is_there in self._in_place)

    def _remove(self) -> None:
        self._tqdm.remove()
        while self._undo:
            self._undo.pop()()
        self._streams, self._in_place = [], []

    def flush(self, sink: Sink) -> None:
        for stream in self._streams:
            stream.finish(sink)

    def _install(self) -> None:
        self._replace_stream("stdout", "PRINT")
        self._replace_stream("stderr", "STDERR")
        self._hook_logging()
        self._hook_warnings()
        self._hook_threads()
        self._tqdm.install()

    def _replace_stream(self, name: str, level: str) -> None:
        original = getattr(sys, name)
        if original is None:  # pythonw has none
            return
        known = (former for former in _former if former.stands_for(original, level))
        stream = next(known, None) or _Stream(original, level)
        if stream not in _former:
            _former.append(stream)
        setattr(sys, name, stream)
        self._streams.append(stream)
        self._in_place.append(lambda: getattr(sys, name) is stream)

        def undo() -> None:
            if getattr(sys, name) is stream:  # someone else may have replaced it meanwhile
                setattr(sys, name, original)

        self._undo.append(undo)

    def _hook_logging(self) -> None:
        root = logging.root
        former = root.level
        handler = _Handler()
        keep = _FormerLevel(former)
        others = list(root.handlers)
        if former == logging.NOTSET or former > _LOGGING_LEVEL:
            root.setLevel(_LOGGING_LEVEL)
            for other in others:
                other.addFilter(keep)
        root.addHandler(handler)
        level = root.level
        self._in_place.append(lambda: root.handlers == [*others, handler] and root.level == level)

        def undo() -> None:
            root.removeHandler(handler)
            for other in others:
                other.removeFilter(keep)
            if root.level == _LOGGING_LEVEL:
                root.setLevel(former)

        self._undo.append(undo)

    def _hook_warnings(self) -> None:
        original = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            sink = current_sink()
            if sink is None or file is not None:
                original(message, category, filename, lineno, file, line)
            else:
                sink.write_log("WARNING", f"{category.__name__}: {message} ({filename}:{lineno})")

        warnings.showwarning = show
        self._in_place.append(lambda: warnings.showwarning is show)

        def undo() -> None:
            if warnings.showwarning is show:
                warnings.showwarning = original

        self._undo.append(undo)

    def _hook_threads(self) -> None:
        original = threading.Thread.start

        def start(thread: threading.Thread) -> None:
            # Before Python 3.14 a new thread begins with an empty context: give it the run of the one that starts it.
            sink = current_sink()
            if sink is not None:
                run = thread.run

                def run_for_sink() -> None:
                    _current.set(sink)
                    run()

                thread.run = run_for_sink  # type: ignore[method-assign]
            original(thread)

        threading.Thread.start = start  # type: ignore[method-assign,assignment]
        self._in_place.append(lambda: threading.Thread.start is start)

        def undo() -> None:
            if threading.Thread.start is start:
                threading.Thread.start = original  # type: ignore[method-assign]

        self._undo.append(undo)


def _report_of_current() -> Callable[[float, str], None] | None:
    sink = current_sink()
    return sink.report_progress if sink is not None else None


_capture = _Capture()
