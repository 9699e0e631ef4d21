"""The measured columns of Table 1: heading, what it shows of a row, and a footnote that says what it means and what it
must not be compared with. Columns of what no run measured are left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from experiments.printing.headings import distance_lines, feature_spaces, further_spaces, is_fid
from experiments.printing.markup import Footnotes, Header
from experiments.printing.numbers import interval, mean_and_std, number
from experiments.speed.machine import IDLE
from experiments.sweep.store import Stored


@dataclass(frozen=True)
class Column:
    """A heading, and the text of its cell for one row of Table.values; an empty text where there is no number.

    marks: of the cell, those of its footnotes.
    """

    header: Header
    show: Callable[[pd.Series], str]
    marks: Callable[[pd.Series], tuple[int, ...]] = lambda row: ()


def columns(notes: Footnotes, runs: Sequence[Stored], dataset: str) -> list[Column]:
    """The measured columns for these runs, which ended well; their footnotes are added to `notes`."""
    return [*_distances(notes, runs), *_quality(notes, runs), *_further(notes, runs), *_costs(notes, runs)]


def _distances(notes: Footnotes, runs: Sequence[Stored]) -> list[Column]:
    features = feature_spaces(runs)
    inception = is_fid(features)
    space = " / ".join(features) or "no features yet"
    lines = distance_lines(features[0] if len(features) == 1 or inception else space)
    fresh = Header(lines, (notes.mark(_distance(runs, space, inception)),))
    found = [Column(fresh, lambda row: mean_and_std(row, "fid_fresh") + interval(row, "fresh") + _sampling(row))]
    if _measured(runs, "fid_paper"):
        paper = notes.mark(
            "Chains disturbed before each round of steps, as the authors of the method do in their code; the line on "
            "the protocol says how. A method whose authors do no such thing has an empty cell."
        )
        header = Header(("distance ↓", "paper protocol"), (paper,))
        found.append(Column(header, lambda row: mean_and_std(row, "fid_paper") + interval(row, "paper")))
    if _measured(runs, "fid_infinity_fresh"):
        infinity = notes.mark("Extrapolated to infinitely many samples (Chong & Forsyth, CVPR 2020).")
        found.append(
            Column(Header(("distance ↓", "n → ∞"), (infinity,)), lambda row: mean_and_std(row, "fid_infinity_fresh"))
        )
    sizes = sorted({int(n) for run in runs if (n := run.part("metrics").get("n_buffer")) is not None})
    number_of = f" ({' / '.join(f'{n:,}' for n in sizes)} of them)" if sizes else ""
    buffer = notes.mark(
        f"The same distance for images of the replay buffer{number_of}. They come from earlier states of the model, "
        "not from the one that is measured, so it is another quantity than the distance of fresh chains, "
        "which start from noise."
    )
    return [
        *found,
        Column(Header(("distance ↓", "replay buffer"), (buffer,)), lambda row: mean_and_std(row, "fid_buffer")),
    ]


def _quality(notes: Footnotes, runs: Sequence[Stored]) -> list[Column]:
    inception = is_fid(feature_spaces(runs))
    scale = 1000.0 if inception else 1.0  # as the papers print it; elsewhere it is larger
    kid = Header(("KID ↓", "×1000") if inception else ("KID ↓",))
    found = [Column(kid, lambda row: mean_and_std(row, "kid_fresh", scale))]
    if _measured(runs, "inception_score_fresh"):
        found.append(Column(Header(("Inception", "Score ↑")), lambda row: mean_and_std(row, "inception_score_fresh")))
    for pair, key in ((("precision", "recall"), "neighbours"), (("density", "coverage"), "density_neighbours")):
        if _measured(runs, f"{pair[0]}_fresh"):
            k = sorted({str(value) for run in runs if (value := run.part("protocol").get(key)) is not None})
            mark = notes.mark(
                f"{pair[0].capitalize()} and {pair[1]} by k nearest neighbours, k = {' / '.join(k) or '?'}."
            )
            found += [Column(Header((f"{name} ↑",), (mark,)), _mean(f"{name}_fresh")) for name in pair]
    return found


def _further(notes: Footnotes, runs: Sequence[Stored]) -> list[Column]:
    """Frechet and kernel distance of the same samples in each further feature space."""
    found = []
    for key, shown in further_spaces(runs).items():
        mark = notes.mark(
            f"Of the same samples, in {shown} features: columns of different feature spaces must not be compared with "
            "each other."
        )
        found.append(_further_distance(f"{key}_", Header(distance_lines(shown), (mark,))))
        scale = 1000.0 if is_fid([shown]) else 1.0
        header = Header(("KID ↓", *(("×1000",) if is_fid([shown]) else ()), shown), (mark,))
        found.append(Column(header, partial(_mean_and_std_of, f"{key}_kid_fresh", scale)))
    return found


def _further_distance(prefix: str, header: Header) -> Column:
    return Column(header, lambda row: mean_and_std(row, f"{prefix}fid_fresh") + interval(row, "fresh", prefix))


def _mean_and_std_of(metric: str, scale: float, row: pd.Series) -> str:
    return mean_and_std(row, metric, scale)


def _costs(notes: Footnotes, runs: Sequence[Stored]) -> list[Column]:
    kinds = sorted({str(kind) for run in runs if (kind := run.part("training").get("peak_memory_kind"))})
    memory = notes.mark(
        f"Peak memory of the process that trained ({' / '.join(kinds) or 'not recorded'}), evaluations during training "
        "included, 1 MB = 1,000,000 bytes. Process rss counts the interpreter and the libraries too."
    )
    others = _disturbed(notes, runs)
    seconds = Header(("training", "s"), several_machines(notes, runs))
    steps = [
        Column(Header(("training", "steps")), lambda row: number(row["iterations"])),
        Column(Header(("training", "images,", "thousands")), lambda row: _thousands(row["images"])),
    ]
    if any(run.part("training").get("gradient_evaluations") is not None for run in runs):
        gradients = notes.mark("Batches of dE/dx that training chains took.")
        header = Header(("gradient", "evaluations,", "thousands"), (gradients,))
        steps.append(Column(header, lambda row: _thousands(row["gradient_evaluations"])))
    events = notes.mark("Roll-backs after a divergence, in total over all runs of the row, failed ones included.")
    return [
        Column(Header(("parameters",)), lambda row: number(row["parameters"])),
        *steps,
        Column(seconds, lambda row: number(row["seconds"]), others),
        Column(Header(("memory", "MB"), (memory,)), lambda row: number(row["peak_memory_bytes"], scale=1e-6)),
        Column(Header(("divergence", "events"), (events,)), lambda row: number(row["divergences_total"])),
    ]


def _disturbed(notes: Footnotes, runs: Sequence[Stored]) -> Callable[[pd.Series], tuple[int, ...]]:
    """The mark of training seconds that other programs may have lengthened."""
    known = [run.part("training").get("busy_cores") for run in runs if run.part("training")]
    busy = [float(cores) for cores in known if cores is not None]
    high = [cores for cores in busy if cores > IDLE]
    if not high:
        return lambda row: ()
    unknown = f" Of {len(known) - len(busy)} runs of the table it was not recorded." if len(busy) < len(known) else ""
    ends = dict.fromkeys(number(cores, 1) for cores in (min(high), max(high)))
    mark = notes.mark(
        f"While a run of the row trained, others kept more than {number(IDLE, 1)} of a core busy, in such runs of the "
        f"table {' to '.join(ends)} cores on average: other programs, and the table's own "
        "runs beside it. Its seconds may be longer for that; gradient evaluations and images are not."
        f"{unknown}"
    )
    # no number compares as false
    return lambda row: (mark,) if float(row["busy_cores_max"] or 0) > IDLE else ()


def several_machines(notes: Footnotes, runs: Sequence[Stored]) -> tuple[int, ...]:
    """The mark of seconds that were taken on several kinds of machine; none where all were on one."""
    places = sorted({str(run.part("provenance").get("device")) for run in runs if run.part("training").get("seconds")})
    if len(places) < 2:
        return ()
    return (notes.mark(f"Mean over runs on {len(places)} kinds of machine: {'; '.join(places)}."),)


def _thousands(value: Any) -> str:
    return number(value, 0 if value is not None and value >= 1e5 else 1, 1e-3)


def _measured(runs: Sequence[Stored], metric: str) -> bool:
    return any(run.part("metrics").get(metric) is not None for run in runs)


def _mean(metric: str) -> Callable[[pd.Series], str]:
    return lambda row: number(row[f"{metric}_mean"], 2)


def _sampling(row: pd.Series) -> str:
    """Mean and spread over sampling seeds, of the one model or on average over the row's."""
    seeds, deviation = row["sampling_seeds_fresh_mean"], row["fid_sampling_std_fresh_mean"]
    if pd.isna(deviation):
        return ""
    mean = number(row["fid_sampling_mean_fresh_mean"], 2)
    return f"; over {number(seeds)} sampling seeds {mean} ± {number(deviation, 2)}"


def _distance(runs: Sequence[Stored], space: str, inception: bool) -> str:
    others = any(run.part("protocol").get("samples_from") for run in runs)
    theirs = " Samples by others were drawn as their authors did, not by chains here." if others else ""
    apart = "" if inception else " It is not an Inception FID and must not be compared with one."
    return (
        f"Fréchet distance between Gaussians fitted to the {space} features of generated and of real images.{apart} "
        "Mean ± sample standard deviation over the n training seeds that ended well; where that is one, the 95 % "
        "interval of a bootstrap over its samples, which knows nothing of other seeds. A dash stands "
        f"for runs that did not end well.{theirs}"
    )
