"""The golden fill: what every weight and every input is, from its name alone."""

import math

import numpy as np
import torch
from torch import Tensor, nn

_GOLDEN_RATIO = 0x9E3779B97F4A7C15


def name_key(name: str) -> int:
    """FNV-1a, 64 bits, of the UTF-8 name."""
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return key


def unit(name: str, count: int) -> np.ndarray:
    """`u(name, 0..count)` in [0, 1): splitmix64 over the name's key, the upper 24 bits."""
    index = np.arange(1, count + 1, dtype=np.uint64)
    z = np.uint64(name_key(name)) + index * np.uint64(_GOLDEN_RATIO)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float64) / 2**24


def filled(name: str, shape, off: float, amp: float) -> Tensor:
    """A float64 tensor of `off + amp * (2u - 1)` rounded to float32, in row-major order."""
    values = off + amp * (2 * unit(name, math.prod(shape)) - 1)
    return torch.from_numpy(values.astype(np.float32).astype(np.float64)).reshape(tuple(shape))


def filled_variable(name: str, shape) -> Tensor:
    """The value of the parameter or buffer called `name`."""
    last = name.rsplit(".", 1)[-1]
    if len(shape) >= 2:
        return filled(name, shape, 0.0, math.sqrt(6 / math.prod(shape[1:])))
    if last in ("weight", "gamma", "running_var"):
        return filled(name, shape, 1.0, 0.1)
    return filled(name, shape, 0.0, 0.05)


@torch.no_grad()
def fill(prefix: str, net: nn.Module) -> None:
    """Fills all parameters and buffers of `net`, whose names get `prefix` before them."""
    for name, tensor in net.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            tensor.copy_(filled_variable(f"{prefix}.{name}", tensor.shape))
