"""Measures numbers of samples of 3x32x32 in 256 dimensions and prints the peak memory in MB after each; test_streaming
runs it."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from clel.data import ImageSpec
from clel.evaluation.score import score
from clel.features.reference import Reference
from clel.methods.settings import EvaluateConfig
from clel.metrics import Gaussian
from clel.sampling.fresh import draw_into

D = 256


class Space:
    """Random features: their meaning does not matter here, their number does."""

    name, identity, accuracy, dimension, labelled, resizing = "random", "random", None, D, False, "none"

    def __init__(self) -> None:
        self.weight = torch.randn(3072, D, generator=torch.Generator().manual_seed(0)) / 55

    def __call__(self, pixels: Tensor, batch: int = 0) -> tuple[Tensor, Tensor]:
        f = (pixels.flatten(1).float() / 255 - 0.5) @ self.weight
        return f, f.softmax(1)


class Noise(nn.Module):
    """A method as far as sampling needs one."""

    title = "Noise"

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.spec = ImageSpec(3, 32, (0.5,) * 3, (0.25,) * 3)
        self.config = None

    @classmethod
    def disturbed(cls, config: None) -> None:
        return None

    def sample(self, n: int, generator: torch.Generator, steps: int) -> Tensor:
        return torch.rand(n, *self.spec.shape, generator=generator)

    def continue_chains(self, x: Tensor, generator: torch.Generator, steps: int) -> Tensor:
        return x


def main(n: int, folder: Path) -> None:
    config = EvaluateConfig(samples=n, steps=2, rounds=2, bootstrap=0)
    stored = draw_into(folder, Noise(), config, "clean", 0, "sample", "memory")  # type: ignore[arg-type]
    real = Reference("r/train", n, "r", Gaussian(torch.zeros(D).double(), torch.eye(D).double(), n), None, Space())
    score(stored.pixels, n, real, config, 0, "fresh", folder / "features")
    stored.gather(folder / "all.npy")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for number in map(int, sys.argv[2:]):
        main(number, Path(sys.argv[1], str(number)))
