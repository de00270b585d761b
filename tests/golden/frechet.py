"""Reference values of the Frechet distance, by numpy and scipy: writes frechet.json beside this file.

Features are filled by the same counter generator as in src/worker/eval/frechet.rs.
Usage: python tests/golden/frechet.py
"""

import json
import pathlib

import numpy
import scipy.linalg

MASK = (1 << 64) - 1


def name_key(name):
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001B3 & MASK
    return key


def uniform(name, index):
    z = (name_key(name) + (index + 1) * 0x9E3779B97F4A7C15) & MASK
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return ((z ^ (z >> 31)) >> 40) / (1 << 24)


def features(name, rows, dims):
    values = [
        (1 + at % dims / 3) * (2 * uniform(name, at) - 1) + uniform(f"{name}.shift", at % dims)
        for at in range(rows * dims)
    ]
    return numpy.array(values).reshape(rows, dims)


def distance(real, generated):
    means = [side.mean(axis=0) for side in (real, generated)]
    covariances = [numpy.cov(side, rowvar=False) for side in (real, generated)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    traces = sum(numpy.trace(covariance) for covariance in covariances)
    return float(((means[0] - means[1]) ** 2).sum() + traces - 2 * numpy.trace(root).real)


CASES = [  # name, features, length, relative tolerance; the last has fewer features than dimensions
    ("small", 30, 3, 1e-9),
    ("wide", 200, 24, 1e-9),
    ("singular", 9, 16, 1e-5),
]

cases = [
    {
        "name": name,
        "rows": rows,
        "dims": dims,
        "tolerance": tolerance,
        "distance": distance(features(f"{name}.real", rows, dims), features(f"{name}.generated", rows, dims)),
    }
    for name, rows, dims, tolerance in CASES
]
path = pathlib.Path(__file__).with_name("frechet.json")
path.write_text(json.dumps(cases, indent=2) + "\n")
