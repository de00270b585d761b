"""One training step: forward, D's step, backward of the weighted sum, steps of E_s + G and E_a.

Two directions: `a` and `b` are two batches of photos; `x_ba` has the appearance of a in the structure of b.
E_s, G and D treat samples alone, so they take both directions one after the other in one batch. Batch norm
sees batches, so E_a and the teacher take each batch as a pass of its own.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from .discriminator import Discriminator
from .generator import Generator
from .perceptual import Vgg16, perceptual_loss
from .reid import AppearanceEncoder, Teacher


@dataclass
class Batch:
    """Photos (B, 3, H, W) of the two batches and of their positives, and the labels (B)."""

    x_a: Tensor
    x_b: Tensor
    xp_a: Tensor
    xp_b: Tensor
    labels_a: Tensor
    labels_b: Tensor


@dataclass
class Outcome:
    """Everything that a step computed, under the names of the golden files."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    losses: dict[str, Tensor] = field(default_factory=dict)


def frozen(net: nn.Module, *args, dropout: bool = True):
    """`net` with its weights of this moment as constants; its running statistics stay untouched.

    Dropout is off where `dropout` is false; batch norms keep their mode.
    """
    constants = {name: p.detach() for name, p in net.named_parameters()}
    constants |= {name: b.clone() for name, b in net.named_buffers()}
    drops = [m for m in net.modules() if isinstance(m, nn.Dropout) and m.training and not dropout]
    for module in drops:
        module.eval()
    out = functional_call(net, constants, args)
    for module in drops:
        module.train()
    return out


