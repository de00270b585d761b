"""Draws settings over all switches and writes what the peer's step makes of them, as golden step files.

    python benches/peer/cases.py FOLDER [--count 64] [--seed 1] [--fix discriminator.gan=wgan ...]

Every value of a switch appears in about equally many cases: each switch has a deck of its values, shuffled and
dealt. What a photo is too small for is then made smaller. float64 throughout.

Deep networks on tiny photos can be so badly conditioned that two correct programs differ visibly (batch norm
over two values, instance norm over a constant map). So each case is computed a second time with weights and
photos that are off by a unit in the last place; where that moves a number by more than a third of its
tolerance, the case loses its second step, or gets larger photos, a shallower E_a, a grey input, until it is
steady; the few that never are are left out and counted.
"""

import argparse
import json
import random
from pathlib import Path

import torch

from dgnet_peer.golden import LABELS, Case, compare, settings_of
from dgnet_peer.reid import LAYOUTS
from dgnet_peer.settings import DEFAULTS

SWITCHES = {
    "structure.input": ["grey", "rgb", "edges"],
    "structure.width": [4, 5, 8],
    "structure.residual_blocks": [0, 1, 2],
    "appearance.backbone": ["resnet10", "resnet18", "resnet34", "resnet50"],
    "appearance.width": [4, 6, 8],
    "appearance.last_stride": [1, 2],
    "appearance.parts": [1, 2, 3, 4],
    "appearance.feature": [8, 12, 16],
    "appearance.upsample": ["auto", "never"],
    "appearance.detach_code": [True, False],
    "decoder.residual_blocks": [1, 2, 3, 4],
    "decoder.mlp_width": [8, 12],
    "decoder.up_kernel": [1, 3, 5],
    "decoder.block": ["basic", "slim", "series", "parallel"],
    "decoder.non_local": [False, True],
    "decoder.tanh": [False, True],
    "discriminator.gan": ["lsgan", "nsgan", "wgan", "log"],
    "discriminator.scales": [1, 2, 3],
    "discriminator.width": [4, 6, 8],
    "discriminator.residual_blocks": [0, 1, 2],
    "discriminator.non_local": ["none", "before", "after", "both"],
    "discriminator.penalty": [0.01, 0.1, 0.0],
    "teacher.count": [1, 2, 3],
    "teacher.labels": list(LABELS),
    "teacher.batch_norm": ["batch", "running"],
    "teacher.backbone": ["resnet10", "resnet18", "resnet34", "resnet50"],
    "teacher.width": [4, 6],
    "teacher.last_stride": [2, 1],
    "teacher.feature": [8, 12],
    "loss.identity_on_positives": [True, False],
    "loss.fine_on_real": [True, False],
    "train.lr_generator": [1e-4, 2e-4],
    "train.lr_discriminator": [1e-4, 5e-5],
    "train.betas": [[0.0, 0.999], [0.5, 0.99]],
    "train.lr_backbone": [2e-3, 1e-3],
    "train.lr_heads": [2e-2, 1e-2],
    "train.momentum": [0.9, 0.5, 0.0],
    "train.weight_decay": [5e-4, 1e-2, 0.0],
    "train.adam_weight_decay": [True, False],
}
# of a case itself; `off` is the weight that is 0, next to those of the ramped losses
CASE = {
    "image": [(16, 8), (16, 16), (24, 16), (32, 16), (32, 32), (40, 20), (48, 24), (64, 32)],
    "batch": [2, 3],
    "num_ids": [3, 4, 5, 6],
    "steps": [1, 2],
    "reencode_updates_encoder": [True, False],
    "lambda_prim": [2.0, 0.7, 0.0],
    "lambda_fine": [0.4, 0.1, 0.0],
    "lambda_code": [1.0, 0.3, 0.0],
    "lambda_cycle": [2.0, 0.5, 0.0],
    "off": ["none", "none", "none", "img", "id", "adv"],
    "lambda_perceptual": [0.0] * 9 + [0.5],
}
# never drawn: randomness that no two programs share
SILENT = {
    "appearance": {"dropout_primary": 0.0, "dropout_fine": 0.0},
    "teacher": {"dropout": 0.0},
    "augment": {"erasing": 0.0},
}


