"""The same features give the same numbers as clean-fid, torch-fidelity and torchmetrics.

Their own arithmetic limits how closely: clean-fid and torch-fidelity compute in the type of the features, here float64;
torchmetrics in float32 unless told otherwise, and then to a percent only for the Frechet distance.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import scipy
import torch
from torch import Tensor, nn

from clel.metrics import (
    Moments,
    SingularCovariance,
    frechet_distance,
    inception_score,
    kernel_distance,
    neighbour_metrics,
)
from tests.clel.random_features import normal, seeded

CLASSES = 10


def features(n: int, d: int, seed: int) -> Tensor:
    """Not negative, skewed, of decaying variances and an offset: like pooled activations."""
    scales = torch.logspace(0, -2, d, dtype=torch.float64)
    return (normal(n, d, seed) @ (torch.eye(d, dtype=torch.float64) + 0.3 * normal(d, d, 99)) + 0.5).relu() * scales


REAL, FAKE = features(300, 32, 0), 1.1 * features(400, 32, 1) + 0.02
FEW = FAKE[:20]
LOGITS = 2 * normal(230, CLASSES, 2)


def moments(x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    return x.numpy().mean(0), np.cov(x.numpy(), rowvar=False)


# clean-fid


@pytest.fixture
def cleanfid() -> Any:
    return pytest.importorskip("cleanfid.fid")


def clean_frechet(cleanfid: Any, real: Tensor, fake: Tensor) -> float:
    if tuple(int(part) for part in scipy.__version__.split(".")[:2]) >= (1, 18):
        pytest.skip("clean-fid 0.1.35 calls scipy.linalg.sqrtm(disp=False), an option that SciPy 1.18 removed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy's deprecations
        return float(cleanfid.frechet_distance(*moments(real), *moments(fake)))


def test_clean_frechet(cleanfid: Any) -> None:
    value = frechet_distance(Moments.of(REAL), Moments.of(FAKE))
    assert value == pytest.approx(clean_frechet(cleanfid, REAL, FAKE), rel=1e-9)


def test_clean_frechet_of_few(cleanfid: Any) -> None:
    """A singular covariance: its matrix square root is good to 1e-6."""
    with pytest.warns(SingularCovariance, match="rank 19 in 32"):
        value = frechet_distance(Moments.of(REAL), Moments.of(FEW), force=True)
    assert value == pytest.approx(clean_frechet(cleanfid, REAL, FEW), rel=1e-6)


def test_clean_kernel(cleanfid: Any) -> None:
    """A whole set as one subset leaves nothing to its generator, numpy's global one."""
    real, fake = REAL[:300], FAKE[:300]
    theirs = cleanfid.kernel_distance(real.numpy(), fake.numpy(), num_subsets=1, max_subset_size=300)
    ours, _ = kernel_distance(real, fake, seeded(), subset=300, subsets=1)
    assert ours == pytest.approx(theirs, rel=1e-9)


# torch-fidelity


def test_fidelity_frechet() -> None:
    fid = pytest.importorskip("torch_fidelity.metric_fid")
    for real, fake, rel in ((REAL, FAKE, 1e-9), (REAL, FEW, 1e-6)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SingularCovariance)
            ours = frechet_distance(Moments.of(real), Moments.of(fake), force=True)
        statistics = [fid.fid_features_to_statistics(x) for x in (real, fake)]
        theirs = fid.fid_statistics_to_metric(*statistics, verbose=False)[fid.KEY_METRIC_FID]
        assert ours == pytest.approx(theirs, rel=rel)


def test_fidelity_kernel() -> None:
    kid = pytest.importorskip("torch_fidelity.metric_kid")
    theirs = kid.kid_features_to_metric(
        REAL[:300], FAKE[:300], kid_subsets=1, kid_subset_size=300, verbose=False, rng_seed=0
    )[kid.KEY_METRIC_KID_MEAN]
    assert kernel_distance(REAL[:300], FAKE[:300], seeded(), 300, 1)[0] == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("splits", [1, 7, 10])
def test_fidelity_inception_score(splits: int) -> None:
    """Without its shuffle the splits are ours, also where 230 is not divisible. It takes logits."""
    isc = pytest.importorskip("torch_fidelity.metric_isc")
    theirs = isc.isc_features_to_metric(LOGITS, splits=splits, shuffle=False)
    mean, std = inception_score(LOGITS.softmax(1), splits=splits)
    assert mean == pytest.approx(theirs[isc.KEY_METRIC_ISC_MEAN], rel=1e-10)
    assert std == pytest.approx(theirs[isc.KEY_METRIC_ISC_STD], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_fidelity_precision_recall(k: int) -> None:
    """Shares of few hundred images, averaged in float32 there. Its first set is the fakes."""
    prc = pytest.importorskip("torch_fidelity.metric_prc")
    theirs = prc.prc_features_to_metric(
        FAKE, REAL, prc_neighborhood=k, prc_batch_size=128, save_cpu_ram=True, verbose=False
    )
    ours = neighbour_metrics(REAL, FAKE, k)
    assert ours.precision == pytest.approx(theirs[prc.KEY_METRIC_PRECISION], abs=1e-6)
    assert ours.recall == pytest.approx(theirs[prc.KEY_METRIC_RECALL], abs=1e-6)
    assert 0.05 < ours.precision < 1 and 0.05 < ours.recall < 1


# torchmetrics


class Through(nn.Module):
    """Takes features for images: what a torchmetrics metric calls its network."""

    num_features = 32

    def forward(self, x: Tensor) -> Tensor:
        return x


def torchmetrics(name: str, **options: Any) -> Any:
    image = pytest.importorskip("torchmetrics.image")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the memory that it will take
        return getattr(image, name)(feature=Through(), **options).set_dtype(torch.float64)


def test_torchmetrics_frechet() -> None:
    metric = torchmetrics("FrechetInceptionDistance")
    metric.update(REAL, real=True)
    metric.update(FAKE, real=False)
    ours = frechet_distance(Moments.of(REAL), Moments.of(FAKE))
    assert ours == pytest.approx(float(metric.compute()), rel=1e-8)


def test_torchmetrics_kernel() -> None:
    metric = torchmetrics("KernelInceptionDistance", subsets=1, subset_size=300)
    metric.update(REAL[:300], real=True)
    metric.update(FAKE[:300], real=False)
    theirs, _ = metric.compute()
    assert kernel_distance(REAL[:300], FAKE[:300], seeded(), 300, 1)[0] == pytest.approx(float(theirs), rel=1e-9)


def test_torchmetrics_inception_score() -> None:
    """It shuffles always, so that only a single split compares; of which there is no spread."""
    metric = torchmetrics("InceptionScore", splits=1)
    metric.update(LOGITS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of that spread
        theirs, _ = metric.compute()
    assert inception_score(LOGITS.softmax(1), splits=1)[0] == pytest.approx(float(theirs), rel=1e-10)
