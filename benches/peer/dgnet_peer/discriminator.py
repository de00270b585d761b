"""`dis`: the discriminators and their adversarial losses."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import ConvBlock, NonLocal, ResBlock


def patch_network(s) -> nn.Sequential:
    """One scale: photo -> map of scores at a quarter of its size. No norms."""
    w = s.width
    return nn.Sequential(
        ConvBlock(3, w, 1),
        ConvBlock(w, w, 3, pad=1),
        ConvBlock(w, w, 3, stride=2, pad=1),
        ConvBlock(w, w, 3, pad=1),
        ConvBlock(w, 2 * w, 3, stride=2, pad=1),
        *([NonLocal(2 * w)] if s.non_local in ("before", "both") else []),
        *(ResBlock(2 * w) for _ in range(s.residual_blocks)),
        *([NonLocal(2 * w)] if s.non_local in ("after", "both") else []),
        nn.Conv2d(2 * w, 1, 1),
    )


def critic(s, height: int, width: int) -> nn.Sequential:
    """The Wasserstein critic: halves the photo up to six times, then one score a position."""
    layers, channels = [], 3
    while len(layers) < 6 and min(height, width) >= 4:
        cout = min(512, s.width << len(layers))
        layers.append(ConvBlock(channels, cout, 4, stride=2, pad=1))
        channels, height, width = cout, height // 2, width // 2
    return nn.Sequential(*layers, nn.Conv2d(channels, 1, 1))


class Discriminator(nn.Module):
    """D: photo -> one map of scores a scale."""

    def __init__(self, settings, image):
        super().__init__()
        self.gan, self.penalty_weight = settings.gan, settings.penalty
        if settings.gan == "wgan":
            nets = [critic(settings, image.height, image.width)]
        else:
            nets = [patch_network(settings) for _ in range(settings.scales)]
        self.cnns = nn.ModuleList(nets)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for k, net in enumerate(self.cnns):
            if k:
                x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
            maps.append(net(x))
        return maps

    def _own_loss(self, fake: Tensor, real: Tensor) -> Tensor:
        """D's loss at one scale; means over all elements."""
        if self.gan == "lsgan":
            return (fake**2).mean() + ((real - 1) ** 2).mean()
        if self.gan == "wgan":
            drift = 0.001 * ((fake**2).sum() + (real**2).sum())
            return fake.mean() - real.mean() + drift
        bce = F.binary_cross_entropy_with_logits
        return bce(fake, torch.zeros_like(fake)) + bce(real, torch.ones_like(real))

    def _fooled_loss(self, fake: Tensor) -> Tensor:
        """The generator's adversarial term at one scale."""
        if self.gan == "lsgan":
            return 2 * ((fake - 1) ** 2).mean()
        if self.gan == "wgan":
            return -fake.mean() + 0.001 * (fake**2).sum()
        if self.gan == "nsgan":
            return F.binary_cross_entropy_with_logits(fake, torch.ones_like(fake))
        return -F.softplus(fake).mean()  # log(1 - sigmoid)

    def own_loss(self, fakes: Tensor, reals: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """D's loss with its penalty, the penalty, and the maps of the real photos.

        `fakes` and `reals` hold the two directions one after the other; each is a batch of its own.
        """
        reals = reals.detach().requires_grad_()
        judged, fooling = self(reals), self(fakes.detach())
        batch = len(reals) // 2
        loss, penalty = 0.0, 0.0
        for real, fake in zip(judged, fooling):
            for r, f in zip(real.split(batch), fake.split(batch)):
                loss = loss + self._own_loss(f, r)
            scores = torch.sigmoid(real) if self.gan in ("nsgan", "log") else real
            (slope,) = torch.autograd.grad(scores.sum(), reals, create_graph=True)
            penalty = penalty + (slope**2).sum() / batch
        penalty = self.penalty_weight * penalty
        return loss + penalty, penalty, judged

    def fooled_loss(self, scores: list[Tensor]) -> Tensor:
        """The generator's term from D's maps of generated images, summed over scales."""
        return sum(self._fooled_loss(fake) for fake in scores)
