"""Folders written for Compox: deployed unedited, run in one kernel one after the other, each with its own code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from algorithm_folders import write_algorithm

import workbench
from workbench.errors import InUseError

FOLDERS = Path(__file__).parent / "data" / "compox_folders"


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path_factory.mktemp("compox") / "ws") as workspace:
        for folder in sorted(FOLDERS.iterdir()):
            workspace.algorithms.deploy(folder)  # with the gate
        yield workspace


@pytest.fixture(scope="module")
def stack() -> np.ndarray:
    images = np.zeros((3, 32, 32), np.float32)
    for i in range(3):
        images[i, 8 + i : 16 + i, 10:20] = 10.0
    return images


def test_each_uses_its_own_code_in_one_kernel(ws: workbench.Workspace, stack: np.ndarray) -> None:
    volume = ws.datasets.put({"volume": stack}, schema="VolumeSchema")
    vertices = np.array([[0.0, 1.0, 2.0], [3.0, 5.0, 7.0], [1.0, 1.0, 1.0]])
    mesh = ws.datasets.put({"vertices": vertices, "faces": np.array([[0, 1, 2]])}, schema="MeshSchema")
    for _ in range(2):  # and again, in turn: neither takes the other's utils
        projected = ws.run("volume-projection", volume)
        boxed = ws.run("mesh-bounds", mesh)
        assert "projection" in projected.log
        assert "bounds" in boxed.log
        np.testing.assert_array_equal(projected.result(), stack.max(axis=0))
        np.testing.assert_array_equal(boxed.result(), [[0.0, 1.0, 1.0], [3.0, 5.0, 7.0]])
    assert not {"utils", "dependencies", "dependencies.utils", "compox", "Runner"} & set(sys.modules)


def test_a_typed_segmentation_gives_one_mask_per_slice(ws: workbench.Workspace, stack: np.ndarray) -> None:
    masks = ws.run("bright-spots", stack).result()
    np.testing.assert_array_equal(masks.astype(bool), stack > 5)


def test_denoising_takes_its_parameters(ws: workbench.Workspace, stack: np.ndarray) -> None:
    gentle = ws.run("smooth", stack, {"iterations": 1}).result()
    strong = ws.run("smooth", stack, {"iterations": 8}).result()
    assert np.abs(np.diff(strong, axis=1)).max() < np.abs(np.diff(gentle, axis=1)).max()


def test_registration_of_n_slices_gives_n_minus_1_matrices(
    ws: workbench.Workspace, stack: np.ndarray
) -> None:
    run = ws.run("align-series", stack)
    assert len(run.outputs) == 2
    assert all(o["transform_matrix"].shape == (3, 3) for o in run.datasets)


def test_an_identity_that_overrides_both_ends_gives_back_what_it_gets(
    ws: workbench.Workspace, stack: np.ndarray
) -> None:
    np.testing.assert_array_equal(ws.run("identity", stack).result(), stack)


def test_older_import_names_and_one_more_positional(ws: workbench.Workspace, stack: np.ndarray) -> None:
    mask = (stack > 5).astype(np.uint8)
    np.testing.assert_array_equal(ws.run("older-names", mask).result(), 1 - mask)
    assert ws.run("two-positional", [stack[0]]).outputs == ["1 inputs", "0 parameters", "0 more"]


def test_the_same_folder_twice_stores_nothing_new(ws: workbench.Workspace) -> None:
    def stored() -> list[str]:
        return sorted(i.key for c in ("packages", "assets") for i in ws.store.list(c))

    before = stored()
    ids = {ws.algorithms.get("align-series").id}
    ids.add(ws.algorithms.deploy(FOLDERS / "align_series").id)
    assert len(ids) == 1
    assert stored() == before


def test_deleting_one_of_two_that_share_an_asset_leaves_the_other_running(
    ws: workbench.Workspace, tmp_path: Path
) -> None:
    code = """
        from workbench.runners import BaseRunner

        class Runner(BaseRunner):
            def load_assets(self):
                self.weights = self.fetch_asset("files/weights.bin").read()

            def preprocess(self, input_data, args={}):
                return None

            def inference(self, data, args={}):
                return None

            def postprocess(self, data, args={}):
                return [self.weights.decode()]
    """
    files = {"files/weights.bin": b"shared weights"}
    for name in ("first", "second"):
        folder = write_algorithm(tmp_path / name, name, code, type="Generic", files=files)
        ws.algorithms.deploy(folder, check=False)
    digests = {ws.algorithms.get(n).revision.assets["files/weights.bin"] for n in ("first", "second")}
    assert len(digests) == 1
    ws.algorithms.delete("first@1.0")
    assert ws.run("second").outputs == ["shared weights"]
    with pytest.raises(InUseError, match="run"):
        ws.algorithms.delete("second@1.0")
    ws.algorithms.delete("second@1.0", force=True)
    assert not any(ws.store.exist("assets", digests))
