"""Golden-style JSON files of whole steps: computing them, comparing with them.

`/tests/golden/step_*.json` pin the public release; the format is described beside them in the tests and in
`benches/peer/README.md`. A case may carry `settings`: nested, the schema's names, what differs from the defaults.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor

from .fill import fill, filled, filled_variable
from .settings import WEIGHTS, resolve
from .step import Batch, Networks, Trainer

LABELS = ("soft", "hard", "static", "uniform", "two_label")
DROPOUT_OFF = {"dropout_primary": 0.0, "dropout_fine": 0.0}
# relative errors of (tensors and losses, gradients, updated tensors, parameter norms)
FIRST = SimpleNamespace(tensors=1e-7, gradients=1e-7, after=1e-7, parameters=1e-7)
LATER = SimpleNamespace(tensors=1e-4, gradients=5e-3, after=5e-4, parameters=1e-6)


def settings_of(case: dict) -> SimpleNamespace:
    """The settings of a case, whether it speaks the schema's names or those of the published files."""
    height, width = case["image"]
    if "settings" in case:
        overrides = case["settings"]
    else:
        overrides = {
            "image": {"height": height, "width": width},
            "structure": {"input": "rgb" if case["structure_input"] == "rgb" else "grey"},
            "appearance": {"last_stride": case["appearance_last_stride"], **DROPOUT_OFF},
            "teacher": {
                "last_stride": case["teacher_last_stride"],
                "labels": LABELS[case["teacher_style"]],
                "dropout": 0.0,
            },
        }
    return resolve(overrides)


class Case:
    """A trainer with filled networks, ready to repeat the steps of a file.

    With a `jitter`, every weight and input is off by about that relative error, as if it had been rounded
    otherwise: how far the numbers move says how well the case is conditioned.
    """

    def __init__(self, case: dict, jitter: float = 0.0):
        self.case, self.settings = case, settings_of(case)
        self.jitter, self.noise = jitter, torch.Generator().manual_seed(1)
        named = {name: case.get(f"lambda_{name}", default) for name, default in WEIGHTS.items()}
        self.weights = SimpleNamespace(**named)
        classes = case["num_ids"]
        nets = Networks(self.settings, classes, perceptual=self.weights.perceptual > 0)
        nets.to(torch.float64)
        for prefix, net in nets.named().items():
            fill(prefix, net)
            for tensor in [*net.parameters(), *net.buffers()]:
                if tensor.is_floating_point():
                    tensor.data = self._jittered(tensor.data)
        self.trainer = Trainer(nets, self.settings, classes)

    def _jittered(self, x: Tensor) -> Tensor:
        if not self.jitter:
            return x
        noise = torch.randn(x.shape, generator=self.noise, dtype=x.dtype)
        return x * (1 + self.jitter * noise)

    def batch(self, step: int, labels_a, labels_b) -> Batch:
        shape = (self.case["batch"], 3, *self.case["image"])
        photos = [
            self._jittered(filled(f"input.{name}.{step}", shape, 0.0, 2.0))
            for name in ("x_a", "x_b", "xp_a", "xp_b")
        ]
        return Batch(*photos, torch.tensor(labels_a), torch.tensor(labels_b))

    def parameter_norm(self, net: str) -> float:
        """L2 norm of a net; the published files count the unused `id.model.fc`, which is not built."""
        parts = [p.detach() for p in getattr(self.trainer.nets, net).parameters()]
        if net == "id" and "settings" not in self.case:
            for name, shape in (("weight", (1000, 2048)), ("bias", (1000,))):
                parts.append(filled_variable(f"id.model.fc.{name}", shape))
        return l2(parts)

    def step(self, k: int, labels_a, labels_b) -> dict:
        """Step `k` as a golden file tells it, with every gradient's and every variable's own entry."""
        grad_l2 = {}

        def note(net: str) -> None:
            of = {n: p.grad for n, p in getattr(self.trainer.nets, net).named_parameters()}
            for name, parts in grouped(net, of).items():
                grad_l2[name] = l2(parts)

        outcome = self.trainer.step(
            self.batch(k, labels_a, labels_b),
            self.weights,
            self.case["reencode_updates_encoder"],
            note,
        )
        nets = {name: self.trainer.nets.named()[name] for name in ("gen", "id", "dis")}
        return {
            "labels_a": labels_a,
            "labels_b": labels_b,
            "tensors": {name: summary(x) for name, x in outcome.tensors.items()},
            "losses": {name: x.item() for name, x in outcome.losses.items()},
            "grad_l2": grad_l2,
            "param_l2_after": {net: self.parameter_norm(net) for net in nets},
            "after": {
                f"{net}.{name}": summary(x)
                for net, module in nets.items()
                for name, x in module.state_dict().items()
                if not name.endswith("num_batches_tracked")
            },
        }


def grouped(net: str, tensors: dict[str, Tensor]) -> dict[str, list[Tensor]]:
    """The tensors of a net as a whole, of its parts and one by one, under golden names."""
    groups: dict[str, list[Tensor]] = {net: list(tensors.values())}
    for name, tensor in tensors.items():
        for key in (f"{net}.{name.split('.')[0]}", f"{net}.{name}"):
            groups.setdefault(key, []).append(tensor)
    return groups


def l2(parts: list[Tensor]) -> float:
    return float(sum((x.double() ** 2).sum() for x in parts)) ** 0.5


