"""Studies: variants of a recipe, trained on nine tenths of the training images and compared on the tenth held out.

A study is data, a JSON file; Optuna keeps its trials, so that it goes on where it stopped. Validation is not looked at.
"""

import itertools
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dfclib.datasets.images import Splits, held_out_split
from dfclib.errors import Diverged, UserError
from dfclib.files import read_json, write_json
from dfclib.recipes import Recipe, find, from_dict
from dfclib.recipes.reading import read_dataclass
from dfclib.recipes.recipe import check_name
from dfclib.runs import run_name
from dfclib.training.files import find_existing, finish, recipe_file
from dfclib.training.study_results import RESULTS, Outcome, Trained, describe, read_outcomes, write_results

if TYPE_CHECKING:
    import optuna


DIVERGED = "diverged"  # a trial's attribute: what it trained, whose loss became no number


@dataclass(frozen=True)
class Range:
    """Numbers from low to high that a sampler may draw, whole ones where both are whole: 0.0 to 1.0, but 32 to 256.

    log: evenly in their logarithm
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if self.low >= self.high or (self.log and self.low <= 0):
            above = " and above 0, for its logarithm" if self.log else ""
            raise UserError(f"low must be below high{above}, received {self.low} and {self.high}")

    @property
    def is_whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)


@dataclass(frozen=True)
class Study:
    """What is asked, and of which trainings.

    question: a sentence, for the table
    recipe: the name of a single training's recipe, at `scale`, to which `changes` are made first
    changes: new values by dotted field: {"epochs": 16, "augmentation.cutmix": 0.4}
    variants: changes by name, trained in this order, each compared with the first that was trained. A study that has
        begun may be given more of them, and may lose those that still wait
    vary: in place of variants, the values of each field, of which `grid` takes all combinations and `tpe` draws; for
        `tpe` a range {"low": .., "high": .., "log": true} will do, too
    trials: how many combinations `tpe` draws
    seeds: each variant is trained once with each
    minutes: no training begins after so many, and the one at hand stops after its epoch; given again, the study goes on
        (a variant whose loss is no number any more is left out, and not trained again)
    prune: give a variant up after a seed that leaves it below the median of the others so far
    """

    name: str
    question: str
    recipe: str
    scale: Literal["quick", "compact", "full"] = "full"
    changes: dict[str, Any] = field(default_factory=dict)
    variants: dict[str, Any] = field(default_factory=dict)
    vary: dict[str, Any] = field(default_factory=dict)
    sampler: Literal["grid", "tpe"] = "grid"
    trials: int | None = None
    seeds: tuple[int, ...] = (0,)
    minutes: float | None = None
    prune: bool = False

    def __post_init__(self) -> None:
        check_name(self.name, "study name")
        who = f"study {self.name}"
        if bool(self.variants) == bool(self.vary):
            raise UserError(
                f"{who}: give variants or vary, and not both; received {len(self.variants)} and {len(self.vary)}"
            )
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"{who}: seeds must be one or more different numbers, received {list(self.seeds)}")
        if (self.sampler == "tpe") != (self.trials is not None) or (self.trials is not None and self.trials < 1):
            raise UserError(
                f"{who}: tpe needs a number of trials, and grid takes none; received {self.sampler}, {self.trials}"
            )
        for name, values in self.vary.items():
            if isinstance(values, dict) and self.sampler == "tpe":
                read_dataclass(Range, values, f"{who}: vary.{name}")
            elif not isinstance(values, list) or not values:
                raise UserError(f"{who}: vary.{name} must be a list of values, received {json.dumps(values)[:80]}")
        for changes in self.variants.values():
            if not isinstance(changes, dict):
                raise UserError(f"{who}: a variant is an object of changes, received {json.dumps(changes)[:80]}")


def read_study(path: Path | str) -> Study:
    """The study in a JSON file. Raises UserError naming the file and the first field that is unknown, missing or wrong,
    those of its variants included."""
    study = read_dataclass(Study, read_json(path), str(path))
    for changes in _combinations(study):
        variant(study, changes)
    return study


def variant(study: Study, changes: Mapping[str, Any]) -> Recipe:
    """The study's recipe with its own changes and these, by dotted fields, on held-out images alone.

    Its name is the recipe's and a hash of what it trains: the same variant of two studies is trained once.
    """
    recipe = find(study.recipe)
    if not isinstance(recipe, Recipe):
        raise UserError(f"study {study.name}: {study.recipe} is a vote; name a single training's recipe")
    values = replace(recipe, protocol="held_out", reported_split="held_out").at_scale(study.scale).to_dict()
    for dotted, value in {**study.changes, **changes}.items():
        *groups, last = dotted.split(".")
        target = values
        for group in groups:
            target = target.get(group) if isinstance(target, dict) else None
        if not isinstance(target, dict):
            raise UserError(f"study {study.name}: recipe {recipe.name} has no field {dotted}")
        target[last] = value
    made = replace(from_dict(values, where=f"study {study.name}"), title=f"{recipe.title}, a variant", claims={})
    return _named(made, recipe.name)


def _named(recipe: Recipe, base: str = "") -> Recipe:
    """A variant with the name of what it was made of (`base`; else its own, less the hash) and a hash of what it is.

    The hash leaves the name out, and so the seed, which names no variant.
    """
    base = base or recipe.name.rpartition("-")[0]
    fingerprint = replace(recipe, name=base, seed=0).fingerprint
    return replace(recipe, name=f"{base}-{fingerprint[:8]}")


def run_study(
    study: Study, splits: Splits, runs_dir: Path | str, out: Path | str, say: Callable[[str], None] = print
) -> Path:
    """Train what is missing of `study`, write its results after each variant, and return the table's path.

    Args:
        runs_dir: where runs lie, and Optuna's trials in studies.db.
        out: the folder of NAME.results.json and NAME.md. What a file of results that lies there has already, perhaps
            from another machine, is not trained again.

    Raises:
        UserError: as `train` does, and where studies.db or the results are of another study of this name, of other
            images, of the recipe as it was before, or of a variant that this study has not or has otherwise; what was
            trained is kept.
    """
    import optuna
    from optuna.trial import TrialState

    from dfclib.callbacks import OutOfTime

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    Path(runs_dir).mkdir(parents=True, exist_ok=True)
    about = {"data": splits.name, "data_fingerprint": splits.fingerprint, "recipe": variant(study, {}).name}
    about |= {"embedded": True} if splits.embedded else {}
    kept = _open(study, Path(runs_dir), about)
    results = Path(out) / f"{study.name}{RESULTS}"
    if results.exists():
        _take_over(study, kept, read_json(results), about, results)
    _enqueue(study, kept)
    path = write_results(study, _outcomes(kept), about, out, _diverged(kept))
    end = time.monotonic() + 60 * study.minutes if study.minutes else float("inf")
    while time.monotonic() < end and (trial := _next_trial(study, kept)) is not None:
        changes = _suggest(study, trial)
        say(f"{study.name}, trial {trial.number + 1}: {describe(changes)}")
        try:
            accuracy, state = _train_seeds(study, trial, changes, splits, runs_dir, end)
        except OutOfTime as stop:
            say(str(stop))
            break
        except Diverged as error:
            say(str(error))
            trial.set_user_attr(DIVERGED, describe(changes) if study.vary else trial.user_attrs["variant"])
            kept.tell(trial, state=TrialState.FAIL)
        else:
            kept.tell(trial, accuracy, state=state)
        path = write_results(study, _outcomes(kept), about, out, _diverged(kept))
    return path


def _combinations(study: Study) -> list[dict[str, Any]]:
    """The changes of each variant or of each combination of a grid; what a sampler draws from once each, a range's
    ends for all of it."""
    if study.variants:
        return list(study.variants.values())
    values = {name: [v["low"], v["high"]] if isinstance(v, dict) else v for name, v in study.vary.items()}
    if study.sampler == "grid":
        return [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]
    first = {name: among[0] for name, among in values.items()}
    return [first | {name: value} for name, among in values.items() for value in among]


def _settings(study: Mapping[str, Any], about: Mapping[str, str]) -> str:
    """What makes a study the same one, as text. about: its images and its recipe, with their hashes

    The recipe's hash is that of the recipe with the study's changes; variants have hashes of their own.
    """
    left_out = ("question", "minutes", "recipe", "changes", "variants")
    return json.dumps({name: value for name, value in study.items() if name not in left_out} | {"about": about})


def _require_same_variants(study: Study, outcomes: Sequence[Outcome], path: Path | str) -> None:
    """Raise UserError where `path` has a variant that `study` has not, or by whose name it would train another recipe.

    outcomes: what `path` has; a run's name begins with the hash of its recipe
    """
    for outcome in outcomes if study.variants else ():
        changes = study.variants.get(outcome.variant)
        now = "not there" if changes is None else variant(study, changes).name
        for one in outcome.trained:
            if not one.run.startswith(f"{now}-"):
                raise UserError(
                    f"{path}: variant {outcome.variant!r} of study {study.name} was trained as {one.run} and is now "
                    f"{now}: put it back, and give what you change another name"
                )


def _open(study: Study, runs_dir: Path, about: Mapping[str, str]) -> "optuna.Study":
    """Optuna's study of this name, made or found."""
    import optuna

    kept = optuna.create_study(
        study_name=study.name,
        storage=f"sqlite:///{(runs_dir / 'studies.db').resolve()}",
        sampler=optuna.samplers.TPESampler(seed=0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3) if study.prune else optuna.pruners.NopPruner(),
        direction="maximize",
        load_if_exists=True,
    )
    settings = _settings(vars(study), about)
    before = kept.user_attrs.get("settings", settings)
    if before != settings:
        raise UserError(
            f"{runs_dir / 'studies.db'} holds another study called {study.name}, or one of other images or of an "
            f"earlier recipe: give this one another name, or move {runs_dir / 'studies.db'} away, by which no finished "
            f"training is lost. That one was {before}"
        )
    _require_same_variants(study, _outcomes(kept), runs_dir / "studies.db")
    kept.set_user_attr("settings", settings)
    return kept


