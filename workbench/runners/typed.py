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

    _input_schema: ClassVar[str] = "ImageSchema"
    _output_schema: ClassVar[str] = "ImageSchema"
    _input_key: ClassVar[str] = "image"
    _input_count: int | None = None  # set by the default preprocess

    def fetch_data(  # type: ignore[override]  # the schema is known
        self, file_ids: str | Iterable[str], *keys: str, parallel: bool = False
    ) -> list[dict[str, Any]]:
        """Read datasets of this runner's input schema; see ``BaseRunner.fetch_data``."""
        from workbench import schemas

        schema = schemas.by_name(self._input_schema)
        return super().fetch_data(file_ids, schema, *keys, parallel=parallel)

    def post_data(  # type: ignore[override]  # the schema is known
        self, data: Iterable[dict[str, Any]], parallel: bool = False
    ) -> list[str]:
        """Store datasets of this runner's output schema; see ``BaseRunner.post_data``."""
        from workbench import schemas

        return super().post_data(data, schemas.by_name(self._output_schema), parallel=parallel)

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
        stack = self._stack(input_data["input_dataset_ids"])
        self._input_count = len(stack)
        return stack

    def inference(self, data: Any, args: dict[str, Any] = NO_ARGS) -> Any:
        """Compute; to be written by the algorithm."""
        raise NotImplementedError(
            f"{type(self).__name__} has no inference. Write `def inference(self, data, args={{}})` in the class."
        )

    def _stack(self, ids: Sequence[str]) -> np.ndarray:
        import numpy as np

        if not ids:
            raise InvalidInputError(
                f"{type(self).__name__} got no inputs, it needs at least one {self._input_key}. "
                "Pass inputs=[...] with arrays or datasets."
            )
        stack = np.empty(0)
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            for i, item in enumerate(self.fetch_data(batch, self._input_key, parallel=True), start):
                value = item[self._input_key]
                if i == 0:
                    stack = np.empty((len(ids), *value.shape), value.dtype)
                if value.shape != stack.shape[1:]:
                    raise InvalidDataError(
                        f"Input {i + 1} of {len(ids)} ({ids[i]!r}) has {self._input_key!r} of shape {value.shape}, "
                        f"but input 1 ({ids[0]!r}) has {stack.shape[1:]}. Pass inputs of one shape, "
                        "or override preprocess.",
                        key=self._input_key,
                    )
                if value.dtype != stack.dtype:
                    stack = stack.astype(np.result_type(stack, value), copy=False)
                stack[i] = value
        return stack

    def _checked_stack(self, data: Any, key: str) -> np.ndarray:
        """Return what inference gave as an array with one item per input."""
        import numpy as np

        array = as_array(data)
        expected = "n" if self._input_count is None else str(self._input_count)
        if not isinstance(array, np.ndarray) or array.ndim == 0:
            raise InvalidDataError(
                f"inference of {type(self).__name__} returned {_described(data)}, expected an array of shape "
                f"({expected}, ...) with one {key} per input. Return one array, for example np.stack(results).",
                key=key,
            )
        if self._input_count is not None and len(array) != self._input_count:
            raise InvalidDataError(
                f"inference of {type(self).__name__} returned an array of shape {array.shape} for {expected} "
                f"input{'s' * (self._input_count != 1)}, expected ({expected}, ...) with one {key} per input. "
                "Keep the first axis, or override postprocess.",
                key=key,
            )
        return array

    def _post_each(self, data: Any, key: str) -> list[str]:
        return self.post_data([{key: item} for item in self._checked_stack(data, key)], parallel=True)


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
        return self._post_each(data, "image")


class Image2SegmentationRunner(_TypedRunner):
    """Images in, one mask per input out: ``inference`` returns an array (n, H, W) of any dtype.

    Examples
    --------
    >>> class Runner(Image2SegmentationRunner):
    ...     def inference(self, data, args={}):
    ...         return data > args["threshold"]
    """

    algorithm_type = "Image2Segmentation"
    _output_schema = "SegmentationSchema"

    def postprocess(self, data: Any, args: dict[str, Any] = NO_ARGS) -> list[str]:
        """Store one mask per input; ValueError with the shapes if their numbers differ."""
        return self._post_each(data, "mask")


class Segmentation2SegmentationRunner(Image2SegmentationRunner):
    """Masks in, one mask per input out: ``inference`` gets and returns an array (n, ...)."""

    algorithm_type = "Segmentation2Segmentation"
    _input_schema = "SegmentationSchema"
    _input_key = "mask"


class Image2AlignmentRunner(_TypedRunner):
    """A series of images in, one matrix from each image to the next out.

    ``inference`` gets an array (n, H, W) and returns a list of exactly n - 1 matrices.
    """

    algorithm_type = "Image2Alignment"
    _output_schema = "AlignmentSchema"

    def postprocess(self, data: Any, args: dict[str, Any] = NO_ARGS) -> list[str]:
        """Store each matrix as ``transform_matrix`` and ``translation_matrix``, with no points.

        Raises
        ------
        InvalidDataError
            If there are not exactly n - 1 matrices for n images.
        """
        import numpy as np

        items = as_array(data)
        matrices = (
            [as_array(item) for item in items] if isinstance(items, list | tuple | np.ndarray) else None
        )
        expected = "n - 1" if self._input_count is None else str(self._input_count - 1)
        if matrices is None or not all(isinstance(m, np.ndarray) for m in matrices):
            raise InvalidDataError(
                f"inference of {type(self).__name__} returned {_described(data)}, expected a list of {expected} "
                "matrices (numpy arrays), one from each image to the next.",
                key="transform_matrix",
            )
        if self._input_count is not None and len(matrices) != self._input_count - 1:
            shapes = f", of shape {matrices[0].shape} each" if matrices else ""
            raise InvalidDataError(
                f"inference of {type(self).__name__} returned {len(matrices)} matrices{shapes}, expected {expected} "
                f"for {self._input_count} images: one from each image to the next.",
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
    _output_schema = "EmbeddingSchema"
    _image_sizes: Sequence[tuple[int, ...]] = ()

    def fetch_data(  # type: ignore[override]  # the schema is known
        self, file_ids: str | Iterable[str], *keys: str, parallel: bool = False
    ) -> list[dict[str, Any]]:
        """Read images and remember their sizes for ``postprocess``; see ``BaseRunner.fetch_data``."""
        items = super().fetch_data(file_ids, *keys, parallel=parallel)
        sizes = [item["image"].shape[-2:] for item in items if item.get("image") is not None]
        self._image_sizes = [*self._image_sizes, *sizes]
        return items

    def postprocess(self, data: Any, args: dict[str, Any] = NO_ARGS) -> list[str]:
        """Store the features of each image with its size; ValueError if their numbers differ."""
        features = self._checked_stack(data, "features")
        if len(features) != len(self._image_sizes):
            raise InvalidDataError(
                f"inference of {type(self).__name__} returned features of shape {features.shape}, but "
                f"{len(self._image_sizes)} images were fetched, so their sizes are not known. Return one item per "
                "image, or override postprocess and give input_size and original_size yourself.",
                key="features",
            )
        return self.post_data(
            [
                {"features": item, "input_size": size, "original_size": size}
                for item, size in zip(features, self._image_sizes, strict=True)
            ],
            parallel=True,
        )


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