def summary(x: Tensor) -> dict:
    """Shape, mean, population std, L2 norm and eight elements by flat index."""
    flat = x.detach().reshape(-1).double()
    count = flat.numel()
    at = sorted({k * count // 8 for k in range(8)} | {count - 1})[-8:]
    return {
        "shape": list(x.shape),
        "mean": float(flat.mean()),
        "std": float(flat.std(unbiased=False)),
        "l2": float(flat.norm()),
        "at": [[i, float(flat[i])] for i in at],
    }


class Comparison:
    """Collects every difference and, by field, the largest error seen."""

    def __init__(self):
        self.worst: dict[str, float] = {}
        self.differences: list[str] = []

    def check(self, field, what, got, want, scale, tolerance) -> None:
        error = abs(got - want) / max(scale, 1e-300) if got != want else 0.0
        self.worst[field] = max(self.worst.get(field, 0.0), error)
        if not error <= tolerance:
            self.differences.append(f"{what}: {got!r} is not {want!r} (off by {error:.1e})")

    def tensor(self, field, what, got: Tensor, want: dict, tolerance) -> None:
        if list(got.shape) != want["shape"]:
            self.differences.append(f"{what}: shape {list(got.shape)} is not {want['shape']}")
            return
        mine, spread = summary(got), want["std"]
        scale = lambda value: max(abs(value), spread)
        self.check(field, f"{what} mean", mine["mean"], want["mean"], scale(want["mean"]), tolerance)
        self.check(field, f"{what} std", mine["std"], spread, spread, tolerance)
        self.check(field, f"{what} l2", mine["l2"], want["l2"], want["l2"], tolerance)
        flat = got.detach().reshape(-1)
        for i, value in want["at"]:
            self.check(field, f"{what}[{i}]", float(flat[i]), value, scale(value), tolerance)


ALIASES = {"gen.dec.last_conv": "gen.dec.model.8.conv", "dis.first_conv": "dis.cnns.0.0.conv"}


def compare(golden: dict, jitter: float = 0.0, share: float = 1.0) -> Comparison:
    """Repeats the steps of a golden file and compares every number in it, within a share of the tolerances."""
    case, found = Case(golden["case"], jitter), Comparison()
    for k, want in enumerate(golden["steps"]):
        whole = FIRST if k == 0 else LATER
        allowed = SimpleNamespace(**{name: share * value for name, value in vars(whole).items()})
        grads: dict[str, list[Tensor]] = {}

        def note(net: str) -> None:
            of = {n: p.grad.clone() for n, p in getattr(case.trainer.nets, net).named_parameters()}
            grads.update(grouped(net, of))

        batch = case.batch(k, want["labels_a"], want["labels_b"])
        outcome = case.trainer.step(
            batch, case.weights, golden["case"]["reencode_updates_encoder"], note
        )
        for name, value in want["tensors"].items():
            got = outcome.tensors[name]
            found.tensor("tensors", f"step {k}: {name}", got, value, allowed.tensors)
        for field, tolerance, of in (
            ("losses", allowed.tensors, lambda name: outcome.losses[name].item()),
            ("grad_l2", allowed.gradients, lambda name: l2(grads[name])),
            ("param_l2_after", allowed.parameters, case.parameter_norm),
        ):
            for name, value in want[field].items():
                found.check(field, f"step {k}: {field} {name}", of(name), value, abs(value), tolerance)
        states = {net: module.state_dict() for net, module in case.trainer.nets.named().items()}
        for name, value in want["after"].items():
            for alias, real in ALIASES.items():
                name = name.replace(alias, real)
            net, rest = name.split(".", 1)
            found.tensor("after", f"step {k}: {name} after", states[net][rest], value, allowed.after)
    return found


def names_differ(published: dict, classes: int = 751) -> list[str]:
    """Names and shapes at the paper's size that are not those of public checkpoints."""
    unused = lambda net, name: (
        name.startswith("model.fc.") or (net == "gen" and "running_" in name)
    )
    differing = []
    for net, module in Networks(resolve({}), classes).named().items():
        ours = {name: list(x.shape) for name, x in module.state_dict().items()}
        theirs = {name: shape for name, shape in published[net] if not unused(net, name)}
        odd = {n for n in ours | theirs if ours.get(n) != theirs.get(n)}
        differing += [f"{net}.{n}: {ours.get(n)} is not {theirs.get(n)}" for n in sorted(odd)]
    return differing


def check_folder(folder: Path) -> bool:
    """Compares every step file of a folder, and its names where it has them; says how it went."""
    fine = True
    if (folder / "state_dict_names.json").is_file():
        differing = names_differ(json.loads((folder / "state_dict_names.json").read_text()))
        fine &= not differing
        print("state_dict_names:", "\n".join(differing[:10]) or "same", flush=True)
    for path in sorted(folder.glob("step_*.json")):
        found = compare(json.loads(path.read_text()))
        worst = ", ".join(f"{field} {error:.0e}" for field, error in found.worst.items())
        verdict = f"{len(found.differences)} differences" if found.differences else "same"
        print(f"{path.stem}: {verdict} (largest errors: {worst})", flush=True)
        print(*found.differences[:40], sep="\n", end="\n" if found.differences else "", flush=True)
        fine &= not found.differences
    return fine
