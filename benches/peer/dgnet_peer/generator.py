"""`gen`: the structure encoder, the decoder and the MLPs that turn appearance into AdaIN parameters."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import SLOPE, ConvBlock, NonLocal, ResBlock, StyledConv
from .edges import edges


class ResBlocks(nn.Module):
    """Residual blocks in a row, named as in public checkpoints."""

    def __init__(self, blocks):
        super().__init__()
        self.model = nn.ModuleList(blocks)

    def forward(self, x: Tensor, styles=None) -> Tensor:
        for k, block in enumerate(self.model):
            x = block(x) if styles is None else block(x, *styles[k])
        return x


class Pyramid(nn.Module):
    """Four branches, one 1x1 and three dilated, each a half of the input's channels; fused by a 1x1."""

    def __init__(self, channels: int, dilations):
        super().__init__()
        half = channels // 2
        norm = {"norm": "instance"}
        branch = lambda d: nn.Sequential(
            ConvBlock(channels, half, 1, **norm),
            ConvBlock(half, half, 3, pad=d, dilation=d, act=False, **norm),
        )
        self.conv1 = ConvBlock(channels, half, 1, act=False, **norm)
        self.conv6, self.conv12, self.conv18 = (branch(d) for d in dilations)
        self.fuse = ConvBlock(4 * half, 4 * half, 1, act=False, **norm)

    def forward(self, x: Tensor) -> Tensor:
        branches = (self.conv1, self.conv6, self.conv12, self.conv18)
        return self.fuse(torch.cat([branch(x) for branch in branches], 1))


class StructureEncoder(nn.Module):
    """E_s: photo (B, 3, H, W) -> structure code (B, 8 width, H/4, W/4)."""

    def __init__(self, settings):
        super().__init__()
        s, w = settings, settings.width
        self.input, self.edge_noise = s.input, s.edge_noise
        norm = {"norm": "instance"}
        self.model = nn.Sequential(
            ConvBlock(3 if s.input == "rgb" else 1, w, 3, stride=2, pad=1, **norm),
            ConvBlock(w, 2 * w, 3, pad=1, **norm),
            ConvBlock(2 * w, 2 * w, 3, pad=1, **norm),
            ConvBlock(2 * w, 4 * w, 3, stride=2, pad=1, **norm),
            ResBlocks([ResBlock(4 * w, "instance") for _ in range(s.residual_blocks)]),
            Pyramid(4 * w, s.dilations),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.input == "grey":
            x = x.mean(1, keepdim=True)
        elif self.input == "edges":
            x = edges(x, self.edge_noise)
        return self.model(x)


class StyledBlock(nn.Module):
    """A residual block of the decoder: basic, slim, series or parallel.

    It takes two AdaIN layers' weights and biases, the first layer's before the second's, each pair
    (B, 2 x `styled` channels).
    """

    def __init__(self, channels: int, kind: str):
        super().__init__()
        self.slim = kind == "slim"
        self.styled = channels // 2 if self.slim else channels
        first = StyledConv(self.styled, "basic" if self.slim else kind)
        second = StyledConv(self.styled, "basic" if self.slim else kind, act=self.slim)
        blocks = [first, second]
        if self.slim:
            narrow = ConvBlock(channels, self.styled, 1, norm="instance")
            widen = ConvBlock(self.styled, channels, 1, norm="instance", act=False)
            blocks = [narrow, first, second, widen]
        self.model = nn.ModuleList(blocks)

    def forward(self, x: Tensor, weights: Tensor, biases: Tensor) -> Tensor:
        styles = iter(zip(weights.chunk(2, 1), biases.chunk(2, 1)))
        y = x
        for block in self.model:
            y = block(y, next(styles)) if isinstance(block, StyledConv) else block(y)
        return y + x


class Decoder(nn.Module):
    """G: structure code and the styles of its residual blocks -> photo (B, 3, 4h, 4w)."""

    def __init__(self, settings, channels: int):
        super().__init__()
        s, c = settings, channels
        pad = (s.up_kernel - 1) // 2
        blocks = ResBlocks([StyledBlock(c, s.block) for _ in range(s.residual_blocks)])
        up = lambda: nn.Upsample(scale_factor=2)
        self.tanh = s.tanh
        self.model = nn.Sequential(
            nn.Dropout(s.dropout),
            blocks,
            *([NonLocal(c)] if s.non_local else []),
            up(),
            ConvBlock(c, c // 2, s.up_kernel, pad=pad, norm="layer"),
            up(),
            ConvBlock(c // 2, c // 4, s.up_kernel, pad=pad, norm="layer"),
            ConvBlock(c // 4, c // 4, 3, pad=1),
            ConvBlock(c // 4, c // 4, 3, pad=1),
            ConvBlock(c // 4, 3, 1, act=False),
        )

    def forward(self, structure: Tensor, styles) -> Tensor:
        x = self.model[1](self.model[0](structure), styles)
        x = self.model[2:](x)
        return torch.tanh(x) if self.tanh else x


class LinearBlock(nn.Module):
    def __init__(self, cin: int, cout: int, act: bool):
        super().__init__()
        self.fc = nn.Linear(cin, cout)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(x)
        return F.leaky_relu(x, SLOPE) if self.act else x


class Mlp(nn.Module):
    """Three linear layers without norms."""

    def __init__(self, cin: int, hidden: int, cout: int):
        super().__init__()
        self.model = nn.Sequential(
            LinearBlock(cin, hidden, True),
            LinearBlock(hidden, hidden, True),
            LinearBlock(hidden, cout, False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Generator(nn.Module):
    """E_s, G and the MLPs; `code` is the length of the appearance code."""

    def __init__(self, settings, code: int):
        super().__init__()
        channels = 8 * settings.structure.width
        self.enc_content = StructureEncoder(settings.structure)
        self.dec = Decoder(settings.decoder, channels)
        self.blocks = settings.decoder.residual_blocks
        if code % self.blocks:
            raise ValueError(f"a code of {code} cannot be cut into {self.blocks} equal chunks")
        styled = self.dec.model[1].model[0].styled
        for part in "wb":
            for k in range(1, self.blocks + 1):
                mlp = Mlp(code // self.blocks, settings.decoder.mlp_width, 2 * styled)
                self.add_module(f"mlp_{part}{k}", mlp)

    def encode(self, x: Tensor) -> Tensor:
        return self.enc_content(x)

    def decode(self, structure: Tensor, appearance: Tensor) -> Tensor:
        """Appearance (B, code) drawn in structure (B, 8 width, h, w)."""
        chunks = enumerate(appearance.chunk(self.blocks, 1), 1)
        styles = [
            (getattr(self, f"mlp_w{k}")(chunk), getattr(self, f"mlp_b{k}")(chunk))
            for k, chunk in chunks
        ]
        return self.dec(structure, styles)
