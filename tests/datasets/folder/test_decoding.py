"""Kinds of images, sizes and memory."""

from pathlib import Path

import numpy as np
import pytest
from fakes import SIDE, complaint, folder_splits, load
from PIL import ExifTags, Image

from dfclib.datasets.folder import decoding
from dfclib.datasets.folder.loading import write_folder
from dfclib.errors import UserError


def one_image(folder: Path, image: Image.Image, channels: int, extension: str = "png", **options) -> np.ndarray:
    path = folder / f"image.{extension}"
    image.save(path, **options)
    return decoding.decode_image(path, channels)


TURNS = [  # what puts an image upright that EXIF says lies so: rows of (0, 1), (2, 3)
    (1, [[0, 1], [2, 3]]),
    (2, [[1, 0], [3, 2]]),
    (3, [[3, 2], [1, 0]]),
    (4, [[2, 3], [0, 1]]),
    (5, [[0, 2], [1, 3]]),
    (6, [[2, 0], [3, 1]]),
    (7, [[3, 1], [2, 0]]),
    (8, [[1, 3], [0, 2]]),
    (9, [[0, 1], [2, 3]]),  # no such orientation
]


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    return tags


def test_sixteen_bit_grey_is_scaled(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    pixels = one_image(tmp_path, Image.fromarray(values), 1)
    assert pixels[..., 0].tolist() == [[0, 0, 1, 1, 128, 255]]
    assert decoding.read_header(tmp_path / "image.png").grey


def test_palette_gives_its_colours(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert one_image(tmp_path, image, 3, transparency=b"\0\xff").tolist() == [[[10, 20, 30], [200, 100, 50]]]
    header = decoding.read_header(tmp_path / "image.png")
    assert not header.grey and header.alpha


def test_alpha_is_dropped_not_blended(folder: Path, caplog) -> None:
    Image.new("RGBA", (SIDE, SIDE), (10, 20, 30, 0)).save(folder / "train/t0.png")
    for _ in range(2):  # the second time from the cache, with the same notice
        caplog.clear()
        assert (load(folder).train.images[0] == (10, 20, 30)).all()
        assert "1 image(s) have transparency: it is dropped" in caplog.text


@pytest.mark.parametrize(("mode", "colour", "expected"), [("L", 7, 7), ("LA", (7, 0), 7), ("1", 1, 255)])
def test_grey_kinds(tmp_path: Path, mode: str, colour, expected: int) -> None:
    image = Image.new(mode, (2, 3), colour)
    for channels in (1, 3):
        pixels = one_image(tmp_path, image, channels)
        assert pixels.shape == (3, 2, channels) and (pixels == expected).all()
    assert decoding.read_header(tmp_path / "image.png").grey


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    pixels = one_image(tmp_path, Image.new("CMYK", (8, 8), (0, 0, 0, 0)), 3, "jpeg")
    assert (pixels > 250).all()


@pytest.mark.parametrize(("orientation", "expected"), TURNS)
@pytest.mark.parametrize("extension", ["png", "webp", "jpg"])
def test_exif_turns_the_image(tmp_path: Path, orientation: int, expected: list, extension: str) -> None:
    corners = np.array([[0, 80], [160, 240]], np.uint8).repeat(8, 0).repeat(16, 1)  # as tall as 16, as wide as 32
    options = {"lossless": True} if extension == "webp" else {}
    pixels = one_image(tmp_path, Image.fromarray(corners), 1, extension, exif=exif(orientation), **options)
    header = decoding.read_header(tmp_path / f"image.{extension}")
    assert pixels.shape[:2] == (header.height, header.width) == ((32, 16) if 5 <= orientation <= 8 else (16, 32))
    quarters = pixels[4 :: pixels.shape[0] // 2, 4 :: pixels.shape[1] // 2, 0]
    assert np.round(quarters / 80).astype(int).tolist() == expected


def test_damaged_exif_leaves_the_image_as_it_is(tmp_path: Path) -> None:
    pixels = one_image(tmp_path, Image.new("RGB", (4, 2), (9, 8, 7)), 3, "png", exif=b"Exif\0\0MM\0*\xff\xff")
    assert pixels.shape == (2, 4, 3) and (pixels == (9, 8, 7)).all()


def test_a_turned_image_has_the_size_it_is_looked_at(folder: Path) -> None:
    for name in ("train/t0.png", "train/t1.png"):
        lying = Image.new("RGB", (SIDE, 2 * SIDE))
        lying.save(folder / name, exif=exif(6) if name.endswith("t1.png") else None)
    assert "8x8 (11), 8x16 (1), 16x8 (1)" in complaint(folder)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_photograph_is_reduced_as_it_is_decoded(tmp_path: Path, monkeypatch, orientation: int) -> None:
    """The wider half is bright. JPEG's own reduction gives what resizing the whole image gives, nearly."""
    wide = np.zeros((1200, 1600), np.uint8)
    wide[:, 800:] = 200
    Image.fromarray(wide).save(tmp_path / "photo.jpg", exif=exif(orientation))
    whole = decoding.decode_image(tmp_path / "photo.jpg", 3, (30, 40)).astype(int)
    loaded = []
    load = Image.Image.load
    monkeypatch.setattr(Image.Image, "load", lambda image: loaded.append(image.size) or load(image))
    monkeypatch.setattr(decoding, "LARGEST_SIDE", 1000)
    reduced = decoding.decode_image(tmp_path / "photo.jpg", 3, (30, 40))
    assert loaded[0] == (200, 150)  # an eighth, which is still more than twice 30x40
    assert np.abs(reduced - whole).max() < 20 and np.abs(reduced - whole).mean() < 1
    top, bottom = (0, 200) if orientation == 6 else (100, 100)
    assert abs(reduced[:15].mean() - top) < 5 and abs(reduced[15:].mean() - bottom) < 5
    assert decoding.decode_image(tmp_path / "photo.jpg", 3).shape == (
        (1600, 1200, 3) if orientation == 6 else (1200, 1600, 3)
    )


def test_what_used_to_be_too_large_is_resized(folder: Path) -> None:
    Image.new("RGB", (5000, 4100), (90, 80, 70)).save(folder / "train/t0.png")
    Image.new("RGB", (5000, 4100), (90, 80, 70)).save(folder / "train/t1.png", "JPEG")
    assert "8x8 (11), 5000x4100 (2)" in complaint(folder)
    images = load(folder, image_size=(6, 5)).train.images[:2].astype(int)
    assert np.abs(images - (90, 80, 70)).max() <= 1


def test_unreadable_files_are_said_to_be_so(folder: Path, monkeypatch) -> None:
    opened = Image.open

    def refuse(path, **options):
        if Path(path).name == "t3.png":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, **options)

    monkeypatch.setattr(Image, "open", refuse)
    message = complaint(folder)
    assert "train/t3.png (train.csv line 5): cannot be read (permission denied). Give yourself the right" in message
    assert "not a PNG" not in message


def test_one_coloured_image_makes_all_rgb_but_a_test_image_does_not(tmp_path: Path, caplog) -> None:
    write_folder(folder_splits(channels=1), tmp_path / "data")
    assert load(tmp_path / "data").train.channels == 1
    Image.new("RGB", (SIDE, SIDE), (255, 0, 0)).save(tmp_path / "data/test/tes0.png")
    splits = load(tmp_path / "data")
    assert splits.train.channels == splits.test.channels == 1 and "read as grey" in caplog.text
    Image.new("RGB", (SIDE, SIDE), (255, 0, 0)).save(tmp_path / "data/train/t0.png")
    splits = load(tmp_path / "data")
    assert splits.train.channels == splits.validation.channels == 3
    assert (splits.train.images[0] == (255, 0, 0)).all()
    assert (splits.train.images[1] == folder_splits(channels=1).train.images[1]).all()


def test_mixed_sizes_are_resized_on_demand(folder: Path) -> None:
    Image.new("RGB", (40, 20), (9, 8, 7)).save(folder / "train/t0.png")
    splits = load(folder, image_size=(6, 5))
    assert splits.train.size == splits.validation.size == (6, 5)
    assert (splits.train.images[0] == (9, 8, 7)).all()
    with pytest.raises(UserError, match=r"\(height, width\)"):
        load(folder, image_size=(0, 5))


def test_memory_is_estimated_before_decoding(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(decoding, "decode_image", None)
    monkeypatch.setattr(decoding, "available_bytes", lambda: 250_000_000)
    message = complaint(folder, image_size=(4000, 4000))
    assert "0.624 GB" in message and "0.25 GB are available" in message and "smaller image size" in message


def test_available_memory_is_plausible() -> None:
    available = decoding.available_bytes()
    assert available is None or 1e6 < available < 1e15
