"""S1's training loop as its author has it, in PyTorch; no benchmark itself, but what time_to_accuracy.py measures.

PIL opens each PNG file when it is asked for, rotates, mirrors and distorts it as torchvision draws it; then float32,
batches of 32, Adam with an L2 term. Every number is read from our recipe. Where the author's code leaves a choice, the
faster one was taken.
"""

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dfclib.datasets.folder.listing import Part, read_listing
from dfclib.recipes import Recipe, find
from dfclib.recipes.recipe import Augmentation
from dfclib.training.devices import cores
from dfclib.training.model import IMAGENET

if TYPE_CHECKING:
    import torch


def training(name: str, data: Path | str, workers: int) -> tuple[dict[str, Any], Callable[[], int]]:
    """(number of parameters and device, a function that takes one step and returns its number of images).

    name: of the recipe, s1-v1 or s1-v2; data: the folder of images; workers: processes of the DataLoader, 0: none
    """
    import torch

    recipe, listing = find(name), read_listing(data)
    listing.require_sound()
    torch.set_num_threads(cores())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = PILImages(listing.parts["train"], recipe.augmentation)
    loader = torch.utils.data.DataLoader(images, batch_size=recipe.batch_size, shuffle=True, num_workers=workers)
    batches = itertools.chain.from_iterable(itertools.repeat(loader))  # epoch after epoch
    model = network(recipe, len(listing.class_names)).to(device).train()
    rate = recipe.schedule.learning_rate
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=recipe.weight_decay)
    loss_function = torch.nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)

    def step() -> int:
        pixels, labels = (tensor.to(device) for tensor in next(batches))
        optimizer.zero_grad()
        loss = loss_function(model(pixels), labels)
        loss.backward()
        optimizer.step()
        loss.item()  # which is added up for the epoch's mean
        return len(labels)

    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"parameters": parameters, "device": device}, step


def network(recipe: Recipe, classes: int) -> "torch.nn.Module":
    """S1's network for float32 images (n, 3, height, width); it returns logits (n, classes)."""
    from torch import nn

    given, layers, channels = recipe.arguments, [], 3
    for width in given["filters"]:
        layers += [nn.Conv2d(channels, width, given["kernel"], padding=given["kernel"] // 2), nn.BatchNorm2d(width)]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
        channels = width
    layers += [nn.Dropout2d(given["channel_dropout"]), nn.AdaptiveAvgPool2d(given["pooled"]), nn.Flatten()]
    layers += [nn.Linear(channels * given["pooled"] ** 2, given["units"]), nn.ReLU(), nn.Dropout(given["dropout"])]
    return nn.Sequential(*layers, nn.Linear(given["units"], classes))


class PILImages:
    """A data set for PyTorch's DataLoader: (float32 (3, height, width), class) of one file, augmented by PIL."""

    def __init__(self, part: Part, augmentation: Augmentation) -> None:
        import torch

        self.paths, self.labels, self.augmentation = [file.path for file in part.files], part.labels, augmentation
        self.mean, self.deviation = (torch.tensor(values)[:, None, None] for values in IMAGENET)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> "tuple[torch.Tensor, int]":
        import torch

        with Image.open(self.paths[index]) as file:
            image = file.convert("RGB")
        how = self.augmentation
        image = image.rotate(random.uniform(-how.rotation, how.rotation), Image.Resampling.NEAREST)  # fills with 0
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if random.random() < how.perspective_probability:
            image = distorted(image, how.perspective)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div_(255)
        return pixels.sub_(self.mean).div_(self.deviation), int(self.labels[index])


def distorted(image: Image.Image, distortion: float) -> Image.Image:
    """`image` in perspective: each corner moves inwards by a whole number of pixels, up to distortion * side / 2."""
    width, height = image.size
    most_x, most_y = int(distortion * (width // 2)), int(distortion * (height // 2))
    corners, rows = [(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)], []
    for x, y in corners:  # (u, v) shows what was at (x, y): x = (a u + b v + c) / (g u + h v + 1), y likewise
        u, v = abs(x - random.randint(0, most_x)), abs(y - random.randint(0, most_y))
        rows += [[u, v, 1, 0, 0, 0, -u * x, -v * x], [0, 0, 0, u, v, 1, -u * y, -v * y]]
    coefficients = np.linalg.solve(np.array(rows, float), np.array(corners, float).ravel()).tolist()
    return image.transform(image.size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)
