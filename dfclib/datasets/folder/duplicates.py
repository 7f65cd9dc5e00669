"""Images that stand twice in a data set: with identical pixels, or nearly (re-encoded, resized, brightened).

Near duplicates are found by a perceptual hash (imagehash's pHash): 64 bits, one for each low frequency of the image,
which is set where the frequency lies above the median. Images whose hashes differ in few bits look alike.
"""

import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dfclib.datasets.images import ImageSet

# Measured on 200 images of the competition: saving as JPEG (quality 75), halving the size and noise of
# deviation 8 moved 99% of the hashes by at most 2 bits, brightening by a fifth 98% of them by at most 4,
# while the closest two of 14,250 images lie 6 apart (seen by eye: scenes of one composition, often by one
# generator, not copies).
NEAR = 4
FLAT = 2.0  # grey deviation in 0..255 below which an image has no structure to hash
BLOCK = 512  # hashes compared with all others at once: 512 x 14,250 distances take some 60 MB
MOST_LISTED = 1000  # pairs that are listed one by one; all are counted


@dataclass(frozen=True)
class Duplicates:
    """Pairs of duplicates, and how many there are.

    pairs: one line per pair, exact ones first, then by distance; the first thousand
    counts: {(split, split): (exact pairs, near pairs)}; m copies of one image are m - 1 pairs with the first
    """

    pairs: list[str]
    counts: dict[tuple[str, str], tuple[int, int]]

    def text(self, limit: int = 10) -> str:
        """A table of counts, and the first `limit` pairs."""
        lines = [f"{'between':<26}{'exact':>8}{'near':>8}"]
        for (one, other), (exact, near) in self.counts.items():
            name = f"within {one}" if one == other else f"{one} and {other}"
            lines.append(f"{name:<26}{exact:>8,}{near:>8,}")
        lines += self.pairs[:limit]
        total = sum(map(sum, self.counts.values()))
        if total > limit:
            lines.append(f"and {total - limit:,} more")
        return "\n".join(lines)


def perceptual_hashes(images: Sequence[np.ndarray], progress: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Hash images, each uint8 (h, w, 1 or 3): uint64 (n,), and bool (n,), True where there is too little to compare."""
    import imagehash
    from PIL import Image
    from tqdm import tqdm

    hashes, flat = np.zeros(len(images), np.uint64), np.zeros(len(images), bool)
    for i, pixels in enumerate(tqdm(images, desc="hashing", unit="image", disable=not progress, leave=False)):
        grey = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("L")
        flat[i] = np.asarray(grey).std() < FLAT
        hashes[i] = np.packbits(imagehash.phash(grey).hash).view(">u8")[0]
    return hashes, flat


def near_pairs(hashes: np.ndarray) -> np.ndarray:
    """All pairs of hashes uint64 (n,) at most NEAR bits apart: int64 (m, 3), rows (i, j, bits), i < j.

    Compares all with all, in blocks: about 1 s for 14,250 hashes on one core, and four times that for twice as many.
    """
    found = [np.empty((0, 3), np.int64)]
    for start in range(0, len(hashes), BLOCK):
        rest = hashes[start:]
        distance = np.bitwise_count(rest[:BLOCK, None] ^ rest[None, :])
        i, j = np.nonzero(np.triu(distance <= NEAR, k=1))
        found.append(np.stack([i + start, j + start, distance[i, j].astype(np.int64)], axis=1))
    return np.concatenate(found)


def find_duplicates(parts: Mapping[str, ImageSet], progress: bool = False) -> Duplicates:
    """Find pairs of images with the same pixels, and pairs whose hashes differ in at most NEAR bits.

    The sets may have any sizes, grey and colour mixed. Mirrored, cropped or turned copies are not found: their hashes
    differ. progress: show a bar on standard error
    """
    places = [
        (name, str(id_), None if part.labels is None else part.class_names[part.labels[i]])
        for name, part in parts.items()
        for i, id_ in enumerate(part.ids)
    ]
    images = [pixels for part in parts.values() for pixels in part.images]
    exact = _exact_pairs(images)
    hashes, left_out = perceptual_hashes(images, progress)
    # without copies: a thousand equal images would be half a million near pairs
    left_out[exact[:, 1]] = True
    rows = np.flatnonzero(~left_out)
    near = near_pairs(hashes[rows])
    near[:, :2] = rows[near[:, :2]]
    pairs = np.concatenate([exact, near[np.argsort(near[:, 2], kind="stable")]]).tolist()
    found = Counter((places[i][0], places[j][0], bits < 0) for i, j, bits in pairs)
    between = itertools.combinations_with_replacement(parts, 2)
    counts = {(one, other): (found[one, other, True], found[one, other, False]) for one, other in between}
    return Duplicates([_in_words(places[i], places[j], bits) for i, j, bits in pairs[:MOST_LISTED]], counts)


def _in_words(first: tuple[str, str, str | None], second: tuple[str, str, str | None], bits: int) -> str:
    """Name two duplicates, each (split, id, label or None); bits: how many of their hashes' differ, -1: same pixels."""
    names = (f"{split} {id_}" + ("" if label is None else f" ({label})") for split, id_, label in (first, second))
    how = "identical pixels" if bits < 0 else f"{bits} of 64 bits differ"
    contradiction = ", but different labels" if None not in (first[2], second[2]) and first[2] != second[2] else ""
    return f"{' and '.join(names)}: {how}{contradiction}"


def _exact_pairs(images: Sequence[np.ndarray]) -> np.ndarray:
    """Pairs of images with the same pixels: int64 (m, 3), rows (first, copy, -1)."""
    first: dict[bytes, int] = {}
    found = []
    for row, pixels in enumerate(images):
        shape = str(pixels.shape).encode()
        digest = hashlib.blake2b(shape + np.ascontiguousarray(pixels).tobytes(), digest_size=16).digest()
        if first.setdefault(digest, row) != row:
            found.append((first[digest], row, -1))
    return np.array(found, np.int64).reshape(-1, 3)
