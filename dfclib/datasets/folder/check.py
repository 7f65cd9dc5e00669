"""`python -m dfclib data check FOLDER`: the problems of a folder of images, and its images in figures."""

from collections import Counter
from pathlib import Path

import numpy as np

from dfclib.datasets.folder.cache import Pixels
from dfclib.datasets.folder.decoding import IMAGE_SIZE, sizes_text
from dfclib.datasets.folder.duplicates import NEAR, find_duplicates
from dfclib.datasets.folder.loading import read_contents
from dfclib.datasets.images import ImageSet, channel_statistics

CLASSES_LISTED = 20


def check_folder(folder: Path | str) -> tuple[str, list[str]]:
    """(the report, the problems alone, one line each): all that is wrong, and figures of all that can be read.

    Progress goes to standard error.

    Images of mixed sizes are no problem here (a recipe may resize them): they are measured at the commonest size.
    """
    listing, parts, pixels = read_contents(folder, any_size=True)
    problems, notices = listing.problems.lines(), list(listing.notices)
    if len(sum(pixels.sizes.values(), Counter())) > 1:
        notices.append(
            f"the sizes differ: training needs an image size ({IMAGE_SIZE}); "
            "the figures below are of images brought to the commonest size"
        )
    sections = {"Problems" if problems else "No problems found.": problems}
    if notices:
        sections["Notices"] = notices
    measured = {split: part for split, part in parts.items() if len(part)}
    if measured:
        sections["Images"] = _image_lines(measured, pixels)
        counts = {}
        for split in measured:
            if (labels := listing.parts[split].labels) is not None:
                labels = labels[pixels.rows[split]]
                counts[split] = np.bincount(labels[labels >= 0], minlength=len(listing.class_names))
        if counts:
            sections["Classes"] = _class_lines(counts, listing.class_names)
        heading = f"Duplicates (near: perceptual hashes at most {NEAR} of 64 bits apart)"
        sections[heading] = find_duplicates(parts, progress=True).text().splitlines()
    lines = [f"{Path(folder)}: " + (f"layout {listing.layout}" if listing.layout else "layout not recognised")]
    for heading, content in sections.items():
        lines += ["", heading, *(f"  {line}" for line in content)]
    return "\n".join(lines), problems


def _image_lines(parts: dict[str, ImageSet], pixels: Pixels) -> list[str]:
    lines = [f"{'split':<12}{'images':>9}  {'mean (0..255)':<22}{'deviation':<22}width x height, mode"]
    for split, part in parts.items():
        statistics = channel_statistics(part.images)
        mean, deviation = (" ".join(f"{value:.1f}" for value in values) for values in statistics)
        sizes = sizes_text(pixels.sizes[split])
        modes = ", ".join(f"{mode} ({count:,})" for mode, count in pixels.modes[split].most_common())
        lines.append(f"{split:<12}{len(part):>9,}  {mean:<22}{deviation:<22}{sizes}; {modes}")
    return lines


def _class_lines(counts: dict[str, np.ndarray], class_names: tuple[str, ...]) -> list[str]:
    lines = [f"{'class':<20}" + "".join(f"{split:>20}" for split in counts)]
    order = np.arange(len(class_names))
    left_out, half = len(order) - CLASSES_LISTED, CLASSES_LISTED // 2
    if left_out > 0:
        order = np.argsort(-sum(counts.values()), kind="stable")
        order = [*order[:half], *order[-half:]]
        lines[0] += f"   (the {half} largest and smallest; {left_out:,} left out)"
    for label in order:
        name = class_names[label]
        name = name if len(name) < 20 else name[:16] + "..."
        shares = (f"{n[label]:>12,} {n[label] / max(1, n.sum()):>6.1%}" for n in counts.values())
        lines.append(f"{name:<20}" + "".join(f"{share:>20}" for share in shares))
    return lines
