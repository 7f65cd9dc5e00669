"""Where a notebook's images come from: a folder that somebody names, or else the embedded set."""

from pathlib import Path

from dfclib.datasets.images import Splits


def load(folder: Path | str | None = None, image_size: tuple[int, int] | None = None) -> Splits:
    """The images of `folder` (a competition's, or any of its shape); None: the embedded ones, made on the spot.

    image_size: height and width in pixels, for a folder with images of mixed sizes
    Raises UserError with everything that is wrong with the folder.
    """
    if folder is None:
        from dfclib.datasets.synthetic import make_splits

        return make_splits()
    from dfclib.datasets.competition import load_folder

    return load_folder(Path(folder).expanduser(), image_size=image_size)


def default_scale(splits: Splits) -> str:
    """What two CPU cores can train while somebody reads on: quick on embedded images, compact on real ones."""
    return "quick" if splits.embedded else "compact"
