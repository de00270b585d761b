"""Reference values of Inception-v3's pool_3 feature in the FID's variant: runs the classes of torchvision's
own source (models/inception.py, which is only read) on a few numpy layers in float64, and writes
inception.json beside this file. Weights and picture are filled by the counter generator of the other
golden numbers, so none have to be stored.

Usage: python tests/golden/inception.py SITE_PACKAGES/torchvision/models/inception.py
"""

import json
import math
import pathlib
import re
import sys
import types
import typing

import numpy

HEIGHT, WIDTH, STEP = 64, 32, 16


def name_key(name):
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001B3 & ((1 << 64) - 1)
    return key


def uniform(name, shape):
    with numpy.errstate(over="ignore"):
        step = numpy.arange(1, math.prod(shape) + 1, dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15)
        z = numpy.uint64(name_key(name)) + step
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = (z ^ (z >> numpy.uint64(31))) >> numpy.uint64(40)
    return (z.astype(numpy.float64) / (1 << 24)).reshape(shape)


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def windows(x, kernel, stride, padding, fill):
    """(C, H, W) -> (C, rows, columns, H', W'): what every place of the output sees."""
    (rows, columns), (down, across), (top, left) = pair(kernel), pair(stride), pair(padding)
    x = numpy.pad(x, ((0, 0), (top, top), (left, left)), constant_values=fill)
    seen = numpy.lib.stride_tricks.sliding_window_view(x, (rows, columns), axis=(1, 2))
    return seen[:, ::down, ::across].transpose(0, 3, 4, 1, 2)


class Module:
    def __init__(self):
        pass

    def __call__(self, x):
        return self.forward(x)

    def fill(self, prefix):
        for name, child in vars(self).items():
            if isinstance(child, Module):
                child.fill(f"{prefix}{name}.")


class Conv2d(Module):
    def __init__(self, inside, outside, kernel_size, stride=1, padding=0, bias=True):
        assert not bias
        self.shape = (outside, inside, *pair(kernel_size))
        self.stride, self.padding = stride, padding

    def fill(self, prefix):
        values = 2 * uniform(prefix + "weight", self.shape) - 1
        self.weight = values * math.sqrt(6 / math.prod(self.shape[1:]))

    def forward(self, x):
        seen = windows(x, self.shape[2:], self.stride, self.padding, 0.0)
        return numpy.tensordot(self.weight, seen, axes=([1, 2, 3], [0, 1, 2]))


class BatchNorm2d(Module):
    def __init__(self, channels, eps):
        self.channels, self.eps = channels, eps

    def fill(self, prefix):
        draw = lambda name: uniform(prefix + name, (self.channels, 1, 1))
        self.scale, self.variance = 0.75 + 0.5 * draw("weight"), 0.75 + 0.5 * draw("running_var")
        self.shift, self.mean = 0.2 * draw("bias") - 0.1, 0.2 * draw("running_mean") - 0.1

    def forward(self, x):
        return (x - self.mean) / numpy.sqrt(self.variance + self.eps) * self.scale + self.shift


def max_pool2d(x, kernel_size, stride, padding=0):
    return windows(x, kernel_size, stride, padding, -numpy.inf).max(axis=(1, 2))


def avg_pool2d(x, kernel_size, stride, padding):
    """With padding left out of the mean, or by maximum: the two changes that make the FID's variant."""
    if POOLS["maximum"]:
        return max_pool2d(x, kernel_size, stride, padding)
    return numpy.nanmean(windows(x, kernel_size, stride, padding, numpy.nan), axis=(1, 2))


POOLS = {"maximum": False}
NAMESPACE = {
    "nn": types.SimpleNamespace(Module=Module, Conv2d=Conv2d, BatchNorm2d=BatchNorm2d),
    "F": types.SimpleNamespace(
        relu=lambda x, inplace: numpy.maximum(x, 0), max_pool2d=max_pool2d, avg_pool2d=avg_pool2d
    ),
    "torch": types.SimpleNamespace(cat=lambda parts, axis: numpy.concatenate(parts, axis - 1)),
    "Tensor": numpy.ndarray,
    **{name: getattr(typing, name) for name in ("Any", "Callable", "List", "Optional")},
}


def blocks(source):
    """The network's named layers in order: the stem's and the mixed ones, from the source's constructor."""
    for name in ("BasicConv2d", *(f"Inception{letter}" for letter in "ABCDE")):
        exec(re.search(rf"^class {name}\(.*?(?=^class |\Z)", source, re.M | re.S).group(), NAMESPACE)
    alias = {"conv_block": "BasicConv2d", **{f"inception_{x}": f"Inception{x.upper()}" for x in "abcde"}}
    network = re.search(r"^class Inception3\(.*?(?=^class )", source, re.M | re.S).group()
    for name, kind, arguments in re.findall(r"self\.((?:Conv2d|Mixed)_\w+) = (\w+)\((.*?)\)\n", network):
        yield name, eval(f"{alias[kind]}({arguments})", NAMESPACE)


def resized(x, side):
    """Bilinear, corners not aligned, borders repeated."""

    def weights(size):
        place = numpy.clip((numpy.arange(side) + 0.5) * size / side - 0.5, 0, None)
        low = numpy.minimum(numpy.floor(place).astype(int), size - 1)
        high = numpy.minimum(low + 1, size - 1)
        matrix = numpy.zeros((side, size))
        numpy.add.at(matrix, (numpy.arange(side), low), 1 - (place - low))
        numpy.add.at(matrix, (numpy.arange(side), high), place - low)
        return matrix

    return numpy.einsum("ai,cij,bj->cab", weights(x.shape[1]), x, weights(x.shape[2]))


x = resized(uniform("picture", (3, HEIGHT, WIDTH)), 299) * 2 - 1
for name, block in blocks(pathlib.Path(sys.argv[1]).read_text()):
    POOLS["maximum"] = name == "Mixed_7c"
    block.fill(f"{name}.")
    x = block(x)
    if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
        x = max_pool2d(x, 3, 2)
feature = x.mean(axis=(1, 2))
assert feature.shape == (2048,)
record = {
    "height": HEIGHT,
    "width": WIDTH,
    "step": STEP,
    "feature": [float(f"{value:.8g}") for value in feature[::STEP]],
}
path = pathlib.Path(__file__).with_name("inception.json")
path.write_text(json.dumps(record, indent=1) + "\n")
print(feature.min(), feature.mean(), feature.max())
