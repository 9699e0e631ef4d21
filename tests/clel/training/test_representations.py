"""What a method knows of images along training: probes, and the pulls of the loss's terms."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from baselines.plain import PlainEBM
from clel import CLEL, Images
from clel.config import ConfigError
from clel.data import to_float
from clel.methods.ebm import contrastive_divergence
from clel.methods.spherical_energy import norm_energy
from clel.metrics.probes import knn_accuracy, linear_accuracy
from clel.random import stream
from clel.training.representations import probe_accuracies, pulls, represented
from tests.clel.training.trainer_process import small_config, small_images


def clusters(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """n points around three centres far apart, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (n,), generator=generator)
    centres = torch.eye(3).repeat(1, 2) * 5
    return centres[labels] + torch.randn(n, 6, generator=generator), labels


def test_probes_find_what_is_there_and_nothing_else() -> None:
    train, held_out = clusters(300, 0), clusters(200, 1)
    assert knn_accuracy(*train, *held_out) > 0.97 and linear_accuracy(*train, *held_out) > 0.97
    noise = torch.randn(1000, 6, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(1000) % 3
    for probe in (knn_accuracy, linear_accuracy):
        assert abs(probe(noise[:500], labels[:500], noise[500:], labels[500:]) - 1 / 3) < 0.1


def test_of_classes_as_frequent_the_nearer_one_wins() -> None:
    train = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    labels = torch.tensor([0, 1])
    held_out, truth = torch.tensor([[1.0, 0.1], [0.1, 1.0]]), torch.tensor([0, 1])
    assert knn_accuracy(train, labels, held_out, truth, k=2) == 1.0
    with pytest.raises(ConfigError, match="2 representations; 3 nearest"):
        knn_accuracy(train, labels, held_out, truth, k=3)


def labelled() -> Images:
    images = small_images()
    labels = torch.arange(len(images)) % 2
    return replace(images, labels=labels, classes=("a", "b"))


def test_representations_are_h_and_u_on_the_sphere() -> None:
    method = CLEL.build(small_config(), labelled().spec, 0).eval()
    assert isinstance(method, CLEL)
    found = represented(method, labelled().pixels)
    assert list(found) == ["h", "u"]
    for f in found.values():
        assert torch.allclose(f.norm(dim=1), torch.ones(len(f)), atol=1e-5)
    x = to_float(labelled().pixels[:4], None)
    assert torch.allclose(found["h"][:4], F.normalize(method.encoder(x), dim=1), atol=1e-5)
    values = probe_accuracies(method, labelled(), labelled(), 40, 0)
    assert set(values) == {"knn_h", "linear_h", "knn_u", "linear_u"} and all(0 <= v <= 1 for v in values.values())
    assert probe_accuracies(method, replace(labelled(), labels=None, classes=()), labelled(), 40, 0) == {}


def test_pulls_are_the_gradients_of_the_two_terms_and_leave_the_method_alone() -> None:
    method = CLEL.build(replace(small_config(), beta=0.5), labelled().spec, 0).eval()
    assert isinstance(method, CLEL)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    found = pulls(method, labelled(), 0, 7)
    assert all(torch.equal(before[name], value) for name, value in method.state_dict().items())
    assert all(p.grad is None for p in method.parameters())
    assert found["gradient_divergence"] > 0 and -1 <= found["gradient_cosine"] <= 1
    # twice beta pulls twice as hard, and the other term as before
    method.config = replace(method.config, beta=1.0)
    again = pulls(method, labelled(), 0, 7)
    assert again["gradient_guidance"] == pytest.approx(2 * found["gradient_guidance"], rel=1e-4)
    assert again["gradient_divergence"] == pytest.approx(found["gradient_divergence"], rel=1e-4)
    # against a backward pass of the loss itself
    generator = stream("cpu", 0, "pulls", 7)
    chosen = torch.randperm(len(labelled()), generator=stream("cpu", 0, "pulls", 7))[: method.images_per_step]
    x = to_float(labelled().pixels[chosen], generator)[: method.config.batch_size]
    negatives = method.sample(method.config.batch_size, generator)
    loss = contrastive_divergence(
        norm_energy(method.network(x)), norm_energy(method.network(negatives)), method.config.alpha
    )["divergence"]
    loss.backward()
    total = torch.stack([p.grad.double().square().sum() for p in method.network.parameters() if p.grad is not None])
    assert float(total.sum().sqrt()) == pytest.approx(found["gradient_divergence"], rel=1e-3)


def test_a_method_without_a_latent_has_the_direction_of_f() -> None:
    method = PlainEBM.create("quick", labelled().spec)
    assert list(represented(method, labelled().pixels)) == ["f"]
    assert pulls(method, labelled(), 0, 0) == {}


def test_evaluations_during_training_look_where_asked(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEL_CACHE", str(cache))
    from baselines import METHODS
    from clel.runs.config import resolve
    from clel.runs.execute import execute

    run = resolve(METHODS, "clel", "quick", device="cpu")
    train = replace(run.train, iterations=2, checkpoint_every=1, evaluate_every=1, evaluate_samples=80, log_every=1)
    short = replace(run.config, langevin=replace(run.config.langevin, steps=2))
    small = replace(run.evaluate, samples=80, steps=2, rounds=1, beyond=1.0)
    run = replace(run, config=short, train=replace(train, representation_images=100), evaluate=small)
    execute(run, tmp_path / "run", METHODS)
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    looks = [line for line in lines if line["kind"] == "evaluation"]
    assert [line["iteration"] for line in looks] == [1, 2]
    assert all({"knn_h", "linear_u", "gradient_divergence", "gradient_guidance"} <= line.keys() for line in looks)
