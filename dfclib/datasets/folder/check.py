"""`python -m dfclib data check FOLDER`: the problems of a folder of images, and its images in figures."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dfclib.datasets.folder.decoding import IMAGE_SIZE, sizes_text
from dfclib.datasets.folder.duplicates import NEAR, Duplicates, find_duplicates
from dfclib.datasets.folder.loading import read_contents
from dfclib.datasets.images import channel_statistics

CLASSES_LISTED = 20


@dataclass(frozen=True)
class SplitFacts:
    """One split in figures.

    images: how many could be read
    class_counts: int64 (k,) without unclear labels, or None for a split without labels
    mean, deviation: a number per channel over all pixels, on the scale 0..255
    """

    images: int
    class_counts: np.ndarray | None
    sizes: Counter
    modes: Counter
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


@dataclass(frozen=True)
class Report:
    """The result of check_folder. problems: one line each; duplicates: None where there are no images."""

    folder: Path
    layout: str | None
    problems: list[str]
    notices: list[str]
    class_names: tuple[str, ...] = ()
    splits: dict[str, SplitFacts] = field(default_factory=dict)
    duplicates: Duplicates | None = None

    def text(self) -> str:
        """The report as it is printed."""
        sections = {"Problems" if self.problems else "No problems found.": self.problems}
        if self.notices:
            sections["Notices"] = self.notices
        if self.splits:
            sections["Images"] = self._images()
        if any(facts.class_counts is not None for facts in self.splits.values()):
            sections["Classes"] = self._classes()
        if self.duplicates is not None:
            heading = f"Duplicates (near: perceptual hashes at most {NEAR} of 64 bits apart)"
            sections[heading] = self.duplicates.text().splitlines()
        lines = [f"{self.folder}: " + (f"layout {self.layout}" if self.layout else "layout not recognised")]
        for heading, content in sections.items():
            lines += ["", heading, *(f"  {line}" for line in content)]
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
        order = np.arange(len(self.class_names))
        left_out, half = len(order) - CLASSES_LISTED, CLASSES_LISTED // 2
        if left_out > 0:
            order = np.argsort(-sum(counted.values()), kind="stable")
            order = [*order[:half], *order[-half:]]
            lines[0] += f"   (the {half} largest and smallest; {left_out:,} left out)"
        for label in order:
            name = self.class_names[label]
            name = name if len(name) < 20 else name[:16] + "..."
            shares = (f"{n[label]:>12,} {n[label] / max(1, n.sum()):>6.1%}" for n in counted.values())
            lines.append(f"{name:<20}" + "".join(f"{share:>20}" for share in shares))
        return lines


def check_folder(folder: Path | str, progress: bool = True) -> Report:
    """Find everything that is wrong with a folder, and measure all that can be read; progress on standard error.

    Images of mixed sizes are no problem here (a recipe may resize them): they are measured at the commonest size.
    """
    contents = read_contents(folder, None, progress, any_size=True)
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
            statistics = channel_statistics(part.images, if_constant=0.0)
            splits[split] = SplitFacts(len(part), counts, sizes, modes, *statistics)
    duplicates = find_duplicates(contents.parts, progress) if splits else None
    problems = listing.problems.lines()
    return Report(Path(folder), listing.layout, problems, notices, listing.class_names, splits, duplicates)
