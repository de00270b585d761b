"""How long the peer's training step takes: float32, all losses on, as CSV.

    python benches/peer/step_time.py benches/peer/sizes/small.json --batch 8 --classes 96 --threads 1
    python benches/peer/step_time.py benches/peer/sizes/paper.json --batch 2 --threads 2 --repeat 5
    python benches/peer/step_time.py benches/peer/sizes/paper.json --batch 8 --device cuda --tf32

A settings file is JSON, nested, under the schema's names; what it leaves out has its default. The weights are
those after the warm-up, random erasing is off, photos are normal noise, initial weights are PyTorch's own; the
times are those of the step alone, without loading.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from types import SimpleNamespace

import torch

from dgnet_peer.settings import WEIGHTS, resolve
from dgnet_peer.step import Batch, Networks, Trainer


def seconds(settings: SimpleNamespace, *, batch: int, classes: int, repeat: int, warm_up: int) -> list[float]:
    """Wall time of each of `repeat` steps after `warm_up` untimed ones; E_s is trained in every other step."""
    torch.manual_seed(1)
    finished = torch.cuda.synchronize if torch.get_default_device().type == "cuda" else lambda: None
    trainer = Trainer(Networks(settings, classes), settings, classes)
    shape = (batch, 3, settings.image.height, settings.image.width)
    weights, times = SimpleNamespace(**WEIGHTS), []
    for k in range(warm_up + repeat):
        photos = [torch.randn(shape) for _ in range(4)]
        labels = [torch.randint(classes, (batch,)) for _ in range(2)]
        finished()
        began = time.perf_counter()
        trainer.step(Batch(*photos, *labels), weights, train_structure=k % 2 == 0)
        finished()
        times.append(time.perf_counter() - began)
    return times[warm_up:]


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
    arguments = parser.parse_args()
    torch.set_default_device(arguments.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = arguments.tf32
    print("settings,batch,classes,threads,steps,median_s,min_s,max_s,torch")
    for path in arguments.settings:
        settings = resolve(json.loads(path.read_text()))
        for threads in arguments.threads:
            torch.set_num_threads(threads)
            times = seconds(
                settings,
                batch=arguments.batch,
                classes=arguments.classes,
                repeat=arguments.repeat,
                warm_up=arguments.warm_up,
            )
            print(
                path.stem,
                arguments.batch,
                arguments.classes,
                threads,
                len(times),
                *(f"{x:.4f}" for x in (statistics.median(times), min(times), max(times))),
                torch.__version__,
                sep=",",
                flush=True,
            )


if __name__ == "__main__":
    main()
