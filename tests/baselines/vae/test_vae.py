"""The VAE: ELBO against a linear-Gaussian model in closed form, posteriors, decoders, spectral regulariser, shapes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from baselines.spectral_penalty import convolutions, remember_singular_vectors, scale_sum, spectral_sum
from baselines.vae.config import VAEConfig
from baselines.vae.decoder import DecoderConfig, image_mean, image_sample, log_bin, log_likelihood, pixel_gaussian
from baselines.vae.latents import absolute_posterior, prior, residual_posterior, soft_clamp
from baselines.vae.network import HierarchicalVAE, VAENetworkConfig
from baselines.vae.objective import balanced_kl, cosine_factor, group_sizes, kl_coefficient
from baselines.vae.vae import VAE
from clel.config import ConfigError
from clel.data import ImageSpec
from clel.networks.energy_network import parameter_count
from clel.random import stream

GREY8 = ImageSpec(1, 8, (0.3,), (0.3,))
CIFAR = ImageSpec(3, 32, (0.5,) * 3, (0.25,) * 3)
TINY = VAENetworkConfig(width=4, groups=(1, 2), latents=2, outer_cells=1, cells=1, expansion=2)
SMALL = VAEConfig(network=TINY, batch_size=6, warmup=2, kl_warmup=10)


def build(config: VAEConfig = SMALL, spec: ImageSpec = GREY8) -> VAE:
    method = VAE.build(config, spec, seed=0)
    assert isinstance(method, VAE)
    return method


class LinearGaussian(nn.Module):
    """z1 ~ N(0, 1), z2 | z1 ~ N(a z1, s2^2), x | z ~ N(b + w1 z1 + w2 z2, sd^2): one pixel, and its exact posterior."""

    a, s2, b, w1, w2, sd = 0.7, 0.6, 0.45, 0.2, -0.3, 0.1
    latent_shapes = ((1, 1, 1), (1, 1, 1))

    def joint(self) -> MultivariateNormal:
        """Of (z1, z2, x), by the covariance of the noise through the linear map."""
        rows = [[1.0, 0, 0], [self.a, self.s2, 0], [self.w1 + self.w2 * self.a, self.w2 * self.s2, self.sd]]
        m = torch.tensor(rows, dtype=torch.float64)
        return MultivariateNormal(torch.tensor([0, 0, self.b], dtype=torch.float64), m @ m.T)

    def forward(self, x: Tensor, noise: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        joint = self.joint()
        mean, cov = joint.mean, joint.covariance_matrix
        v = x.double()
        # q(z1 | x)
        gain = cov[0, 2] / cov[2, 2]
        zero = torch.zeros_like(v)
        shift, ratio = gain * (v - mean[2]), (cov[0, 0] - gain * cov[2, 0]).sqrt()
        z1, kl1 = residual_posterior(zero, zero, raw(shift, ratio.log().expand_as(v)), noise[0].double())
        # q(z2 | z1, x), its shift from the prior's mean a z1
        known = cov[[0, 2]][:, [0, 2]]
        w = torch.linalg.solve(known, cov[[0, 2], 1])
        own = w[0] * z1 + w[1] * (v - mean[2])
        std = (cov[1, 1] - w @ cov[[0, 2], 1]).sqrt()
        scale = math.log(self.s2)
        parameters = raw(own - self.a * z1, (std.log() - scale).expand_as(v))
        z2, kl2 = residual_posterior(self.a * z1, torch.full_like(v, scale), parameters, noise[1].double())
        decoded = self.b + self.w1 * z1 + self.w2 * z2
        return raw_mean(decoded), [kl1, kl2]


def raw(*values: Tensor) -> Tensor:
    """What a network must put out for these values to come out of the soft clamp."""
    return torch.cat([5 * torch.atanh(value / 5) for value in values], 1)


def raw_mean(mean: Tensor) -> Tensor:
    return raw(2 * mean - 1)


def test_elbo_is_the_evidence_where_the_posterior_is_exact() -> None:
    """log p(x) = E_q[...] with q the posterior. The integrand is quadratic in the noise: sigma points are exact."""
    method = build(replace(SMALL, network=replace(TINY, decoder=DecoderConfig(sigma=LinearGaussian.sd))))
    model = LinearGaussian()
    method.network = model  # type: ignore[assignment]
    points = math.sqrt(2) * torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]], dtype=torch.float64)
    for value in (0.1, 0.45, 0.9):
        x = torch.full((4, 1, 1, 1), value, dtype=torch.float64)
        log_p, kls = method.terms(x, [points[:, :1, None, None], points[:, 1:, None, None]])
        joint = model.joint()
        evidence = Normal(joint.mean[2], joint.covariance_matrix[2, 2].sqrt()).log_prob(x[0, 0, 0, 0])
        assert float((log_p - sum(kls)).mean()) == pytest.approx(float(evidence), abs=1e-9)


def test_elbo_is_below_the_evidence_elsewhere() -> None:
    model = LinearGaussian()
    method = build(replace(SMALL, network=replace(TINY, decoder=DecoderConfig(sigma=model.sd)), draws=400))
    method.network = model  # type: ignore[assignment]
    x = torch.full((1, 1, 1, 1), 0.6, dtype=torch.float64)
    joint = model.joint()
    evidence = float(Normal(joint.mean[2], joint.covariance_matrix[2, 2].sqrt()).log_prob(x[0, 0, 0, 0]))
    assert float(method.energy(x)) == pytest.approx(-evidence, abs=0.1)
    model.forward = lambda x, noise: _worse(LinearGaussian(), x, noise)  # type: ignore[assignment]
    assert float(method.energy(x)) > -evidence + 0.3


def _worse(model: LinearGaussian, x: Tensor, noise: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """The prior as posterior."""
    z1 = noise[0].double()
    z2 = model.a * z1 + model.s2 * noise[1].double()
    return raw_mean(model.b + model.w1 * z1 + model.w2 * z2), [torch.zeros(len(x)), torch.zeros(len(x))]


def test_residual_posterior_against_torch_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    p, q, noise = (torch.randn(5, c, 2, 2, generator=generator, dtype=torch.float64) for c in (6, 6, 3))
    mean, log_std = prior(4 * p)
    z, kl = residual_posterior(mean, log_std, 2 * q, noise)
    shift, log_ratio = soft_clamp(2 * q).chunk(2, 1)
    posterior = Normal(mean + shift, log_std.exp() * log_ratio.exp())
    expected = kl_divergence(Independent(posterior, 3), Independent(Normal(mean, log_std.exp()), 3))
    torch.testing.assert_close(kl, expected)
    torch.testing.assert_close(z, posterior.mean + posterior.stddev * noise)

    z, kl = absolute_posterior(mean, log_std, 2 * q, noise)
    posterior = Normal(shift, log_ratio.exp())
    expected = kl_divergence(Independent(posterior, 3), Independent(Normal(mean, log_std.exp()), 3))
    torch.testing.assert_close(kl, expected)
    torch.testing.assert_close(z, posterior.mean + posterior.stddev * noise)


def test_a_posterior_without_shift_is_the_prior() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, log_std = prior(torch.randn(2, 4, 2, 2, generator=generator))
    _, kl = residual_posterior(mean, log_std, torch.zeros(2, 4, 2, 2), torch.zeros(2, 2, 2, 2))
    assert float(kl.abs().max()) == 0


@pytest.mark.parametrize("components", [1, 3])
def test_discretised_logistic_sums_to_one(components: int) -> None:
    """Over the 256 values, for means inside and beyond the range and for scales from wide to a tenth of a bin."""
    config = DecoderConfig("logistic", components)
    generator = torch.Generator().manual_seed(1)
    n = 40
    output = torch.randn(n, config.outputs(1), 1, 1, generator=generator, dtype=torch.float64) * 2
    values = (torch.arange(256, dtype=torch.float64) + 0.5) / 256
    log_p = torch.stack([log_likelihood(output, v.expand(n, 1, 1, 1), config) for v in values])
    torch.testing.assert_close(log_p.exp().sum(0), torch.ones(n, dtype=torch.float64), rtol=1e-9, atol=1e-9)


def test_logistic_bins_keep_their_digits_in_the_tails() -> None:
    """Float32 against the plain difference of distribution functions in float64, 80 scales from the mean included."""
    v = torch.tensor([0.0, 1, 100, 254, 255])
    for mean, scale in ((0.5, 0.05), (0.2, 0.01), (0.9, 0.3)):
        ends = (torch.stack([v, v + 1]).double() / 256 - mean) / scale
        low, high = ends.sigmoid()
        upper_low, upper_high = (-ends).sigmoid()
        # the difference on the side where it loses less
        inner = torch.where(ends[0] > 0, upper_low - upper_high, high - low)
        expected = torch.stack([high[0], inner[1], inner[2], inner[3], upper_low[4]]).log()
        found = log_bin(v, torch.tensor(mean), torch.tensor(scale))
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sigma", [None, 0.2])
def test_gaussian_decoder_against_torch_distributions(sigma: float | None) -> None:
    config = DecoderConfig(sigma=sigma, min_log_sigma=-1.0)
    generator = torch.Generator().manual_seed(2)
    output = 3 * torch.randn(4, config.outputs(1), 3, 3, generator=generator, dtype=torch.float64)
    x = torch.rand(4, 1, 3, 3, generator=generator, dtype=torch.float64)
    mean, std = pixel_gaussian(output, config)
    expected = Independent(Normal(mean, std), 3).log_prob(x)
    torch.testing.assert_close(log_likelihood(output, x, config), expected)
    noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(image_sample(output, noise, config), (mean + std * noise).clamp(0, 1))
    torch.testing.assert_close(image_mean(output, config), mean.clamp(0, 1))
    if sigma is None:
        assert float(std.min()) == pytest.approx(math.exp(-1) / 2)


def test_spectral_sum_is_that_of_the_largest_singular_values() -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 5, 3), nn.Conv2d(5, 5, 3), nn.Conv2d(5, 5, 3, bias=False), nn.Conv2d(5, 5, 5, groups=5)]
    network = nn.Sequential(*layers, nn.BatchNorm2d(5)).double()
    remember_singular_vectors(network)
    network.double()
    network[4].weight.data = torch.tensor([0.5, -3.0, 1, 2, 0.1]).double()  # type: ignore[union-attr]
    for _ in range(60):
        value = spectral_sum(network)
    expected = sum(torch.linalg.svdvals(layer.weight.flatten(1))[0] for layer in layers)
    torch.testing.assert_close(value, expected, rtol=1e-8, atol=1e-8)
    assert float(scale_sum(network).detach()) == 3.0
    value.backward()
    u, _, vh = torch.linalg.svd(layers[1].weight.detach().flatten(1))
    assert layers[1].weight.grad is not None
    torch.testing.assert_close(layers[1].weight.grad.flatten(1), torch.outer(u[:, 0], vh[0]), rtol=1e-4, atol=1e-4)


def test_power_iteration_goes_on_from_the_saved_vectors() -> None:
    method, twin = build(), build()
    for _ in range(3):
        spectral_sum(method.network)
    twin.load_state_dict(method.state_dict())
    assert torch.equal(spectral_sum(method.network), spectral_sum(twin.network))


def test_generating_from_a_posterior_s_latents_gives_its_image() -> None:
    """z = mu_p + sigma_p e': the decoder's pass alone agrees with the pass through both towers."""
    method = build().eval()
    network = method.network
    x = torch.rand(3, 1, 8, 8, generator=stream("cpu", 1))
    noise = method.noise(3, stream("cpu", 2))
    seen: list[Tensor] = []
    handles = [
        group.absorb.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, -2:]))
        for group in network.groups  # type: ignore[union-attr]
    ]
    with torch.no_grad():
        through, _ = network(x, noise)
        for handle in handles:
            handle.remove()
        # the noise that the priors would need, group by group
        state, doublers, back = network.constant.expand(3, -1, -1, -1), iter(network.doublers), []
        for number, (group, z) in enumerate(zip(network.groups, seen, strict=True)):
            state, (mean, log_std) = group.down(state)  # type: ignore[operator]
            back.append((z - mean) / log_std.exp())
            state = network.absorb(number, state, z, doublers)
        torch.testing.assert_close(network.generate(back), through, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("residual", [True, False])
def test_each_kl_is_that_of_the_sampled_latents_from_the_prior_that_generates(residual: bool) -> None:
    """q(z_l) is read off the latents themselves, which are affine in the noise, and p(z_l) off the decoder's pass."""
    method = build(replace(SMALL, network=replace(SMALL.network, residual=residual))).eval()
    network: Any = method.network
    x, ends = torch.rand(3, 1, 8, 8, generator=stream("cpu", 1)), network.ends
    noise = method.noise(3, stream("cpu", 2))
    latents: list[Tensor] = []
    handles = [g.absorb.register_forward_pre_hook(lambda _, i: latents.append(i[0][:, -2:])) for g in network.groups]

    def pass_through(noise: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        latents.clear()
        _, kls = network(x, noise)
        return list(latents), kls

    with torch.no_grad():
        zs, kls = pass_through(noise)
        state, doublers = network.constant.expand(3, -1, -1, -1), iter(network.doublers)
        for number, group in enumerate(network.groups):
            # groups before this one keep their noise, so that its prior and posterior stay the same
            zero, one = (
                pass_through([*noise[:number], torch.full_like(noise[number], value), *noise[number + 1 :]])[0][number]
                for value in (0.0, 1.0)
            )
            state, (mean, log_std) = group.down(state)
            q, p = Normal(zero, one - zero), Normal(mean, log_std.exp())
            torch.testing.assert_close(kls[number], kl_divergence(q, p).flatten(1).sum(1), rtol=1e-3, atol=1e-4)
            state = group.absorb(torch.cat([state, zs[number]], 1))
            state = next(doublers)(state) if number in ends else state
    for handle in handles:
        handle.remove()


def test_a_posterior_sees_what_the_groups_before_it_drew() -> None:
    """Through the decoder's state: with the residual part of the prior taken out, another z_1 still changes q(z_2)."""
    method = build(replace(SMALL, network=replace(SMALL.network, residual=False))).eval()
    x, noise = torch.rand(2, 1, 8, 8, generator=stream("cpu", 1)), method.noise(2, stream("cpu", 2))
    seen: list[Tensor] = []
    second: Any = method.network.groups[1]
    handle = second.posterior.register_forward_hook(lambda _, inputs, output: seen.append(output))
    with torch.no_grad():
        method.network(x, noise)
        method.network(x, [noise[0] + 1, *noise[1:]])
    handle.remove()
    assert float((seen[0] - seen[1]).abs().max()) > 1e-4


def test_groups_lie_at_their_scales() -> None:
    network = HierarchicalVAE(replace(TINY, groups=(1, 2, 3), halvings=1), CIFAR)
    assert network.latent_shapes == [(2, 4, 4), *[(2, 8, 8)] * 2, *[(2, 16, 16)] * 3]
    shapes = [tuple(f.shape[1:]) for f in network.features(torch.rand(2, 3, 32, 32))]
    assert shapes == [(32, 4, 4), *[(16, 8, 8)] * 2, *[(8, 16, 16)] * 3]
    assert HierarchicalVAE(replace(TINY, groups=(2, 2, 2)), ImageSpec(3, 64, (0.5,) * 3, (0.25,) * 3)).latent_shapes[
        -1
    ] == (2, 32, 32)
    with pytest.raises(ConfigError, match="8 pixels cannot be halved 4 times"):
        HierarchicalVAE(replace(TINY, groups=(1, 1, 1, 1)), GREY8)


def test_published_size() -> None:
    """VAEBM's NVAE on CIFAR-10: 30 groups; with the flows that are left out here, 130.744 M of VAEBM's 135.88 M."""
    with torch.device("meta"):
        network = HierarchicalVAE(VAENetworkConfig(), CIFAR)
    assert network.latent_shapes == [(20, 16, 16)] * 30
    assert parameter_count(network) == 129_107_204
    # of one of a group's two autoregressive cells: 3x3, 5x5 depthwise and 1x1 convolutions, each with weight norm
    flow = (120 * 20 * 9 + 120) + (120 * 25 + 120) + (20 * 120 + 20 + 20)
    assert parameter_count(network) + 30 * 2 * flow == 130_744_004
    assert len(convolutions(network)) == 1 + (2 + 2 + 4) + 60 * 2 + 30 * 2 + 29 * 2 + 58 * 3 + 1 + (3 * 2 + 1) + 1


def test_kl_warm_up_and_balance() -> None:
    betas = [float(kl_coefficient(torch.tensor(t), 10, 0.05)) for t in (0, 1, 5, 10, 99)]
    assert betas == pytest.approx([0.05, 0.1, 0.5, 1, 1])
    assert float(kl_coefficient(torch.tensor(0), 0, 0.05)) == 1
    # two scales: 4^0 / 1 for the coarse group, 4^1 / 2 for each fine one, over the least
    assert group_sizes((1, 2), torch.device("cpu")).tolist() == [1, 2, 2]
    kls = [torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0]), torch.tensor([4.0, 8.0])]
    a = [2.01 / 1, 0.01 / 2, 6.01 / 2]
    gamma = [value / (sum(a) / 3) for value in a]
    half = torch.tensor(0.5)
    expected = [0.5 * (gamma[0] * 1 + gamma[2] * 4), 0.5 * (gamma[0] * 3 + gamma[2] * 8)]
    assert balanced_kl(kls, (1, 2), half, True).tolist() == pytest.approx(expected)
    assert balanced_kl(kls, (1, 2), torch.tensor(1.0), True).tolist() == [5, 11]
    assert balanced_kl(kls, (1, 2), half, False).tolist() == [2.5, 5.5]


