"""What users would pick instead of dgnet's parts, timed: lines of `what,who,median,unit` for benches/bench.sh.

    python speed.py load FOLDER        torchvision's transforms behind a DataLoader of two workers
    python speed.py rank               NumPy: products, a full sort of each row, precision by precision
    python speed.py rerank             NumPy: k-reciprocal re-ranking with whole matrices, in float32
    python speed.py log                TensorBoard's writer; MLflow into SQLite, in batches
    python speed.py start SETTINGS     a process that imports torch, builds the networks, takes one step

Each does what its documentation shows, without tricks that a user would not know.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def median(times: int, work: Callable[[], object]) -> float:
    """Median wall time in seconds."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def tell(what: str, who: str, value: float, unit: str) -> None:
    """One line for the table."""
    print(f"{what},{who},{value:.4g},{unit}", flush=True)


def load(folder: Path) -> None:
    """An epoch over the training photos of a Market-1501 layout, one photo at a time as re-ID code does it."""
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms
    from torchvision.transforms import InterpolationMode

    class Photos(Dataset):
        def __init__(self, photos: list[Path]) -> None:
            self.photos = photos
            self.transform = transforms.Compose(
                [
                    transforms.Resize((256, 128), interpolation=InterpolationMode.BICUBIC),
                    transforms.RandomHorizontalFlip(),
                    transforms.Pad(10, padding_mode="edge"),
                    transforms.RandomCrop((256, 128)),
                    transforms.ToTensor(),
                    transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
                ]
            )

        def __len__(self) -> int:
            return len(self.photos)

        def __getitem__(self, at: int) -> torch.Tensor:
            with Image.open(self.photos[at]) as photo:
                return self.transform(photo.convert("RGB"))

    photos = sorted((folder / "bounding_box_train").glob("*.jpg"))
    loader = DataLoader(Photos(photos), batch_size=32, num_workers=2)
    seconds = median(3, lambda: [batch.shape for batch in loader])
    tell("photos of a first epoch: all of it", "torchvision", len(photos) / seconds, "images/s")


def people() -> tuple["np.ndarray", ...]:
    """Market-1501's sizes: person, camera and features of 1,024 values of queries, then of gallery photos."""
    import numpy as np

    queries, gallery, dims, ids = 3368, 19732, 1024, 750
    draw = np.random.default_rng(1)
    centres = draw.uniform(-1, 1, (ids + 1, dims)).astype(np.float32)

    def features(person: "np.ndarray") -> "np.ndarray":
        rows = centres[person] + 4 * draw.uniform(-1, 1, (len(person), dims)).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    at = np.arange(gallery)
    person = np.where(at < 13115, at % ids + 1, np.where(at < 13115 + 2798, 0, -1))
    camera = at * 7 // ids % 6 + 1
    own_person, own_camera = at[:queries] % ids + 1, camera[:queries]
    return own_person, own_camera, features(own_person), person, camera, features(np.maximum(person, 0))


def rank() -> None:
    """As the evaluation scripts of the field do it: argsort, then a loop over the hits."""
    import numpy as np

    own_person, own_camera, one, person, camera, other = people()

    def precision(query: int, scores: "np.ndarray") -> float | None:
        order = np.argsort(scores)[::-1]
        same = person[order] == own_person[query]
        kept = ~((person[order] == -1) | (same & (camera[order] == own_camera[query])))
        hits = np.flatnonzero(same[kept])
        if len(hits) == 0:
            return None
        total = 0.0
        for k, rank in enumerate(hits):
            before = k / rank if rank else 1.0
            total += (before + (k + 1) / (rank + 1)) / 2
        return total / len(hits)

    seconds = median(1, lambda: [precision(query, scores) for query, scores in enumerate(one @ other.T)])
    tell(f"ranking {len(one)} x {len(other)} x {one.shape[1]}", "NumPy", seconds, "s")


