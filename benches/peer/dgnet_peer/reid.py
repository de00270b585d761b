"""ResNets with torchvision's names, the appearance encoder E_a (`id`) and the teacher."""

import torch.nn.functional as F
from torch import Tensor, nn

UPSAMPLED_ROWS = 128  # photos of at most as many rows are doubled when `upsample` is auto


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, cin: int, width: int, stride: int):
        super().__init__()
        cout = width * self.expansion
        self.conv1 = nn.Conv2d(cin, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut(cin, cout, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.downsample(x))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, cin: int, width: int, stride: int):
        super().__init__()
        cout = width * self.expansion
        self.conv1 = nn.Conv2d(cin, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, cout, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(cout)
        self.downsample = shortcut(cin, cout, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + self.downsample(x))


def shortcut(cin: int, cout: int, stride: int) -> nn.Module:
    """A projection where shapes differ, else nothing."""
    if stride == 1 and cin == cout:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))


LAYOUTS = {
    "resnet10": (BasicBlock, (1, 1, 1, 1)),
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
}


class ResNet(nn.Module):
    """Photo -> its last map, `channels` deep."""

    def __init__(self, backbone: str, width: int, last_stride: int):
        super().__init__()
        block, depths = LAYOUTS[backbone]
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels = width
        for k, (depth, stride) in enumerate(zip(depths, (1, 2, 2, last_stride))):
            stage = []
            for j in range(depth):
                stage.append(block(channels, width << k, stride if j == 0 else 1))
                channels = (width << k) * block.expansion
            self.add_module(f"layer{k + 1}", nn.Sequential(*stage))
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool2d(x, 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class Head(nn.Module):
    """Linear, batch norm (whose output is the feature at test time), dropout, linear to the identities."""

    def __init__(self, cin: int, feature: int, classes: int, dropout: float):
        super().__init__()
        self.add_block = nn.Sequential(
            nn.Linear(cin, feature), nn.BatchNorm1d(feature), nn.Dropout(dropout)
        )
        self.classifier = nn.Sequential(nn.Linear(feature, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.add_block(x))


def doubled(x: Tensor, upsample: str) -> Tensor:
    """Small photos at twice their size, nearest neighbour."""
    if upsample == "auto" and x.shape[2] <= UPSAMPLED_ROWS:
        return F.interpolate(x, scale_factor=2, mode="nearest")
    return x


class AppearanceEncoder(nn.Module):
    """E_a: photo -> (appearance code, primary logits, fine logits)."""

    def __init__(self, settings, classes: int):
        super().__init__()
        s = settings
        self.upsample, self.parts = s.upsample, s.parts
        self.model = ResNet(s.backbone, s.width, s.last_stride)
        channels = self.model.channels
        self.code = channels * s.parts
        self.classifier1 = Head(channels, s.feature, classes, s.dropout_primary)
        self.classifier2 = Head(channels, s.feature, classes, s.dropout_fine)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        last = self.model(doubled(x, self.upsample))
        code = F.adaptive_max_pool2d(last, (self.parts, 1)).flatten(1)
        whole = F.adaptive_max_pool2d(last, 1).flatten(1)
        return code, self.classifier1(whole), self.classifier2(whole)


class Teacher(nn.Module):
    """The re-ID baseline that labels generated images: photo -> logits."""

    def __init__(self, settings, upsample: str, classes: int):
        super().__init__()
        s = settings
        self.upsample = upsample
        self.model = ResNet(s.backbone, s.width, s.last_stride)
        self.classifier = Head(self.model.channels, s.feature, classes, s.dropout)

    def teaching(self, batch_norm: str) -> "Teacher":
        """Evaluation mode, its batch norms on the statistics of the batch or on the running ones."""
        self.eval().requires_grad_(False)
        if batch_norm == "batch":
            for module in self.modules():
                if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                    module.train()
                    module.momentum = 0.0  # the running statistics stay as they are
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.model(doubled(x, self.upsample)).mean((2, 3)))
