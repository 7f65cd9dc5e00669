"""Training throughput of sprint's network, data included: Keras as it comes, ours, and plain PyTorch.

    python benchmarks/throughput.py                       # four minutes on two idle cores
    python benchmarks/throughput.py --ways keras ours     # without PyTorch

* keras: BatchNormalization and SGD as Keras has them, compiled by its defaults but for jit_compile; our input pipeline
  and loss.
* ours: as we train, FusedBatchNormalization and deterministic operations included.
* muon: as ours, with sprint's own optimizer, for what it adds to a step. The others take SGD, which all three have.
* pytorch: the same layers, channels last; images in memory as uint8, shifted by whole pixels and mirrored as sprint's.

All normalise and average the weights as sprint does, in bfloat16 where the device has instructions for it,
else in float32. Each runs in a process of its own, in turns over several rounds. PyTorch: pip install torch==2.13.0
"""

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from common import answer, finish, images_per_second, measure_in_turns, parser, require_torch, show, summary

from dfclib.datasets.images import ImageSet
from dfclib.pipelines import batches_per_epoch
from dfclib.recipes import Recipe, find
from dfclib.training.devices import cores, resolve_precision
from dfclib.training.quiet import import_keras

if TYPE_CHECKING:
    import keras
    import torch

CLASSES = 5
WAYS = ("keras", "ours", "pytorch", "muon")


def main() -> None:
    made = parser(__doc__, "throughput")
    made.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="default: all of them")
    made.add_argument("--rounds", type=int, default=7, help="default: 7")
    made.add_argument("--seconds", type=float, default=6.0, help="for each way and round (default: 6)")
    made.add_argument("--images", type=int, default=5_120, help="random ones, in memory (default: 5120)")
    arguments = made.parse_args()
    if "pytorch" in arguments.ways:
        require_torch()
    if arguments.part:
        measure_part(arguments)
        return
    facts, speeds = measure_in_turns(arguments.ways, arguments.rounds)
    parameters = {way: found["parameters"] for way, found in facts.items()}
    if len(set(parameters.values())) > 1:
        sys.exit(f"the networks are not the same, they have {parameters} parameters: is sprint's another one now?")
    rows = {way: summary(values) for way, values in speeds.items()}
    for way, row in rows.items():
        show(way, row, "images/s")
    others = [way for way in speeds if way != "ours" and "ours" in speeds]
    ratios = {way: round(statistics.median(speeds["ours"]) / statistics.median(speeds[way]), 2) for way in others}
    for way, ratio in ratios.items():
        print(f"ours is {ratio:.2f} times as fast as {way} (medians)")
    values = {
        "parameters": parameters,
        "images_per_second": rows,
        "ours_times_as_fast_as": ratios,
    }
    finish(arguments.out, facts[arguments.ways[0]]["precision"], values)


def measure_part(arguments: argparse.Namespace) -> None:
    recipe, precision = find("sprint"), resolve_precision("auto")
    if arguments.part != "muon":
        recipe = replace(recipe, optimizer="sgd", momentum=0.9, nesterov=True, weight_decay=5e-4)
    precision = precision if precision == "mixed_bfloat16" else "float32"
    pixels = np.random.default_rng(0).integers(0, 256, (arguments.images, *recipe.image_size, 3), np.uint8)
    numbers = np.arange(len(pixels))
    images = ImageSet(pixels, numbers % CLASSES, numbers.astype(str), tuple(map(str, range(CLASSES))))
    if arguments.part == "pytorch":
        parameters, step = torch_training(images, recipe, precision == "mixed_bfloat16")
        answer({"precision": precision, "parameters": parameters}, lambda: images_per_second(step, arguments.seconds))
        return
    import_keras()
    from training_speed import speed

    from dfclib.training import trainable_parameters

    model = (keras_as_it_comes if arguments.part == "keras" else ours)(images, recipe, precision)
    facts = {"precision": precision, "parameters": trainable_parameters(model)}
    answer(facts, lambda: speed(model, images, recipe, arguments.seconds))


