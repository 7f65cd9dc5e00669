"""The answer on top of each notebook: a few sentences whose numbers come from recorded runs and from their authors.

Each function takes recorded runs and the authors' results by recipe, and returns sentences. What came out otherwise
than the story says is said in words, because the words follow the numbers. All raise UserError where a run that they
are about is not recorded.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from dfclib.datasets.traces import NYQUIST, recorded_traces
from dfclib.ensembles import align, hard_vote
from dfclib.errors import UserError
from dfclib.evaluation.comparison import compare, disagreement
from dfclib.evaluation.metrics import per_class, summary
from dfclib.evaluation.published import PublishedResult, compare_with_published, published_vote
from dfclib.predictions import Predictions
from dfclib.recipes import find, flagship
from dfclib.reporting import captions
from dfclib.reporting.rows import best_author, over_seeds, recorded_seeds
from dfclib.runs import Run, took_part
from dfclib.wording import duration, interval, listed, percent, points

Published = Mapping[str, PublishedResult]
HARD = "4"  # the class that the six attempts fight for


def data(runs: Sequence[Run], published: Published) -> list[str]:
    """From the aggregates of the competition's images; no run is needed."""
    measured = [one for one in recorded_traces() if not one["embedded"]]
    if not measured:
        raise UserError("no traces of real images are recorded")
    one, *_ = measured
    frequency, names = np.array(one["frequency"]), one["class_names"]
    shares, power = (np.array(one[key])[..., frequency <= NYQUIST] for key in ("explained", "log_power"))
    apart = np.sqrt(np.mean((power[:, None] - power[None]) ** 2, axis=2))
    first, second = np.unravel_index(np.where(apart == 0, np.inf, apart).argmin(), apart.shape)
    grain, black = np.array(one["residual"]), np.array(one["near_black"])
    fine = frequency[shares.argmax()] > 0.25  # half of the highest along a row
    detail = "fine detail than in coarse shapes" if fine else "coarse shapes than in fine detail"
    finest, darkest = grain.argmax(), black.argmax()
    return [
        f"Of the variance of the images' log power, {percent(shares[0])} lies between the classes at the lowest "
        f"frequency and {percent(shares.max())} at {frequency[shares.argmax()]:.2f} cycles per pixel, where it is "
        f"highest ({sum(one['images']):,} training images of the competition): the classes differ more in {detail}.",
        f"Class {names[finest]} has the most fine grain, {grain.max() / np.median(grain):.1f} times the median of the "
        f"classes; class {names[darkest]} has the most near-black pixels, {percent(black.max())}; the "
        f"median of the classes is {percent(np.median(black))}.",
        f"By their mean power alone, classes {names[first]} and {names[second]} are the most alike.",
    ]


def attempt1(runs: Sequence[Run], published: Published) -> list[str]:
    (run,) = recorded_alike(runs, "attempt1")
    recall, names = per_class(_answers(run))["recall"], run.class_names
    gap = run.metrics["train_accuracy"] - _answers(run).accuracy
    heart = "It learns its images by heart" if gap > 0.1 else "It does not learn its images by heart"
    return [
        f"{heart}: after {_epochs(run)} the baseline is right on {percent(run.metrics['train_accuracy'])} of the "
        f"images that it was trained on, and on {_accuracy(run)} of the {len(_answers(run)):,} validation images.",
        _beside_author(run, published),
        f"Hardest is class {names[recall.argmin()]}, of which it finds {percent(recall.min())}; of class "
        f"{names[recall.argmax()]} it finds {percent(recall.max())}.",
    ]


def attempt2(runs: Sequence[Run], published: Published) -> list[str]:
    before, after = recorded_alike(runs, "attempt1", "attempt2")
    gaps = [points(run.metrics["train_accuracy"] - _answers(run).accuracy) for run in (before, after)]
    return [
        _change(before, after),
        _beside_author(after, published),
        f"Training accuracy less validation accuracy goes from {' to '.join(gaps)} points.",
        _hard_class(before, after, published),
    ]


def attempt3(runs: Sequence[Run], published: Published) -> list[str]:
    (run,) = recorded_alike(runs, "attempt3")
    *files, theirs = published_vote().values()
    ours = hard_vote(files)
    decided = _decided(ours)
    equal = int(np.sum((ours.predicted == theirs.predicted) & decided))
    same = "all" if equal == np.sum(decided) else f"{equal:,}"
    twice = int(np.sum(np.triu(disagreement(files) == 0, k=1)))
    return [
        _vote(run, runs),
        f"The author's own vote can be replayed: {np.sum(decided):,} of his {len(theirs):,} test images have one most "
        f"frequent label, and on {same} of these our vote gives the label that he published.",
        f"His {len(files)} files are {len(files) - twice} voters, {twice} of whom have two votes.",
    ]


