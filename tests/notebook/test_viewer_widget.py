"""The viewer widget: what it shows, what it answers, and that it stays small and quick."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comm
import h5py
import numpy as np
import pytest
from PIL import Image
from skimage import data

import workbench
from workbench.errors import InvalidDataError, NotFoundError
from workbench.notebook.viewer import Viewer, show
from workbench.notebook.viewer_widget import Latest, as_text, fit


class Browser(comm.base_comm.BaseComm):
    """The other end of a widget's comm: keeps what it was sent, and asks."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.answers: list[tuple[dict[str, Any], list[bytes]]] = []
        viewer.comm = self

    def publish_msg(
        self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys: Any
    ) -> None:
        if data and data.get("method") == "custom":
            self.answers.append((data["content"], list(buffers or [])))

    def ask(self, **content: Any) -> None:
        self.viewer._handle_msg(
            {"content": {"data": {"method": "custom", "content": content}}, "buffers": []}
        )

    def wait_for(self, seq: int) -> tuple[dict[str, Any], list[bytes]]:
        for _ in range(1000):
            for content, buffers in list(self.answers):
                if content["seq"] == seq:
                    return content, buffers
            time.sleep(0.01)
        raise TimeoutError(f"no answer to {seq}: {self.answers}")


def pixels(encoded: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded)))


@pytest.fixture
def stack() -> np.ndarray:
    return np.stack([np.roll(data.camera(), 20 * i, 1) for i in range(8)])


def test_a_picture_is_the_slice_between_its_limits(stack: np.ndarray) -> None:
    viewer = Viewer(stack)
    answer, buffers = viewer.picture({"index": 3, "limits": (50, 200), "size": (512, 512)})
    assert (answer["step"], answer["region"], answer["format"]) == (1, [0, 0, 512, 512], "png")
    expected = ((stack[3].astype(float) - 50) * 255 / 150).clip(0, 255)
    np.testing.assert_allclose(pixels(buffers[0]), expected, atol=1)
    counts = np.frombuffer(buffers[1], np.uint32)
    assert counts.sum() > 20_000
    assert answer["edges"][0] < 50 < 200 < answer["edges"][1]


def test_a_moving_picture_is_small_and_about_the_same(stack: np.ndarray) -> None:
    viewer = Viewer(stack)
    answer, buffers = viewer.picture({"index": 0, "limits": (0, 255), "size": (240, 240), "moving": True})
    assert (answer["step"], answer["format"]) == (2, "jpeg")
    mean = stack[0].reshape(256, 2, 256, 2).mean((1, 3))
    assert np.abs(pixels(buffers[0]) - mean).mean() < 2


def test_levels_come_as_they_are_where_the_way_is_quick(stack: np.ndarray) -> None:
    viewer = Viewer(stack, mask=stack[0] > 200)
    request = {"index": 1, "limits": (0, 255), "size": (512, 512), "raw": True}
    answer, (picture, _, overlay) = viewer.picture(request)
    assert (answer["format"], answer["pixels"]) == ("raw", [512, 512])
    np.testing.assert_array_equal(np.frombuffer(picture, np.uint8).reshape(512, 512), stack[1])
    np.testing.assert_array_equal(np.frombuffer(overlay, np.uint8).reshape(512, 512), stack[0] > 200)
    answer, _ = Viewer(data.astronaut()).picture(request | {"index": 0})
    assert answer["format"] == "jpeg"


def test_a_moving_picture_has_about_the_pixels_of_the_screen(stack: np.ndarray) -> None:
    viewer = Viewer(stack)
    for size, moving, step in [
        (260, True, 2),
        (260, False, 1),
        (500, True, 1),
        (129, True, 4),
        (129, False, 3),
    ]:
        answer, _ = viewer.picture({"size": (size, size), "moving": moving, "raw": True})
        assert answer["step"] == step
        assert max(answer["pixels"]) <= (1.5 * size if moving else 512)


def test_a_zoomed_region_holds_the_true_pixels() -> None:
    plane = np.random.default_rng(0).integers(0, 255, (900, 1100)).astype(np.uint8)
    viewer = Viewer(plane, limits=(0, 255))
    answer, buffers = viewer.picture(
        {"region": [100.4, 200, 180, 310], "size": (640, 480), "limits": viewer.limits}
    )
    y0, x0, y1, x1 = answer["region"]
    assert (y0, x0, y1, x1) == (100, 200, 180, 310)
    np.testing.assert_array_equal(pixels(buffers[0]), plane[y0:y1, x0:x1])


