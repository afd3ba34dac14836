"""What a form remembers: last values and inputs per notebook and algorithm, named presets per algorithm.

Both lie in the workspace as ``forms/<key>.json``, never in a notebook's metadata. A file that is damaged, foreign or of
another version is left alone and said so; a place that takes no files turns the memory off.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.errors import NotFoundError, WorkbenchError
from workbench.models import now
from workbench.storage.store import Store

COLLECTION = "forms"
FORMAT = 1


@dataclass(frozen=True)
class Remembered:
    """What was read back; ``note`` says what could not be."""

    values: dict[str, Any] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    note: str = ""


class FormMemory:
    """Remembers form values in a store.

    Parameters
    ----------
    store : Store
    delay_s : float
        How long `remember` waits for further changes before it writes.

    Attributes
    ----------
    note : str
        Why nothing is kept any more; empty while it works.
    """

    def __init__(self, store: Store, delay_s: float = 1.0) -> None:
        self._store = store
        self._delay_s = delay_s
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None
        self._waiting: dict[str, dict[str, Any]] = {}
        self.note = ""

    def recall(self, notebook: str | None, algorithm: str) -> Remembered:
        """Return the last values and inputs of this notebook's form; without a notebook those of the algorithm."""
        content, note = self._read(_key("values", notebook, algorithm), "values", algorithm)
        values, inputs = content.get("values", {}), content.get("inputs", [])
        if not isinstance(values, dict) or not isinstance(inputs, list):
            return Remembered(note="The remembered values are damaged and were ignored.")
        return Remembered(values, [text for text in inputs if isinstance(text, str)], note)

    def remember(
        self, notebook: str | None, algorithm: str, values: Mapping[str, Any], inputs: Sequence[str]
    ) -> None:
        """Keep values and inputs, a little later: changes that follow quickly are written once."""
        content = {"notebook": notebook, "values": dict(values), "inputs": list(inputs)}
        with self._lock:
            self._waiting[_key("values", notebook, algorithm)] = _labelled("values", algorithm, content)
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(self._delay_s, self.flush)
            self._timer.daemon = True
            self._timer.start()

    def flush(self) -> None:
        """Write now what waits to be written."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            waiting, self._waiting = self._waiting, {}
            for key, content in waiting.items():
                self._write(key, content)

    def presets(self, algorithm: str) -> dict[str, dict[str, Any]]:
        """Return the named presets of an algorithm, which all notebooks share."""
        content, note = self._read(_key("presets", None, algorithm), "presets", algorithm)
        self.note = self.note or note
        found = content.get("presets", {})
        if not isinstance(found, dict):
            return {}
        return {name: values for name, values in sorted(found.items()) if isinstance(values, dict)}

    def save_preset(self, algorithm: str, name: str, values: Mapping[str, Any]) -> None:
        """Keep values under a name, in place of an older preset of that name."""
        with self._lock:
            self._write_presets(algorithm, {**self.presets(algorithm), name: dict(values)})

    def delete_preset(self, algorithm: str, name: str) -> None:
        """Forget a preset; one that is not there is left alone."""
        with self._lock:
            self._write_presets(algorithm, {k: v for k, v in self.presets(algorithm).items() if k != name})

    def _write_presets(self, algorithm: str, presets: Mapping[str, Any]) -> None:
        self._write(_key("presets", None, algorithm), _labelled("presets", algorithm, {"presets": presets}))

    def _read(self, key: str, kind: str, algorithm: str) -> tuple[dict[str, Any], str]:
        try:
            content = json.loads(self._store.get(COLLECTION, key))
        except NotFoundError:
            return {}, ""
        except (WorkbenchError, ValueError) as error:
            return {}, f"The remembered {kind} cannot be read ({type(error).__name__}) and were ignored."
        if not isinstance(content, dict) or (content.get("kind"), content.get("algorithm")) != (
            kind,
            algorithm,
        ):
            return {}, f"forms/{key} holds something else than remembered {kind} and was ignored."
        if content.get("format") != FORMAT:
            return {}, f"The remembered {kind} are of another version of workbench and were ignored."
        return content, ""

    def _write(self, key: str, content: dict[str, Any]) -> None:
        try:
            self._store.put(COLLECTION, key, json.dumps(content, indent=1, ensure_ascii=False))
        except WorkbenchError as error:
            reason = "the workspace is read-only" if error.kind == "read_only" else str(error)
            self.note = f"Values are not remembered: {reason}."


def _key(kind: str, notebook: str | None, algorithm: str) -> str:
    text = json.dumps([kind, notebook, algorithm])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest() + ".json"


def _labelled(kind: str, algorithm: str, content: Mapping[str, Any]) -> dict[str, Any]:
    return {"format": FORMAT, "kind": kind, "algorithm": algorithm, **content, "saved": now().isoformat()}
