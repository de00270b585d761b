"""VGG-16 up to relu5_3, for the perceptual loss."""

import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import instance_norm

CAFFE_MEANS_BGR = (103.939, 116.779, 123.680)
# channels of the convolutions; None is a 2x2 max pool
LAYERS = (64, 64, None, 128, 128, None, 256, 256, 256, None, 512, 512, 512, None, 512, 512, 512)


class Vgg16(nn.Module):
    """Photo, in [-1, 1] where natural -> features at relu5_3 (B, 512, H/16, W/16)."""

    def __init__(self):
        super().__init__()
        layers, channels = [], 3
        for cout in LAYERS:
            if cout is None:
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, cout, 3, padding=1), nn.ReLU()]
                channels = cout
        self.features = nn.Sequential(*layers)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        bgr = (x.flip(1) + 1) / 2 * 255
        return self.features(bgr - x.new_tensor(CAFFE_MEANS_BGR).view(1, 3, 1, 1))


def perceptual_loss(vgg: Vgg16, image: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of instance-normalised features; no gradient into `target`."""
    return F.mse_loss(instance_norm(vgg(image)), instance_norm(vgg(target.detach())).detach())
