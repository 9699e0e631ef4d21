"""BYOL's objective and target network against Grill et al.'s equations."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from clel import TrainConfig, Trainer
from clel.config import ConfigError
from clel.methods.byol import Byol, as_buffers
from clel.methods.clel import CLEL
from tests.clel.methods.test_clel import CONFIG, build, images, step
from tests.clel.training.trainer_process import small_images

BYOL = {"objective": "byol", "generated_negatives": False}


def made() -> tuple[CLEL, Byol]:
    method = build(**BYOL)
    assert method.byol is not None
    return method, method.byol


def test_loss_by_hand() -> None:
    """|q/|q| - xi/|xi||^2 of one view's prediction and the other's target, both ways round, in float64."""
    method, byol = made()
    method.double()
    h, xi = (torch.randn(8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    loss = byol.loss(h, xi)
    q = F.normalize(byol.predictor(h), dim=1)
    xi = F.normalize(xi, dim=1)
    expected = sum((q[i] - xi[(i + 4) % 8]).square().sum() for i in range(8)) / 4
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)


def test_the_target_follows_the_encoder() -> None:
    """xi <- tau xi + (1 - tau) theta, once a step and after the optimiser's; its first move is none."""
    method, byol = made()
    start = {n: p.detach().clone() for n, p in method.encoder.named_parameters()}
    step(method)
    held = dict(byol.target.named_buffers())
    assert all(torch.equal(held[n], p) for n, p in start.items())
    with torch.no_grad():
        for p in method.encoder.parameters():
            p.add_(1.0)
    step(method)
    for name, p in start.items():
        torch.testing.assert_close(held[name], p + (1 - 0.996), rtol=1e-6, atol=1e-7)


def test_the_step_is_the_objective_of_the_views() -> None:
    """The logged loss is L of h and of the target network, of the same views, one exchanged for the other."""
    method, _ = made()
    twin = copy.deepcopy(method)
    assert twin.byol is not None
    losses = step(method, backward=False)
    generator = torch.Generator().manual_seed(2)
    twin.negatives(generator)
    _, first, second, views = twin.latents(images(), generator)
    xi = twin.byol.target(views)
    q = twin.byol.predictor(torch.cat([first, second]))
    pairs = F.cosine_similarity(q[:5], xi[5:]) + F.cosine_similarity(q[5:], xi[:5])
    torch.testing.assert_close(losses["contrastive"], (4 - 2 * pairs).mean().detach())


def test_gradients_go_to_the_encoder_and_the_predictor() -> None:
    method, byol = made()
    step(method)
    trained = [*method.encoder.parameters(), *byol.predictor.parameters()]
    assert all(p.grad is not None for p in trained)
    _, (sgd, _) = method.optimisers(10)
    assert {id(p) for group in sgd.param_groups for p in group["params"]} == {id(p) for p in trained}
    assert not list(byol.target.parameters())


def test_buffers_in_the_place_of_parameters_change_nothing() -> None:
    method, _ = made()
    twin = as_buffers(copy.deepcopy(method.encoder))
    assert twin.state_dict().keys() == method.encoder.state_dict().keys()
    assert torch.equal(twin(images()), method.encoder(images()))


def test_resumes_in_the_same_bits(tmp_path: Path) -> None:
    train = TrainConfig(iterations=4, checkpoint_every=2, log_every=1, sample_every=0)
    data = small_images()
    config = replace(CONFIG, **BYOL, byol_decay=0.5, langevin=replace(CONFIG.langevin, steps=1))

    def fresh(folder: str) -> Trainer:
        torch.manual_seed(0)
        return Trainer(CLEL(config, data.spec), data, train, tmp_path / folder)

    whole, first = fresh("whole"), fresh("halves")
    whole.run()
    own = first.step

    def die() -> object:
        if first.iteration == 3:
            raise KeyboardInterrupt
        return own()

    first.step = die  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        first.run()
    again = fresh("halves")
    again.run()
    for (name, a), b in zip(whole.method.state_dict().items(), again.method.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert not any("target" in name for name in whole.average.shadow)
    assert any("byol.target" in name for name in whole.method.state_dict())


def test_refused() -> None:
    for changes in (
        {"objective": "byol"},
        {"byol_decay": 0.9},
        {**BYOL, "byol_decay": 1.0},
        {"generated_negatives": False, "negative_latents": "draw"},
    ):
        with pytest.raises(ConfigError):
            replace(CONFIG, **changes)  # type: ignore[arg-type]
