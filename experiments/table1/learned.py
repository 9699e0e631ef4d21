"""The figure of what methods know of images along training, and of how hard guidance pulls at the energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from clel.storage.log import read_log
from experiments.sweep.store import Declared, Stored
from experiments.table1.curves import Curve, band_over_seeds, values_curve
from experiments.table1.drawn import row_label, styled

DASHES = {"h": "-", "u": "--", "f": ":"}
"""Of representations: the encoder's, the direction of the energy's, and of a network without a latent."""
KEY = "line: mean over seeds, band: minimum to maximum; averaged weights"


def has_learned(runs: Mapping[str, Stored]) -> bool:
    """Whether a run's log has representations."""
    logs = [read_log(run.folder) for run in runs.values()]
    return any(len(values_curve(log, f"knn_{name}")[0]) for log in logs for name in DASHES)


def learned(cells: Sequence[Declared], runs: Mapping[str, Stored]) -> Figure:
    """Accuracy of nearest neighbours by representation, and the gradients' ratio, against the training iteration."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    accuracy, ratio = figure.subplots(1, 2)
    logs = {name: read_log(run.folder) for name, run in runs.items() if run.ok}

    def curves(members: Sequence[Declared], key: str) -> list[Curve]:
        found = [values_curve(logs[c.run_name], key) for c in members if c.run_name in logs]
        return [curve for curve in found if len(curve[0])]

    for members, style in styled(cells, runs):
        colour = style.colour
        for name, dash in DASHES.items():
            if good := curves(members, f"knn_{name}"):
                x, low, mean, high = band_over_seeds(good)
                accuracy.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
                accuracy.plot(x, mean, dash, color=colour, label=f"{row_label(members, good)}: {name}")
        both = zip(curves(members, "gradient_guidance"), curves(members, "gradient_divergence"), strict=True)
        if pulls := [(x, guidance / divergence) for (x, guidance), (_, divergence) in both]:
            x, low, mean, high = band_over_seeds(pulls)
            ratio.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
            ratio.plot(x, mean, color=colour, label=row_label(members, pulls))
    accuracy.set_ylabel("kNN accuracy on held-out images")
    ratio.set_ylabel("|guidance gradient| / |divergence gradient|")
    accuracy.set_ylim(bottom=0)
    ratio.set_yscale("log")  # energies begin near zero, and so does what pulls at them
    accuracy.set_title(KEY, fontsize=8, loc="left")
    for axes in (accuracy, ratio):
        axes.set_xlabel("training iteration")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(True, color="#e5e5e5", linewidth=0.7)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, frameon=False)
    return figure
