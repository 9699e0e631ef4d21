"""The contract that every method keeps, CLEL and baselines alike: a new method is tested by being in the table."""

from __future__ import annotations

import ast
import copy
import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch

from baselines import METHODS
from clel import TrainConfig, Trainer, train
from clel.config import from_dict, to_dict
from clel.data import DataError, Images, to_float, to_uint8
from clel.methods.method import Method
from clel.networks.energy_network import parameter_count
from clel.random import stream
from clel.runs.config import Run, former, resolve
from clel.sampling.fresh import goes_on
from tests.clel.training.trainer_process import small_images

TRAIN = TrainConfig(iterations=3, checkpoint_every=2, log_every=1, sample_every=0)


def small(name: str) -> Any:
    """The method's quick configuration with a small batch and two Langevin steps, so that a step takes moments."""
    config = METHODS[name].recipe("quick").config
    changes: dict[str, Any] = {f.name: 4 for f in dataclasses.fields(config) if "batch_size" in f.name}
    if hasattr(config, "langevin"):
        changes["langevin"] = dataclasses.replace(config.langevin, steps=2)
    if hasattr(config, "buffer"):
        changes["buffer"] = dataclasses.replace(config.buffer, size=6)
    return dataclasses.replace(config, **changes)


@pytest.fixture(scope="module")
def images() -> Images:
    return small_images()


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest, images: Images) -> Method:
    torch.manual_seed(0)
    method = METHODS[request.param](small(request.param), images.spec)
    method.reset_chains(stream("cpu", 0))
    return method


def batch(method: Method, images: Images) -> torch.Tensor:
    return to_float(images.pixels[: method.images_per_step], stream("cpu", 1))


@pytest.mark.parametrize("name", METHODS)
def test_recipes(name: str) -> None:
    recipes = METHODS[name].recipes()
    assert {"quick", "evening", "small", "paper"} <= recipes.keys()
    assert METHODS[name].title
    for preset, recipe in recipes.items():
        assert type(recipe.config) is METHODS[name].Config
        assert from_dict(METHODS[name].Config, to_dict(recipe.config)) == recipe.config
        run: Run[Any] = resolve(METHODS, name, preset)
        assert run.name.startswith(f"{former(run.config) or name}-digits-s0-")


@pytest.mark.parametrize("name", METHODS)
def test_every_option_says_what_it_means(name: str) -> None:
    """Each field has a docstring, which the command line shows as its help."""
    for kind in METHODS[name].Config.__mro__:
        if dataclasses.is_dataclass(kind):
            (body,) = (n.body for n in ast.parse(inspect.getsource(kind)).body if isinstance(n, ast.ClassDef))
            for line, following in zip(body, [*body[1:], None], strict=True):
                if isinstance(line, ast.AnnAssign):
                    explained = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
                    assert explained, f"{kind.__name__}.{ast.unparse(line.target)} has no docstring"


def test_losses_are_named_finite_scalars(method: Method, images: Images) -> None:
    losses = method.training_step(batch(method, images), stream("cpu", 2))
    assert "loss" in losses and losses["loss"].requires_grad
    assert all(value.ndim == 0 and bool(value.isfinite()) for value in losses.values())


def test_every_parameter_belongs_to_one_optimiser(method: Method) -> None:
    held = [id(p) for o, _ in method.optimisers(10) for group in o.param_groups for p in group["params"]]
    assert len(held) == len(set(held))
    assert set(held) == {id(p) for p in method.parameters() if p.requires_grad}
    assert sum(map(parameter_count, method.counted())) > 0


def test_a_step_is_a_function_of_the_generator(method: Method, images: Images) -> None:
    twin = copy.deepcopy(method)
    x = batch(method, images)
    first, second = (m.training_step(x, stream("cpu", 3))["loss"] for m in (method, twin))
    assert torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(method.state_dict().values(), twin.state_dict().values(), strict=True))


def test_a_step_changes_neither_images_nor_weights(method: Method, images: Images) -> None:
    x = batch(method, images)
    before, weights = x.clone(), [p.detach().clone() for p in method.parameters()]
    method.training_step(x, stream("cpu", 2))
    assert torch.equal(x, before)
    assert all(torch.equal(a, b) for a, b in zip(weights, method.parameters(), strict=True))
    assert all(p.grad is None for p in method.parameters())