def test_limits_do_not_flicker_through_a_stack_unless_asked_to(stack: np.ndarray) -> None:
    fading = (stack // np.arange(1, 9)[:, None, None]).astype(np.uint8)
    viewer = Viewer(fading)
    of_stack = {tuple(viewer.picture({"index": i, "scope": "stack"})[0]["limits"]) for i in range(8)}
    of_slice = {tuple(viewer.picture({"index": i, "scope": "slice"})[0]["limits"]) for i in range(8)}
    assert len(of_stack) == 1
    assert len(of_slice) == 8


def test_a_mask_comes_with_the_picture_exact_and_of_its_size(stack: np.ndarray) -> None:
    labels = np.kron(np.arange(64).reshape(8, 8), np.ones((64, 64), int))
    for mask in (labels, np.stack([labels] * 8)):
        viewer = Viewer(stack, mask=mask)
        _, (picture, _, overlay) = viewer.picture({"index": 2, "size": (256, 256)})
        assert pixels(picture).shape == pixels(overlay).shape == (256, 256)
        np.testing.assert_array_equal(pixels(overlay), labels[1::2, 1::2])
        assert len(viewer.picture({"index": 2, "mask": False})[1]) == 2


def test_a_mask_that_does_not_fit_is_refused_with_the_shape_that_would(stack: np.ndarray) -> None:
    with pytest.raises(InvalidDataError, match=re.escape("Pass a mask of shape (512, 512) or (8, 512, 512)")):
        Viewer(stack, mask=np.zeros((512, 500), int))


def test_an_unknown_option_is_refused_with_the_nearest(stack: np.ndarray) -> None:
    with pytest.raises(TypeError, match="'colormap'"):
        Viewer(stack, colourmap="hot")


def test_labels_are_shown_by_number_not_by_brightness() -> None:
    labels = np.kron(np.arange(16).reshape(4, 4), np.ones((50, 50), int)) * 3
    answer, (picture, _) = Viewer(labels).picture({"size": (100, 100), "moving": True})
    assert (answer["mode"], answer["format"]) == ("labels", "png")
    assert set(np.unique(pixels(picture))) == set(range(0, 48, 3))


def test_colour_keeps_its_colours() -> None:
    astronaut = data.astronaut()[:256, 100:356]
    for source in (astronaut, np.moveaxis(astronaut, -1, 0)):
        viewer = Viewer(source)
        answer, buffers = viewer.picture({"size": (512, 512), "limits": viewer.limits})
        assert answer["mode"] == "colour"
        np.testing.assert_allclose(pixels(buffers[0]), astronaut, atol=1)


@pytest.mark.parametrize(
    "source",
    [
        np.zeros((3, 3)),
        np.zeros((1, 1), bool),
        np.full((9, 9), np.nan),
        np.full((9, 9), np.inf, np.float32),
        np.array([[np.nan, np.inf], [-np.inf, 2]]),
        np.full((40, 40), 1 + 1j, np.complex64),
        np.arange(1600).reshape(40, 40).astype(np.float16),
        np.arange(1600).reshape(40, 40).astype(">i4") - 800,
        np.zeros((20_000, 3), np.uint8),
        np.zeros((2, 5, 6, 7)),
        np.full((8, 8), np.iinfo(np.uint64).max),
        np.array([[-1e308, 1e308], [0, 1]]),
        [[1, 2], [3, 4]],
    ],
    ids=lambda s: f"{np.shape(s)} {np.asarray(s).dtype}",
)
def test_unusual_arrays_are_shown(source: Any) -> None:
    viewer = Viewer(source)
    for moving in (True, False):
        answer, buffers = viewer.picture({"moving": moving, "size": (300, 300)})
        assert pixels(buffers[0]).ndim == 2
        assert "region" in answer
    assert pixels(viewer.still()).size


@pytest.mark.parametrize(
    "source", [3.5, np.arange(5), np.zeros((0, 4, 4)), np.array(["a"]), np.zeros((4, 4), "M8[s]"), "text", None],
    ids=str,
)  # fmt: skip
def test_what_is_no_image_gets_a_message_and_no_crash(source: Any) -> None:
    viewer = Viewer(source)
    assert "There is no image to show here" in repr(viewer)
    assert str(np.asarray(source).dtype) in repr(viewer)
    browser = Browser(viewer)
    browser.ask(kind="picture", view="a", seq=1)
    mimes, _ = viewer._repr_mimebundle_()
    assert "image/png" not in mimes


def test_the_value_under_the_pointer_is_the_true_one(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).normal(size=(5, 40, 50)).astype(np.float32)
    labels = (volume > 1).astype(np.int64) * 12345
    with h5py.File(tmp_path / "v.h5", "w") as made:
        made["v"] = volume
    with h5py.File(tmp_path / "v.h5") as file:
        viewer = Viewer(file["v"], mask=labels)
        answer, _ = viewer.value({"index": 4, "y": 39, "x": 7})
        assert np.float32(answer["text"]) == volume[4, 39, 7]
        assert int(answer["label"]) == labels[4, 39, 7]
        assert viewer.value({"index": 4, "y": 40, "x": 7}) == ({"text": ""}, [])


def test_values_read_as_people_write_them() -> None:
    assert as_text(np.float32(0.1)) == "0.1"
    assert as_text(np.uint16(65535)) == "65535"
    assert as_text(np.array([1, 2, 3], np.uint8)) == "1, 2, 3"
    assert as_text(np.complex64(3 + 4j)) == "3+4j (magnitude 5)"
    assert as_text(np.float64("nan")) == "nan"


@pytest.mark.parametrize(
    "region", [[-50, -50, 9999, 9999], [7, 7, 7, 7], [900, 900, 950, 950], [3, 5, 511, 777]]
)
def test_regions_are_kept_inside_and_on_the_grid(region: list[float]) -> None:
    (y0, x0, y1, x1), step = fit(region, (100, 100), (0, 0, 600, 800))
    assert 0 <= y0 < y1 <= 600
    assert 0 <= x0 < x1 <= 800
    assert y0 % step == x0 % step == 0


def test_only_the_newest_of_piled_up_requests_is_served() -> None:
    served: list[int] = []
    gate = threading.Event()

    def slow(request: dict[str, Any]) -> None:
        gate.wait(5)
        served.append(request["seq"])

    latest = Latest(slow, rest=lambda: None)
    for seq in range(200):
        latest.put("picture", {"seq": seq})
    gate.set()
    wait_until(lambda: 199 in served)
    assert len(served) <= 2


def test_moving_the_slider_quickly_answers_the_last_position(stack: np.ndarray) -> None:
    browser = Browser(Viewer(stack))
    for seq in range(300):
        browser.ask(kind="picture", view="a", seq=seq, index=seq % 8, size=(256, 256), moving=True)
    content, buffers = browser.wait_for(299)
    assert content["index"] == 299 % 8
    assert len(buffers) == 2
    assert len(browser.answers) < 300


def test_two_views_and_the_pointer_do_not_push_each_other_out(stack: np.ndarray) -> None:
    browser = Browser(Viewer(stack))
    browser.ask(kind="picture", view="a", seq=1, index=1)
    browser.ask(kind="picture", view="b", seq=2, index=2)
    browser.ask(kind="value", view="a", seq=3, index=1, y=5, x=6)
    assert browser.wait_for(1)[0]["view"] == "a"
    assert browser.wait_for(2)[0]["view"] == "b"
    assert browser.wait_for(3)[0]["text"] == str(stack[1, 5, 6])


def test_an_error_while_reading_is_told_and_the_viewer_lives_on(tmp_path: Path, stack: np.ndarray) -> None:
    file = h5py.File(tmp_path / "s.h5", "w")
    file["s"] = stack
    viewer = Viewer(file["s"])
    browser = Browser(viewer)
    browser.ask(kind="picture", view="a", seq=1, index=1)
    browser.wait_for(1)
    file.close()
    del viewer._slices._planes[7]
    browser.ask(kind="picture", view="a", seq=2, index=7)
    assert "error" in browser.wait_for(2)[0]
    browser.ask(kind="picture", view="a", seq=3, index=1, region=[0, 0, 512, 512])
    assert "region" in browser.wait_for(3)[0]  # kept in memory


def test_the_neighbour_is_read_ahead(tmp_path: Path, stack: np.ndarray) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["s"] = stack
        viewer = Viewer(file["s"], index=3)
        browser = Browser(viewer)
        browser.ask(kind="picture", view="a", seq=1, index=4)
        browser.wait_for(1)
        wait_until(lambda: 5 in viewer._slices._planes)


def test_nothing_is_read_ahead_of_a_leap(tmp_path: Path, stack: np.ndarray) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["s"] = stack
        viewer = Viewer(file["s"], index=0, limits=(0, 255))
        viewer._read_ahead(viewer._slices, 0)
        before = set(viewer._slices._planes)
        for index in (5, 1):
            viewer._read_ahead(viewer._slices, index)
        assert set(viewer._slices._planes) == before


def test_a_dataset_is_shown_by_its_keys_and_its_mask_laid_over(tmp_path: Path) -> None:
    coins = data.coins()
    with workbench.open(str(tmp_path / "ws")) as ws:
        content = {
            "image": coins,
            "mask": coins > 120,
            "smooth": coins / 2.0,
            "scale": 0.5,
            "profile": coins[0],
        }
        dataset = ws.datasets.put(content, name="coins")
        viewer = dataset.view()
        assert viewer.key == "image"
        assert sorted(viewer._facts["keys"]) == ["image", "mask", "smooth"]
        _, (_, _, overlay) = viewer.picture({"size": (400, 400)})
        np.testing.assert_array_equal(pixels(overlay), coins > 120)
        viewer.key = "smooth"
        answer, _ = viewer.picture({})
        assert answer["limits"][1] < 128
        viewer.key = "mask"
        assert not viewer._facts["mask"]
        with pytest.raises(NotFoundError, match="Did you mean 'image'"):
            show(dataset, key="imagee")
        viewer.close()
        assert viewer._arrays._file is None


def test_the_file_of_a_dataset_is_closed_when_nobody_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.notebook.viewer_widget.REST_S", 0.2)
    with workbench.open(str(tmp_path / "ws")) as ws:
        viewer = Viewer(ws.datasets.put({"image": data.coins()}, name="coins"))
        browser = Browser(viewer)
        browser.ask(kind="picture", view="a", seq=1)
        browser.wait_for(1)
        wait_until(lambda: viewer._arrays._file is None)
        browser.ask(kind="value", view="a", seq=2, index=0, y=1, x=2)
        assert browser.wait_for(2)[0]["text"] == str(data.coins()[1, 2])
        viewer.close()


def test_another_axis_shows_its_slices(stack: np.ndarray) -> None:
    viewer = Viewer(stack, axis=2)
    assert viewer._facts["count"] == 512
    answer, _ = viewer.picture({"index": 100})
    assert answer["region"] == [0, 0, 8, 512]
    viewer.axis = 0
    assert viewer._facts["count"] == 8
    assert 0 <= viewer.index < 8


def test_a_notebook_without_kernel_still_has_a_picture_and_a_line(stack: np.ndarray) -> None:
    viewer = Viewer(stack, mask=stack[0] > 200, title="cameraman", colormap="magma", invert=True)
    mimes, _ = viewer._repr_mimebundle_()
    assert mimes["text/plain"] == "Viewer of cameraman: 8 x 512 x 512 uint8, slice 4 of 8"
    still = Image.open(io.BytesIO(base64.b64decode(mimes["image/png"])))
    assert max(still.size) <= 400
    assert len(mimes["image/png"]) < 200_000


def test_a_stack_of_8_gb_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "sparse.h5"
    with h5py.File(path, "w") as made:
        made.create_dataset("image", (1000, 2048, 2048), "u2", chunks=(1, 2048, 2048))[500] = 7
    code = f"""
import h5py, os, psutil
import numpy as np
import PIL.PngImagePlugin, PIL.JpegImagePlugin
from workbench.notebook.viewer import Viewer
process = psutil.Process()
before = process.memory_info().rss
viewer = Viewer(h5py.File({str(path)!r})["image"])
for index in range(490, 510):
    viewer.picture({{"index": index, "size": (640, 640), "moving": True}})
viewer.still()
print((process.memory_info().rss - before) >> 20)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(workbench.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 100


def test_a_new_picture_of_a_large_slice_takes_a_fraction_of_a_blink(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "stack.h5", "w") as file:
        file["image"] = rng.integers(0, 4000, (8, 2048, 2048)).astype(np.uint16)
        viewer = Viewer(file["image"])
        viewer.picture({"index": 0})
        spent = []
        for index in [1, 5, 2, 7, 3, 6, 4]:
            viewer._slices._planes.clear()
            started = time.thread_time()  # of this thread: other programs do not count
            viewer.picture({"index": index, "size": (512, 512), "moving": True})
            spent.append(time.thread_time() - started)
    assert min(spent) < 0.060  # 15 ms on a quiet machine


def test_importing_the_door_loads_no_widgets() -> None:
    code = "import sys, workbench.notebook.viewer; print('anywidget' in sys.modules, 'ipywidgets' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(workbench.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


def wait_until(fact: Callable[[], bool]) -> None:
    for _ in range(1000):
        if fact():
            return
        time.sleep(0.01)
    raise TimeoutError("it did not happen in ten seconds")
