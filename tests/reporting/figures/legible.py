"""The texts of a figure, and whether they can be read."""

import itertools

from matplotlib.text import Text

from dfclib.reporting.figures.style import SMALL


def texts(figure) -> list[str]:
    return [t.get_text().replace("\u00a0", " ") for t in figure.findobj(Text) if t.get_text()]


def title(figure) -> str:
    """The title, and the note at the figure's foot."""
    notes = [text.get_text() for text in figure.texts if text is not figure._suptitle]
    return " ".join([figure.get_suptitle(), *notes]).replace("\u00a0", " ").replace("\n", " ")


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
    """No text leaves the page, lies on another or is tiny; no legend lies on a panel; a title has two lines at most."""
    figure.draw_without_rendering()
    assert figure.get_suptitle().count("\n") < 2, f"{name}: {figure.get_suptitle()!r}"
    boxes = []
    for text in shown_texts(figure):
        assert text.get_fontsize() >= SMALL, f"{name}: {text}"
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
