"""These tests check what a CUDA device does otherwise than a CPU, and are skipped where there is none.

    python -m pytest -m gpu tests/gpu

Bodies that make sense on a CPU run there too, so that what is left to be found on a GPU is the GPU's.
"""

from __future__ import annotations

import pytest
import torch

from clel.machine import processor
from tests.gpu.small import GPU


@pytest.fixture(params=["cpu", GPU])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """The CPU and the GPU, where float32 means float32, as in a training."""
    chosen = torch.device(request.param)
    if chosen.type == "cuda" and not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} sees no CUDA device (make gpu-check says what it needs)")
    if chosen.type == "cuda":  # what it is held to has its number format: bfloat16 on any CPU, emulated if need be
        monkeypatch.setattr(processor, "cpu_flags", lambda: frozenset({"amx_bf16"}))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    return chosen
