"""The images of a notebook or a command: from a named folder, or else drawn on the spot."""

from collections.abc import Sequence
from pathlib import Path

from dfclib.datasets.images import Splits
from dfclib.errors import UserError

FASHION_MNIST = "fashion-mnist"


def load(folder: Path | str | None = None, image_size: Sequence[int] | None = None) -> Splits:
    """Load a folder of images in a competition's layout or with a folder per class; None: draw the embedded images.

    image_size: (height, width) in pixels, for images of mixed sizes. Raises UserError with all that is wrong with the
    folder.
    """
    if folder is None:
        if image_size is not None:
            raise UserError(f"image_size {tuple(image_size)} is for a folder of images: name one, or leave it out")
        from dfclib.datasets.generated.animals import make_splits

        return make_splits()
    from dfclib.datasets.folder.loading import load_folder

    return load_folder(Path(folder).expanduser(), None if image_size is None else tuple(image_size))


def load_fashion(data: Path | str | None = None) -> Splits:
    """Load Fashion-MNIST, or make its stand-in: uint8 (n, 28, 28, 1), ten classes.

    Args:
        data: None: generated garments, drawn on the spot (`embedded`, and named "garments"). "fashion-mnist": the
            real images, from Debian's package, Keras's cache or Keras's download. Else a folder with the four files
            (a folder of that very name in the working directory is taken as one, too).

    Raises:
        UserError: naming each file that is missing or wrong, or where the download fails.
    """
    if data is None:
        from dfclib.datasets.generated.garments import make_splits

        return make_splits()
    from dfclib.datasets import fashion_mnist

    anywhere = str(data) == FASHION_MNIST and not Path(data).is_dir()
    return fashion_mnist.load(None if anywhere else data)
