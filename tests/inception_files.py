"""Files of random weights in the two formats in which the Inception network is published: same names, same interface.

The architecture is the true one, so that both extractors run for real; only the numbers are random.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections import OrderedDict
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from cleanfid import inception_pytorch as blocks
from torch import Tensor, nn

from clel.networks.weights import STATE_DICT, TORCHSCRIPT, Weights
from clel.random import stream


def random_state(seed: int) -> OrderedDict[str, Tensor]:
    """The state of an Inception network with 1008 classes, drawn such that activations keep their size with depth.

    Convolutions by He et al. 2015; statistics and biases of batch normalisation near 0 and 1, but not at them; a bias
    of the last layer that would change the probabilities, were it added.
    """
    g = stream("cpu", seed, "inception")
    state: OrderedDict[str, Tensor] = OrderedDict()
    for name, empty in network("meta").state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue  # the published file has none, as its size tells
        draw = torch.randn(empty.shape, generator=g)
        if name.endswith("conv.weight"):
            state[name] = draw * math.sqrt(2 / math.prod(empty.shape[1:]))
        elif name.endswith(("bn.weight", "running_var")):
            state[name] = 1 + 0.1 * draw.clamp(-3, 3)
        elif name == "fc.weight":
            state[name] = draw / math.sqrt(empty.shape[1])
        else:
            state[name] = draw if name == "fc.bias" else 0.1 * draw
    return state


def network(device: str) -> nn.Module:
    """torchvision's Inception with the blocks in which the one that FID uses differs."""
    with torch.device(device):
        net = torchvision.models.Inception3(1008, aux_logits=False, init_weights=False)
        net.Mixed_5b = blocks.FIDInceptionA(192, 32)
        net.Mixed_5c, net.Mixed_5d = blocks.FIDInceptionA(256, 64), blocks.FIDInceptionA(288, 64)
        for name, width in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
            setattr(net, f"Mixed_{name}", blocks.FIDInceptionC(768, width))
        net.Mixed_7b, net.Mixed_7c = blocks.FIDInceptionE_1(1280), blocks.FIDInceptionE_2(2048)
    return net.eval()


def write_state_dict(folder: Path, seed: int = 0) -> Weights:
    """pytorch-fid's format: a state in torch's serialisation of before 1.6, no zip file."""
    path = folder / STATE_DICT.file
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(random_state(seed), path, _use_new_zipfile_serialization=False)
    return described(path, STATE_DICT)


def write_torchscript(folder: Path, seed: int = 0) -> Weights:
    """The interface of the published TorchScript file: layers, output, and a forward that resizes as TensorFlow 1."""
    net = network("meta")
    net.load_state_dict(random_state(seed), assign=True)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / TORCHSCRIPT.file
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.script(Published(net).eval()).save(str(path))
    return described(path, TORCHSCRIPT)


def described(path: Path, published: Weights) -> Weights:
    """The description of the file at `path`, in place of the published one's."""
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    return Weights(published.file, sha256, len(content), published.url, published.modes, published.aliases)


class Published(nn.Module):
    """Images [N, 3, H, W], 0 to 255 -> features [N, 2048] or class probabilities [N, 1008]."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        order = "Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 maxpool1 Conv2d_3b_1x1 Conv2d_4a_3x3 maxpool2".split()
        order += [f"Mixed_{name}" for name in "5b 5c 5d 6a 6b 6c 6d 6e 7a 7b 7c".split()] + ["avgpool"]
        layers = nn.Sequential(*(net.get_submodule(name) for name in order))
        self.layers = torch.jit.trace(layers, torch.zeros(1, 3, 75, 75), check_trace=False)
        self.output = net.get_submodule("fc")

    def forward(
        self, img: Tensor, return_features: bool = False, use_fp16: bool = False, no_output_bias: bool = False
    ) -> Tensor:
        # pixel j of 299 is read at j * size / 299, corner on corner; grid_sample counts from -1 to 1 over pixel edges
        n, height, width = img.shape[0], img.shape[2], img.shape[3]
        steps = torch.arange(299, device=img.device, dtype=torch.float32) * 2.0 / 299.0 - 1.0
        rows = (steps + 1.0 / height).view(1, 299, 1).expand(n, 299, 299)
        columns = (steps + 1.0 / width).view(1, 1, 299).expand(n, 299, 299)
        grid = torch.stack([columns, rows], 3)
        x = F.grid_sample(img.to(torch.float32), grid, mode="bilinear", padding_mode="border", align_corners=False)
        features = self.layers((x - 128.0) / 128.0).reshape(-1, 2048)
        if return_features:
            return features
        logits = features @ self.output.weight.t()
        if not no_output_bias:
            logits = logits + self.output.bias
        return logits.softmax(1)