def _take_over(
    study: Study, kept: "optuna.Study", values: Mapping[str, Any], about: Mapping[str, str], path: Path
) -> None:
    """Add to `kept` what a results file has and it has not. Raises UserError where that is of something else."""
    from optuna.trial import TrialState, create_trial

    if not values["results"]:
        return
    # through JSON, where a tuple is a list
    now, then = json.loads(json.dumps(vars(study))), values["study"]
    if _settings(now, about) != _settings(then, values["about"]):
        raise UserError(
            f"{path} holds results of another study of this name, of other images or of an earlier recipe: give this "
            "one another name, or move that file away"
        )
    found = read_outcomes(values)
    _require_same_variants(study, found, path)
    known = [outcome.parameters for outcome in _outcomes(kept)]
    for outcome in found:
        if outcome.parameters not in known:
            trial = create_trial(
                state=TrialState[outcome.state.upper()],
                value=float(np.mean([one.correct for one in outcome.trained])),
                params={} if study.variants else dict(outcome.parameters),
                distributions=_distributions(study),
                user_attrs=outcome.parameters if study.variants else {},
            )
            trial.set_user_attr("trained", [one.to_json() for one in outcome.trained])
            kept.add_trial(trial)


def _enqueue(study: Study, kept: "optuna.Study") -> None:
    """Let every combination of a grid wait in `kept` that is not there yet."""
    wanted = _combinations(study) if study.vary and study.sampler == "grid" else []
    for changes in wanted:
        kept.enqueue_trial({name: json.dumps(value) for name, value in changes.items()}, skip_if_exists=True)


