"""Files of every format become datasets, and bad files get a clear error."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from astropy.io import fits
from PIL import Image

from workbench.errors import (
    DamagedError,
    InvalidDataError,
    InvalidInputError,
    MissingPackageError,
    NotFoundError,
    UnsupportedError,
)
from workbench.library.importers import Content, load, natural

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 255, (20, 30), dtype="u1")
DEEP = RNG.integers(0, 60_000, (20, 30)).astype("u2")
COLOUR = RNG.integers(0, 255, (20, 30, 3), dtype="u1")
FIRST = np.moveaxis(COLOUR, -1, 0)  # channels first
STACK = RNG.random((5, 20, 30), dtype="f4")


def png(array: np.ndarray, mode: str | None = None) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        image = Image.fromarray(array)
        (image.convert(mode) if mode else image).save(path)

    return write


def tif(array: np.ndarray, **options: Any) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, array, **options)


def tif_pages(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        for plane in STACK:
            file.write(plane, metadata=None, contiguous=False)


ALPHA = np.dstack([COLOUR, GREY])
CASES = [
    ("grey.png", png(GREY), "ImageSchema", "image", GREY),
    ("deep.png", png(DEEP), "ImageSchema", "image", DEEP),
    ("colour.png", png(COLOUR), "ImageSchema", "image", FIRST),
    ("alpha.PNG", png(ALPHA), "ImageSchema", "image", FIRST),
    ("grey-alpha.png", png(GREY, "LA"), "ImageSchema", "image", GREY),
    ("mask.png", png(GREY > 99), "SegmentationSchema", "mask", GREY > 99),
    ("grey.tif", tif(GREY), "ImageSchema", "image", GREY),
    ("packed.tiff", tif(DEEP, compression="zlib"), "ImageSchema", "image", DEEP),
    ("big-endian.tif", tif(DEEP, byteorder=">"), "ImageSchema", "image", DEEP),
    ("int32.tif", tif(DEEP.astype("i4")), "GenericSchema", "data", DEEP.astype("i4")),
    ("colour.tif", tif(COLOUR, photometric="rgb"), "ImageSchema", "image", FIRST),
    ("planes.tif", tif(FIRST, photometric="rgb", planarconfig="separate"), "ImageSchema", "image", FIRST),
    ("stack.tif", tif(STACK), "VolumeSchema", "volume", STACK),
    ("three.tif", tif(STACK[:3], photometric="minisblack"), "VolumeSchema", "volume", STACK[:3]),
    ("pages.tif", tif_pages, "VolumeSchema", "volume", STACK),
    ("colours.tif", tif(np.stack([COLOUR] * 4), photometric="rgb"), "GenericSchema", "data", np.stack([FIRST] * 4)),
    ("stack.npy", lambda p: np.save(p, STACK), "VolumeSchema", "volume", STACK),
    ("line.npy", lambda p: np.save(p, STACK[0, 0]), "GenericSchema", "data", STACK[0, 0]),
    ("pair.npz", lambda p: np.savez(p, image=GREY, mask=GREY > 9), "ImageSchema", "image", GREY),
    ("mesh.npz", lambda p: np.savez(p, vertices=np.eye(3), faces=np.eye(3, dtype=int)), "MeshSchema", "vertices", np.eye(3)),
    ("grey.fits", lambda p: fits.PrimaryHDU(GREY.astype("f4")).writeto(p), "ImageSchema", "image", GREY.astype("f4")),
    ("scaled.fits.gz", lambda p: fits.PrimaryHDU(DEEP).writeto(p), "ImageSchema", "image", DEEP),
    ("cube.fit", lambda p: fits.PrimaryHDU(STACK).writeto(p), "VolumeSchema", "volume", STACK),
]  # fmt: skip


@pytest.mark.parametrize(("name", "write", "schema", "key", "array"), CASES, ids=[case[0] for case in CASES])
def test_a_file_becomes_the_data_of_its_schema(
    tmp_path: Path, name: str, write: Callable[[Path], None], schema: str, key: str, array: np.ndarray
) -> None:
    write(tmp_path / name)
    found = load(tmp_path / name)
    assert isinstance(found, Content)
    assert found.schema == schema
    assert found.data[key].dtype == array.dtype
    assert np.array_equal(found.data[key], array)


def test_colour_jpegs_are_close(tmp_path: Path) -> None:
    smooth = np.tile(np.arange(0, 240, 8, dtype="u1")[:, None], (20, 1, 3))
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(smooth).convert("CMYK").save(tmp_path / "b.jpeg", quality=95)
    for name in ("a.jpg", "b.jpeg"):
        found = load(tmp_path / name)
        assert isinstance(found, Content)
        assert found.data["image"].shape == (3, 20, 30)
        assert np.abs(found.data["image"].astype(int) - np.moveaxis(smooth, -1, 0)).max() < 25


def test_hdf5_and_fits_tables_keep_their_keys(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image"], file["entry/gain"] = GREY, 2.5
    units = [fits.PrimaryHDU(), fits.ImageHDU(DEEP, name="SCI"), fits.ImageHDU(GREY, name="DQ")]
    fits.HDUList(units).writeto(tmp_path / "a.fits")
    found = load(tmp_path / "a.h5")
    assert isinstance(found, Content)
    assert (list(found.data), found.schema) == (["entry", "image"], None)
    found = load(tmp_path / "a.fits")
    assert isinstance(found, Content)
    assert list(found.data) == ["SCI", "DQ"]
    assert np.array_equal(load(tmp_path / "a.fits", as_slices=True)[0].data["image"], DEEP)  # type: ignore[index]


def test_stacks_become_slices(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK)
    tifffile.imwrite(tmp_path / "b.tif", np.stack([COLOUR] * 4), photometric="rgb")
    np.save(tmp_path / "c.npy", STACK[:3])
    np.save(tmp_path / "d.npy", STACK.astype("i2"))
    np.save(tmp_path / "e.npy", STACK[0, 0])

    def shapes(name: str) -> list[Any]:
        found = load(tmp_path / name, as_slices=True)
        assert isinstance(found, list)
        assert {c.schema for c in found} == {"ImageSchema"}
        return [c.data["image"].shape for c in found]

    assert shapes("a.tif") == [(20, 30)] * 5
    assert shapes("b.tif") == [(3, 20, 30)] * 4
    assert shapes("c.npy") == [(20, 30)] * 3
    assert load(tmp_path / "d.npy", as_slices=True)[0].data["image"].dtype == np.float32  # type: ignore[index]
    with pytest.raises(InvalidDataError, match=r"e.npy has shape \(30,\)"):
        load(tmp_path / "e.npy", as_slices=True)


def test_a_folder_is_a_stack_in_natural_order(tmp_path: Path) -> None:
    for i in (10, 2, 1):
        Image.fromarray(np.full((8, 9), i, "u1")).save(tmp_path / f"slice{i}.png")
    (tmp_path / "notes.txt").write_text("not a slice")
    found = load(tmp_path)
    assert isinstance(found, Content)
    assert found.data["volume"][:, 0, 0].tolist() == [1, 2, 10]
    assert sorted(["a10", "a2b", "A1"], key=lambda n: natural(Path(n))) == ["A1", "a2b", "a10"]

    Image.fromarray(np.zeros((8, 8), "u1")).save(tmp_path / "slice3.png")
    with pytest.raises(InvalidDataError, match=r"slice3.png has shape \(8, 8\).*slice1.png has \(8, 9\)"):
        load(tmp_path)
    np.save(tmp_path / "slice4.npy", GREY)
    with pytest.raises(InvalidInputError, match=r"several kinds: .npy, .png"):
        load(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "npy", "npz", "h5", "fits"])
def test_empty_and_foreign_files_are_damaged(tmp_path: Path, suffix: str) -> None:
    for content in (b"", b"no such format " * 99):
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(content)
        with pytest.raises((DamagedError, InvalidDataError), match=f"a.{suffix}"):
            load(path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.png", png(GREY)),
        ("a.jpg", png(COLOUR)),
        ("a.tif", tif(STACK)),
        ("b.tif", tif(STACK, compression="zlib")),
        ("a.npy", lambda p: np.save(p, STACK)),
        ("a.npz", lambda p: np.savez(p, image=STACK)),
        ("a.fits", lambda p: fits.PrimaryHDU(STACK).writeto(p)),
    ],
)
def test_files_that_are_cut_off_say_so(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    path = tmp_path / name
    write(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(DamagedError, match=f"{name} cannot be read.*cut off"):
        load(path)


def test_what_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "scan.png").touch()
    (tmp_path / "scan.xyz").touch()
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "objects.npy", np.array([1, "a"], object))
    with tifffile.TiffWriter(tmp_path / "mixed.tif") as file:
        file.write(GREY)
        file.write(DEEP[:9])
    fits.PrimaryHDU().writeto(tmp_path / "header.fits")
    for name, error, says in [
        ("scam.png", NotFoundError, "no file .*Did you mean 'scan.png'"),
        ("scan.xyz", UnsupportedError, r"'.xyz'.*Known: .png, .jpg.*ws.datasets.put"),
        ("empty", InvalidInputError, "holds no slices"),
        ("objects.npy", InvalidDataError, "can run code"),
        ("mixed.tif", InvalidDataError, r"mixed.tif has pages of different shape.*\(9, 30\) uint16"),
        ("header.fits", InvalidDataError, "holds headers and no data"),
    ]:
        with pytest.raises(error, match=says):
            load(tmp_path / name)


def test_deep_colour_is_not_silently_made_shallow(tmp_path: Path) -> None:
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (8).to_bytes(4, "big") * 2 + bytes([16, 2, 0, 0, 0])
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    rows = zlib.compress((b"\0" + bytes(8 * 6)) * 8)
    content = header + zlib.crc32(header[12:]).to_bytes(4, "big") + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UnsupportedError, match=r"16 bits.*Save it as .tif"):
        load(tmp_path / "a.png")


def test_a_missing_astropy_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.fits").touch()
    monkeypatch.setitem(sys.modules, "astropy.io", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'jupyter-workbench\[fits\]'") as caught:
        load(tmp_path / "a.fits")
    assert caught.value.package == "astropy"


def test_large_files_are_mapped_not_loaded(tmp_path: Path) -> None:
    code = """
import sys, resource, numpy as np
from pathlib import Path
from workbench.library.importers import load
import tifffile
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
data = load(Path(sys.argv[1])).data["volume"]
assert data.nbytes == 200 << 20, data.nbytes
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    volume = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", "u1", (50, 2048, 2048))
    tifffile.memmap(tmp_path / "a.tif", shape=volume.shape, dtype="u1")
    for name in ("a.npy", "a.tif"):
        command = [sys.executable, "-c", code, str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert float(done.stdout) < 60, name
