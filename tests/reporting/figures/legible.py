"""What the tests of figures share: images to draw, and whether a figure can be read."""

import itertools

import numpy as np
from fakes import CLASSES
from matplotlib.text import Text

from dfclib.datasets.images import ImageSet, Splits
from dfclib.reporting import figures


def images_of(classes=CLASSES, per_class=6, size=(20, 24), channels=3) -> ImageSet:
    rng = np.random.default_rng(0)
    n = per_class * len(classes)
    images = rng.integers(0, 256, (n, *size, channels)).astype(np.uint8)
    return ImageSet(images, np.arange(n) % len(classes), np.array([f"i{i}" for i in range(n)]), tuple(classes))


def splits_of(embedded=False) -> Splits:
    return Splits("unibuc", images_of(), images_of(per_class=2), embedded=embedded)


def texts(figure) -> list[str]:
    return [t.get_text().replace("\u00a0", " ") for t in figure.findobj(Text) if t.get_text()]


def title(figure) -> str:
    return figure.get_suptitle().replace("\u00a0", " ").replace("\n", " ")


def shown_texts(figure) -> list[Text]:
    """Every text that is drawn: matplotlib keeps labels of ticks beyond the limits without drawing them."""
    beyond = set()
    for axis in itertools.chain.from_iterable((axes.xaxis, axes.yaxis) for axes in figure.axes):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not low <= tick.get_loc() <= high:
                beyond |= {tick.label1, tick.label2}
    found = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [text for text in found if text not in beyond]


def assert_legible(name: str, figure) -> None:
    """No text leaves the page, lies on another or is tiny; no legend lies on a panel."""
    figure.draw_without_rendering()
    boxes = []
    for text in shown_texts(figure):
        assert text.get_fontsize() >= figures.SMALL, f"{name}: {text}"
        box, page = text.get_window_extent(), figure.bbox
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= page.x1 + 1 and box.y1 <= page.y1 + 1
        assert inside, f"{name}: {text.get_text()!r} leaves the page"
        if text.get_rotation() % 90 == 0:  # the box of a slanted text is larger than the text
            boxes.append((text.get_text(), box))
    assert len(boxes) > 5, name
    for (first, a), (second, b) in itertools.combinations(boxes, 2):
        width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert width <= 1 or height <= 2, f"{name}: {first!r} and {second!r} overlap"
    for legend, axes in itertools.product(figure.legends, figure.axes):
        assert not legend.get_window_extent().overlaps(axes.get_window_extent()), name