def _outcomes(kept: "optuna.Study") -> list[Outcome]:
    """The variants that are trained, in the order in which they were."""
    from optuna.trial import TrialState

    found = []
    for trial in kept.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
        name = trial.user_attrs.get("variant")
        parameters = {"variant": name} if name else trial.params
        asked = name or describe({k: _value(v) for k, v in trial.params.items()})
        trained = [Trained.from_json(one) for one in trial.user_attrs["trained"]]
        found.append(Outcome(asked, parameters, trial.state.name.lower(), trained))
    return found


def _diverged(kept: "optuna.Study") -> list[str]:
    """The variants whose loss became no number."""
    return [trial.user_attrs[DIVERGED] for trial in kept.get_trials(deepcopy=False) if DIVERGED in trial.user_attrs]


def _distributions(study: Study) -> "dict[str, optuna.distributions.BaseDistribution]":
    """What Optuna draws from, by parameter; lists, too, are values: it takes them as text.

    Nothing for variants: a trial's attribute names the one it trains, so that there may be more of them later.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found = {}
    for name, values in study.vary.items():
        if isinstance(values, dict):
            among = Range(**values)
            kind = IntDistribution if among.is_whole else FloatDistribution
            found[name] = kind(among.low, among.high, log=among.log)
        else:
            found[name] = CategoricalDistribution([json.dumps(value) for value in values])
    return found


def _next_trial(study: Study, kept: "optuna.Study") -> "optuna.Trial | None":
    """The trial that a stopped or killed process was at, else one that waits or that the sampler draws; else None."""
    from optuna.trial import Trial, TrialState

    for trial in kept.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if study.vary or trial.user_attrs.get("variant") in study.variants:
            return Trial(kept, trial._trial_id)  # Optuna has no public way back to a trial
        kept.tell(trial.number, state=TrialState.FAIL)  # the study has lost this variant since
    if study.variants:
        done = {outcome.variant for outcome in _outcomes(kept)} | set(_diverged(kept))
        missing = [name for name in study.variants if name not in done]
        if not missing:
            return None
        trial = kept.ask()
        trial.set_user_attr("variant", missing[0])
        return trial
    if study.sampler == "tpe":
        return kept.ask() if len(_outcomes(kept)) + len(_diverged(kept)) < study.trials else None
    done = [outcome.variant for outcome in _outcomes(kept)]
    while kept.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        trial = kept.ask()
        if describe(_suggest(study, trial)) not in done:
            return trial
        kept.tell(trial, state=TrialState.FAIL)  # a results file has brought it since it was made to wait
    return None


def _suggest(study: Study, trial: "optuna.Trial") -> dict[str, Any]:
    """The changes that a trial asks for."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    drawn = {}
    for name, among in _distributions(study).items():
        if isinstance(among, CategoricalDistribution):
            drawn[name] = trial.suggest_categorical(name, among.choices)
        else:
            suggest = trial.suggest_int if isinstance(among, IntDistribution) else trial.suggest_float
            drawn[name] = suggest(name, among.low, among.high, log=among.log)
    if study.variants:
        return study.variants[trial.user_attrs["variant"]]
    return {name: _value(value) for name, value in drawn.items()}


