"""Networks that normalise by CIFAR-10's mean and std, as the authors do on ImageNet 32x32, not by the data's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines import METHODS
from clel.config import ConfigError, differences
from clel.data import ImageSpec
from clel.networks.energy_network import Normalise, normalised_by
from tests.clel.training.trainer_process import small_config

DATA = ImageSpec(3, 8, (0.5, 0.25, 0.75), (0.25, 0.5, 0.125))
CIFAR = ImageSpec(3, 8, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))  # [torchvision's and the authors' figures]


def build(name: str, whose: Any, engine: Any = "fast") -> Any:
    config = small_config() if name == "clel" else METHODS["plain"].recipe("quick").config
    torch.manual_seed(0)
    return METHODS[name](replace(config, normalisation=whose, engine=engine), DATA).eval()


def moved(x: Tensor) -> Tensor:
    """Images that the data's statistics bring to where CIFAR-10's bring x."""
    (mean, std), (own_mean, own_std) = ((torch.tensor(v).view(3, 1, 1) for v in (s.mean, s.std)) for s in (CIFAR, DATA))
    return (x - mean) / std * own_std + own_mean


@pytest.mark.parametrize("name", ["clel", "plain"])
def test_networks_see_images_normalised_so(name: str) -> None:
    x = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    theirs, own = build(name, "cifar10"), build(name, "data")
    torch.testing.assert_close(theirs.energy(x), own.energy(moved(x)), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(theirs.energy(x), own.energy(x))
    if name == "clel":
        torch.testing.assert_close(theirs.encoder(x), own.encoder(moved(x)), rtol=1e-4, atol=1e-5)
    found = [m for m in theirs.modules() if isinstance(m, Normalise)]
    assert len(found) == (2 if name == "clel" else 1)
    assert theirs.spec.shape == own.spec.shape == (3, 8, 8)


@pytest.mark.parametrize("engine", ["fast", "exact"])
def test_chains_run_on_it(engine: str) -> None:
    x = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    gradient = build("plain", "cifar10", engine).frozen_energy().gradient(x)
    factor = torch.tensor(DATA.std).view(3, 1, 1) / torch.tensor(CIFAR.std).view(3, 1, 1)
    expected = build("plain", "data", "exact").frozen_energy().gradient(moved(x)) * factor  # the chain rule
    error = (gradient - expected).norm() / expected.norm()
    assert error < (1e-5 if engine == "exact" else 0.05)  # bfloat16 has 8 binary places


@pytest.mark.parametrize("name", ["clel", "plain"])
def test_no_preset_has_it_and_runs_without_it_keep_their_names(name: str) -> None:
    for recipe in METHODS[name].recipes().values():
        config = recipe.config
        assert config.normalisation == "data"
        changed = replace(config, normalisation="cifar10")
        assert differences(config, changed) == ["normalisation: absent -> cifar10"]


def test_grey_images_are_refused() -> None:
    assert normalised_by(DATA, "data") is DATA and normalised_by(DATA, "cifar10") == CIFAR
    grey = ImageSpec(1, 8, (0.5,), (0.25,))
    for name, config in (("clel", small_config()), ("plain", METHODS["plain"].recipe("quick").config)):
        with pytest.raises(ConfigError, match=r"for images of 1 channel\(s\); take 'data'"):
            METHODS[name](replace(config, normalisation="cifar10"), grey)
