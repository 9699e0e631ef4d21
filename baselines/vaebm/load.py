"""A trained VAE's averaged weights from its run's folder, told apart by their content and not by the path."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from baselines.vae.network import VAENetworkConfig
from clel.config import ConfigError, differences
from clel.methods.stages import StageCost
from clel.runs.config import read_config
from clel.runs.record import read_training
from clel.storage import checkpoint

DIGITS = 64
"""Of a content in full."""
KIND = "vae"
"""The method, as config.json names it, of the runs that hold one."""


def load_vae(folder: str, content: str, network: VAENetworkConfig) -> dict[str, Tensor]:
    """State of a VAE method, its parameters the averaged ones, from the last checkpoint of a finished run.

    Args:
        folder: the run's directory.
        content: first digits of the SHA-256 of that state, as `content_hash` gives them.
        network: the network that the VAE must have.

    Raises:
        ConfigError: no such run, one of another method, an unfinished one, another network, or other weights; then the
            message has their content.
    """
    kind = _method_of(Path(folder))
    if kind is not None and kind != KIND:
        raise ConfigError(f"{folder} is a run of {kind}; vae_run takes one of {KIND}, as `clel train {KIND}` makes it")
    found = checkpoint.latest(Path(folder) / "checkpoints")
    if found is None:
        raise ConfigError(f"vae_run is {folder!r}, which has no readable checkpoint; give the folder of a VAE's run")
    iteration, saved = found
    essence = saved["essence"]
    if iteration < essence["train"]["iterations"]:
        raise ConfigError(
            f"{folder}: at iteration {iteration} of {essence['train']['iterations']}; finish that run first"
        )
    if "latents" not in essence["method"].get("network", {}):
        raise ConfigError(f"{folder} holds another method than a VAE; vae_run takes a run of {KIND}")
    changed = differences(essence["method"]["network"], network)
    if changed:
        raise ConfigError(f"{folder} holds another network than vae.network says: {'; '.join(changed)}")
    state = {**saved["method"], **saved["average"]}
    own = content_hash(state)
    if not content or not own.startswith(content):
        raise ConfigError(
            f"the weights in {folder} have the content {own}; vae_content is {content!r}. Give that, or its first "
            f"digits: {own[:12]}"
        )
    return state


def _method_of(folder: Path) -> str | None:
    """The method, or what else, that a run's config.json names; None where there is none to be read."""
    try:
        values = read_config(folder)
    except (OSError, ConfigError):
        return None
    return str(values.get("method") or values["kind"])


def cost_of(folder: str) -> StageCost | None:
    """What the finished run in the folder took, from its training.json; None where it has none."""
    ended = read_training(Path(folder))
    if ended is None:
        return None
    costs = ended["training"]
    return StageCost("vae", costs["iterations"], costs["seconds"], costs["peak_memory_bytes"])


def content_hash(state: Mapping[str, Any]) -> str:
    """SHA-256, 64 hex digits, over names, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(repr((name, tuple(tensor.shape), str(tensor.dtype))).encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