def _train_seeds(
    study: Study, trial: "optuna.Trial", changes: dict[str, Any], splits: Splits, runs_dir: Path | str, end: float
) -> "tuple[float, optuna.trial.TrialState]":
    """(mean accuracy on held-out images, whether all seeds were trained): one run per seed, named in the trial."""
    from optuna.trial import TrialState

    from dfclib.callbacks import OutOfTime, TimeLimit
    from dfclib.training import train

    recipe, trained = variant(study, changes), []
    for number, seed in enumerate(study.seeds):
        if number and time.monotonic() > end:
            raise OutOfTime(f"{recipe.name}: {number} of {len(study.seeds)} seeds trained")
        limit = TimeLimit(lambda: time.monotonic() > end)
        seeded = recipe.with_options(seed=seed)
        _predict_otherwise(seeded, splits, Path(runs_dir))
        trained.append(Trained.of(train(seeded, splits, runs_dir, callbacks=[limit])))
        accuracy = float(np.mean([one.correct for one in trained]))
        trial.set_user_attr("trained", [one.to_json() for one in trained])
        trial.report(accuracy, step=number)
        if number + 1 < len(study.seeds) and trial.should_prune():
            return accuracy, TrialState.PRUNED
    return accuracy, TrialState.COMPLETE


def _predict_otherwise(recipe: Recipe, splits: Splits, runs_dir: Path) -> None:
    """Make the run of `recipe` from a finished one whose training is the same and whose predictions alone are made
    otherwise, where there is such: nothing need be trained."""
    from dfclib.training.inference import load_network
    from dfclib.training.model import predict

    path = runs_dir / run_name(recipe, splits.name)
    other = _named(replace(recipe, mirror_averaged=not recipe.mirror_averaged))
    twin = find_existing(runs_dir / run_name(other, splits.name), other, splits)
    if path.exists() or twin is None or not twin.is_finished or not twin.model_path.exists():
        return
    held_out = predict(load_network(twin), held_out_split(splits.train)[1], recipe)
    path.mkdir()
    for name in ("history.csv", "model.keras"):
        shutil.copyfile(twin.path / name, path / name)
    write_json(path / "recipe.json", recipe_file(recipe, splits, path.name, twin.environment))
    finish(path, recipe, splits, {"held_out": held_out}, {k: v for k, v in twin.metrics.items() if k != "held_out"})


def _value(parameter: Any) -> Any:
    return json.loads(parameter) if isinstance(parameter, str) else parameter
