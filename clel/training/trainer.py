"""The one training loop, for any method: data, step, average, log, checkpoint, divergence guard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from clel.chains.switches import engine_of, warn_of_another_engine
from clel.config import ConfigError, differences, require
from clel.data import Images, batch_indices, to_float
from clel.data.image_grid import save_grid
from clel.machine.costs import Others, now, peak_memory
from clel.machine.signals import Interrupted, Signals
from clel.methods.method import Method
from clel.methods.settings import TrainConfig
from clel.methods.stages import Ledger, StageCost
from clel.random import fold, seeded, stream
from clel.storage import checkpoint
from clel.storage.atomic import drop_unfinished, refuse_unwritable_folder
from clel.storage.log import Log, progress
from clel.training.average import Average
from clel.training.identity import essence

Probe = Callable[[Method, int], dict[str, Any]]
"""(method with averaged weights, iteration) -> named values for the log."""


@dataclass(frozen=True)
class Outcome:
    """How a training ended: `status` is "ok" or "diverged" (then the weights are those of the last good checkpoint)."""

    status: str
    reason: str | None
    iterations: int
    images: int
    seconds: float
    gradient_evaluations: int
    divergences: int
    stages: tuple[StageCost, ...]
    busy_cores: float | None = None


class Trainer:
    """Trains `method` on `images` in `folder` (checkpoints/, samples/, log.jsonl); `run()` resumes what is there.

    Randomness is a function of (seed, number of divergences, iteration), so that a run killed at any moment and started
    again ends in the state that the undisturbed run ends in, bit for bit on a CPU that has the same number format.
    """

    def __init__(
        self,
        method: Method,
        images: Images,
        config: TrainConfig,
        folder: Path | str,
        seed: int = 0,
        name: str = "training",
        probe: Probe | None = None,
        grid_steps: int | None = None,
    ) -> None:
        require(not config.minutes, "minutes become iterations in clel train and make table1; give iterations here")
        self.method, self.images, self.config, self.folder = method, images, config, Path(folder)
        self.seed, self.name, self.probe, self.grid_steps = seed, name, probe, grid_steps
        self.device = images.pixels.device
        self.iteration = self.divergences = 0
        self.ledger = Ledger(method.stages(config.iterations), config.iterations, method.config.batch_size)
        self.average = Average(method, config.ema_half_life)
        self.optimisations = method.optimisers(config.iterations)
        self.guard = Guard(config.max_energy, self.device)
        self.place = self.ledger.place(0)
        self.checkpoints = self.folder / "checkpoints"
        self.essence = essence(method, config, seed, images)

    def run(self) -> Outcome:
        """Train to the end, from the last checkpoint where there is one.

        Raises:
            Interrupted: on SIGTERM or Ctrl-C, after a checkpoint at the next step boundary.
            ConfigError: the folder holds a run of another configuration; the message lists the differences.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = Log(self.folder / "log.jsonl")
        reason = None
        with seeded(self.seed, "global"), Signals() as signals:
            self.resume_or_start()
            if self.config.tensorboard:
                self.log.open_tensorboard(self.iteration)
            with progress(self.name, self.config.iterations, self.iteration) as shown:
                mark, others = now(self.device), Others()
                while self.iteration < self.config.iterations and reason is None:
                    losses = self.step()
                    if self.must_look(signals):
                        taken = now(self.device) - mark
                        self.ledger.add(self.iteration, taken, peak_memory(self.device)[0], others.taken())
                        reason = self.look(losses, shown, signals)
                        mark, others = now(self.device), Others()
            self.log.close()
            if signals.received is not None:
                said = f"{self.name}: {signals.received.name} at the end of training; state saved"
                raise Interrupted(said, signals.received)
        return self.outcome("ok" if reason is None else "diverged", reason)

    def outcome(self, status: str, reason: str | None) -> Outcome:
        """The training as it stands, which ended so."""
        stages, busy = self.ledger.costs(self.iteration), self.ledger.busy_cores
        spent = (self.ledger.images(self.iteration), self.seconds, self.ledger.gradient_evaluations)
        return Outcome(status, reason, self.iteration, *spent, self.divergences, stages, busy)

    @property
    def seconds(self) -> float:
        """Seconds of training steps so far, those that a roll-back undid included."""
        return sum(self.ledger.seconds)

    def step(self) -> dict[str, Tensor]:
        """One iteration; returns the method's scalars, still on the device."""
        t = self.iteration
        torch.manual_seed(fold(self.seed, "global", self.divergences, t))
        generator = stream(self.device, self.seed, "train", self.divergences, t)
        chosen = batch_indices(len(self.images), self.method.images_per_step, t, self.seed)
        x = to_float(self.images.batch(chosen), generator)
        if not self.place.start < t < self.place.end:  # at a boundary, or come from another stage by going back
            self.place = self.ledger.place(t)
            for number in self.ledger.entered(t):
                self.enter_stage(number, x)
        self.method.train()
        for optimiser, _ in self.optimisations:
            optimiser.zero_grad(set_to_none=True)
        losses = self.method.training_step(x, generator)
        losses["loss"].backward()
        for optimiser, schedule in self.optimisations:
            optimiser.step()
            schedule.step()
        stage = self.place
        self.ledger.steps[stage.number] += 1
        self.iteration += 1
        self.average.update(self.method, stage.batch, (self.iteration - stage.start) * stage.batch)
        self.guard.observe(losses)
        return {name: value.detach() for name, value in losses.items()}

    def enter_stage(self, number: int, images: Tensor) -> None:
        """Let the method get ready for a later stage; the average of weights, and a GPU's peak, start anew there."""
        generator = stream(self.device, self.seed, "stage", self.divergences, number)
        self.method.enter_stage(number, self.average.state_dict(), images, generator)
        for k, cost in self.method.inherited().items():
            self.ledger.inherit(k, cost)
        self.average = Average(self.method, self.config.ema_half_life)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def due(self, every: int) -> bool:
        """Whether something that happens each `every` iterations (0: never), and at the end, happens now."""
        return every > 0 and (self.iteration % every == 0 or self.iteration == self.config.iterations)

    def must_look(self, signals: Signals) -> bool:
        """Whether this iteration ends with anything but another step."""
        c = self.config
        periods = (c.log_every, c.checkpoint_every, c.evaluate_every, c.sample_every)
        ends_stage = self.iteration in self.ledger.ends
        return signals.received is not None or ends_stage or any(self.due(every) for every in periods)

    def look(self, losses: dict[str, Tensor], shown: tqdm, signals: Signals) -> str | None:
        """Between two steps: guard, log, evaluation, samples, checkpoint, signals. Returns why the run ends, if so."""
        c = self.config
        if bool(self.guard.bad) or not self.weights_are_finite():
            return self.roll_back(losses)
        if self.due(c.log_every):
            values = {name: float(value) for name, value in losses.items()}
            self.log.write("train", self.iteration, **self.costs(), **values)
            shown.set_postfix_str("  ".join(f"{k} {v:.4g}" for k, v in values.items()), refresh=False)
            shown.update(self.iteration - shown.n)
        if self.probe is not None and self.due(c.evaluate_every):
            with self.average.swapped_in(self.method):
                self.log.write("evaluation", self.iteration, **self.costs(), **self.probe(self.method, self.iteration))
        if self.due(c.sample_every):
            self.save_samples()
        if self.due(c.checkpoint_every) or signals.received is not None:
            self.save()
        if signals.received is not None and self.iteration < c.iterations:
            said = f"{self.name}: {signals.received.name} at iteration {self.iteration}; state saved"
            raise Interrupted(said, signals.received)
        return None

    def weights_are_finite(self) -> bool:
        """Whether every weight is; the guard sees the losses that came before the last update, not what it made."""
        return bool(torch.stack([p.detach().isfinite().all() for p in self.method.parameters()]).all())

    def costs(self) -> dict[str, Any]:
        """Images, seconds and gradient evaluations of training so far, without those of evaluations and the like."""
        images, gradients = self.ledger.images(self.iteration), self.ledger.gradient_evaluations
        return {"images": images, "seconds": self.seconds, "gradient_evaluations": gradients}

    def save_samples(self) -> None:
        """Grids of 64 fresh samples of the averaged weights, and of 64 persistent chains where there are any."""
        with self.average.swapped_in(self.method):
            x = self.method.sample(64, stream(self.device, self.seed, "grid", self.iteration), self.grid_steps)
        save_grid(x, self.folder / "samples" / f"fresh-{self.iteration:09d}.png")
        chains = self.method.chains()
        if chains is not None:
            save_grid(chains[:64], self.folder / "samples" / f"chains-{self.iteration:09d}.png")

    def roll_back(self, losses: dict[str, Tensor]) -> str | None:
        """Back to the last scheduled checkpoint, with fresh chains and another seed. Why the run ends, if so.

        Where that one has been gone back to already, it may have been saved on the way to the divergence: one further.
        """
        at = self.iteration
        values = {name: float(value) for name, value in losses.items()}
        found = checkpoint.latest(self.checkpoints, self.config.checkpoint_every)
        if found is None:
            raise checkpoint.CheckpointError(f"{self.checkpoints}: no readable checkpoint to go back to")
        again = self.divergences - found[1]["divergences"]
        found = checkpoint.latest(self.checkpoints, self.config.checkpoint_every, back=again) or found
        # what the lost iterations cost is part of the method's cost
        spent, divergences = self.ledger.state_dict(), self.divergences + 1
        self.restore(*found)
        self.ledger.load_state_dict(spent)
        self.divergences = divergences
        self.log.rewind(self.iteration, divergences - 1)
        self.log.write("rollback", self.iteration, diverged_at=at, divergences=divergences, values=values)
        if divergences <= self.config.rollbacks:
            self.method.reset_chains(stream(self.device, self.seed, "chains", divergences))
            return None
        checkpoint.drop_after(self.checkpoints, self.iteration)
        return (
            f"diverged {divergences} times, last noticed at iteration {at} ({_worst(values, self.config.max_energy)}); "
            "what has helped others: a lower learning rate, more Langevin steps, a larger weight of squared energies"
        )

    def state(self) -> dict[str, Any]:
        """All that a checkpoint holds: tensors and plain containers."""
        return {
            "essence": self.essence,
            "engine": engine_of(self.method),
            "iteration": self.iteration,
            "divergences": self.divergences,
            "costs": self.ledger.state_dict(),
            "method": self.method.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [o.state_dict() for o, _ in self.optimisations],
            "schedules": [s.state_dict() for _, s in self.optimisations],
        }

    def save(self) -> None:
        """Write a checkpoint of the present state."""
        c = self.config
        checkpoint.save(self.checkpoints, self.iteration, self.state(), c.keep, c.checkpoint_every)

    def resume_or_start(self) -> None:
        """Take up the newest readable checkpoint, or start with fresh chains and a checkpoint of iteration 0."""
        drop_unfinished(self.checkpoints, alone=True)
        found = checkpoint.latest(self.checkpoints)
        # another configuration's start holds no work: what was refused, or failed, before its first step blocks nothing
        if found is not None and (found[0] > 0 or not differences(found[1]["essence"], self.essence)):
            self.restore(*found)
            self.log.rewind(self.iteration, self.divergences)
            return
        self.log.rewind(0, 0)
        self.method.reset_chains(stream(self.device, self.seed, "chains", 0))
        # of the weights, their average and two moments; more are there at once only while one is written
        size = sum(value.nbytes for value in self.method.state_dict().values())
        size += 3 * sum(value.nbytes for value in self.method.parameters())
        refuse_unwritable_folder(self.checkpoints, size * (self.config.kept + 1))
        self.save()

    def restore(self, iteration: int, state: dict[str, Any]) -> None:
        """Put a checkpoint's state in place; raises ConfigError where it is another configuration's."""
        changed = differences(state["essence"], self.essence)
        if changed:
            raise ConfigError(
                f"{self.folder} holds a run of another configuration: {'; '.join(changed)}. "
                "Give another folder, or remove this one"
            )
        warn_of_another_engine(state.get("engine"), engine_of(self.method), self.folder)
        self.iteration, self.divergences = iteration, state["divergences"]
        self.ledger.load_state_dict(state["costs"])
        self.guard.reset()
        self.method.load_state_dict(state["method"])
        self.average.load_state_dict(state["average"])
        for (optimiser, schedule), o, s in zip(
            self.optimisations, state["optimisers"], state["schedules"], strict=True
        ):
            optimiser.load_state_dict(o)
            schedule.load_state_dict(s)


class Guard:
    """Remembers since the last `reset` whether a scalar was not finite or an "energy..." lay beyond +- max_energy.

    Attributes:
        bad: bool scalar on the device; always false where a checkpoint is written.
    """

    def __init__(self, max_energy: float, device: torch.device) -> None:
        self.max_energy = max_energy
        self.bad = torch.zeros((), dtype=torch.bool, device=device)

    @torch.no_grad()
    def observe(self, losses: Mapping[str, Tensor]) -> None:
        """Take note of one iteration's scalars. NaN compares as false with everything, so each test is of the good."""
        values = torch.stack([value.detach().float() for value in losses.values()])
        good = values.isfinite().all()
        energies = [value.detach().float() for name, value in losses.items() if name.startswith("energy")]
        if energies:
            good &= (torch.stack(energies).abs() <= self.max_energy).all()
        self.bad |= ~good

    def reset(self) -> None:
        """Forget."""
        self.bad.zero_()


def _worst(values: dict[str, float], max_energy: float) -> str:
    odd = {k: v for k, v in values.items() if not abs(v) <= (max_energy if k.startswith("energy") else float("inf"))}
    return ", ".join(f"{k} = {v:.4g}" for k, v in (odd or values).items())
