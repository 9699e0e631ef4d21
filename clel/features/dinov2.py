"""Feature spaces of DINOv2 (Oquab et al. 2023), ViT-L/14 and ViT-S/14: the CLS token behind the last norm.

A Frechet distance in the first is the FD-DINOv2 of Stein et al. (Exposing flaws of generative model evaluation metrics,
NeurIPS 2023), whose code is dgm-eval: 224 x 224 by Pillow's bicubic, ImageNet's mean and standard deviation, and the
position embedding interpolated as Meta's own network does. The network is timm's, an optional extra.
"""

from __future__ import annotations

import hashlib
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from clel.config import ConfigError, choose
from clel.data.sources import file_digest
from clel.features.pretrained_space import PretrainedSpace
from clel.networks.weights import WeightsError
from clel.random import seeded
from clel.storage.atomic import FORSAKEN, write_atomically
from clel.storage.cache import cache_root

SIDE, PATCH, OFFSET = 224, 14, 0.1
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ARCHITECTURES = {
    # name here: (Meta's name, timm's name, D)
    "dinov2-vitl14": ("dinov2_vitl14", "vit_large_patch14_dinov2", 1024),
    "dinov2-vits14": ("dinov2_vits14", "vit_small_patch14_dinov2", 384),
}


def dinov2_space(name: str, device: torch.device | str = "cpu", cache: Path | None = None) -> PretrainedSpace:
    """The feature space of a name in ARCHITECTURES, from Meta's file of weights in the cache. It has no classes.

    Raises:
        ConfigError: an unknown name, or timm is not installed.
        WeightsError: the file is missing, or is another one than at its first use.
    """
    meta, architecture, dimension = choose(ARCHITECTURES, name, "DINOv2 feature space")
    path = dinov2_file(meta, cache)
    digest = first_seen(path)
    network = _loaded(path, architecture).to(device)
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN, STD))
    return PretrainedSpace(
        name=name,
        identity=hashlib.sha256(repr((name, digest, SIDE)).encode()).hexdigest(),
        dimension=dimension,
        classes=0,
        resizing=f"to {SIDE}x{SIDE}, bicubic, antialiased, rounded (Pillow, as dgm-eval)",
        device=torch.device(device),
        resize=resize,
        extract=lambda x: network((x / 255 - mean) / std),
        logits=lambda f: f[:, :0],
    )


def resize(pixels: Tensor) -> Tensor:
    """uint8 [N, 3, S, S] -> float32 [N, 3, 224, 224], 0 to 255, by Pillow's bicubic."""
    images = pixels.permute(0, 2, 3, 1).cpu().numpy()
    resized = [np.asarray(Image.fromarray(i).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for i in images]
    stacked = np.stack(resized) if resized else np.empty((0, SIDE, SIDE, 3), dtype=np.uint8)
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float().contiguous()


def url(meta: str) -> str:
    """Where Meta publishes the weights of its name."""
    return f"https://dl.fbaipublicfiles.com/dinov2/{meta}/{meta}_pretrain.pth"


def dinov2_file(meta: str, cache: Path | None = None) -> Path:
    """Meta's file in dinov2/ of the cache; raises WeightsError, with both ways to get it, where there is none."""
    path = (cache or cache_root()).expanduser() / "dinov2" / f"{meta}_pretrain.pth"
    if not path.is_file():
        raise WeightsError(
            f"the DINOv2 weights {path.name} are not in {path.parent}. Get them by `make weights FEATURES=dinov2` "
            f"where there is a network, or fetch {url(meta)} on another machine and copy it there. That is dinov2/ in "
            "the environment's CLEL_CACHE (default ./cache)"
        )
    return path


def get_dinov2(name: str, cache: Path | None = None) -> Path:
    """The file, downloaded first unless it is there; raises WeightsError where that fails."""
    meta = choose(ARCHITECTURES, name, "DINOv2 feature space")[0]
    try:
        return dinov2_file(meta, cache)
    except WeightsError:
        path = (cache or cache_root()).expanduser() / "dinov2" / f"{meta}_pretrain.pth"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f"{path.name}.*.partial"):  # torch's name of what it has not got whole
            with suppress(OSError):  # another user's, or gone by now
                if time.time() - left.stat().st_mtime > FORSAKEN:
                    left.unlink()
        torch.hub.download_url_to_file(url(meta), str(path))  # put in place once it is whole
    except OSError as error:
        raise WeightsError(f"{path}: could not be downloaded from {url(meta)}: {error}. Check the network") from error
    first_seen(path)
    return path


def first_seen(path: Path) -> str:
    """SHA-256 of the file, which is written beside it at its first use, and must be the same from then on.

    Meta publishes none. So this tells a file that changed, not a wrong one from the start; torch reads it as weights
    only, which runs no code.
    """
    found = file_digest(path, "sha256").removeprefix("sha256:")
    note = path.with_name(path.name + ".sha256")
    if not note.exists():
        print(f"{path.name}: no hash of it is published; SHA-256 {found}, kept in {note.name}", file=sys.stderr)
        write_atomically(note, found + "\n")
    if (known := note.read_text().strip()) != found:
        raise WeightsError(
            f"{path} is another file than at its first use: its SHA-256 is {found}, then it was {known}; delete it and "
            f"get it again, or delete {note} to take it from now on"
        )
    return found


def _loaded(path: Path, architecture: str) -> nn.Module:
    try:
        from timm import create_model
    except ImportError as error:
        raise ConfigError(
            f"DINOv2's network is timm's, which is not installed ({error}): pip install '.[dinov2]'"
        ) from None
    state = torch.load(path, map_location="cpu", weights_only=True)
    state.pop("mask_token", None)
    state["pos_embed"] = positions(state["pos_embed"], SIDE // PATCH)
    with seeded(0, "dinov2"):  # layers are initialised before the weights replace them
        network = create_model(architecture, pretrained=False, num_classes=0, img_size=SIDE)
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def positions(embedding: Tensor, side: int) -> Tensor:
    """[1, 1 + M^2, D] -> [1, 1 + side^2, D]: bicubic with a scale of (side + 0.1) / M, not antialiased, as Meta has it;
    timm's own way would antialias."""
    token, grid = embedding[:, :1], embedding[:, 1:]
    m = round(grid.shape[1] ** 0.5)
    grid = grid.reshape(1, m, m, -1).permute(0, 3, 1, 2)
    scale = (side + OFFSET) / m
    moved = F.interpolate(grid, scale_factor=(scale, scale), mode="bicubic")
    assert moved.shape[-2:] == (side, side)
    return torch.cat([token, moved.permute(0, 2, 3, 1).flatten(1, 2)], 1)
