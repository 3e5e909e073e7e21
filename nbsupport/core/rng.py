"""Random numbers that depend on a seed and on names, never on global state or on the order of work."""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator

import numpy as np


def torch_seed(seed: int, *keys: object) -> int:
    """A 63-bit seed that is a pure function of `seed` and of any number of keys (image id, purpose, step …)."""
    text = "\x1f".join([str(seed), *map(str, keys)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *keys: object) -> np.random.Generator:
    """A numpy generator for `(seed, *keys)`: the same draw for the same names, on any machine, in any order."""
    return np.random.Generator(np.random.PCG64(torch_seed(seed, *keys)))


def hashes(seed: int, names: Iterable[object], *keys: object) -> np.ndarray:
    """``torch_seed(seed, name, *keys)`` of each name: (N,) int64 in [0, 2**63)."""
    return np.fromiter((torch_seed(seed, name, *keys) for name in names), np.int64)


@contextlib.contextmanager
def seeded(seed: int, *keys: object) -> Iterator[None]:
    """Run a block with torch's random numbers drawn from ``(seed, *keys)``; the global state is put back afterwards.

    For what takes no generator of its own: the first weights of a layer, dropout.
    """
    import torch  # here, since numbers alone need no torch

    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(torch_seed(seed, *keys))
        yield
