"""The viewer in the notebook: looks through stacks it never loads whole.

The browser asks for a picture (slice, region, size on screen) with each frame in which something moved, and keeps few
requests under way; where they pile up, :class:`Latest` renders only the newest. Pictures travel as custom messages, not
as traits, so a saved notebook holds one small still and no stack of pictures.
"""

from __future__ import annotations

import base64
import io
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from workbench.errors import InvalidDataError, NotFoundError, did_you_mean
from workbench.library.dataset import human_size
from workbench.notebook import viewer_image as image
from workbench.notebook.viewer_source import CHEAP_BYTES, Arrays, Region, Slices, looks_like_labels

STILL_SIZE = 400  # px, longer side of the picture that stands for the viewer where there is no kernel
REST_S = 20.0  # after that long without a request the thread ends and the file of a dataset is closed
LABEL_KEYS = frozenset({"mask", "masks", "label", "labels", "segmentation"})


class Latest:
    """Serve requests on one thread, the newest of each slot only; older ones still waiting are dropped."""

    def __init__(self, serve: Callable[[dict[str, Any]], None], rest: Callable[[], None]) -> None:
        self._serve, self._rest = serve, rest
        self._waiting: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, slot: str, request: dict[str, Any]) -> None:
        """Ask for something; replaces what waits in the same slot."""
        with self._changed:
            self._waiting[slot] = request
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="workbench-viewer", daemon=True)
                self._thread.start()
            self._changed.notify()

    @property
    def is_waiting(self) -> bool:
        """Tell whether a request waits."""
        return bool(self._waiting)

    def _loop(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._changed.wait(REST_S)
                if not self._waiting:
                    self._thread = None
                    break
                _, request = self._waiting.popitem(last=False)
            self._serve(request)
        self._rest()


class Viewer(anywidget.AnyWidget):  # type: ignore[misc]
    """Look through an image, a stack or a dataset; only what is on the screen is read.

    Parameters
    ----------
    source : array-like, h5py.Dataset or Dataset
        (H, W), (n, H, W), colour (3, H, W), (n, 3, H, W), (H, W, 3), or more leading axes under one slider. Booleans,
        integers, floats with NaN and infinities, complex numbers (their magnitude).
    mask : array-like, h5py.Dataset, Dataset or str, optional
        Labels to lay over it: (H, W), or one per slice. A text names another key of the same dataset, whose key
        ``mask`` is taken by itself.
    key : str, optional
        Which array of a dataset; else the first that is an image.
    colour : bool, optional
        False: an axis of length 3 counts slices. True: it is colour. None: judged by the shape.
    title : str, optional
    **state
        First values of ``index``, ``axis``, ``colormap``, ``invert``, ``percentiles``, ``scope``, ``limits``,
        ``mask_on``, ``mask_opacity``, ``mask_outline``; all of them can be set later too.

    Raises
    ------
    NotFoundError
        If the dataset has no image under that key.
    InvalidDataError
        If the mask does not fit the image. A source that is no image raises nothing: the viewer says so.
    """

    _esm = Path(__file__).with_name("viewer.js")
    _css = Path(__file__).with_name("viewer.css")

    index = traitlets.Int(0, help="number of the slice").tag(sync=True)
    axis = traitlets.Int(0, help="axis the slider runs over, for a 3-D array").tag(sync=True)
    key = traitlets.Unicode("", help="key of the dataset that is shown").tag(sync=True)
    colormap = traitlets.Enum([*image.MAPS], "gray").tag(sync=True)
    invert = traitlets.Bool(False).tag(sync=True)
    percentiles = traitlets.Tuple(traitlets.Float(), traitlets.Float(), default_value=(1.0, 99.0)).tag(
        sync=True
    )
    scope = traitlets.Enum(["stack", "slice"], "stack", help="what the percentiles are of").tag(sync=True)
    limits = traitlets.Tuple(
        traitlets.Float(), traitlets.Float(), default_value=None, allow_none=True, help="None: by percentiles"
    ).tag(sync=True)
    mask_on = traitlets.Bool(True).tag(sync=True)
    mask_opacity = traitlets.Float(0.45, min=0.0, max=1.0).tag(sync=True)
    mask_outline = traitlets.Bool(False).tag(sync=True)
    _facts = traitlets.Dict().tag(sync=True)
    _tables = traitlets.Dict().tag(sync=True)
    _still = traitlets.Bytes(b"").tag(sync=True)

    def __init__(
        self,
        source: Any,
        mask: Any = None,
        key: str | None = None,
        *,
        colour: bool | None = None,
        title: str | None = None,
        **state: Any,
    ) -> None:
        self._lock = threading.RLock()
        self._held: list[Arrays] = []  # what may have a file open
        self._latest = Latest(self._serve, self._release)
        self._arrays = Arrays(source)
        self._held.append(self._arrays)
        self._colour = colour
        self._title = title if title is not None else self._arrays.title
        self._last_index = 0
        known = self._arrays.keys
        if key is not None and key not in known:
            raise NotFoundError(
                f"No image under key {key!r} in {self._title or 'this source'}.{did_you_mean(key, known)} "
                f"{self._arrays.what}."
            )
        if isinstance(mask, str) and mask not in known:
            raise NotFoundError(
                f"No mask under key {mask!r} in {self._title or 'this source'}.{did_you_mean(mask, known)} "
                f"{self._arrays.what}."
            )
        self._mask_key = (
            mask if isinstance(mask, str) else "mask" if mask is None and "mask" in known else None
        )
        self._mask_arrays = Arrays(mask) if mask is not None and not isinstance(mask, str) else None
        if self._mask_arrays is not None:
            self._held.append(self._mask_arrays)
        if key is None:
            key = next((k for k in known if k != self._mask_key), known[0] if known else "")
        self._slices: Slices | None = None
        self._mask: Slices | None = None
        self._is_labels = False
        super().__init__(key=key, axis=state.pop("axis", 0))
        with self.hold_trait_notifications():
            self._open()
            if self._slices is not None and mask is not None and self._mask is None:
                raise InvalidDataError(self._mask_misfit())
            for name, value in state.items():
                if not self.has_trait(name):
                    raise TypeError(
                        f"Viewer has no option {name!r}.{did_you_mean(name, self.trait_names())} See Viewer?"
                    )
                setattr(self, name, value)
        self.observe(self._reopen, ["key", "axis"])
        self.on_msg(self._receive)

    # -- what is shown ------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Make slices of the current key and axis, and the facts that the browser builds its controls from."""
        if not self._arrays.keys:
            self._facts = {
                "title": self._title,
                "message": f"There is no image to show here. {self._arrays.what}.",
            }
            return
        with self._lock:
            key = self.key
            self._slices = slices = Slices(lambda: self._arrays.get(key), self.axis, self._colour)
            self._mask = self._fitting_mask(slices)
            self._is_labels = key.rpartition("/")[2] in LABEL_KEYS and slices.dtype.kind in "iu"
            self._is_labels = self._is_labels or looks_like_labels(slices)
            axes = self._axes(slices)
        self._last_index = self.index = (
            min(max(self.index, 0), slices.count - 1) if self._facts else slices.count // 2
        )
        self.limits = (0.0, 255.0) if slices.colour and slices.dtype == np.uint8 else None
        self._tables = {name: table.tobytes() for name, table in image.colour_tables().items()}
        self._facts = {
            "title": self._title,
            "keys": self._arrays.keys,
            "shape": list(slices.shape),
            "dtype": str(slices.dtype),
            "count": slices.count,
            "lead": list(slices.lead),
            "height": slices.height,
            "width": slices.width,
            "mode": "labels" if self._is_labels else "colour" if slices.colour else "gray",
            "axes": axes,
            "mask": self._mask is not None,
        }

    def _reopen(self, _change: Any) -> None:
        with self.hold_trait_notifications():
            self._open()

    def _axes(self, slices: Slices) -> list[dict[str, Any]]:
        if len(slices.shape) != 3 or slices.colour:
            return []
        costs = [0, slices.axis_cost(1), slices.axis_cost(2)]
        return [
            {
                "cheap": cost <= CHEAP_BYTES,
                "note": f"One slice along axis {axis} reads {human_size(int(cost))}",
            }
            for axis, cost in enumerate(costs)
        ]

    def _fitting_mask(self, slices: Slices) -> Slices | None:
        if self._mask_arrays is not None:
            arrays, keys = self._mask_arrays, self._mask_arrays.keys
            key = "mask" if "mask" in keys else keys[0] if keys else None
        else:
            arrays, key = self._arrays, self._mask_key if self._mask_key != self.key else None
        if key is None:
            return None
        found = key
        axis = self.axis if len(arrays.get(found).shape) == 3 else 0
        mask = Slices(lambda: arrays.get(found), axis, colour=False)
        same_frame = mask.frame == slices.frame and axis == self.axis
        return mask if same_frame and mask.count in (1, slices.count) else None

    def _mask_misfit(self) -> str:
        assert self._slices is not None
        frame = (self._slices.height, self._slices.width)
        arrays = self._mask_arrays or self._arrays
        return (
            f"The mask does not fit the image of shape {self._slices.shape}. {arrays.what}. "
            f"Pass a mask of shape {frame}"
            + (f" or {(*self._slices.lead, *frame)}." if self._slices.lead else ".")
        )

    # -- answering the browser ----------------------------------------------------------------------------------

    def _receive(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        if content.get("kind") in ("picture", "value"):
            self._latest.put(f"{content['kind']} {content.get('view')}", content)

    def _serve(self, request: dict[str, Any]) -> None:
        slices = self._slices
        if slices is None:
            return
        same = {name: request.get(name) for name in ("kind", "view", "seq")}
        try:
            with self._lock:
                answer, buffers = (self.picture if request["kind"] == "picture" else self.value)(request)
        except Exception as error:  # the thread lives on, and the viewer tells
            self.send({**same, "error": f"{type(error).__name__}: {error}"})
            return
        self.send({**same, **answer}, buffers)
        if request["kind"] == "picture":
            self._read_ahead(slices, answer["index"])

    def _read_ahead(self, slices: Slices, index: int) -> None:
        last, self._last_index = self._last_index, index
        towards = index + (index > last) - (index < last)
        if (
            not slices.in_memory
            and abs(index - last) in (1, 2)  # a leap says nothing about where the next one goes
            and 0 <= towards < slices.count
            and not self._latest.is_waiting
        ):
            with self._lock:
                slices.load(towards)

    def picture(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        """Render what a view asks for.

        Parameters
        ----------
        request : mapping
            ``index``; ``region`` y0, x0, y1, x1 (px of the slice); ``size`` width, height (px of the screen);
            ``limits``, ``percentiles``, ``scope`` as the traits; ``mask``; ``moving``: another picture is likely to
            follow at once, so no more pixels than the screen shows; ``raw``: levels as they are, quick where bytes are.

        Returns
        -------
        answer : dict
            What was rendered: ``region`` and ``step`` (slice px per picture px), ``pixels`` (height, width), ``format``
            (raw, jpeg, png), ``limits``, ``edges`` of the histogram.
        buffers : list of bytes
            Picture, histogram counts (uint32), and the label picture if there is a mask.
        """
        started = time.perf_counter()
        slices = self._slices
        if slices is None:
            raise InvalidDataError("There is no image to show here.")
        index = min(max(int(request.get("index", self.index)), 0), slices.count - 1)
        moving = bool(request.get("moving"))
        region, step = fit(
            request.get("region") or slices.frame,
            request.get("size") or (640, 640),
            slices.frame,
            nearest=moving,
        )
        view = slices.view(index, region, step, exact=self._is_labels)
        y0, x0, height, width = region[0], region[1], *view.shape[:2]
        answer: dict[str, Any] = {
            "index": index,
            "step": step,
            "region": [y0, x0, y0 + height * min(step, slices.height), x0 + width * min(step, slices.width)],
            "pixels": [height, width],
            "mode": self._facts["mode"],
            "moving": moving,
        }
        if self._is_labels:
            pixels, counts = image.to_label_index(view), b""
        else:
            pixels, counts = self._contrast(slices, view, index, request, answer)
        raw = bool(request.get("raw")) and pixels.ndim == 2  # colour is three times as much: packed
        lossless = self._is_labels or pixels.size <= (1 << 18 if step == 1 and not moving else 1 << 14)
        answer["format"], encoded = ("raw", pixels.tobytes()) if raw else image.encode(pixels, lossless)
        buffers = [encoded, counts]
        if self._mask is not None and request.get("mask", True):
            labels = self._mask.view(index if self._mask.count > 1 else 0, region, step, exact=True)
            overlay = image.to_label_index(labels)
            buffers.append(overlay.tobytes() if raw else image.encode(overlay, lossless=True)[1])
        answer["took_ms"] = round((time.perf_counter() - started) * 1000, 1)
        return answer, buffers

    def _contrast(
        self,
        slices: Slices,
        view: image.Array,
        index: int,
        request: Mapping[str, Any],
        answer: dict[str, Any],
    ) -> tuple[image.Array, bytes]:
        reference = None if request.get("scope", self.scope) == "stack" else index
        limits = request.get("limits")
        if limits is None:
            limits = slices.sampled_limits(reference, tuple(request.get("percentiles", self.percentiles)))
        low, high = float(limits[0]), float(limits[1])
        outer = slices.sampled_limits(reference, (0.05, 99.95))
        counts, left, right = image.histogram_of(
            slices.sample(index), min(low, outer[0]), max(high, outer[1]), whole=slices.dtype.kind in "biu"
        )
        answer |= {"limits": [low, high], "edges": [left, right]}
        if slices.dtype.kind in "fc":
            answer["not_finite"] = float(1 - np.isfinite(view).mean())
        return image.to_gray(view, low, high), counts.tobytes()

    def value(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        """Return the true value of the pixel at ``index``, ``y``, ``x``, and its label."""
        slices = self._slices
        assert slices is not None
        index, y, x = int(request["index"]), int(request["y"]), int(request["x"])
        if not (0 <= index < slices.count and 0 <= y < slices.height and 0 <= x < slices.width):
            return {"text": ""}, []
        answer: dict[str, Any] = {"index": index, "y": y, "x": x, "text": as_text(slices.value(index, y, x))}
        if self._mask is not None and request.get("mask", True):
            answer["label"] = as_text(self._mask.value(index if self._mask.count > 1 else 0, y, x))
        return answer, []

    def _release(self) -> None:
        with self._lock:
            for arrays in self._held:
                arrays.release()

    def close(self) -> None:
        """Close the widget and the file it reads."""
        self._release()
        super().close()

    # -- without a kernel ---------------------------------------------------------------------------------------

    def still(self) -> bytes:
        """Return the picture of the current slice as PNG, at most 400 px: as it looks when first shown."""
        from PIL import Image

        with self._lock:
            answer, buffers = self.picture(
                {"limits": self.limits, "size": (STILL_SIZE, STILL_SIZE), "mask": self.mask_on}
            )
        pixels = opened(buffers[0])
        tables = image.colour_tables()
        if answer["mode"] != "colour":
            table = tables["labels" if answer["mode"] == "labels" else self.colormap]
            pixels = (table[::-1] if self.invert and answer["mode"] == "gray" else table)[pixels]
        if len(buffers) > 2:
            labels = opened(buffers[2])
            blend = pixels * (1 - self.mask_opacity) + tables["labels"][labels] * self.mask_opacity
            pixels = np.where(labels[..., None] > 0, blend, pixels).astype(np.uint8)
        picture = Image.fromarray(pixels)
        if max(picture.size) > STILL_SIZE:
            picture.thumbnail((STILL_SIZE, STILL_SIZE))
        elif max(picture.size) < STILL_SIZE // 4:
            by = STILL_SIZE // 2 // max(picture.size)
            picture = picture.resize((picture.width * by, picture.height * by), Image.Resampling.NEAREST)
        out = io.BytesIO()
        picture.quantize(256).save(out, "PNG", optimize=True)  # 256 colours: a third of the bytes
        return out.getvalue()

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        if self._slices is not None:
            self._still = self.still()
        shown = super()._repr_mimebundle_(**kwargs)
        if shown is None:
            return None
        data, metadata = shown
        data["text/plain"] = repr(self)
        if self._still:
            data["image/png"] = base64.b64encode(self._still).decode("ascii")
        return data, metadata

    def __repr__(self) -> str:
        if self._slices is None:
            return f"Viewer: {self._facts['message']}"
        name = " / ".join(part for part in (self._title, self.key) if part)
        shape = " x ".join(map(str, self._slices.shape))
        where = f", slice {self.index} of {self._slices.count}" if self._slices.count > 1 else ""
        return f"Viewer of {name or 'array'}: {shape} {self._slices.dtype}{where}"


def fit(region: Any, size: Any, frame: Region, nearest: bool = False) -> tuple[Region, int]:
    """Return a region inside the frame whose start lies on the grid of its step, and that step (px per px).

    No picture px is larger than a screen px; with ``nearest`` it may be up to half as large again.
    """
    y0, x0, y1, x1 = (round(float(v)) for v in region)
    y0, x0 = min(max(y0, 0), frame[2] - 1), min(max(x0, 0), frame[3] - 1)
    y1, x1 = min(max(y1, y0 + 1), frame[2]), min(max(x1, x0 + 1), frame[3])
    width, height = max(1, int(size[0])), max(1, int(size[1]))
    ratio = max((y1 - y0) / height, (x1 - x0) / width)
    step = max(1, round(ratio) if nearest else math.floor(ratio))
    y0, x0 = y0 // step * step, x0 // step * step
    y1, x1 = min(-(-y1 // step) * step, frame[2]), min(-(-x1 // step) * step, frame[3])
    return (y0, x0, y1, x1), step


def opened(encoded: bytes) -> Any:
    """Return the pixels of an encoded picture."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(encoded)))


def as_text(value: Any) -> str:
    """Return a pixel's value as people write it."""
    if np.ndim(value):
        return ", ".join(as_text(channel) for channel in value)
    if np.iscomplexobj(value):
        return f"{value:.6g} (magnitude {abs(value):.6g})"
    return str(value)
