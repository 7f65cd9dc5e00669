"""`python -m dfclib data check FOLDER`: what is wrong with a folder of images, and what is in it."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dfclib.datasets.folder.decoding import IMAGE_SIZE, sizes_text
from dfclib.datasets.folder.duplicates import NEAR, Duplicates, find_duplicates
from dfclib.datasets.folder.loading import read_contents
from dfclib.datasets.images import ImageSet

CLASSES_LISTED = 20
CHUNK = 256  # images a histogram: bincount makes eight bytes of each


@dataclass(frozen=True)
class SplitFacts:
    """One split in figures.

    images: how many could be read
    class_counts: int64 (k,) without unclear labels, or None for a split without labels
    mean, deviation: float64 (channels,) over all pixels, values 0..255
    """

    images: int
    class_counts: np.ndarray | None
    sizes: Counter
    modes: Counter
    mean: np.ndarray
    deviation: np.ndarray


@dataclass(frozen=True)
class Report:
    """What check_folder found. problems: a line each; duplicates: None where there are no images."""

    folder: Path
    layout: str | None
    problems: list[str]
    notices: list[str]
    class_names: tuple[str, ...] = ()
    splits: dict[str, SplitFacts] = field(default_factory=dict)
    duplicates: Duplicates | None = None

    def text(self) -> str:
        """The report as it is printed."""
        lines = [f"{self.folder}: " + (f"layout {self.layout}" if self.layout else "layout not recognised")]
        lines += ["", "Problems" if self.problems else "No problems found."]
        lines += [f"  {problem}" for problem in self.problems]
        if self.notices:
            lines += ["", "Notices", *(f"  {notice}" for notice in self.notices)]
        if self.splits:
            lines += ["", "Images", *(f"  {line}" for line in self._images())]
        if any(facts.class_counts is not None for facts in self.splits.values()):
            lines += ["", "Classes", *(f"  {line}" for line in self._classes())]
        if self.duplicates is not None:
            lines += [
                "",
                f"Duplicates (near: perceptual hashes at most {self.duplicates.threshold} of 64 bits apart)",
            ]
            lines += [f"  {line}" for line in self.duplicates.text().splitlines()]
        return "\n".join(lines)

    def _images(self) -> list[str]:
        lines = [f"{'split':<12}{'images':>9}  {'mean (0..255)':<22}{'deviation':<22}width x height, mode"]
        for split, facts in self.splits.items():
            mean, deviation = (" ".join(f"{value:.1f}" for value in values) for values in (facts.mean, facts.deviation))
            modes = ", ".join(f"{mode} ({count:,})" for mode, count in facts.modes.most_common())
            lines.append(f"{split:<12}{facts.images:>9,}  {mean:<22}{deviation:<22}{sizes_text(facts.sizes)}; {modes}")
        return lines

    def _classes(self) -> list[str]:
        counted = {split: facts.class_counts for split, facts in self.splits.items() if facts.class_counts is not None}
        lines = [f"{'class':<20}" + "".join(f"{split:>20}" for split in counted)]
        order = range(len(self.class_names))
        left_out = len(order) - CLASSES_LISTED
        if left_out > 0:
            total = sum(counted.values())
            order = np.argsort(-total, kind="stable")
            order = [*order[: CLASSES_LISTED // 2], *order[-CLASSES_LISTED // 2 :]]
            lines[0] += f"   (the {CLASSES_LISTED // 2} largest and smallest; {left_out:,} left out)"
        for label in order:
            name = self.class_names[label]
            name = name if len(name) < 20 else name[:16] + "..."
            shares = (f"{n[label]:>12,} {n[label] / max(1, n.sum()):>6.1%}" for n in counted.values())
            lines.append(f"{name:<20}" + "".join(f"{share:>20}" for share in shares))
        return lines


def check_folder(
    folder: Path | str,
    cache_dir: Path | str | None = None,
    progress: bool = True,
    max_gigabytes: float | None = None,
    threshold: int = NEAR,
) -> Report:
    """Find everything that is wrong with a folder, and measure what can be read; progress on standard error.

    threshold: largest distance in bits of two perceptual hashes that makes a near duplicate. Images of mixed
    sizes are no problem here (a recipe may resize them): they are measured at the commonest size.
    """
    contents = read_contents(folder, None, cache_dir, progress, max_gigabytes, any_size=True)
    listing = contents.listing
    notices = list(listing.notices)
    if len(sum(contents.sizes.values(), Counter())) > 1:
        notices.append(
            f"the sizes differ: training needs an image size ({IMAGE_SIZE}); "
            "the figures below are of images brought to the commonest size"
        )
    splits = {}
    for split, part in contents.parts.items():
        if len(part):
            counts = contents.class_counts.get(split)
            sizes, modes = contents.sizes[split], contents.modes[split]
            splits[split] = SplitFacts(len(part), counts, sizes, modes, *channel_statistics(part))
    duplicates = find_duplicates(contents.parts, threshold, progress) if splits else None
    return Report(
        Path(folder),
        listing.layout,
        listing.problems.lines(),
        notices,
        listing.class_names,
        splits,
        duplicates,
    )


def channel_statistics(part: ImageSet) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each channel over all pixels: two float64 (channels,), values 0..255."""
    histogram = np.zeros((part.channels, 256), np.int64)  # exact, whatever the number of pixels
    for start in range(0, len(part), CHUNK):
        chunk = part.images[start : start + CHUNK]
        for channel in range(part.channels):
            histogram[channel] += np.bincount(chunk[..., channel].ravel(), minlength=256)
    weights = histogram / histogram.sum(axis=1, keepdims=True)
    values = np.arange(256)
    mean = weights @ values
    return mean, np.sqrt(np.maximum(weights @ values**2 - mean**2, 0))
