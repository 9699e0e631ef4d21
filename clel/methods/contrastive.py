"""NT-Xent, the contrastive loss that the encoder h is trained with, and its generated negatives (CLEL equation 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def nt_xent(first: Tensor, second: Tensor, temperature: float, negatives: Tensor | None = None) -> Tensor:
    """Mean over all 2n views of -log( exp(a.b / tau) / (sum over the other 2n - 1 views + sum over the negatives) ).

    Args:
        first, second: latents [n, d] of two views of the same n images, in the same order; normalised here.
        temperature: tau > 0.
        negatives: directions [m, d] of generated images, which no view should resemble; normalised here. The paper's
            equation 4 adds them as keys; gradients should not reach them (detach them).

    Returns:
        scalar loss; log(2n - 1 + m) when every latent is equal. (SimCLR, Chen et al., ICML 2020, equation 1.)
    """
    views = F.normalize(torch.cat([first, second]), dim=1)
    n = len(first)
    keys = views if negatives is None else torch.cat([views, F.normalize(negatives, dim=1)])
    logits = views @ keys.T / temperature
    own = torch.eye(2 * n, len(keys), dtype=torch.bool, device=views.device)
    positive = torch.arange(2 * n, device=views.device).roll(n)
    return F.cross_entropy(logits.masked_fill(own, -torch.inf), positive)
