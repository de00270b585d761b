#!/usr/bin/env python3
"""Puts `.libtorch/` together: libtorch 2.11.0, for tch 0.24; its CPU part, with `--cuda` all of it.

Python is only the installer here; nothing of it is needed at run time. The wheels are found through
pip (so mirrors, proxies and credentials that pip knows are honoured), downloaded with resume into
`.libtorch/download/`, checked against the hashes below, and unpacked into a temporary folder that is
renamed into place as the last step: a broken run leaves nothing half-made and the next one goes on.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / ".libtorch"
STAMP = "torch 2.11.0 cpu, layout 1\n"
CUDA_STAMP = "torch 2.11.0 cuda 13.0, layout 1\n"
FREE_BYTES_NEEDED = 2_000_000_000
CUDA_FREE_BYTES_NEEDED = 9_000_000_000

# (requirement, sha256, [(prefix in the wheel, place in .libtorch, only these file names or all)])
WHEELS = [
    (
        "torch==2.11.0",
        "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
        [
            ("torch/include/", "include", None),
            ("torch/lib/", "lib", {"libtorch_cpu.so", "libc10.so", "libgomp.so.1"}),
        ],
    ),
    (
        "nvidia-cuda-runtime==13.0.96",
        "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
        [("nvidia/cu13/lib/", "lib", {"libcudart.so.13"})],
    ),
    (
        "nvidia-cuda-cupti==13.0.85",
        "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
        [("nvidia/cu13/lib/", "lib", {"libcupti.so.13"})],
    ),
]
# What `--cuda` adds: libtorch's own GPU half out of the same wheel, and NVIDIA's libraries beside it (the
# GPU half finds them there by its run path).
TORCH_CUDA = {"libtorch_cuda.so", "libtorch_cuda_linalg.so", "libtorch_nvshmem.so", "libc10_cuda.so", "libcaffe2_nvrtc.so"}
CUDA_WHEELS = [
    ("nvidia-cublas==13.1.0.3", "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171", "cu13"),
    ("nvidia-cuda-nvrtc==13.0.88", "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575", "cu13"),
    ("nvidia-cudnn-cu13==9.19.0.56", "d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf", "cudnn"),
    ("nvidia-cufft==12.0.0.61", "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3", "cu13"),
    ("nvidia-cufile==1.15.1.6", "08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44", "cu13"),
    ("nvidia-curand==10.4.0.35", "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc", "cu13"),
    ("nvidia-cusolver==12.0.4.66", "0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112", "cu13"),
    ("nvidia-cusparse==12.6.3.3", "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b", "cu13"),
    ("nvidia-cusparselt-cu13==0.8.0", "25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd", "cusparselt"),
    ("nvidia-nccl-cu13==2.28.9", "e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42", "nccl"),
    ("nvidia-nvjitlink==13.0.88", "13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b", "cu13"),
    ("nvidia-nvshmem-cu13==3.4.5", "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80", "nvshmem"),
]
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 25, 18, 17, 12)] + ["manylinux2014_x86_64", "manylinux2010_x86_64"]


def fail(why: str, hint: str) -> None:
    sys.exit(f"error: {why}\n  hint: {hint}")


def find(requirement: str) -> str:
    """The address of the wheel, asked of pip without downloading it."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
    command += ["--abi", "none", "--target", "/nonexistent", "--report", "-", "--disable-pip-version-check"]
    for name in PLATFORMS:
        command += ["--platform", name]
    found = subprocess.run([*command, requirement], capture_output=True, text=True)
    if found.returncode != 0:
        reason = (found.stderr.strip().splitlines() or ["no reason given"])[-1]
        fail(f"pip cannot find {requirement}: {reason}", "is this machine online, and is pip 23 or newer installed?")
    return json.loads(found.stdout)["install"][0]["download_info"]["url"]


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else slow_digest(file)


def slow_digest(file) -> str:
    sha = hashlib.sha256()
    while chunk := file.read(1 << 20):
        sha.update(chunk)
    return sha.hexdigest()


def say(requirement: str, have: int, total: int, began: float, done: bool) -> None:
    left = (total - have) / max(have / max(time.monotonic() - began, 1e-3), 1.0)
    line = f"  {requirement:<30} {have / 1e6:7.1f} of {total / 1e6:.1f} MB, {left:4.0f} s left"
    tty = sys.stderr.isatty()
    if tty or done:
        print(("\r" if tty else "") + line, end="\n" if done or not tty else "", file=sys.stderr, flush=True)


