"""Aggregates of images whose traces are known beforehand."""

import numpy as np
import pytest

from dfclib.datasets.images import ImageSet
from dfclib.datasets.traces import (
    log_power_profiles,
    record_traces,
    recorded_traces,
    trace_statistics,
)
from dfclib.errors import UserError


def image_set(*groups: np.ndarray) -> ImageSet:
    """One class per group, each uint8 (n, height, width, channels)."""
    labels = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    ids = np.arange(len(labels)).astype(str)
    return ImageSet(np.concatenate(groups), labels, ids, tuple(map(str, range(len(groups)))))


def noise(rng, n=6, size=32, deviation=20.0, channels=3) -> np.ndarray:
    return np.clip(128 + rng.normal(0, deviation, (n, size, size, channels)), 0, 255).astype(np.uint8)


def test_a_wave_s_power_stands_at_its_frequency():
    x = np.arange(64)
    grey = 128 + 50 * np.sin(2 * np.pi * 0.25 * x)[None, None, :] * np.ones((1, 64, 1))
    frequency, (profile,) = log_power_profiles(grey)
    profile[:3] = profile.min()  # rings of a few frequencies, where the window leaks
    assert frequency[profile.argmax()] == pytest.approx(0.25, abs=1 / 64)
    assert frequency[-1] == pytest.approx(np.hypot(0.5, 0.5), abs=1 / 64)


def test_classes_that_differ_in_fine_grain_differ_there():
    """Smooth images with and without a checkerboard: nothing but the highest frequencies tells them apart."""
    rng = np.random.default_rng(0)
    slope = np.linspace(60, 190, 32)[None, :, None, None] * rng.uniform(0.5, 1, (12, 1, 1, 1))
    smooth = slope + rng.normal(0, 2, (12, 32, 32, 1))
    board = 6 * (1 - 2 * (np.indices((32, 32)).sum(axis=0) % 2))[None, :, :, None]
    found = trace_statistics(image_set(smooth[:6].astype(np.uint8), (smooth + board)[6:].astype(np.uint8)), "x", True)
    explained = np.array(found["explained"])
    assert explained[-1] > 0.9 > 0.5 > explained[: len(explained) // 2].mean()
    assert found["residual"][1] > found["residual"][0]
    across, diagonal = (np.array(found["autocorrelation"])[1][place] for place in ((0, 1), (1, 1)))
    assert across < -0.5 < 0.5 < diagonal  # the sign alternates from pixel to pixel


def test_channels_black_and_counts():
    rng = np.random.default_rng(1)
    black = np.zeros((3, 16, 16, 3), np.uint8)
    found = trace_statistics(image_set(noise(rng, size=16), black), "x", False)
    assert found["near_black"] == [0, 1]
    assert found["images"] == [6, 3] and found["size"] == [16, 16]
    assert np.shape(found["channel_mean"]) == (2, 3) and found["channel_mean"][1] == [0, 0, 0]
    assert found["channel_mean"][0] == pytest.approx([127.5] * 3, abs=2)


def test_what_is_recorded_is_read_back(tmp_path):
    rng = np.random.default_rng(2)
    found = trace_statistics(image_set(noise(rng), noise(rng, deviation=5)), "folder", False)
    path = record_traces(found, tmp_path / "new")
    assert path.name == "traces-folder.json"
    assert recorded_traces(tmp_path / "new") == [found]
    assert recorded_traces(tmp_path / "nowhere") == []


@pytest.mark.parametrize("what", ["no labels", "empty class", "tiny"])
def test_what_cannot_be_measured_is_refused(what):
    rng = np.random.default_rng(3)
    images = image_set(noise(rng, size=6 if what == "tiny" else 16))
    if what == "no labels":
        images = ImageSet(images.images, None, images.ids, images.class_names)
    if what == "empty class":
        images = ImageSet(images.images, images.labels, images.ids, ("0", "1"))
    with pytest.raises(UserError, match="folder: traces are measured on"):
        trace_statistics(images, "folder", False)
