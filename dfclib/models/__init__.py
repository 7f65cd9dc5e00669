"""Builders of networks, one file per system.

A builder takes normalised pixels x (n, height, width, channels), the number of classes and, by name, all of a recipe's
`arguments`; it returns float32 logits (n, classes). Softmax belongs to the loss and to evaluation.
"""
