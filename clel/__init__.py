"""CLEL and the core that its peers share: data, networks, energies, Langevin chains, training, evaluation.

from clel import CLEL, Images, TrainConfig, save_grid, train
"""

from clel.api import train
from clel.clel import CLEL, CLELConfig
from clel.data import DataError, Images, ImageSpec, load, to_float, to_uint8
from clel.ebm import EBMConfig, LangevinEBM, contrastive_divergence
from clel.grid import save_grid
from clel.langevin import BufferConfig, LangevinConfig, langevin
from clel.method import Method
from clel.settings import EvaluateConfig, Recipe, TrainConfig
from clel.trainer import Outcome, Trainer

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
    "save_grid",
    "to_float",
    "to_uint8",
    "train",
]
