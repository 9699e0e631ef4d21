"""Published weights of networks: where they lie, and that a file is what was published.

Neither clean-fid nor torch.hub checks a hash. A TorchScript file runs code when it is loaded and a pickle may, so size
and SHA-256 are compared before either is opened by torch, each time: a stamp of size and time would not notice another
file put in its place, and hashing 96 MB takes a fraction of a second.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from clel.config import ConfigError
from clel.data import DataError, sources
from clel.data.download import fetch
from clel.storage.cache import cache_root


class WeightsError(ConfigError):
    """Weights that are missing, unreadable or not the published ones; the message says how to get them."""


@dataclass(frozen=True)
class Weights:
    """A published file of weights.

    Attributes:
        file: its name on disk.
        sha256: of its bytes, in hex.
        size: in bytes.
        url: where it is published.
        modes: the feature spaces that stand on it.
        aliases: other names under which the same bytes are published.
    """

    file: str
    sha256: str
    size: int
    url: str
    modes: tuple[str, ...]
    aliases: tuple[str, ...] = ()


TORCHSCRIPT = Weights(
    file="inception-2015-12-05.pt",
    sha256="f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
    size=95_607_719,
    url="https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
    modes=("inception-clean", "inception-tensorflow"),
)
STATE_DICT = Weights(
    file="pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    size=95_628_359,
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    modes=("inception-pytorch",),
    aliases=("weights-inception-2015-12-05-6726825d.pth",),  # torch-fidelity's name
)
PUBLISHED = (TORCHSCRIPT, STATE_DICT)


def weights_folder(cache: Path | None = None) -> Path:
    """The folder of the weights: inception/ in `cache`, or else in the environment's CLEL_CACHE, or else in ./cache."""
    return ((cache or cache_root()) / "inception").expanduser()


def locate(weights: Weights, cache: Path | None = None) -> Path:
    """The path of the file, under its own name or an alias, once its size and SHA-256 are the published ones.

    Raises:
        WeightsError: missing, unreadable, truncated, or another file.
    """
    folder = weights_folder(cache)
    faults = []
    for name in (weights.file, *weights.aliases):
        try:
            fault = _fault(folder / name, weights)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            fault = f"cannot be read ({error.strerror}): make it a file that this user can read"
        if fault is None:
            return folder / name
        faults.append(f"{folder / name} {fault}")
    reason = "; ".join(faults) or f"the Inception weights {weights.file} are not in {folder}"
    raise WeightsError(f"{reason}. {_how_to_get(weights, folder)}")


def is_there(weights: Weights, cache: Path | None = None) -> bool:
    """Whether there is a file of that name or an alias, right or wrong: a wrong one is an error where it is opened."""
    return any((weights_folder(cache) / name).exists() for name in (weights.file, *weights.aliases))


def verified(path: Path, weights: Weights, advice: str) -> Path:
    """The path, once the size and SHA-256 of its file are the published ones; advice: what to do where they are not.

    Raises:
        WeightsError: missing, unreadable, truncated, or another file.
    """
    try:
        fault = _fault(path, weights)
    except OSError as error:
        fault = f"cannot be read ({error.strerror})"
    if fault is not None:
        raise WeightsError(f"{path} {fault}. {advice}")
    return path


def get_weights(weights: Weights, cache: Path | None = None) -> Path:
    """The path of the file, downloaded first unless it is there and right; see `clel.data.download.fetch`.

    Raises:
        WeightsError: no network, another file at the address, or a folder that cannot be written.
    """
    with suppress(WeightsError):
        path = locate(weights, cache)
        print(f"{path}: already there, hash right", file=sys.stderr)
        return path
    folder = weights_folder(cache)
    remote = sources.Remote(weights.file, (weights.url,), f"sha256:{weights.sha256}")
    try:
        return fetch(remote, folder, "CLEL_CACHE")
    except DataError as error:
        raise WeightsError(str(error)) from error
    except OSError as error:
        raise WeightsError(f"{folder / weights.file} cannot be read ({error.strerror}); delete it") from error


def _fault(path: Path, weights: Weights) -> str | None:
    """What is wrong with the file; None where it is the published one. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
    if size < weights.size:
        return f"is truncated: {size} of {weights.size} bytes; delete it"
    if size > weights.size:
        return f"is another file: {size} bytes, the published one has {weights.size}; delete it"
    found = sources.file_digest(path, "sha256").removeprefix("sha256:")
    if found != weights.sha256:
        return f"is another file: its SHA-256 is {found}, the published one's is {weights.sha256}; delete it"
    return None


def _how_to_get(weights: Weights, folder: Path) -> str:
    return (
        f"Get it by `make weights` where there is a network ({weights.size / 1e6:.0f} MB), or fetch {weights.url} on "
        f"another machine and copy {weights.file} into {folder}. That folder is inception/ in the environment's "
        "CLEL_CACHE (default ./cache). Without any download there are --features lite0, for images of any kind, and "
        "classifier, where the reference is a labelled data set"
    )
