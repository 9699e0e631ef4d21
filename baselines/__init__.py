"""Every method of the suite by name. A new method is one file beside this one and one line here."""

from __future__ import annotations

from baselines.drl.drl import DRL
from baselines.igebm import IGEBM
from baselines.plain import PlainEBM
from baselines.vae.vae import VAE
from baselines.vaebm.vaebm import VAEBM
from clel.methods.clel import CLEL
from clel.methods.method import Method

METHODS: dict[str, type[Method]] = {
    "igebm": IGEBM,
    "plain": PlainEBM,
    "vae": VAE,
    "vaebm": VAEBM,
    "drl": DRL,
    "clel": CLEL,
}

PLAIN = "plain"
"""The method that stands for an EBM without anything added: its learning rate is the one at which others stand too."""

SUBJECT = "clel"
"""The method that the suite is about: studies take it unless another is asked for."""
