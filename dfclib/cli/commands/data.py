"""The commands `data check`, `data download` and `data make`: a folder of images."""

import sys
from argparse import Namespace

from dfclib.errors import UserError


def data_check(arguments: Namespace) -> None:
    """Report what is wrong with a folder of images, and what is in it."""
    from dfclib.datasets.folder.check import check_folder

    report, problems = check_folder(arguments.folder)
    print(report)
    if problems:
        raise UserError(f"{arguments.folder} cannot be used as it is: the problems are listed above")


def data_download(arguments: Namespace) -> None:
    """Fetch the competition from Kaggle; given again, go on where it stopped."""
    from dfclib.datasets.kaggle import download

    print(download(arguments.to))


def data_make(arguments: Namespace) -> None:
    """Write the embedded images as a competition's folder."""
    from dfclib.datasets.folder.loading import write_folder
    from dfclib.datasets.generated.animals import make_splits

    given = {name: getattr(arguments, name) for name in ("train", "validation", "test", "seed")}
    splits = make_splits(**{name: value for name, value in given.items() if value is not None})
    write_folder(splits, arguments.folder)
    print("procedural images, not the competition's", file=sys.stderr)
    print(arguments.folder)


def data_traces(arguments: Namespace) -> None:
    """Measure what sets a folder's classes apart, as small aggregates that can be shown without its images."""
    from dfclib.datasets.sources import load
    from dfclib.datasets.traces import record_traces, trace_statistics

    splits = load(arguments.folder)
    print(record_traces(trace_statistics(splits.train, splits.name, splits.embedded), arguments.out))