def attempt4(runs: Sequence[Run], published: Published) -> list[str]:
    before, after = recorded_alike(runs, "attempt2", "attempt4")
    return [_change(before, after), _beside_author(after, published), _hard_class(before, after, published)]


def attempt5(runs: Sequence[Run], published: Published) -> list[str]:
    before, after = recorded_alike(runs, "attempt4", "attempt5")
    hard = _hard_class(before, after, published)
    return [_change(before, after), _beside_author(after, published), hard, _fluctuation(before, after)]


def attempt6(runs: Sequence[Run], published: Published) -> list[str]:
    first, before, after = recorded_alike(runs, "attempt4", "attempt5", "attempt6")
    (vote,) = recorded_alike(runs, "attempt6-vote")
    return [
        _change(before, after),
        _beside_author(after, published),
        _hard_class(before, after, published),
        _fluctuation(first, before, after),
        _vote(vote, runs),
    ]


def pair(runs: Sequence[Run], published: Published) -> list[str]:
    (vote,) = recorded_alike(runs, "s1-vote")
    one, other = _voters(vote, runs)
    apart = float(disagreement([one, other])[0, 1])
    return [
        _vote(vote, runs),
        f"The two networks answer {percent(apart)} of the images differently.",
        _beside_author(vote, published),
    ]


def cnn_and_mlp(runs: Sequence[Run], published: Published) -> list[str]:
    mlp, cnn = recorded_alike(runs, "s2-mlp", "s2-cnn")
    return [_change(mlp, cnn), _beside_author(cnn, published, "'s CNN"), _beside_author(mlp, published, "'s MLP")]


def seed_ensemble(runs: Sequence[Run], published: Published) -> list[str]:
    (vote,) = recorded_alike(runs, "s3-vote")
    return [_vote(vote, runs), _beside_author(vote, published)]


def fashion(runs: Sequence[Run], published: Published) -> list[str]:
    author, ours = recorded_alike(runs, "s4-author", "s4-ours")
    stated = published["s4-author"]
    return [
        f"The author states {percent(stated.accuracy)} on the {stated.n:,} test images; his network, trained by us for "
        f"{_epochs(author)}, is right on {_accuracy(author)}.",
        _change(author, ours),
    ]


def sprint(runs: Sequence[Run], published: Published) -> list[str]:
    """Of each of our recipes for the competition that is recorded: its seeds together, beside the best rebuilt author.

    A recipe of `recipes.flagship` that is recorded later has sentences of its own here.
    """
    seeds = {recipe.name: recorded_seeds(runs, recipe.name) for recipe in flagship.RECIPES}
    if not any(seeds.values()):
        raise UserError(f"no run of {' or '.join(seeds)} is recorded")
    return [sentence for found in seeds.values() if found for sentence in _own(found, published)]


ANSWERS: dict[str, Callable[[Sequence[Run], Published], list[str]]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        data,
        attempt1,
        attempt2,
        attempt3,
        attempt4,
        attempt5,
        attempt6,
        pair,
        cnn_and_mlp,
        seed_ensemble,
        fashion,
        sprint,
    )
}


def answer(name: str, runs: Sequence[Run], published: Published) -> str:
    """The paragraph of one notebook; where a run that it is about is not recorded, it says which."""
    try:
        return " ".join(filter(None, ANSWERS[name](runs, published)))
    except UserError as error:
        return f"*No answer yet: {error}.*"


def recorded_alike(runs: Sequence[Run], *names: str) -> list[Run]:
    """One run of each recipe in `names`, all at the same scale: full where all are recorded by today's recipes.

    Runs on real images with the published protocol count; of several seeds the lowest. Where today's recipes lack one,
    runs of earlier recipes count too. Raises UserError where a recipe is not recorded at the same scale as the others.
    """
    known = [run for run in runs if not run.data["embedded"] and run.protocol == "published"]
    known = sorted((run for run in known if not run.recipe.given_epochs), key=lambda run: (run.is_current, -run.seed))
    for current in (True, False):
        for scale in ("full", "compact"):
            found = {run.recipe.name: run for run in known if run.scale == scale and run.is_current >= current}
            if all(name in found for name in names):
                return [found[name] for name in names]
    raise UserError(f"not all recorded, or not at one scale: {', '.join(names)}")


def _answers(run: Run) -> Predictions:
    """The predictions that a run is judged by."""
    return run.predictions(run.recipe.reported_split)


def _accuracy(run: Run) -> str:
    result = summary(_answers(run))
    return f"{percent(result['accuracy'])} ({interval(result['low'], result['high'])})"