def deal(rng: random.Random, values: list, count: int) -> list:
    """`count` values, each about equally often, in any order."""
    deck = (values * (count // len(values) + 1))[:count]
    rng.shuffle(deck)
    return deck


def divisor(wanted: int, of: int) -> int:
    """The largest number up to `wanted` that divides `of`."""
    return next(k for k in range(wanted, 0, -1) if of % k == 0)


def fitted(rng: random.Random, drawn: dict) -> dict:
    """The drawn values, with those that cannot be together made smaller."""
    if drawn["lambda_perceptual"] > 0:
        drawn["image"] = (64, 32)  # VGG-16 leaves a sixteenth, and instance norm needs some positions
    height, width = drawn["image"]
    # reflection needs a map larger than its pad
    drawn["structure.dilations"] = [rng.randint(1, min(height, width) // 4 - 1) for _ in range(3)]
    smallest = 5 if drawn["discriminator.residual_blocks"] else 3
    scales, side = 1, min(height, width)
    while scales < drawn["discriminator.scales"] and (side + 1) // 2 >= smallest:
        scales, side = scales + 1, (side + 1) // 2
    drawn["discriminator.scales"] = scales
    if drawn["discriminator.gan"] == "wgan":  # it has one network of its own
        for name in ("scales", "residual_blocks", "non_local"):
            drawn[f"discriminator.{name}"] = DEFAULTS["discriminator"][name]
    block, _ = LAYOUTS[drawn["appearance.backbone"]]
    code = 8 * drawn["appearance.width"] * block.expansion * drawn["appearance.parts"]
    drawn["decoder.residual_blocks"] = divisor(drawn["decoder.residual_blocks"], code)
    return drawn


def nested(drawn: dict) -> dict:
    """The settings of a case: what differs from the defaults, and silence where there would be chance."""
    settings = {section: dict(values) for section, values in SILENT.items()}
    height, width = drawn["image"]
    settings["image"] = {"height": height, "width": width}
    for name in [*SWITCHES, "structure.dilations"]:
        section, key = name.split(".")
        if drawn[name] != DEFAULTS[section][key]:
            settings.setdefault(section, {})[key] = drawn[name]
    if drawn["structure.input"] == "edges":
        settings["structure"]["edge_noise"] = 0.0
    return settings


def case_of(k: int, drawn: dict) -> dict:
    off = drawn["off"]
    return {
        "name": f"peer_{k:03}",
        **{name: drawn[name] for name in CASE if name != "off"},
        "lambda_img": 0.0 if off == "img" else 5.0,
        "lambda_id": 0.0 if off == "id" else 0.5,
        "lambda_adv": 0.0 if off == "adv" else 1.0,
        "settings": nested(drawn),
    }


def draws(count: int, seed: int, fixed: dict) -> list[dict]:
    """`count` draws of every switch."""
    rng = random.Random(seed)
    decks = {name: deal(rng, values, count) for name, values in (SWITCHES | CASE).items()}
    return [{name: deck[k] for name, deck in decks.items()} | fixed for k in range(count)]


def trimmed(step: dict, k: int, case: dict) -> dict:
    """A step without what two correct programs need not share.

    Losses that this case does not use, and D where nobody listens to it (a program may leave them out); tensors
    whose gradient is 0 but for rounding, such as a bias before an instance norm: their size is noise, and
    without weight decay Adam turns noise into steps. After the first step noise has grown, so only whole parts
    are compared.
    """
    unused = {
        "loss_gen_recon_id": case["lambda_id"],
        "loss_gen_adv_a": case["lambda_adv"],
        "loss_gen_adv_b": case["lambda_adv"],
        **{f"loss_gen_recon_{x}_{side}": case["lambda_img"] for x in ("x", "xp") for side in "ab"},
        "loss_prim": case["lambda_prim"],
        "loss_fine": case["lambda_fine"],
    }
    for name, weight in unused.items():
        if not weight:
            step["losses"].pop(name, None)
    if not case["lambda_adv"]:
        of_dis = lambda name: name.startswith(("dis", "loss_dis"))
        for field in ("tensors", "losses", "grad_l2", "param_l2_after", "after"):
            step[field] = {name: x for name, x in step[field].items() if not of_dis(name)}
    norms = step["grad_l2"]
    noise = {name for name, norm in norms.items() if norm < 1e-9 * norms[name.split(".")[0]]}
    for name in [n for n in norms if n in noise or (k and n.count(".") > 1)]:
        del norms[name]
    train = settings_of(case).train
    if not (train.weight_decay and train.adam_weight_decay):
        for name in noise:
            if not name.startswith("id."):
                step["after"].pop(name, None)
    return step


def computed(case: dict, seed: str) -> dict:
    """The golden file of a case."""
    rng, running, steps = random.Random(seed), Case(case), []
    for k in range(case["steps"]):
        labels = [[rng.randrange(case["num_ids"]) for _ in range(case["batch"])] for _ in "ab"]
        steps.append(trimmed(running.step(k, *labels), k, case))
    return {"case": case, "steps": steps}


def steady(golden: dict) -> bool:
    """Whether rounding stays well below the tolerances."""
    return not compare(golden, jitter=3e-16, share=0.3).differences


def golden_of(k: int, drawn: dict, seed: int) -> dict | None:
    """The golden file of a draw, its case made easier until it is steady; `None` if it never is."""
    easier = {"steps": 1, "batch": 3, "image": (64, 32)}
    attempts = [drawn, drawn | {"steps": 1}, drawn | easier]
    attempts.append(attempts[-1] | {"appearance.backbone": "resnet10"})
    attempts.append(attempts[-1] | {"structure.input": "grey"})
    for attempt in attempts[drawn["steps"] == 1 :]:
        fitting = fitted(random.Random(f"fit {seed} {k}"), dict(attempt))
        golden = computed(case_of(k, fitting), f"labels {seed} {k}")
        if steady(golden):
            return golden
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where step_peer_*.json are written")
    parser.add_argument("--count", type=int, default=64, help="cases (64)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the draws (1)")
    parser.add_argument(
        "--fix",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="give a switch this value in every case: discriminator.gan=wgan",
    )
    arguments = parser.parse_args()
    fixed = {}
    for pair in arguments.fix:
        name, _, value = pair.partition("=")
        choices = (SWITCHES | CASE).get(name)
        if choices is None:
            parser.error(f"`{name}` is no switch; there are: {', '.join(SWITCHES | CASE)}")
        fixed[name] = next((v for v in choices if str(v).lower() == value.lower()), None)
        if fixed[name] is None:
            parser.error(f"`{name}` is drawn from {choices}, not `{value}`")
    torch.set_num_threads(1)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    left_out = 0
    for k, drawn in enumerate(draws(arguments.count, arguments.seed, fixed)):
        golden = golden_of(k, drawn, arguments.seed)
        if golden is None:
            left_out += 1
            continue
        path = arguments.folder / f"step_{golden['case']['name']}.json"
        path.write_text(json.dumps(golden, allow_nan=False))
    written = arguments.count - left_out
    print(f"{written} cases in {arguments.folder}; left out as badly conditioned: {left_out}")
    if written < 0.9 * arguments.count:
        raise SystemExit("error: too few cases are left\n  hint: draw with another --seed")


if __name__ == "__main__":
    main()
