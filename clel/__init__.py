"""CLEL and the core that its peers share: data, networks, energies, Langevin chains, training, evaluation.

from clel import CLEL, Images, TrainConfig, save_grid, train
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clel.chains.langevin import BufferConfig, LangevinConfig, langevin
    from clel.data import DataError, Images, ImageSpec, load, to_float, to_uint8
    from clel.data.image_grid import save_grid
    from clel.methods.clel import CLEL, CLELConfig
    from clel.methods.ebm import EBMConfig, LangevinEBM, contrastive_divergence
    from clel.methods.method import Method
    from clel.methods.settings import EvaluateConfig, Recipe, TrainConfig
    from clel.runs.load import load_trained
    from clel.training.api import train
    from clel.training.trainer import Outcome, Trainer

ROOMS = {
    "chains.langevin": ("BufferConfig", "LangevinConfig", "langevin"),
    "data": ("DataError", "ImageSpec", "Images", "load", "to_float", "to_uint8"),
    "data.image_grid": ("save_grid",),
    "methods.clel": ("CLEL", "CLELConfig"),
    "methods.ebm": ("EBMConfig", "LangevinEBM", "contrastive_divergence"),
    "methods.method": ("Method",),
    "methods.settings": ("EvaluateConfig", "Recipe", "TrainConfig"),
    "runs.load": ("load_trained",),
    "training.api": ("train",),
    "training.trainer": ("Outcome", "Trainer"),
}
"""Where each public name is; imported when it is first asked for, so that a program can answer signals before torch is
there."""
PLACES = {name: module for module, names in ROOMS.items() for name in names}

__all__ = [
    "CLEL",
    "BufferConfig",
    "CLELConfig",
    "DataError",
    "EBMConfig",
    "EvaluateConfig",
    "ImageSpec",
    "Images",
    "LangevinConfig",
    "LangevinEBM",
    "Method",
    "Outcome",
    "Recipe",
    "TrainConfig",
    "Trainer",
    "contrastive_divergence",
    "langevin",
    "load",
    "load_trained",
    "save_grid",
    "to_float",
    "to_uint8",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module 'clel' has no attribute {name!r}")
    return getattr(import_module(f"clel.{PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