def rerank(k1: int = 20, k2: int = 6, share: float = 0.3) -> None:
    """Zhong et al. 2017 on matrices of every photo with every photo, as one writes it in NumPy."""
    import numpy as np

    _, _, query, _, _, gallery = people()

    def work() -> "np.ndarray":
        rows = np.concatenate([query, gallery])
        count = len(rows)
        distance = 2 - 2 * rows @ rows.T
        distance /= distance.max(axis=1, keepdims=True)
        nearest = np.argsort(distance, axis=1)[:, : k1 + 1].copy()

        def reciprocal(of: int, k: int) -> "np.ndarray":
            own = nearest[of, : k + 1]
            return own[(nearest[own, : k + 1] == of).any(axis=1)]

        weights = np.zeros((count, count), np.float32)
        for at in range(count):
            core = reciprocal(at, k1)
            members = core
            for candidate in core:
                theirs = reciprocal(candidate, round(k1 / 2))
                if len(np.intersect1d(theirs, core)) > 2 / 3 * len(theirs):
                    members = np.append(members, theirs)
            members = np.unique(members)
            weight = np.exp(-distance[at, members])
            weights[at, members] = weight / weight.sum()
        distance = distance[: len(query), len(query) :].copy()
        weights = np.stack([weights[nearest[at, :k2]].mean(axis=0) for at in range(count)])

        having = [np.flatnonzero(weights[:, column]) for column in range(count)]
        for at in range(len(query)):
            common = np.zeros(count, np.float32)
            for column in np.flatnonzero(weights[at]):
                common[having[column]] += np.minimum(weights[at, column], weights[having[column], column])
            jaccard = 1 - common / (2 - common)
            distance[at] = (1 - share) * jaccard[len(query) :] + share * distance[at]
        return distance

    what = f"re-ranking {len(query)} x {len(gallery)} x {query.shape[1]}"
    tell(what, "NumPy", median(1, work), "s")


def log() -> None:
    """Ten metrics at each step, as a training loop would write them."""
    names = [f"loss_{k}" for k in range(10)]
    what = "values logged and readable by queries"

    with tempfile.TemporaryDirectory() as folder:
        from torch.utils.tensorboard import SummaryWriter

        def tensorboard(steps: int = 2000) -> None:
            writer = SummaryWriter(f"{folder}/tensorboard")
            for step in range(steps):
                for k, name in enumerate(names):
                    writer.add_scalar(name, 0.1 * k + step, step)
            writer.close()

        tell(what, "TensorBoard (event file)", 2000 * len(names) / median(3, tensorboard), "values/s")

        os.chdir(folder)  # MLflow leaves its artifacts where it is called
        import mlflow
        from mlflow.entities import Metric

        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        client = mlflow.MlflowClient()
        experiment = client.create_experiment("bench")

        def batches(steps: int = 1000) -> None:
            run = client.create_run(experiment).info.run_id
            for first in range(0, steps, 100):
                values = [
                    Metric(name, 0.1 * k + step, int(time.time() * 1000), step)
                    for step in range(first, first + 100)
                    for k, name in enumerate(names)
                ]
                client.log_batch(run, metrics=values)

        batches(100)
        tell(what, "MLflow batches of 1000", 1000 * len(names) / median(3, batches), "values/s")


def start(settings: Path) -> None:
    """A process of its own: imports, networks, one step."""
    command = [sys.executable, __file__.replace("speed.py", "step_time.py"), str(settings)]
    command += ["--classes", "19", "--repeat", "1", "--warm-up", "0"]
    seconds = median(5, lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
    tell("a process that takes one step", "PyTorch", seconds, "s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    parts.add_parser("load").add_argument("folder", type=Path)
    parts.add_parser("rank")
    parts.add_parser("rerank")
    parts.add_parser("log")
    parts.add_parser("start").add_argument("settings", type=Path)
    arguments = parser.parse_args()
    match arguments.part:
        case "load":
            load(arguments.folder)
        case "rank":
            rank()
        case "rerank":
            rerank()
        case "log":
            log()
        case "start":
            start(arguments.settings)


if __name__ == "__main__":
    main()
