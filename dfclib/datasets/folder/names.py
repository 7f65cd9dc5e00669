"""What files and folders are called: which are images, which are splits, and which nobody put there on purpose."""

import os

SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {  # in any case: a folder's name, or a CSV file's without extension
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp")
OTHER_IMAGES = (".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif")  # images, but we do not read them


def is_shown(name: str) -> bool:
    """Whether a name is neither hidden nor what macOS leaves in archives."""
    return not name.startswith(".") and name != "__MACOSX"


def is_image(name: str) -> bool:
    return is_shown(name) and _extension(name) in EXTENSIONS


def is_other_image(name: str) -> bool:
    return is_shown(name) and _extension(name) in OTHER_IMAGES


def named_splits(names: list[str]) -> dict[str, list[str]]:
    """Those of `names` that a split may have, by split, its own name first: {"validation": ["val"]}."""
    found = {split: [name for name in names if name.lower() in known] for split, known in SPLIT_NAMES.items()}
    return {split: sorted(found[split], key=lambda name: name != split) for split in SPLITS if found[split]}


def _extension(name: str) -> str:
    return os.path.splitext(name)[1].lower()