def test_energy_is_one_number_an_image_or_a_reason(method: Method, images: Images) -> None:
    method.eval()
    x = to_float(images.pixels[:5], None)
    if type(method).energy is Method.energy:
        with pytest.raises(NotImplementedError, match=method.title):
            method.energy(x)
        return
    with pytest.raises(DataError, match="to_float"):
        method.energy(to_uint8(x))
    energy = method.energy(x)
    assert energy.shape == (5,) and energy.dtype == torch.float32
    assert torch.allclose(energy[2:3], method.energy(x[2:3]), atol=1e-6)


def test_samples(method: Method) -> None:
    method.eval()
    a, b, other = (method.sample(3, stream("cpu", seed), 2) for seed in (4, 4, 5))
    assert a.shape == (3, *method.spec.shape) and a.dtype == torch.float32
    assert float(a.min()) >= 0 and float(a.max()) <= 1 and not a.requires_grad
    assert torch.equal(a, b) and not torch.equal(a, other)


def test_followed_chains_are_samples_that_go_on(method: Method) -> None:
    """After the first number of steps the samples; after later ones the same chains, or samples anew."""
    method.eval()
    with torch.no_grad():
        states = list(method.follow(3, stream("cpu", 4), (2, 3, 7)))
        assert len(states) == 3 and all(x.shape == (3, *method.spec.shape) for x in states)
        assert all(float(x.min()) >= 0 and float(x.max()) <= 1 for x in states)
        assert torch.equal(states[0], method.sample(3, stream("cpu", 4), 2))
        if goes_on(type(method)):
            assert torch.equal(states[2], method.sample(3, stream("cpu", 4), 7))


def test_chains_are_images(method: Method) -> None:
    chains = method.chains()
    if chains is not None:
        assert chains.shape[1:] == method.spec.shape
        assert float(chains.min()) >= 0 and float(chains.max()) <= 1


@pytest.mark.parametrize("name", METHODS)
def test_trains_resumes_and_has_no_state_outside_its_checkpoint(name: str, images: Images, tmp_path: Path) -> None:
    def fresh(folder: str) -> Trainer:
        torch.manual_seed(0)
        return Trainer(METHODS[name](small(name), images.spec), images, TRAIN, tmp_path / folder)

    whole, first = fresh("whole"), fresh("halves")
    whole.run()
    step = first.step

    def die_in_the_third_step() -> Any:
        if first.iteration == 2:
            raise KeyboardInterrupt
        return step()

    first.step = die_in_the_third_step  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        first.run()
    again = fresh("halves")
    again.run()
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.method.state_dict().values(), again.method.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("name", METHODS)
def test_later_stages_keep_the_contract_too(name: str, images: Images) -> None:
    count = len(METHODS[name](small(name), images.spec).stages(TRAIN.iterations))
    for check in (
        test_losses_are_named_finite_scalars,
        test_a_step_is_a_function_of_the_generator,
        test_a_step_changes_neither_images_nor_weights,
        test_energy_is_one_number_an_image_or_a_reason,
    ):
        for last in range(1, count):
            check(in_stage(name, images, last), images)
    for last in range(1, count):
        test_samples(in_stage(name, images, last))
        test_chains_are_images(in_stage(name, images, last))


def in_stage(name: str, images: Images, number: int) -> Method:
    """The method as it is at the start of a later stage, after stages without any iteration."""
    torch.manual_seed(0)
    method = METHODS[name](small(name), images.spec)
    method.reset_chains(stream("cpu", 0))
    for k in range(1, number + 1):
        average = {key: p.detach().clone() for key, p in method.named_parameters()}
        method.enter_stage(k, average, batch(method, images), stream("cpu", 9, k))
    return method.train()


def test_train_from_python_leaves_averaged_weights(method: Method, images: Images, tmp_path: Path) -> None:
    outcome = train(method, images, TRAIN, tmp_path)
    assert outcome.status == "ok" and not method.training
    assert len(method.sample(2, stream("cpu", 0), 1)) == 2