def test_learning_rate() -> None:
    factor = cosine_factor(100, 10, 0.01)
    assert [factor(t) for t in (0, 9)] == pytest.approx([0.1, 1])
    assert factor(10) == pytest.approx(1) and factor(100) == pytest.approx(0.01) == pytest.approx(factor(500))
    assert factor(55) == pytest.approx(0.01 + 0.99 * 0.5)


def test_training_step_by_hand() -> None:
    method = build(replace(SMALL, spectral=0.3)).train()
    x = torch.rand(6, 1, 8, 8, generator=stream("cpu", 3))
    method.step.fill_(4)
    losses = method.training_step(x, stream("cpu", 4))
    log_p, kls = method.terms(x, method.noise(6, stream("cpu", 4)))
    kl = balanced_kl(kls, TINY.groups, torch.tensor(0.4), True)
    # spectral_sum has moved its vectors on since
    penalty = 0.3 * (losses["spectral"] + scale_sum(method.network))
    torch.testing.assert_close(losses["loss"], (kl - log_p).mean() + penalty)
    torch.testing.assert_close(losses["negative_elbo"], (sum(kls) - log_p).mean().detach())
    assert int(method.step) == 5


def test_energy_is_a_fixed_estimate_of_the_bound() -> None:
    method = build(replace(SMALL, draws=3)).eval()
    x = torch.rand(4, 1, 8, 8, generator=stream("cpu", 5))
    generator = stream("cpu", 0, "elbo")
    expected = torch.zeros(4)
    for _ in range(3):
        log_p, kls = method.terms(x, [e.repeat(4, 1, 1, 1) for e in method.noise(1, generator)])
        expected += (sum(kls) - log_p) / 3
    torch.testing.assert_close(method.energy(x), expected)
    assert torch.equal(method.energy(x), method.energy(x))


def test_temperature_0_leaves_one_image() -> None:
    images = build(replace(SMALL, temperature=0.0)).eval().sample(3, stream("cpu", 6))
    assert torch.equal(images[0], images[1])


@pytest.mark.parametrize(
    "changes", [{"batch_size": 1}, {"lr": 0.0}, {"kl_least": 2.0}, {"draws": 0}, {"temperature": -1.0}]
)
def test_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        replace(SMALL, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: DecoderConfig(components=2),
        lambda: DecoderConfig("logistic", sigma=0.1),
        lambda: replace(TINY, groups=()),
        lambda: replace(TINY, width=6),
    ],
)
def test_refused_networks(wrong: object) -> None:
    with pytest.raises(ConfigError):
        wrong()  # type: ignore[operator]
