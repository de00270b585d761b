"""Canny edges of normalised photos: the `edges` input of the structure encoder."""

import numpy as np
import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)
LOW, HIGH = 10, 200
TG22 = 13573  # tan(22.5 degrees) in fixed point, 15 bits


def luma(x: Tensor) -> np.ndarray:
    """The 8-bit grey picture of normalised RGB photos (B, 3, H, W): (B, H, W) of integers."""
    column = lambda values: x.new_tensor(values).view(1, 3, 1, 1)
    rgb = ((x * column(IMAGENET_STD) + column(IMAGENET_MEAN)) * 255).clamp(0, 255)
    grey = (rgb * column(LUMA)).sum(1)
    return torch.floor(grey + 0.5).to(torch.int64).cpu().numpy()


def canny(grey: np.ndarray) -> np.ndarray:
    """Where one grey picture (H, W) has edges, as OpenCV's Canny with L1 magnitudes finds them."""
    height, width = grey.shape
    p = np.pad(grey, 1, mode="edge")
    at = lambda dy, dx: p[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
    gx = (at(-1, 1) + 2 * at(0, 1) + at(1, 1)) - (at(-1, -1) + 2 * at(0, -1) + at(1, -1))
    gy = (at(1, -1) + 2 * at(1, 0) + at(1, 1)) - (at(-1, -1) + 2 * at(-1, 0) + at(-1, 1))
    magnitude = np.abs(gx) + np.abs(gy)

    m = np.pad(magnitude, 1)
    near = lambda dy, dx: m[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
    ax, ay = np.abs(gx), np.abs(gy) << 15
    tg22 = ax * TG22
    tg67 = tg22 + (ax << 16)
    horizontal = (magnitude > near(0, -1)) & (magnitude >= near(0, 1))
    vertical = (magnitude > near(-1, 0)) & (magnitude >= near(1, 0))
    falling = (magnitude > near(-1, -1)) & (magnitude > near(1, 1))
    rising = (magnitude > near(-1, 1)) & (magnitude > near(1, -1))
    diagonal = np.where((gx ^ gy) < 0, rising, falling)
    peak = np.where(ay < tg22, horizontal, np.where(ay > tg67, vertical, diagonal))

    weak = peak & (magnitude > LOW)
    edge = weak & (magnitude > HIGH)
    while True:
        ring = np.pad(edge, 1)
        grown = weak & np.logical_or.reduce(
            [ring[dy : dy + height, dx : dx + width] for dy in range(3) for dx in range(3)]
        )
        if (grown == edge).all():
            return edge
        edge = grown


@torch.no_grad()
def edges(x: Tensor, noise: float) -> Tensor:
    """(B, 1, H, W): 0.5 on an edge and -0.5 elsewhere, plus normal noise of that std."""
    found = np.stack([canny(grey) for grey in luma(x)])[:, None]
    drawn = torch.from_numpy(found).to(x) - 0.5
    return drawn + noise * torch.randn_like(drawn) if noise else drawn
