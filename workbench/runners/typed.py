"""Runners for image work: they fetch and post, the algorithm only computes.

Each reads one key of its inputs in ``preprocess`` and writes one kind of dataset in ``postprocess``; write
``inference`` (and, where the defaults do not fit, ``preprocess`` or ``postprocess``).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.errors import InvalidDataError, InvalidInputError
from workbench.runners.base import NO_ARGS, BaseRunner

if TYPE_CHECKING:
    import numpy as np

_BATCH = 32  # slices in memory besides the stack that they are copied into


class _TypedRunner(BaseRunner):
    """What the typed runners have in common: the key they read, the schemas, one stack from all inputs."""

    _workbench_input: ClassVar[tuple[str, str]] = ("ImageSchema", "image")
    _workbench_output: ClassVar[str] = "ImageSchema"

    def fetch_data(  # type: ignore[override]  # the schema is known
        self, file_ids: str | Iterable[str], *keys: str, parallel: bool = False
    ) -> list[dict[str, Any]]:
        """Read datasets of this runner's input schema; see ``BaseRunner.fetch_data``."""
        from workbench import schemas

        schema = schemas.by_name(self._workbench_input[0])
        return super().fetch_data(file_ids, schema, *keys, parallel=parallel)

    def post_data(  # type: ignore[override]  # the schema is known
        self, data: Iterable[dict[str, Any]], parallel: bool = False
    ) -> list[str]:
        """Store datasets of this runner's output schema; see ``BaseRunner.post_data``."""
        from workbench import schemas

        return super().post_data(data, schemas.by_name(self._workbench_output), parallel=parallel)

    def preprocess(self, input_data: dict[str, Any], args: dict[str, Any] = NO_ARGS) -> np.ndarray:
        """Fetch the inputs and stack them.

        Returns
        -------
        ndarray, shape (n, H, W), or (n, 3, H, W) for colour
            One item per input, in their order.

        Raises
        ------
        InvalidDataError
            If an input has another shape than the first one.
        """
        stack = _stack(self, input_data["input_dataset_ids"])
        self._workbench_state.input_count = len(stack)
        return stack

    def inference(self, data: Any, args: dict[str, Any] = NO_ARGS) -> Any:
        """Compute; to be written by the algorithm."""
        raise NotImplementedError(
            f"{type(self).__name__} has no inference. Write `def inference(self, data, args={{}})` in the class."
        )


class Image2ImageRunner(_TypedRunner):
    """Images in, one image per input out.

    ``inference`` gets an array (n, H, W), or (n, 3, H, W) for colour, and returns an array with the same first axis.

    Examples
    --------
    >>> class Runner(Image2ImageRunner):
    ...     def inference(self, data, args={}):
    ...         return data.max() - data
    """

    algorithm_type = "Image2Image"

    def postprocess(self, data: Any, args: dict[str, Any] = NO_ARGS) -> list[str]:
        """Store one image per input; ValueError with the shapes if their numbers differ."""
        return _post_each(self, data, "image")


class Image2SegmentationRunner(_TypedRunner):
    """Images in, one mask per input out: ``inference`` returns an array (n, H, W) of any dtype.

    Examples
    --------
    >>> class Runner(Image2SegmentationRunner):
    ...     def inference(self, data, args={}):
    ...         return data > args["threshold"]
    """

    algorithm_type = "Image2Segmentation"
    _workbench_output = "SegmentationSchema"

    def postprocess(self, data: Any, args: dict[str, Any] = NO_ARGS) -> list[str]:
        """Store one mask per input; ValueError with the shapes if their numbers differ."""
        return _post_each(self, data, "mask")


class Segmentation2SegmentationRunner(Image2SegmentationRunner):
    """Masks in, one mask per input out: ``inference`` gets and returns an array (n, ...)."""

    algorithm_type = "Segmentation2Segmentation"
    _workbench_input = ("SegmentationSchema", "mask")


class Image2AlignmentRunner(_TypedRunner):
    """A series of images in, one matrix from each image to the next out.

    ``inference`` gets an array (n, H, W) and returns a list of exactly n - 1 matrices.
    """

    algorithm_type = "Image2Alignment"
    _workbench_output = "AlignmentSchema"

    def postprocess(self, data: Any, args: dict[str, Any] = NO_ARGS) -> list[str]:
        """Store each matrix as ``transform_matrix`` and ``translation_matrix``, with no points.

        Raises
        ------
        InvalidDataError
            If there are not exactly n - 1 matrices for n images.
        """
        import numpy as np

        items, count = as_array(data), self._workbench_state.input_count
        matrices = (
            [as_array(item) for item in items] if isinstance(items, list | tuple | np.ndarray) else None
        )
        expected = "n - 1" if count is None else str(count - 1)
        if matrices is None or not all(isinstance(m, np.ndarray) for m in matrices):
            raise InvalidDataError(
                f"inference of {type(self).__name__} returned {_described(data)}, expected a list of {expected} "
                "matrices (numpy arrays), one from each image to the next.",
                key="transform_matrix",
            )
        if count is not None and len(matrices) != count - 1:
            shapes = f", of shape {matrices[0].shape} each" if matrices else ""
            raise InvalidDataError(
                f"inference of {type(self).__name__} returned {len(matrices)} matrices{shapes}, expected {expected} "
                f"for {count} images: one from each image to the next.",
                key="transform_matrix",
            )
        return self.post_data(
            [
                {
                    "points1": [],
                    "points2": [],
                    "confidence": [],
                    "transform_matrix": m,
                    "translation_matrix": m,
                }
                for m in matrices
            ],
            parallel=True,
        )