def _epochs(run: Run) -> str:
    """`10 epochs at full scale`."""
    return f"{captions.epochs(run)} epochs at {captions.scale(run.scale_text)}"


def _aside(run: Run) -> str:
    """`10 epochs, full scale`, for brackets; `_by` says the earlier recipe."""
    scale, *more = run.scale_text.removesuffix(", earlier recipe").split(", ")
    return ", ".join([captions.epochs(run) + ("" if run.members else " epochs"), f"{scale} scale", *more])


def _title(run: Run) -> str:
    """What a sentence calls the run: `attempt 4`, `S2's CNN`, `our own network`."""
    named = {"s4-author": "the author's", "s4-ours": "our own network"}
    return named.get(run.recipe.name, run.recipe.title.partition(":")[0].replace("Attempt", "attempt"))


def _by(runs: Sequence[Run], sentence: str) -> str:
    """The sentence with a capital, begun with `By an earlier recipe` where one of its runs was trained so."""
    sentence = sentence if all(run.is_current for run in runs) else f"by an earlier recipe, {sentence}"
    return sentence[0].upper() + sentence[1:]


def _points(difference: float) -> str:
    return f"{100 * abs(difference):.1f} points"


def _change(before: Run, after: Run) -> str:
    """Whether one run is better than another on the same images, by more than chance explains."""
    found = compare(_answers(before), _answers(after))
    told = f"{points(found['low'])} to {points(found['high'])}"
    change = f"{_points(found['difference'])} {'more' if found['difference'] > 0 else 'fewer'}"
    if found["low"] <= 0 <= found["high"]:
        change += ", a difference that these images cannot tell from none"
    other = _title(before) + (", by an earlier recipe," if after.is_current and not before.is_current else "")
    return _by(
        [after],
        f"{_title(after)} ({_aside(after)}) is right on {_accuracy(after)} of the images, {other} on "
        f"{percent(_answers(before).accuracy)}: {change} (paired interval {told}).",
    )


def _hard_class(before: Run, after: Run, published: Published) -> str:
    """What class 4 gained from one attempt to the next, here and for the author."""

    def recalls(predictions: Sequence[Predictions]) -> str:
        return f"from {' to '.join(percent(_recall(p)) for p in predictions)}"

    ours = recalls([_answers(run) for run in (before, after)])
    theirs = recalls([published[run.recipe.name].predictions() for run in (before, after)])
    found = f"the share of class {HARD} that is found goes {ours}; with the author it went {theirs}."
    return _by([before, after], found)


def _beside_author(run: Run, published: Published, whose: str = "") -> str:
    """Our network against the author's on the same images, as far as matrices tell; whose: `'s CNN`, of several."""
    result, ours = published[run.recipe.name], _answers(run)
    difference = f"{_than_ours(ours.accuracy - result.accuracy)}, {_chance(result, ours)}"
    return f"On the same images the author{whose} reached {percent(result.accuracy)}: {difference}{_shorter(run)}."


def _than_ours(difference: float) -> str:
    """How an author's accuracy stands to ours. difference: ours less the author's, a fraction"""
    return f"{_points(difference)} {'less' if difference > 0 else 'more'} than ours"


def _chance(result: PublishedResult, ours: Predictions) -> str:
    """Whether chance can explain that the author's network and ours differ, as far as matrices tell.

    Raises UserError as `compare_with_published` does.
    """
    found = compare_with_published(result, ours)
    if found["highest_p"] < 0.05:
        return "more than chance explains"
    if found["lowest_p"] >= 0.05:
        return "a difference that chance can explain"
    return "by chance or not, which the author's matrix alone cannot tell"


def _own(runs: Sequence[Run], published: Published) -> list[str]:
    """A recipe of ours: accuracy, beside the best author of the systems rebuilt here, class 4, and time.

    runs: one per seed, as `recorded_seeds` returns them
    """
    judged, several = [_answers(run) for run in runs], len(runs) > 1
    accuracy = over_seeds([one.accuracy for one in judged]) if several else _accuracy(runs[0])
    seeds = f", mean and deviation of {len(runs)} seeds" if several else ""
    told = [f"{_title(runs[0])} ({_aside(runs[0])}) is right on {accuracy} of {len(judged[0]):,} images{seeds}."]
    author = best_author(published, judged[0])
    if author is not None:
        told.append(_beside_best(author, judged))
    if HARD in judged[0].class_names:
        finds = percent(float(np.mean([_recall(one) for one in judged]))) + (" on average" if several else "")
        known = author is not None and author.matrix is not None
        theirs = f", that author {percent(_recall(author.predictions()))}" if known else ""
        told.append(f"Of class {HARD} ours finds {finds}{theirs}.")
    seconds = [run.metrics["seconds"] for run in runs if run.metrics.get("seconds")]
    if seconds:
        took = duration(float(np.mean(seconds))) + (" on average" if len(seconds) > 1 else "")
        told.append(f"Training it took {took} ({listed(list(dict.fromkeys(map(captions.device_name, runs))))}).")
    return told


