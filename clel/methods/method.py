"""The interface that CLEL and every baseline satisfy. Trainer, evaluation and tables know of a method nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from clel.chains.protocol import Protocol
from clel.config import choose
from clel.data import ImageSpec
from clel.methods.settings import Recipe
from clel.methods.stages import Stage, StageCost
from clel.random import seeded

Optimisation = tuple[Optimizer, LRScheduler]


class Method(nn.Module, ABC):
    """A way to learn images: networks and buffers as a torch module, one training step, an energy, a sampler.

    Everything that a resumed run needs is in `state_dict` and in the optimisers. Everything random comes from the
    generator that is handed in, or (dropout) from torch's global one, which the trainer seeds each iteration.
    """

    title: ClassVar[str]
    """Name in tables and figures."""
    Config: ClassVar[type]
    """Frozen dataclass of the method's hyper-parameters; must have `batch_size`."""
    start: ClassVar[str] = "uniform noise"
    """What `sample` starts from, in words, for the protocol of its samples."""

    def __init__(self, config: Any, spec: ImageSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec

    @classmethod
    @abstractmethod
    def recipes(cls) -> Mapping[str, Recipe]:
        """Named settings: at least quick, small and paper."""

    @classmethod
    def recipe(cls, name: str) -> Recipe:
        """recipes()[name]; raises ConfigError with the nearest name."""
        return choose(cls.recipes(), name, f"preset of {cls.title}")

    @classmethod
    def create(cls, preset: str, spec: ImageSpec, seed: int = 0) -> Method:
        """The method with the settings of a preset, for images of `spec`, initialised from `seed`."""
        return cls.build(cls.recipe(preset).config, spec, seed)

    @classmethod
    def build(cls, config: Any, spec: ImageSpec, seed: int = 0) -> Method:
        """The method with these settings, for images of `spec`, initialised from `seed`."""
        with seeded(seed, "initialisation"):
            return cls(config, spec)

    @classmethod
    def settled(cls, config: Any) -> Any:
        """The settings in the form that names a run, where several say the same; called before a run has its name.

        Raises:
            ConfigError: what they refer to would have to be looked at for that, and is not there.
        """
        return config

    @classmethod
    def require_inputs(cls, config: Any) -> None:
        """Look at what the settings refer to outside of themselves; called before a run writes or computes anything.

        Raises:
            ConfigError: it is not there, or not what the settings say.
        """

    @classmethod
    def disturbed(cls, config: Any) -> Protocol | None:
        """The protocol `paper` of a method with these settings: how its authors disturb chains between rounds, if so.

        A method that has one must take chains up (`continue_chains`).
        """
        return None

    def representations(self, x: Tensor) -> dict[str, Tensor]:
        """What the method knows of images x [N, C, H, W] in [0, 1], by name: [N, D] each; nothing by default."""
        return {}

    def pulls(self, images: Tensor, generator: torch.Generator) -> dict[str, float]:
        """How hard each term of the loss pulls at the energy's weights, by name; nothing by default.

        images: a batch of `images_per_step` in [0, 1). The method's state is left alone.
        """
        return {}

    @property
    def images_per_step(self) -> int:
        """Training images that one step takes; of them `config.batch_size`, or what its stage says, count as seen."""
        return self.config.batch_size

    @property
    def gradient_evaluations_per_step(self) -> int:
        """Batches of dE/dx that one training step takes: its cost in the unit that Langevin samplers share."""
        return 0

    def stages(self, iterations: int) -> tuple[Stage, ...]:
        """What is trained one after the other; the stages' iterations add up to `iterations`. One stage by default."""
        return (Stage("training", iterations, self.gradient_evaluations_per_step),)

    def enter_stage(
        self, number: int, average: Mapping[str, Tensor], images: Tensor, generator: torch.Generator
    ) -> None:
        """Get ready for stage `number` = 1, 2, ...: called when its first step is about to be taken.

        The state that it leaves must be a function of state and arguments: a run that resumes, or goes back, to the
        stage's start comes by here again. Afterwards the average of weights starts anew from the present ones.

        Args:
            average: averaged weights by parameter name, as the stage before left them.
            images: those of the first step [images_per_step, C, H, W] in [0, 1), for what is initialised from data.
        """
        raise NotImplementedError(f"{self.title} has stages but does not say what happens between them")

    def inherited(self) -> Mapping[int, StageCost]:
        """What stages that have no iterations here took elsewhere, once `enter_stage` has loaded their result.

        It is part of what the method costs, and stands in the record as if it had been spent here.
        """
        return {}

    def counted(self) -> list[nn.Module]:
        """The modules whose parameters tables count: all, unless the method's paper leaves some out."""
        return [self]

    def reset_chains(self, generator: torch.Generator) -> None:
        """Start all persistent state of the sampler anew; called before training and after a divergence."""
        return None

    @abstractmethod
    def optimisers(self, iterations: int) -> list[Optimisation]:
        """The optimisers with their schedules over `iterations`, in a fixed order."""

    @abstractmethod
    def training_step(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of one iteration on dequantised images [images_per_step, C, H, W] in [0, 1).

        Returns:
            named scalars: "loss" is the total, which the trainer differentiates; keys that begin with "energy" are mean
            energies, on which it watches for divergence; the rest is logged.
        """

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator, steps: int | None = None) -> Tensor:
        """Images [n, C, H, W] in [0, 1], new from noise, under the present weights; `steps` as in training if None."""

    def continue_chains(self, x: Tensor, generator: torch.Generator, steps: int | None = None) -> Tensor:
        """Images [n, C, H, W] after `steps` more steps of the method's sampler from x, for sampling in rounds.

        Raises:
            NotImplementedError: the method's sampler cannot start from an image.
        """
        raise NotImplementedError(f"{self.title} cannot continue a chain from an image; leave evaluate.rounds at 1")

    @torch.no_grad()
    def follow(self, n: int, generator: torch.Generator, totals: Sequence[int]) -> Iterator[Tensor]:
        """n chains [n, C, H, W] in [0, 1], new from noise, after each of `totals` steps, an increasing sequence.

        Where the method cannot continue a chain from an image, new ones are sampled for each.
        """
        x, done = None, 0
        for total in totals:
            if x is None or type(self).continue_chains is Method.continue_chains:
                x = self.sample(n, generator, total)
            else:
                x = self.continue_chains(x, generator, total - done)
            done = total
            yield x

    def energy(self, images: Tensor) -> Tensor:
        """Unnormalised negative log density [N] of images [N, C, H, W] in [0, 1]: lower is likelier.

        Raises:
            DataError: images of whole numbers.
            NotImplementedError: the method has no energy; the message says why.
        """
        raise NotImplementedError(f"{self.title} defines no energy of an image")

    def chains(self) -> Tensor | None:
        """The persistent chains [M, C, H, W] in [0, 1], or None where the method has none."""
        return None

    def chains_protocol(self) -> dict[str, Any]:
        """How the persistent chains came about: what a number measured on them depends on."""
        return {}