def both_l1(image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """L1 of each direction's half, as means over elements; no gradient into the target."""
    distance = (image - target.detach()).abs()
    first, second = distance.chunk(2)
    return first.mean(), second.mean()


class Networks:
    """`gen`, `id`, `dis`, the teachers and, where the loss is on, VGG-16."""

    def __init__(self, settings: SimpleNamespace, classes: int, *, perceptual: bool = False):
        self.id = AppearanceEncoder(settings.appearance, classes)
        self.gen = Generator(settings, self.id.code)
        self.dis = Discriminator(settings.discriminator, settings.image)
        teacher = lambda: Teacher(settings.teacher, settings.appearance.upsample, classes)
        self.teachers = [
            teacher().teaching(settings.teacher.batch_norm) for _ in range(settings.teacher.count)
        ]
        self.vgg = Vgg16() if perceptual else None

    def named(self) -> dict[str, nn.Module]:
        """Every network by the prefix of its parameters' names."""
        named = {"gen": self.gen, "id": self.id, "dis": self.dis}
        for k, net in enumerate(self.teachers):
            named[f"teacher{k or ''}"] = net
        return named | ({"vgg": self.vgg} if self.vgg else {})

    def to(self, dtype: torch.dtype) -> "Networks":
        for net in self.named().values():
            net.to(dtype)
        return self


class Trainer:
    """The networks and their optimizers."""

    def __init__(self, networks: Networks, settings: SimpleNamespace, classes: int):
        self.nets, self.settings, self.classes = networks, settings, classes
        t = settings.train
        decay = t.weight_decay if t.adam_weight_decay else 0.0
        adam = {"betas": tuple(t.betas), "eps": 1e-8, "weight_decay": decay}
        heads = [*networks.id.classifier1.parameters(), *networks.id.classifier2.parameters()]
        self.gen_optim = torch.optim.Adam(networks.gen.parameters(), lr=t.lr_generator, **adam)
        self.dis_optim = torch.optim.Adam(networks.dis.parameters(), lr=t.lr_discriminator, **adam)
        self.id_optim = torch.optim.SGD(
            [
                {"params": list(networks.id.model.parameters()), "lr": t.lr_backbone},
                {"params": heads, "lr": t.lr_heads},
            ],
            lr=t.lr_backbone,
            momentum=t.momentum,
            nesterov=t.momentum > 0,
            weight_decay=t.weight_decay,
        )

    @torch.no_grad()
    def teacher_labels(self, image: Tensor, appearance: Tensor, structure: Tensor) -> Tensor:
        """q (B, K) for images with the labels of their appearance's and their structure's providers."""
        style = self.settings.teacher.labels
        one_hot = lambda label: F.one_hot(label, self.classes).to(image)
        if style == "static":
            return one_hot(appearance)
        if style == "uniform":
            return image.new_full((len(image), self.classes), 1 / self.classes)
        opinions = [
            torch.softmax(teacher(seen), 1)
            for teacher in self.nets.teachers
            for seen in (image, image.flip(3))
        ]
        q = torch.stack(opinions).mean(0)
        if style == "hard":
            return one_hot(q.argmax(1))
        if style == "two_label":
            q = q * torch.maximum(one_hot(appearance), one_hot(structure))
        return q / q.sum(1, keepdim=True)

    def forward(self, batch: Batch, outcome: Outcome) -> SimpleNamespace:
        """Codes, logits and images of a step, before any update."""
        gen, id_net, t = self.nets.gen, self.nets.id, outcome.tensors
        x = torch.cat([batch.x_a, batch.x_b])
        structure = gen.encode(x)
        code = {}
        for name in ("x_a", "x_b", "xp_a", "xp_b"):
            code[name], primary, fine = id_net(getattr(batch, name))
            stem = name.replace("x", "p", 1)
            t[f"{stem}.0"], t[f"{stem}.1"] = primary, fine
        if self.settings.appearance.detach_code:
            code = {name: value.detach() for name, value in code.items()}
        own = torch.cat([code["x_a"], code["x_b"]])
        positive = torch.cat([code["xp_a"], code["xp_b"]])

        recon, recon_p = gen.decode(structure, own), gen.decode(structure, positive)
        # x_ba first: the structure of b, the appearance of a; then x_ab
        s_a, s_b = structure.chunk(2)
        swapped = gen.decode(torch.cat([s_b, s_a]), own)

        t["s_a"], t["s_b"], t["f_a"], t["f_b"] = s_a, s_b, code["x_a"], code["x_b"]
        t["x_a_recon"], t["x_b_recon"] = recon.chunk(2)
        t["x_a_recon_p"], t["x_b_recon_p"] = recon_p.chunk(2)
        t["x_ba"], t["x_ab"] = swapped.chunk(2)
        return SimpleNamespace(
            x=x, structure=structure, own=own, recon=recon, recon_p=recon_p, swapped=swapped
        )

    def identity_losses(self, batch: Batch, outcome: Outcome, weights) -> Tensor:
        """L_id^s: real photos, the fine head's share with its current weight."""
        t, losses, options = outcome.tensors, outcome.losses, self.settings.loss
        pairs = (("a", batch.labels_a), ("b", batch.labels_b))
        entropy = lambda stem, head: sum(
            F.cross_entropy(t[f"{stem}_{side}.{head}"], label) for side, label in pairs
        )
        losses["loss_id"] = entropy("p", 0)
        if options.fine_on_real:
            losses["loss_id"] = losses["loss_id"] + weights.fine * entropy("p", 1)
        total = losses["loss_id"]
        if options.identity_on_positives:
            losses["loss_pid"] = entropy("pp", 0)
            total = total + losses["loss_pid"]
        return total

    def generator_losses(self, made, batch, outcome, weights, train_structure: bool) -> Tensor:
        """The terms that train E_s and G through images, weighted and summed."""
        nets, losses = self.nets, outcome.losses
        put = lambda name, pair: losses.update(zip((f"{name}_a", f"{name}_b"), pair))

        img_1, img_2 = both_l1(made.recon, made.x), both_l1(made.recon_p, made.x)
        put("loss_gen_recon_x", img_1)
        put("loss_gen_recon_xp", img_2)
        total = weights.img * sum(img_1 + img_2)

        # one frozen pass over each swapped image serves code_1, id_c and the cycle
        x_ba, x_ab = made.swapped.chunk(2)
        seen = [frozen(nets.id, image, dropout=False) for image in (x_ba, x_ab)]
        id_c = F.cross_entropy(seen[0][1], batch.labels_a)
        id_c = id_c + F.cross_entropy(seen[1][1], batch.labels_b)
        losses["loss_gen_recon_id"] = id_c
        total = total + weights.id * id_c

        zero = made.x.new_zeros(())
        code_1 = code_2 = cycle = (zero, zero)
        if weights.code > 0 or weights.cycle > 0:
            appearance = torch.cat([seen[0][0], seen[1][0]])
            if self.settings.appearance.detach_code:
                appearance = appearance.detach()
            swapped_back = torch.cat([x_ab, x_ba])  # structures of a, then of b
            if train_structure:
                structure = nets.gen.encode(swapped_back.detach())
            else:
                structure = frozen(nets.gen.enc_content, swapped_back)
            if weights.code > 0:
                code_1 = both_l1(appearance, made.own)
                code_2 = both_l1(structure, made.structure)
            if weights.cycle > 0:
                cycle = both_l1(nets.gen.decode(structure, appearance), made.x)
        put("loss_gen_recon_f", code_1)
        put("loss_gen_recon_s", code_2)
        put("loss_gen_cycrecon_x", cycle)
        total = total + weights.code * sum(code_1 + code_2) + weights.cycle * sum(cycle)

        scores = [scale.chunk(2) for scale in frozen(nets.dis, made.swapped)]
        adv = tuple(nets.dis.fooled_loss(of_direction) for of_direction in zip(*scores))
        put("loss_gen_adv", adv)
        total = total + weights.adv * sum(adv)

        if weights.perceptual > 0:
            loss = perceptual_loss(nets.vgg, x_ba, batch.x_b)
            loss = loss + perceptual_loss(nets.vgg, x_ab, batch.x_a)
            losses["loss_perceptual"] = loss
            total = total + weights.perceptual * loss
        return total

    def feeding_losses(self, made, batch: Batch, outcome: Outcome, weights) -> Tensor:
        """prim and fine: E_a learns from detached generated images."""
        zero = made.x.new_zeros(())
        prim, fine = zero, zero
        if weights.prim > 0 or weights.fine > 0:
            x_ba, x_ab = made.swapped.detach().chunk(2)
            a, b = batch.labels_a, batch.labels_b
            for image, appearance, structure in ((x_ba, a, b), (x_ab, b, a)):
                _, primary_logits, fine_logits = self.nets.id(image)
                if weights.prim > 0:
                    q = self.teacher_labels(image, appearance, structure)
                    log_p = F.log_softmax(primary_logits, 1)
                    prim = prim + F.kl_div(log_p, q, reduction="batchmean")
                fine = fine + F.cross_entropy(fine_logits, structure)
        outcome.losses["loss_prim"], outcome.losses["loss_fine"] = prim, fine
        share = weights.fine / weights.prim if weights.prim > 0 else 0.0
        outcome.losses["loss_teacher"] = prim + share * fine if weights.prim > 0 else zero
        return weights.prim * prim + weights.fine * fine

    def step(self, batch: Batch, weights, train_structure: bool, before_update=None) -> Outcome:
        """One step; `before_update(name)` is called with gradients in place before `dis`, `gen` and `id` step."""
        nets, outcome = self.nets, Outcome()
        told = before_update or (lambda _: None)
        made = self.forward(batch, outcome)

        own, penalty, judged = nets.dis.own_loss(made.swapped, made.x)
        outcome.losses["dis_reg"], outcome.losses["loss_dis_total"] = penalty, own
        for k, scores in enumerate(judged):
            outcome.tensors[f"dis_x_a.{k}"], outcome.tensors[f"dis_x_b.{k}"] = scores.chunk(2)
        self.dis_optim.zero_grad()
        own.backward()
        told("dis")
        self.dis_optim.step()

        total = self.identity_losses(batch, outcome, weights)
        total = total + self.generator_losses(made, batch, outcome, weights, train_structure)
        total = total + self.feeding_losses(made, batch, outcome, weights)
        outcome.losses["loss_gen_total"] = total
        self.gen_optim.zero_grad()
        self.id_optim.zero_grad()
        total.backward()
        # a head without a term has a gradient of zero, not none: it is decayed all the same
        for net in (nets.gen, nets.id):
            for parameter in net.parameters():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
        told("gen")
        told("id")
        self.gen_optim.step()
        self.id_optim.step()
        return outcome
