"""How long the peer's training step takes: float32, all losses on, as CSV.

    python benches/peer/step_time.py benches/peer/sizes/small.json --batch 8 --classes 96 --threads 1
    python benches/peer/step_time.py benches/peer/sizes/paper.json --batch 2 --threads 2 --repeat 5
    python benches/peer/step_time.py benches/peer/sizes/paper.json --batch 8 --device cuda --tf32

A settings file is JSON, nested, under the schema's names; what it leaves out has its default. The weights are
those after the warm-up, random erasing is off, photos are normal noise, initial weights are PyTorch's own; the
times are those of the step alone, without loading. With `--floor`, `gflop` is what the step's products and convolutions count to, forward
and backward (2 for a multiplication and an addition); `floor_s` is the time it would take at the speed that PyTorch
reaches on large square products with as many threads (mean of steps that train E_s and steps that do not).
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from types import SimpleNamespace

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from dgnet_peer.settings import WEIGHTS, resolve
from dgnet_peer.step import Batch, Networks, Trainer


class Counter(TorchDispatchMode):
    """Counts the operations of products and convolutions. (FlopCounterMode's hooks refuse D's gradient penalty.)"""

    operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if count := flop_registry.get(func.overloadpacket):
            self.operations += count(*args, **kwargs, out_val=result)
        return result


def finished() -> None:
    """Waits for the device."""
    if torch.get_default_device().type == "cuda":
        torch.cuda.synchronize()


def ceiling(side: int = 3072) -> float:
    """Floating point operations per second on a large square product."""
    matrix, times = torch.rand(side, side), []
    for _ in range(6):
        finished()
        began = time.perf_counter()
        matrix @ matrix
        finished()
        times.append(time.perf_counter() - began)
    return 2 * side**3 / statistics.median(times[1:])


def measure(
    settings: SimpleNamespace, *, batch: int, classes: int, repeat: int, warm_up: int, floor: bool
) -> tuple[list[float], float]:
    """Wall time of each of `repeat` steps after `warm_up` untimed ones, E_s being trained in every other step; and with
    `floor` the mean operations of two further steps."""
    torch.manual_seed(1)
    trainer = Trainer(Networks(settings, classes), settings, classes)
    shape = (batch, 3, settings.image.height, settings.image.width)
    weights = SimpleNamespace(**WEIGHTS)

    def step(train_structure: bool) -> float:
        photos = [torch.randn(shape) for _ in range(4)]
        labels = [torch.randint(classes, (batch,)) for _ in range(2)]
        finished()
        began = time.perf_counter()
        trainer.step(Batch(*photos, *labels), weights, train_structure=train_structure)
        finished()
        return time.perf_counter() - began

    times = [step(k % 2 == 0) for k in range(warm_up + repeat)]
    with Counter() as counter:
        for k in range(2 if floor else 0):
            step(k == 0)
    return times[warm_up:], counter.operations / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", type=Path, nargs="+", help="JSON files of settings")
    parser.add_argument("--batch", type=int, default=8, help="photos in each of the two batches (8)")
    parser.add_argument("--classes", type=int, default=751, help="identities (751)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="threads (1)")
    parser.add_argument("--repeat", type=int, default=20, help="timed steps (20)")
    parser.add_argument("--warm-up", type=int, default=3, help="untimed steps before them (3)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")
    parser.add_argument("--tf32", action="store_true", help="TF32 for products and convolutions")
    parser.add_argument("--floor", action="store_true", help="count the step's operations as well")
    arguments = parser.parse_args()
    torch.set_default_device(arguments.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = arguments.tf32
    print("settings,batch,classes,threads,steps,median_s,min_s,max_s,gflop,floor_s,torch")
    for path in arguments.settings:
        settings = resolve(json.loads(path.read_text()))
        for threads in arguments.threads:
            torch.set_num_threads(threads)
            times, operations = measure(
                settings,
                batch=arguments.batch,
                classes=arguments.classes,
                repeat=arguments.repeat,
                warm_up=arguments.warm_up,
                floor=arguments.floor,
            )
            least = [f"{operations / 1e9:.1f}", f"{operations / ceiling():.4f}"] if arguments.floor else ["", ""]
            print(
                path.stem,
                arguments.batch,
                arguments.classes,
                threads,
                len(times),
                *(f"{x:.4f}" for x in (statistics.median(times), min(times), max(times))),
                *least,
                torch.__version__,
                sep=",",
                flush=True,
            )


if __name__ == "__main__":
    main()
