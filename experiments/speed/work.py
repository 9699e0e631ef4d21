"""What is timed: one iteration of the trainer itself in any stage of a method, and its sampler, on random images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from baselines import METHODS
from clel.chains.switches import Engine, Switches, engine_of, switches
from clel.config import choose
from clel.data import Images, ImageSpec
from clel.machine.costs import now
from clel.methods.method import Method
from clel.methods.stages import Stage
from clel.networks.energy_network import parameter_count
from clel.random import stream
from clel.runs.config import Methods, Run, build, with_engine
from clel.training.trainer import Trainer
from experiments.sweep.estimate import with_steps

PLAIN_ENGINE: Engine = "float32"
"""Calls every operation from Python, where it can be counted; a captured graph replays them unseen."""
POOL = 4
"""Random training images, in batches."""


class Work:
    """A method at the start of stage `number`, ready to be trained and sampled.

    Args:
        steps: Langevin steps of a chain, where the stage has chains; the configuration's own if None.
    """

    def __init__(
        self,
        run: Run[Any],
        spec: ImageSpec,
        number: int,
        device: torch.device,
        steps: int | None = None,
        methods: Methods = METHODS,
    ) -> None:
        if steps is not None:
            run = replace(run, config=with_steps(run.config, steps))
        self.device, self.number = device, number
        self.method = build(run, methods, spec, device)
        n = POOL * self.method.images_per_step
        generator = torch.Generator().manual_seed(run.seed)
        pixels = torch.randint(0, 256, (n, *spec.shape), dtype=torch.uint8, generator=generator).to(device)
        # the folder is not written to: only `run` would
        self.trainer = Trainer(self.method, Images(pixels, name="random"), run.train, Path("."), run.seed)
        self.method.reset_chains(stream(device, run.seed, "chains", 0))
        self.stage: Stage = self.trainer.ledger.stages[number]
        self.images = self.trainer.ledger.batches[number]
        self.trainer.iteration = self.trainer.ledger.ends[number] - self.stage.iterations

    def iteration(self) -> None:
        """One iteration as the trainer takes it: batch, step, backward, optimisers, average, guard; until done."""
        self.losses = self.trainer.step()
        now(self.device)

    def entered(self) -> Work:
        """Itself, in its stage: a later one begins with its first iteration, which may prepare what it needs."""
        if self.number:
            self.iteration()
        return self

    @torch.no_grad()
    def sample(self, steps: int | None) -> None:
        """As many new samples as an iteration has images, with `steps` steps of the sampler; then wait for them."""
        self.method.eval()
        self.method.sample(self.images, stream(self.device, 0, "sample"), steps)
        now(self.device)

    @property
    def engine(self) -> str:
        """The method's engine in words."""
        return engine_of(self.method)

    @property
    def loss(self) -> float:
        """The last iteration's."""
        return float(self.losses["loss"])

    @property
    def parameters(self) -> int:
        """Scalars in the modules that tables count."""
        return sum(parameter_count(module) for module in self.method.counted())


def countable(run: Run[Any], methods: Methods = METHODS) -> tuple[Run[Any], Methods]:
    """The run on PLAIN_ENGINE, and methods of which its own takes the same passes as on the run's engine.

    An engine may leave a pass of a network out (`shared_views`); what else it changes is how operations are computed.
    """
    plain, kind = with_engine(run, PLAIN_ENGINE), choose(methods, run.method, "method")
    if not hasattr(kind, "switches"):
        return plain, methods

    def chosen(method: Any) -> Switches:
        own = switches(run.config.engine, method.device)
        return replace(switches(PLAIN_ENGINE, method.device), shared_views=own.shared_views)

    return plain, {**methods, run.method: type(kind.__name__, (kind,), {"switches": property(chosen)})}


def stages_of(run: Run[Any], spec: ImageSpec, methods: Methods = METHODS) -> list[tuple[int, Stage]]:
    """(number, stage) of the stages that have iterations."""
    kind = choose(methods, run.method, "method")
    # stages follow from the settings, so the networks, which take seconds to make, are left out
    bare = kind.__new__(kind)
    Method.__init__(bare, run.config, spec)
    return [(k, s) for k, s in enumerate(bare.stages(run.train.iterations)) if s.iterations > 0]
