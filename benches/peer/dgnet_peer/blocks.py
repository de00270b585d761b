"""What the generator and the discriminator are made of. Maps are (batch, channels, height, width)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2  # of every leaky ReLU outside the ResNets
EPS = 1e-5


def instance_norm(x: Tensor) -> Tensor:
    """Each channel of each sample to mean 0 and (biased) variance 1."""
    return F.instance_norm(x, eps=EPS)


def adain(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Adaptive instance norm; `weight` and `bias` are (batch, channels)."""
    batch, channels, height, width = x.shape
    flat = x.reshape(1, batch * channels, height, width)
    out = F.batch_norm(
        flat, None, None, weight.reshape(-1), bias.reshape(-1), training=True, eps=EPS
    )
    return out.view_as(x)


class LayerNorm(nn.Module):
    """Norm over (C, H, W) of a sample: unbiased std, `eps` added to the std, gain and bias a channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        mean, std = flat.mean(1).view(-1, 1, 1, 1), flat.std(1).view(-1, 1, 1, 1)
        x = (x - mean) / (std + EPS)
        return x * self.gamma.view(1, -1, 1, 1) + self.beta.view(1, -1, 1, 1)


class ConvBlock(nn.Module):
    """Reflection pad, convolution, norm (`None`, "instance" or "layer"), leaky ReLU."""

    def __init__(
        self, cin, cout, kernel, *, stride=1, pad=0, dilation=1, norm=None, act=True
    ):
        super().__init__()
        self.pad, self.act, self.instance = pad, act, norm == "instance"
        if norm == "layer":
            self.norm = LayerNorm(cout)
        self.conv = nn.Conv2d(cin, cout, kernel, stride, dilation=dilation)

    def convolved(self, x: Tensor) -> Tensor:
        if self.pad:
            x = F.pad(x, (self.pad,) * 4, mode="reflect")
        return self.conv(x)

    def activated(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, SLOPE) if self.act else x

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolved(x)
        if self.instance:
            x = instance_norm(x)
        elif hasattr(self, "norm"):
            x = self.norm(x)
        return self.activated(x)


class StyledConv(ConvBlock):
    """A 3x3 convolution block with AdaIN, of one of three kinds; `style` is a (weight, bias) pair.

    basic: AdaIN of the convolution. series: the convolution is added to that, then instance norm.
    parallel: AdaIN of the block's input is added to the convolution, then instance norm.
    """

    def __init__(self, channels: int, kind: str, *, act: bool = True):
        super().__init__(channels, channels, 3, pad=1, act=act)
        self.kind = kind

    def forward(self, x: Tensor, style: tuple[Tensor, Tensor]) -> Tensor:
        y = self.convolved(x)
        if self.kind == "basic":
            y = adain(y, *style)
        elif self.kind == "series":
            y = instance_norm(adain(y, *style) + y)
        else:
            y = instance_norm(y + adain(x, *style))
        return self.activated(y)


class ResBlock(nn.Module):
    """Two 3x3 blocks, the second without activation, plus the input."""

    def __init__(self, channels: int, norm=None):
        super().__init__()
        self.model = nn.Sequential(
            ConvBlock(channels, channels, 3, pad=1, norm=norm),
            ConvBlock(channels, channels, 3, pad=1, norm=norm, act=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) + x


class NonLocal(nn.Module):
    """Self-attention over positions: gamma x (value x attention^T) + input."""

    def __init__(self, channels: int):
        super().__init__()
        inner = max(1, channels // 8)
        self.query_conv = nn.Conv2d(channels, inner, 1)
        self.key_conv = nn.Conv2d(channels, inner, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            conv(x).flatten(2) for conv in (self.query_conv, self.key_conv, self.value_conv)
        )
        attention = torch.softmax(query.transpose(1, 2) @ key, dim=-1)
        return self.gamma * (value @ attention.transpose(1, 2)).view_as(x) + x
