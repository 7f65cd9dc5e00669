"""The commands `vote`, `predict` and `submit`: predictions into a CSV file, or images into predictions."""

import sys
from argparse import Namespace
from dataclasses import replace

from dfclib import validation_looks
from dfclib.cli import inputs, output
from dfclib.cli.commands.runs import accuracy_text
from dfclib.cli.inputs import DATA
from dfclib.errors import UserError
from dfclib.recipes.recipe import OURS
from dfclib.wording import text_table


def vote(arguments: Namespace) -> None:
    """Let runs and files of predictions vote."""
    from dfclib import ensembles
    from dfclib.predictions.csv_files import write_predictions

    kind, names = arguments.kind, arguments.members
    if arguments.weights and kind == "hard":
        raise UserError("--weights are for a soft or geometric vote: add --soft or --geometric, or leave them out")
    if arguments.shares and kind != "hard":
        raise UserError(f"--shares are a hard vote's, and a {kind} vote writes its probabilities: leave it out")
    inputs.check_out(arguments.out, names)
    members, split, runs = inputs.read_voters(names, arguments.runs, arguments.split)
    voted = ensembles.vote(kind, members, arguments.weights, arguments.seed, names)
    only_labels = kind == "hard" and not arguments.shares  # what Kaggle takes
    say = output.printer(arguments.out)
    write_predictions(replace(voted, probabilities=None) if only_labels else voted, arguments.out)
    where = f" of the {split} split" if split else ""
    say(f"{kind} vote of {len(members)} over {len(voted):,} images{where}")
    if voted.labels is not None:
        if split == "validation" and any(run.recipe.system == OURS and not run.data["embedded"] for run in runs):
            weights = "" if arguments.weights is None else f", weights {' '.join(map(str, arguments.weights))}"
            text = f"{kind} vote of {' + '.join(names)}{weights}"
            validation_looks.note(arguments.runs, text, "", int(voted.correct.sum()), len(voted))
        say(accuracy_text(voted))
    say(arguments.out)


def predict(arguments: Namespace) -> None:
    """Label images: the class, and one probability per class."""
    from dfclib.cli import images
    from dfclib.predictions.csv_files import write_predictions
    from dfclib.training.inference import check_weights, predict_images

    run, paths = inputs.find_run_for(arguments.run, arguments.paths, arguments.runs)
    if arguments.out:
        inputs.check_out(arguments.out, paths)
    check_weights(run, arguments.runs)  # before thousands of photographs are decoded
    print(f"labelled by {run.name}", file=sys.stderr)
    pictures, problems = images.read_images(paths, run)
    output.import_keras(arguments)
    predictions = predict_images(run, pictures, arguments.mirror)
    if arguments.out:
        say = output.printer(arguments.out)
        write_predictions(predictions, arguments.out)
        say(arguments.out)
    else:
        names, rows = predictions.class_names, []
        for id_, label, shares in zip(predictions.ids, predictions.predicted, predictions.probabilities, strict=True):
            row = {"image": id_, "label": names[label]}
            rows.append(row | {f"p({name})": f"{share:.3f}" for name, share in zip(names, shares, strict=True)})
        print(text_table(rows))
    if problems:  # the labels are out, and whoever asked for all of them is told that these are not all
        lines = "\n  ".join(problems.lines())
        raise UserError(f"{len(pictures):,} images are labelled; left out, {len(problems):,}:\n  {lines}")


def submit(arguments: Namespace) -> None:
    """Write predictions as sample_submission.csv asks for them, and send them where asked."""
    from dfclib.cli import images
    from dfclib.predictions.csv_files import write_predictions
    from dfclib.training.inference import predict_images

    run = inputs.find_run(arguments.run, arguments.runs)
    folder = arguments.data or DATA
    sample = folder / "sample_submission.csv"
    inputs.check_out(arguments.out, [sample])
    predictions, pictures = images.read_test(run, folder, arguments.runs)
    how = "as recorded in the run for these ids; no image was opened"
    if predictions is None:
        how = f"made from the images in {folder}"
        missing = f"{run.name} has no predictions of all these ids: it labels {len(pictures):,} test images"
        print(missing, file=sys.stderr)
        output.import_keras(arguments)
        predictions = predict_images(run, pictures)
    say = output.printer(arguments.out)
    write_predictions(replace(predictions, probabilities=None), arguments.out)
    say(f"{len(predictions):,} predictions of {run.name}, in the order of {sample}: {how}")
    say(arguments.out)
    if arguments.send is not None:
        from dfclib.datasets.kaggle import submit as send

        print(send(arguments.out, arguments.send))