def download(requirement: str, sha256: str, folder: Path) -> Path:
    """The checked wheel in `folder`; continues a partial file where it ended."""
    path = folder / (requirement.replace("==", "-") + ".whl")
    if path.exists():
        return path
    url, partial = find(requirement), path.with_suffix(".partial")
    for attempt in range(5):
        have = partial.stat().st_size if partial.exists() else 0
        request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                resumed = answer.status == 206
                have = have if resumed else 0
                total, began, told = have + int(answer.headers.get("Content-Length", 0)), time.monotonic(), 0.0
                with partial.open("ab" if resumed else "wb") as file:
                    while chunk := answer.read(1 << 20):
                        file.write(chunk)
                        have += len(chunk)
                        if time.monotonic() - told > 0.5:
                            told = time.monotonic()
                            say(requirement, have, total, began, False)
                say(requirement, have, total, began, True)
            if have >= total:
                break
        except OSError as error:
            if getattr(error, "code", None) == 416:  # the partial file is already whole
                break
            if getattr(error, "errno", None) == 28:
                fail("the disk is full", f"free {FREE_BYTES_NEEDED / 1e9:.0f} GB and run this again; the download goes on")
            print(f"  {requirement}: {error}; trying again", file=sys.stderr)
            time.sleep(2**attempt)
    else:
        fail(f"{requirement} could not be downloaded", "check the connection and run this again; it goes on where it ended")
    if digest(partial) != sha256:
        partial.unlink()
        fail(f"{requirement} does not have the expected hash", "run this again; if it persists, the package index is not the usual one")
    partial.rename(path)
    return path


def unpack(wheel: Path, parts: list, into: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            for prefix, place, only in parts:
                inner = info.filename[len(prefix) :]
                if info.is_dir() or not info.filename.startswith(prefix) or (only and inner not in only):
                    continue
                if place == "lib" and inner.endswith(".a"):
                    continue
                goal = (into / place / inner).resolve()
                if not goal.is_relative_to(into.resolve()):
                    fail(f"{wheel.name} holds the unsafe path {info.filename}", "do not use this package index")
                goal.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, goal.open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="only say whether libtorch is in place")
    arguments.add_argument("--cuda", action="store_true", help="with the GPU half: 3 GB to download, 5 GB on disk")
    arguments = arguments.parse_args()
    if os.environ.get("LIBTORCH"):
        given = Path(os.environ["LIBTORCH"])
        if given.resolve() != TARGET.resolve():
            if not (given / "include/torch").is_dir():
                fail(f"LIBTORCH={given} has no include/torch", "unset it, and libtorch is set up here")
            print(f"libtorch: using LIBTORCH={given}", file=sys.stderr)
            return
    stamp = TARGET / "stamp"
    wanted = {CUDA_STAMP} if arguments.cuda else {STAMP, CUDA_STAMP}
    if stamp.exists() and stamp.read_text() in wanted:
        return
    if arguments.check:
        sys.exit(1)
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        fail(
            f"no libtorch is set up for {platform.system()} on {platform.machine()}",
            "install libtorch 2.11 yourself and set LIBTORCH to its folder",
        )
    downloads = TARGET / "download"
    downloads.mkdir(parents=True, exist_ok=True)
    needed = CUDA_FREE_BYTES_NEEDED if arguments.cuda else FREE_BYTES_NEEDED
    if shutil.disk_usage(TARGET).free < needed:
        fail(
            f"less than {needed / 1e9:.0f} GB are free for {TARGET}",
            "free some disk space and run this again",
        )
    sources = [(name, sha256, list(parts)) for name, sha256, parts in WHEELS]
    if arguments.cuda:
        print("libtorch 2.11.0 with CUDA 13.0, 3 GB to download once", file=sys.stderr)
        sources[0][2].append(("torch/lib/", "lib", TORCH_CUDA))
        for name, sha256, folder in CUDA_WHEELS:
            sources.append((name, sha256, [(f"nvidia/{folder}/lib/", "lib", None)]))
    else:
        print("libtorch 2.11.0 (CPU), 540 MB to download once", file=sys.stderr)
    wheels = [(download(name, sha256, downloads), parts) for name, sha256, parts in sources]
    print("  unpacking", file=sys.stderr)
    fresh = TARGET / f"fresh-{os.getpid()}"
    for old in TARGET.glob("fresh-*"):
        shutil.rmtree(old)
    for wheel, parts in wheels:
        unpack(wheel, parts, fresh)
    (fresh / "lib" / "libtorch.so").symlink_to("libtorch_cpu.so")
    for name in ("include", "lib"):
        shutil.rmtree(TARGET / name, ignore_errors=True)
        (fresh / name).rename(TARGET / name)
    shutil.rmtree(fresh)
    stamp.write_text(CUDA_STAMP if arguments.cuda else STAMP)
    shutil.rmtree(downloads)
    print(f"  libtorch is ready in {TARGET.relative_to(ROOT)}/", file=sys.stderr)


if __name__ == "__main__":
    main()