def ours(images: ImageSet, recipe: Recipe, precision: str) -> "keras.Model":
    import tensorflow as tf

    from dfclib.training.model import compiled_model

    tf.config.experimental.enable_op_determinism()
    return compiled_model(recipe, precision, CLASSES, images)


def keras_as_it_comes(images: ImageSet, recipe: Recipe, precision: str) -> "keras.Model":
    import keras

    from dfclib.models import flagship
    from dfclib.training import build_model, optimisation
    from dfclib.training.devices import jit_compile

    with mock.patch.object(flagship, "FusedBatchNormalization", keras.layers.BatchNormalization):
        model = build_model(replace(recipe, precision=precision), images.channels, CLASSES)
    steps = batches_per_epoch(images, recipe)
    average = {name: getattr(optimisation.optimizer(recipe, steps), name) for name in ("use_ema", "ema_momentum")}
    momentum = {"momentum": recipe.momentum, "nesterov": recipe.nesterov, "weight_decay": recipe.weight_decay}
    rate = optimisation.learning_rate_schedule(recipe, steps)
    optimizer = keras.optimizers.SGD(rate, **momentum, **average)
    # the loss is ours, too: Keras's own takes whole labels without smoothing, or smooths labels that are not whole
    model.compile(optimizer, optimisation.loss(recipe), metrics=["accuracy"], jit_compile=jit_compile())
    return model


def torch_training(images: ImageSet, recipe: Recipe, bfloat16: bool) -> tuple[int, Callable[[], int]]:
    """(number of parameters, a function that takes one step and returns its number of images)."""
    import torch

    torch.set_num_threads(cores())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = torch_network(recipe.arguments).to(device, memory_format=torch.channels_last).train()
    weights = list(model.parameters())
    averaged = [weight.detach().clone() for weight in weights]
    share = 1 / (recipe.average_over * recipe.epochs * batches_per_epoch(images, recipe))
    how = {"momentum": recipe.momentum, "nesterov": recipe.nesterov, "weight_decay": recipe.weight_decay}
    optimizer = torch.optim.SGD(weights, recipe.schedule.learning_rate, **how)
    loss_function = torch.nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    border, (height, width) = recipe.augmentation.shift_pixels, recipe.image_size
    pixels = np.pad(images.images, ((0, 0), (border, border), (border, border), (0, 0)), mode="reflect")
    # windows[i, top, left]: image i from there on, (height, width, channels), in the memory of `pixels`
    windows = torch.from_numpy(pixels).to(device).unfold(1, height, 1).unfold(2, width, 1).permute(0, 1, 2, 4, 5, 3)
    labels = torch.from_numpy(images.labels).to(device)

    def batches() -> Iterator[torch.Tensor]:
        while True:
            yield from torch.randperm(len(labels), device=device).split(recipe.batch_size)

    indices = batches()

    def step() -> int:
        index = next(indices)
        top, left = torch.randint(0, 2 * border + 1, (2, len(index)), device=device)
        batch, mirrored = windows[index, top, left], torch.rand(len(index), device=device) < 0.5
        batch = torch.where(mirrored[:, None, None, None], batch.flip(2), batch).permute(0, 3, 1, 2)
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            loss = loss_function(model(batch), labels[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(averaged, weights, share)
        loss.item()  # a GPU has then done what it was told
        return len(index)

    return sum(weight.numel() for weight in weights), step


def torch_network(arguments: dict[str, Any]) -> "torch.nn.Module":
    """Sprint's network for pixels uint8 (n, 3, height, width); it returns logits (n, 5)."""
    import torch
    from torch import nn

    class ImageAndDetail(nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            x = pixels.float() / 127.5 - 1
            mean = nn.functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
            return torch.cat([x, arguments["high_pass"] * (x - mean)], dim=1)

    layers, channels = [ImageAndDetail()], 6
    for stage in arguments["stages"]:
        for number, width in enumerate(stage):
            layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=False))
            layers += [nn.MaxPool2d(2)] if number == 0 else []
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES))


if __name__ == "__main__":
    main()
