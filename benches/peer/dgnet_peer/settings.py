"""Settings under the names of `schema/study.schema.json`; only those that a training step can feel."""

import copy
from types import SimpleNamespace

DEFAULTS = {
    "image": {"height": 256, "width": 128},
    "structure": {
        "input": "grey",
        "edge_noise": 0.1,
        "width": 16,
        "residual_blocks": 4,
        "dilations": [3, 6, 9],
    },
    "appearance": {
        "backbone": "resnet50",
        "width": 64,
        "last_stride": 1,
        "parts": 4,
        "feature": 512,
        "dropout_primary": 0.5,
        "dropout_fine": 0.75,
        "upsample": "auto",
        "detach_code": True,
    },
    "decoder": {
        "residual_blocks": 4,
        "mlp_width": 512,
        "up_kernel": 5,
        "block": "basic",
        "non_local": False,
        "tanh": False,
        "dropout": 0.0,
    },
    "discriminator": {
        "gan": "lsgan",
        "scales": 3,
        "width": 32,
        "residual_blocks": 4,
        "non_local": "none",
        "penalty": 0.01,
    },
    "teacher": {
        "count": 1,
        "labels": "soft",
        "batch_norm": "batch",
        "backbone": "resnet50",
        "width": 64,
        "last_stride": 2,
        "feature": 512,
        "dropout": 0.5,
    },
    "loss": {"identity_on_positives": True, "fine_on_real": True},
    "train": {
        "lr_generator": 1e-4,
        "lr_discriminator": 1e-4,
        "betas": [0.0, 0.999],
        "lr_backbone": 2e-3,
        "lr_heads": 2e-2,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "adam_weight_decay": True,
    },
}

# Sections that act before or after the step.
ELSEWHERE = ("data", "augment", "eval", "pictures")

# The weights of the losses in one step, ramps already applied.
WEIGHTS = {
    "img": 5.0,
    "id": 0.5,
    "prim": 2.0,
    "fine": 0.4,
    "code": 1.0,
    "cycle": 2.0,
    "adv": 1.0,
    "perceptual": 0.0,
}


def resolve(overrides: dict, *, strict: bool = True) -> SimpleNamespace:
    """The defaults with `overrides` (nested, the same names) put over them.

    Raises `KeyError` for a name that no step can feel, unless `strict` is off: a study file also speaks of
    data, evaluation and schedules.
    """
    merged = copy.deepcopy(DEFAULTS)
    for section, values in overrides.items():
        for name, value in values.items():
            if name in merged.get(section, {}):
                merged[section][name] = value
            elif strict and section not in ELSEWHERE:
                raise KeyError(f"{section}.{name} is not a setting of the step")
    return SimpleNamespace(**{name: SimpleNamespace(**values) for name, values in merged.items()})