def _beside_best(author: PublishedResult, judged: Sequence[Predictions]) -> str:
    """The best rebuilt author against the mean of our seeds; chance is asked about for each seed, as matrices allow."""
    best = f"The best author of the systems rebuilt here ({author.recipe}) reached {percent(author.accuracy)} on these"
    apart = float(np.mean([one.accuracy for one in judged])) - author.accuracy
    if abs(apart) < 0.0005:
        return f"{best}: as good as ours to a tenth of a point."
    if author.matrix is None:
        return f"{best}: {_than_ours(apart)}."
    chances = list(dict.fromkeys(_chance(author, one) for one in judged))
    chance = f"{'with each seed ' if len(judged) > 1 else ''}{chances[0]}"
    if len(chances) > 1:
        chance = "which chance can explain or not, depending on the seed"
    return f"{best}: {_than_ours(apart)}, {chance}."


def _recall(predictions: Predictions) -> float:
    """The share of class 4 that is found."""
    return float(per_class(predictions)["recall"][predictions.class_names.index(HARD)])


def _shorter(run: Run) -> str:
    """`; ours was trained for 12 epochs, the author's for 37`: the epochs allowed, where the author's ran for more.

    Of a vote, those of its networks in their order, once where all have the same: `12 and 8 epochs, ... for 150 each`.
    """
    members = zip(find(run.recipe.name).members, run.recipe.members, strict=True)
    both = dict.fromkeys((member.epochs, full.source_epochs or full.epochs) for full, member in members)
    shorter = [(ours, ran) for ours, ran in both if ours < ran]
    if not shorter:
        return ""

    def said(numbers: Sequence[int], unit: str = "") -> str:
        same = len(set(numbers)) == 1
        each = " each" if same and len(numbers) > 1 else ""
        return f"{listed([*map(str, numbers[:1] if same else numbers)])}{unit}{each}"

    ours, theirs = zip(*shorter, strict=True)
    return f"; ours was trained for {said(ours, ' epochs')}, the author's for {said(theirs)}"


def _fluctuation(*runs: Run) -> str:
    """How much validation accuracy jumps from epoch to epoch in the second half of each training, if it has enough."""
    if min(len(run.history) for run in runs) < captions.FEWEST_EPOCHS:
        return ""
    texts = [f"{captions.fluctuation(run)} in {_title(run)}" for run in runs]
    what = "in the second half of training, the typical jump of validation accuracy between epochs is"
    return _by(runs, f"{what} {listed(texts)}.")


def _voters(run: Run, runs: Sequence[Run]) -> list[Predictions]:
    """The predictions of a vote's voters. Raises UserError for voters that are not recorded."""
    by_name = {other.name: other for other in runs}
    missing = [name for name in run.members if name not in by_name]
    if missing:
        raise UserError(f"voters of {run.name} that are not recorded: {', '.join(missing)}")
    return [_answers(by_name[name]) for name in run.members]


def _vote(run: Run, runs: Sequence[Run]) -> str:
    """A vote against its best and its median voter, and what no voter knows, on the same images."""
    voters = _voters(run, runs)
    if not all(took_part(run, other) for other in runs if other.name in run.members):
        text = f"the vote ({_aside(run)}) is right on {_accuracy(run)} of the images."
        return _by([run], f"{text} Voters of it were trained again since.")
    accuracies = [voter.accuracy for voter in voters]
    vote, median, best = _answers(run).accuracy, float(np.median(accuracies)), max(accuracies)
    beside = "above" if vote > best else "below" if vote < best else "away from"
    nobody = float(np.mean(~np.any([voter.correct for voter in align(voters)], axis=0)))
    return _by(
        [run],
        f"the vote ({_aside(run)}) is right on {_accuracy(run)} of the images: {_points(vote - median)} "
        f"{'above' if vote >= median else 'below'} its median voter, {_points(vote - best)} {beside} its best. "
        f"No voter is right on {percent(nobody)} of the images.",
    )


def _decided(vote: Predictions) -> np.ndarray:
    """Which images have one most frequent label: bool (n,)."""
    shares = np.sort(vote.require_probabilities(), axis=1)
    return shares[:, -1] > shares[:, -2]