class Image2EmbeddingRunner(_TypedRunner):
    """Images in, the features of each out: ``inference`` returns an array (n, ...), one item per image.

    The stored dataset also says ``input_size`` and ``original_size``: height and width of the image, px.
    """

    algorithm_type = "Image2Embedding"
    _workbench_output = "EmbeddingSchema"

    def fetch_data(  # type: ignore[override]  # the schema is known
        self, file_ids: str | Iterable[str], *keys: str, parallel: bool = False
    ) -> list[dict[str, Any]]:
        """Read images and remember their sizes for ``postprocess``; see ``BaseRunner.fetch_data``."""
        items = super().fetch_data(file_ids, *keys, parallel=parallel)
        self._workbench_state.image_sizes += [
            item["image"].shape[-2:] for item in items if item.get("image") is not None
        ]
        return items

    def postprocess(self, data: Any, args: dict[str, Any] = NO_ARGS) -> list[str]:
        """Store the features of each image with its size; ValueError if their numbers differ."""
        features, sizes = _checked_stack(self, data, "features"), self._workbench_state.image_sizes
        if len(features) != len(sizes):
            raise InvalidDataError(
                f"inference of {type(self).__name__} returned features of shape {features.shape}, but "
                f"{len(sizes)} images were fetched, so their sizes are not known. Return one item per "
                "image, or override postprocess and give input_size and original_size yourself.",
                key="features",
            )
        return self.post_data(
            [
                {"features": item, "input_size": size, "original_size": size}
                for item, size in zip(features, sizes, strict=True)
            ],
            parallel=True,
        )


def _stack(runner: _TypedRunner, ids: Sequence[str]) -> np.ndarray:
    import numpy as np

    key = runner._workbench_input[1]
    if not ids:
        raise InvalidInputError(
            f"{type(runner).__name__} got no inputs, it needs at least one {key}. "
            "Pass inputs=[...] with arrays or datasets."
        )
    stack = np.empty(0)
    for start in range(0, len(ids), _BATCH):
        batch = ids[start : start + _BATCH]
        for i, item in enumerate(runner.fetch_data(batch, key, parallel=True), start):
            value = item[key]
            if i == 0:
                stack = np.empty((len(ids), *value.shape), value.dtype)
            if value.shape != stack.shape[1:]:
                raise InvalidDataError(
                    f"Input {i + 1} of {len(ids)} ({ids[i]!r}) has {key!r} of shape {value.shape}, "
                    f"but input 1 ({ids[0]!r}) has {stack.shape[1:]}. Pass inputs of one shape, "
                    "or override preprocess.",
                    key=key,
                )
            if value.dtype != stack.dtype:
                stack = stack.astype(np.result_type(stack, value), copy=False)
            stack[i] = value
    return stack


def _checked_stack(runner: BaseRunner, data: Any, key: str) -> np.ndarray:
    """Return what inference gave as an array with one item per input."""
    import numpy as np

    array, count = as_array(data), runner._workbench_state.input_count
    expected = "n" if count is None else str(count)
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        raise InvalidDataError(
            f"inference of {type(runner).__name__} returned {_described(data)}, expected an array of shape "
            f"({expected}, ...) with one {key} per input. Return one array, for example np.stack(results).",
            key=key,
        )
    if count is not None and len(array) != count:
        raise InvalidDataError(
            f"inference of {type(runner).__name__} returned an array of shape {array.shape} for {expected} "
            f"input{'s' * (count != 1)}, expected ({expected}, ...) with one {key} per input. "
            "Keep the first axis, or override postprocess.",
            key=key,
        )
    return array


def _post_each(runner: _TypedRunner, data: Any, key: str) -> list[str]:
    return runner.post_data([{key: item} for item in _checked_stack(runner, data, key)], parallel=True)


def as_array(value: Any) -> Any:
    """Return a torch tensor as a numpy array, everything else as it is; torch is not imported for it."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return value
    if value.dtype is torch.bfloat16:  # numpy has no such type
        value = value.float()
    return value.numpy(force=True)


def _described(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)} items"
    return "None" if value is None else f"{type(value).__name__} {value!r:.60}"
