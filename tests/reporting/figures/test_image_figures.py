"""Figures from images: counts, the right pictures in their rows, and traces of known classes."""

import numpy as np
import pytest
from fakes import noise_images, noise_splits
from legible import texts, title

from dfclib.datasets.images import ImageSet
from dfclib.datasets.traces import trace_statistics
from dfclib.errors import UserError
from dfclib.reporting import figures
from dfclib.reporting.figures.style import MOST_NAMED


def test_class_balance_counts_both_splits():
    axes = figures.class_balance(noise_splits()).axes[0]
    assert [[bar.get_height() for bar in container] for container in axes.containers] == [[6] * 5, [2] * 5]


@pytest.mark.parametrize("channels", [1, 3])
def test_samples_show_each_class_in_its_row(channels):
    images = noise_images(("cat", "dog"), per_class=4, channels=channels)
    figure = figures.samples(images, per_class=3)
    assert len(figure.axes) == 6
    assert [axes.get_ylabel() for axes in figure.axes[::3]] == ["cat", "dog"]
    shown = [np.asarray(axes.images[0].get_array()).reshape(20, 24, channels) for axes in figure.axes]
    np.testing.assert_array_equal(shown[3:], images.images[images.labels == 1][:3])
    assert "20x24 pixels" in title(figure) and "n = 8" in title(figure)


def test_samples_say_where_they_leave_classes_out():
    figure = figures.samples(noise_images([f"c{i}" for i in range(30)], per_class=1, size=(4, 4)), per_class=1)
    assert len(figure.axes) == MOST_NAMED
    assert "first 25 of 30 classes" in title(figure)


def test_a_strip_shows_the_first_of_each_class_in_one_row():
    images = noise_images(("cat", "dog"), per_class=4)
    figure = figures.sample_strip(images, per_class=2)
    assert [axes.get_title() for axes in figure.axes] == ["class cat", "", "class dog", ""]
    shown = [axes.images[0].get_array() for axes in figure.axes]
    np.testing.assert_array_equal(shown, images.images[[0, 2, 1, 3]])


def test_augmentation_stands_beside_the_original():
    images = noise_images().take(np.arange(2))
    views = [255 - images.images, images.images[:, ::-1]]
    figure = figures.augmentation_preview(images, views)
    assert "views of 20x24 pixels" in title(figure)
    assert "views of 8x6 pixels" in title(figures.augmentation_preview(images, [images.images[:, :8, :6]]))
    assert [axes.get_title() for axes in figure.axes[:3]] == ["original", "epoch 1", "epoch 2"]
    np.testing.assert_array_equal(figure.axes[4].images[0].get_array(), 255 - images.images[1])


@pytest.mark.parametrize("channels", [1, 3])
def test_versions_of_the_same_images_stand_below_each_other(channels):
    pixels = noise_images(channels=channels).images[:3]
    figure = figures.versions({"plain": pixels, "upside down": pixels[:, ::-1]}, ["a", "b", "c"], "Mine")
    assert [axes.get_title() for axes in figure.axes[:3]] == ["a", "b", "c"]
    assert [axes.get_ylabel() for axes in figure.axes[::3]] == ["plain", "upside down"]
    shown = [np.asarray(axes.images[0].get_array()).reshape(20, 24, channels) for axes in figure.axes]
    np.testing.assert_array_equal(shown, [*pixels, *pixels[:, ::-1]])
    assert title(figure) == "Mine"
    with pytest.raises(UserError, match="2 headings for versions of 3 and 3 images"):
        figures.versions({"plain": pixels, "again": pixels}, ["a", "b"], "Mine")
    with pytest.raises(UserError, match="2 headings for versions of no images"):
        figures.versions({}, ["a", "b"], "Mine")


def test_spectra_stand_side_by_side_on_the_same_axes_up_to_the_highest_of_a_row():
    frequency = np.array([0.1, 0.3, 0.5, 0.7])
    power = np.arange(8.0).reshape(2, 4)
    figure = figures.spectra(frequency, {"before": power, "after": 10 - power}, ("cat", "dog"), "Mine\nn = 9")
    assert [axes.get_title() for axes in figure.axes] == ["before", "after"]
    drawn = [line.get_ydata().tolist() for axes in figure.axes for line in axes.lines]
    assert drawn == [[0, 1, 2], [4, 5, 6], [10, 9, 8], [6, 5, 4]]
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    assert {"cat", "dog", "class"} <= set(texts(figure))


def test_traces_stand_side_by_side_and_tell_a_noisy_class_from_a_smooth_one():
    rng = np.random.default_rng(0)
    smooth = np.broadcast_to(np.linspace(0, 200, 32)[None, :, None, None], (8, 32, 32, 1))
    noisy = smooth + rng.normal(0, 20, smooth.shape)
    images = np.concatenate([smooth, noisy.clip(0, 255)]).astype(np.uint8)
    images = ImageSet(images, np.repeat([0, 1], 8), np.arange(16).astype(str), ("smooth", "noisy"))
    measured = [trace_statistics(images, "folder", False), trace_statistics(images, "embedded", True)]
    figure = figures.traces(measured)
    assert [axes.get_title() for axes in figure.axes[:2]] == ["folder\nn = 16", "embedded data\nn = 16"]
    curves = {line.get_label(): line.get_ydata() for line in figure.axes[2].lines}
    assert curves["noisy"][-1] > 0.5 > -0.5 > curves["smooth"][-1]
    assert figure.axes[0].lines[0].get_ydata()[-1] > 80
    ends = [line.get_xdata()[-1] for axes in figure.axes[:4] for line in axes.lines if len(line.get_xdata()) > 2]
    assert ends == [0.5] * 6  # of a row: beyond lie the corners of the spectrum
