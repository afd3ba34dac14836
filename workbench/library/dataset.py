"""A dataset as the user holds it: what it is, its arrays, and how it shows itself."""

from __future__ import annotations

import ast
import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidInputError, WorkbenchError
from workbench.library.frames import KEY as FRAME
from workbench.library.frames import frame_html
from workbench.models import DatasetRecord, KeyInfo
from workbench.registry import Registry

if TYPE_CHECKING:
    from datetime import datetime

    import h5py
    import numpy as np

    from workbench.library.datasets import Datasets
    from workbench.library.lineage import Direction, Lineage

#: the order in which a dataset's main array is looked for
MAIN_KEYS = ("image", "volume", "data", "mask", "features", "vertices")
_MOST_PICTURES = 4
_NUMBERS = 8
_MOST_OF_FRAME = 16 << 20  # bytes of a DataFrame that is read to show its ends
#: Named as text: the widget belongs to the notebook, which lies above and is imported when something is viewed.
VIEWERS = Registry("viewer", "workbench.viewers", {"notebook": "workbench.notebook.viewer:show"})


class Dataset:
    """Named arrays in the workspace, with what is known of them. It holds no data: arrays are read when asked for.

    Attributes
    ----------
    record : DatasetRecord
        All that is known; the other attributes come from it.
    """

    def __init__(self, record: DatasetRecord, datasets: Datasets) -> None:
        self.record = record
        self._datasets = datasets

    @property
    def id(self) -> str:
        """Its id, new for every put."""
        return self.record.id

    @property
    def name(self) -> str | None:
        """Its name, which other datasets may share."""
        return self.record.name

    @property
    def digest(self) -> str:
        """The digest of its content: equal content, equal digest."""
        return self.record.digest

    @property
    def schema_name(self) -> str:
        """The name of the schema it was stored with."""
        return self.record.schema_name

    @property
    def keys(self) -> Mapping[str, KeyInfo]:
        """What each key holds: kind, shape, dtype, bytes."""
        return self.record.keys

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays in memory."""
        return self.record.nbytes

    @property
    def size(self) -> str:
        """The same for people: ``4.0 MiB``."""
        return human_size(self.record.nbytes)

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags."""
        return self.record.tags

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Facts kept with it."""
        return self.record.attributes

    @property
    def created(self) -> datetime:
        """When it was stored (UTC)."""
        return self.record.created

    @property
    def run_id(self) -> str | None:
        """The run that made it."""
        return self.record.run_id

    @property
    def parents(self) -> tuple[str, ...]:
        """The ids of the datasets it was made from."""
        return self.record.parents

    @property
    def source(self) -> str | None:
        """The file it was imported from."""
        return self.record.source

    def __getitem__(self, key: str) -> Any:
        """Read one whole key; ``with ds.open() as f: f[key][10]`` reads one slice."""
        return self._datasets.get(self, key)[key]

    def __contains__(self, key: object) -> bool:
        return key in self.record.keys

    @property
    def main_key(self) -> str:
        """The key of its main array.

        Raises
        ------
        InvalidInputError
            If there is none, or no telling which one it is.
        """
        arrays = [key for key, info in self.keys.items() if info.kind == "array"]
        found = [key for key in MAIN_KEYS if key in arrays] or arrays
        if not found or (len(found) > 1 and found[0] not in MAIN_KEYS):
            raise InvalidInputError(
                f"Dataset {self.id!r} has no array that is the main one: its keys are "
                f"{', '.join(map(repr, self.keys)) or 'none'}. Name one: ds['{next(iter(self.keys), 'image')}']."
            )
        return found[0]

    @property
    def array(self) -> np.ndarray:
        """Read its only or main array."""
        found: np.ndarray = self[self.main_key]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.array
        return array if dtype is None else array.astype(dtype, copy=False)

    def open(self) -> AbstractContextManager[h5py.File]:
        """Open it lazily, as a read-only ``h5py.File``."""
        return self._datasets.open(self)

    def export(self, path: str | Path, key: str | None = None, *, overwrite: bool = False) -> Path:
        """Write it to a file of another format, which the suffix tells: see `exporters.save`.

        Returns
        -------
        Path
            The file that was written.
        """
        from workbench.library.exporters import save

        return save(self, Path(path), key, overwrite=overwrite)

    def thumbnail(self, key: str | None = None) -> bytes | None:
        """Return a picture of one key, or of the main array, as PNG bytes; None if it cannot be drawn."""
        from workbench.library.preview import picture

        key = self.main_key if key is None else key
        with self.open() as file:
            return picture(file[key], key)

    def lineage(self, generations: int = 10, direction: Direction = "both") -> Lineage:
        """Return what it was made from and what was made from it: datasets and runs, drawn as a graph.

        Parameters
        ----------
        generations : int
            How many runs deep, each way.
        direction : {"both", "up", "down"}
            ``up`` is what it was made from.
        """
        return self._datasets.lineage(self, generations, direction)

    def view(self, **options: Any) -> Any:
        """Return a viewer: slices, contrast, histogram, overlay of a mask; options are those of ``workbench.show``."""
        return VIEWERS.get("notebook")(self, **options)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dataset) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        name = f"{self.name!r}, " if self.name else ""
        keys = ", ".join(f"{key}: {shape_text(info)}" for key, info in self.keys.items())
        return f"<Dataset {self.id} {name}{keys}, {self.size}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/plain": self._text(), "text/html": self._html()}

    def _text(self) -> str:
        width = max(map(len, self.keys), default=0)
        lines = [
            f"Dataset {self.id}"
            + (f" {self.name!r}" if self.name else "")
            + f" · {self.schema_name} · {self.size}"
        ]
        lines += [f"  {key:<{width}}  {shape_text(info)}" for key, info in self.keys.items()]
        lines += [f"  tags: {', '.join(self.tags)}"] if self.tags else []
        lines += [f"  {line}" for line in self._lineage()]
        return "\n".join(lines)

    def _html(self) -> str:
        content, problem = self._frame(), ""
        if not content:
            content, problem = self._keys_html()
        tags = "".join(f'<span style="{_TAG}">{html.escape(tag)}</span>' for tag in self.tags)
        title = f"<b>{html.escape(self.name or 'Dataset')}</b> <code>{self.id}</code>"
        below = "".join(f'<div style="opacity:.75">{html.escape(line)}</div>' for line in self._lineage())
        return (
            f'<div style="font-size:13px;line-height:1.5">{title} · {html.escape(self.schema_name)} · {self.size} {tags}'
            f"{content}{problem and _PROBLEM.format(html.escape(problem))}{below}</div>"
        )

    def _frame(self) -> str:
        """Return some rows of the DataFrame that it is; nothing if it is none, large, or cannot be read as one."""
        if FRAME not in self.keys or self.nbytes > _MOST_OF_FRAME:
            return ""
        try:
            table = frame_html(self._datasets.get(self))
        except (WorkbenchError, OSError):  # its keys are shown, with what is wrong
            return ""
        return table and f'<div style="overflow-x:auto;margin:6px 0">{table}</div>'

    def _keys_html(self) -> tuple[str, str]:
        """Return its keys, those that can be drawn first, and what went wrong."""
        order = [k for k in MAIN_KEYS if k in self.keys]
        order += [k for k in self.keys if k not in order]
        numbers = self._numbers([k for k in order if is_small(self.keys[k])])
        drawn = [k for k in order if self.keys[k].kind == "array" and k not in numbers]
        pictures, problem = self._pictures(drawn)
        order.sort(key=lambda key: key not in pictures)
        cells = "".join(
            _key_html(key, self.keys[key], pictures.get(key), numbers.get(key, "")) for key in order
        )
        return f'<div style="display:flex;flex-wrap:wrap;gap:12px;margin:6px 0">{cells}</div>', problem

    def _pictures(self, keys: Iterable[str]) -> tuple[dict[str, bytes], str]:
        """Return pictures of the first few keys that can be drawn, and what went wrong."""
        from workbench.library.preview import picture

        found: dict[str, bytes] = {}
        try:
            with self.open() as file:
                for key in keys:
                    drawn = picture(file[key], key) if len(found) < _MOST_PICTURES else None
                    if drawn is not None:
                        found[key] = drawn
        except (
            WorkbenchError,
            OSError,
            KeyError,
        ) as error:  # a page with one damaged dataset still shows the rest
            return found, str(error)
        return found, ""

    def _numbers(self, keys: Sequence[str]) -> dict[str, str]:
        """Return small arrays, such as matrices, as text; what cannot be read is left to the pictures to report."""
        if not keys:
            return {}
        try:
            return {key: str(value) for key, value in self._datasets.get(self, *keys).items()}
        except (WorkbenchError, OSError):
            return {}

    def _lineage(self) -> list[str]:
        lines = []
        if self.run_id:
            lines.append(f"made by run {self.run_id}")
        if self.parents:
            more = f" and {len(self.parents) - 3} more" if len(self.parents) > 3 else ""
            lines.append(f"made from {', '.join(self.parents[:3])}{more}")
        if self.source:
            lines.append(f"imported from {self.source}")
        return lines


_PROBLEM = '<div style="color:#d9534f">{}</div>'
_TAG = "border:1px solid rgba(128,128,128,.5);border-radius:9px;padding:0 7px;margin-left:4px;font-size:11px"
_IMAGE = "max-width:256px;max-height:256px;border:1px solid rgba(128,128,128,.35);border-radius:3px"


def is_small(info: KeyInfo) -> bool:
    """Tell whether an array is better read as numbers than looked at: at most eight rows and columns."""
    return (
        info.kind == "array"
        and 1 <= len(info.shape) <= 2
        and max(info.shape) <= _NUMBERS
        and info.dtype[0] in "fiub"
    )


def _key_html(key: str, info: KeyInfo, content: bytes | None, numbers: str = "") -> str:
    image = f'<pre style="margin:0 0 4px">{html.escape(numbers)}</pre>' if numbers else ""
    if content is not None:
        source = base64.b64encode(content).decode()
        image = f'<img style="{_IMAGE}" alt="{html.escape(key)}" src="data:image/png;base64,{source}"><br>'
    return f"<div>{image}<b>{html.escape(key)}</b> {html.escape(shape_text(info))}</div>"


def shape_text(info: KeyInfo) -> str:
    """Return what a key holds in a few words: ``(12, 256, 256) float32``, ``list of 3 items``."""
    if info.kind in {"list", "group"}:
        what = "item" if info.kind == "list" else "key"
        return f"{info.kind} of {len(info.items)} {what}{'s' * (len(info.items) != 1)}"
    if info.dtype.startswith("["):  # of a table, the names of its columns read better than their types
        columns = [str(column[0]) for column in ast.literal_eval(info.dtype)]
        return f"{info.shape} with columns {', '.join(columns)}"
    return f"{info.shape} {info.dtype}" if info.kind == "array" else info.dtype


def human_size(nbytes: int) -> str:
    """Return a number of bytes for people.

    >>> human_size(4 << 20)
    '4.0 MiB'
    """
    size = float(nbytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
