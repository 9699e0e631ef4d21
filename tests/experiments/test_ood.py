"""make ood: the sets and their preparations, the scores of a run, and a walk to the finished table."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from baselines import METHODS
from clel.config import ConfigError
from clel.data import DataError, Images, load
from clel.methods.method import Method
from clel.random import stream
from clel.runs.load import load_trained
from experiments.cli import main
from experiments.commands.artefacts import MEASURED
from experiments.measured.artefact import Found
from experiments.measured.kept import path_of
from experiments.ood import command, sets
from experiments.ood.command import Ood, OodOptions
from experiments.ood.constructions import (
    PATCHES,
    blurred,
    constant,
    mirrored,
    mixed,
    neighbours,
    reshuffled,
    rotated,
    shifted,
    shuffled,
    uniform_noise,
)
from experiments.ood.figures import betas_figure, between, blurs_figure, energies_figure
from experiments.ood.measure import (
    BETAS,
    SCORES,
    TEST,
    Detecting,
    Energies,
    all_scores,
    auroc_of,
    energies,
    quantiles,
    softened,
    training_images,
)
from experiments.ood.preparations import PREPARATIONS, SIGMA, Prepared, centred, corner, shorter, whole
from experiments.ood.rows import as_frame, block_means, measured_sets
from experiments.ood.sets import SETS, available, fitted, inside, is_near, prepared, same, usual
from experiments.ood.table import reported_grid, sets_grid, summary_grid
from experiments.printing.markup import to_latex, to_markdown
from experiments.sweep.grid import table1_cells
from experiments.sweep.store import Stored

GENERATOR = torch.Generator().manual_seed(0)


def pictures(n: int = 250, channels: int = 1, side: int = 8) -> Tensor:
    return torch.randint(256, (n, channels, side, side), generator=GENERATOR, dtype=torch.uint8)


# the constructions


def test_pairs_are_a_hundred_apart() -> None:
    pixels = pictures()
    first, second = shifted(pixels)
    assert len(first) == len(second) == 150 and (second == pixels[100:]).all() and (first == pixels[:150]).all()
    few, others = shifted(pixels[:30])
    assert len(few) == 15 and (others == pixels[15:30]).all()
    with pytest.raises(ConfigError, match="two images or more"):
        shifted(pixels[:1])


def test_mixed_images_are_the_mean() -> None:
    first, second = pictures(), pictures()
    assert ((mixed(first, second).float() - (first.float() + second.float()) / 2).abs() <= 0.5).all()
    assert (mixed(first, first) == first).all()


@pytest.mark.parametrize("pairs", [neighbours, reshuffled])
def test_pairs_in_a_random_order_are_of_two_images_each(pairs: Callable[[Tensor], tuple[Tensor, Tensor]]) -> None:
    marked = torch.arange(250, dtype=torch.uint8)[:, None, None, None]
    first, second = (side.flatten().tolist() for side in pairs(marked))
    assert len(first) == (250 if pairs is neighbours else 150)
    assert all(a != b for a, b in zip(first, second, strict=True)) and first != sorted(first)
    if pairs is neighbours:
        assert sorted(first) == sorted(second) == list(range(250))
        assert first[1:32] == second[:31] and second[31] == first[0]  # within a batch of 32


def test_a_quarter_turn() -> None:
    pixels = pictures(3)
    assert (rotated(pixels)[:, :, 0, 0] == pixels[:, :, 0, -1]).all()
    assert (rotated(rotated(rotated(rotated(pixels)))) == pixels).all()
    assert (mirrored(mirrored(pixels)) == pixels).all() and (mirrored(pixels)[..., 0] == pixels[..., -1]).all()


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 16)])
def test_shuffled_patches_are_whole_and_never_all_in_place(channels: int, side: int) -> None:
    pixels, p = pictures(60, channels, side), side // PATCHES
    moved = shuffled(pixels)

    def patches(images: Tensor) -> list[set[bytes]]:
        cut = images.unfold(2, p, p).unfold(3, p, p).permute(0, 2, 3, 1, 4, 5).reshape(len(images), PATCHES**2, -1)
        return [{bytes(patch.tolist()) for patch in image} for image in cut]

    assert patches(moved) == patches(pixels)
    assert (moved != pixels).flatten(1).any(1).all()
    with pytest.raises(ConfigError, match="images of 6x6 have no 4x4 patches"):
        shuffled(pictures(2, 1, 6))


def test_noise_and_constants() -> None:
    pixels = pictures(400, 3)
    values = uniform_noise(pixels).float()
    assert values.shape == pixels.shape and abs(values.mean() - 127.5) < 1 and values.min() == 0 and values.max() == 255
    flat = constant(pixels)
    assert (flat == flat[:, :, :1, :1]).all() and flat[:, :, 0, 0].unique(dim=0).shape[0] > 390


def test_a_blur_keeps_the_mean_and_takes_the_variance() -> None:
    pixels = uniform_noise(torch.zeros(20, 1, 16, 16))
    assert (blurred(pixels, 0) == pixels).all() and (blurred(constant(pixels), 1.0) == constant(pixels)).all()
    spreads = [blurred(pixels, sigma).float().std() for sigma in (0, 0.5, 1.0, 2.0)]
    assert spreads == sorted(spreads, reverse=True) and spreads[-1] < spreads[0] / 4
    assert abs(blurred(pixels, 1.0).float().mean() - pixels.float().mean()) < 1


@pytest.mark.parametrize("make", [neighbours, reshuffled, shuffled, uniform_noise, constant])
def test_what_is_random_is_the_same_every_time(make: Any) -> None:
    pixels = pictures()
    first, again = make(pixels), make(pixels)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))


# preparations


def test_noise_of_pixels() -> None:
    pixels = pictures(40)
    (x,) = Prepared("a", (pixels,)).batches()
    assert (x >= pixels / 256).all() and (x < (pixels.float() + 1) / 256).all() and x.max() < 1
    (x,) = Prepared("a", (pixels,), centred).batches()
    assert ((x - pixels / 255).abs() <= 1 / 512 + 1e-6).all() and x.min() >= 0 and x.max() <= 1
    grey = torch.full((40, 1, 8, 8), 128, dtype=torch.uint8)
    (x,) = Prepared("a", (grey,), PREPARATIONS["jem"].noise).batches()
    assert x.std() == pytest.approx(SIGMA, rel=0.1)


def test_noise_is_averaged_where_noisy_images_are_mixed_and_not_where_pixels_are() -> None:
    grey = torch.full((250, 1, 8, 8), 128, dtype=torch.uint8)
    (one,), (two,) = Prepared("a", (grey,)).batches(), Prepared("a", (grey, grey)).batches()
    assert two.std() == pytest.approx(float(one.std()) / 2**0.5, rel=0.05)
    gaussian = PREPARATIONS["jem"].noise
    (x,) = Prepared("a", (grey, grey), gaussian, again=True).batches()
    assert x.std() == pytest.approx(SIGMA * 1.5**0.5, rel=0.05)


def test_noise_follows_seed_and_name_and_not_the_batch() -> None:
    pixels = pictures(600)
    draw = [torch.cat(list(Prepared(name, (pixels,)).batches(seed=seed))) for name, seed in (("a", 0), ("a", 0))]
    assert torch.equal(*draw) and draw[0].shape == (600, 1, 8, 8)
    assert not torch.equal(draw[0], torch.cat(list(Prepared("b", (pixels,)).batches())))
    assert not torch.equal(draw[0], torch.cat(list(Prepared("a", (pixels,)).batches(seed=1))))


def test_ways_to_a_square() -> None:
    from PIL import Image

    values = torch.randint(256, (218, 178, 3), generator=GENERATOR, dtype=torch.uint8).numpy()
    image = Image.fromarray(values)
    assert whole(image, 32).size == shorter(image, 32).size == corner(image, 32).size == (32, 32)
    assert (np.asarray(corner(image, 32)) == values[:32, :32]).all()
    long = image.resize((32, 39), Image.Resampling.BILINEAR)
    assert (np.asarray(shorter(image, 32)) == np.asarray(long.crop((0, 4, 32, 36)))).all()


@pytest.mark.parametrize("preparation", PREPARATIONS)
def test_every_preparation_has_the_constructions(preparation: str) -> None:
    found, _ = available("digits", (), preparation)
    assert {"interpolated", "rotated", "shuffled", "noise", "constant", "shapes"} <= set(found)
    test = inside("digits", preparation)
    assert len(test) == 450
    for name in found:
        images = prepared(name, "digits", preparation)
        x = next(images.batches())
        assert x.shape[1:] == (1, 8, 8) and x.dtype == torch.float32 and 0 <= x.min() and x.max() <= 1
        if name not in ("interpolated", "shapes", "fashion_mnist") or PREPARATIONS[preparation].as_many:
            assert len(images) == 450
    assert len(prepared("shapes", "digits", preparation)) == (450 if PREPARATIONS[preparation].as_many else 5000)


@pytest.fixture
def colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A data set of a few images in colour, and no other one that lies on disk."""
    monkeypatch.setenv("CLEL_DATA", str(tmp_path))
    np.savez(tmp_path / "mine.npz", images=pictures(400, 3, 16).permute(0, 2, 3, 1).numpy())
    return "mine.npz"


def test_the_splits_and_ways_of_each_code(colours: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    grey = Images(pictures(500, 3, 32))
    monkeypatch.setattr(sets, "load_dtd", lambda *given: asked.append(("dtd", given[0], given[3])) or grey)
    monkeypatch.setattr(sets, "load_celeba", lambda *given: asked.append(("celeba", given[1], given[4])) or grey)
    real = sets.load

    def fake(name: str, split: str = "train", root: Any = None) -> Images:
        if name == "svhn":
            asked.append((name, split))
        return grey if name in ("svhn", "cifar100", "shapes") else real(name, split)

    monkeypatch.setattr(sets, "load", fake)
    for name, way in PREPARATIONS.items():
        asked.clear()
        found, notes = available(colours, (), name)
        assert {"svhn", "cifar100"} <= set(found)
        assert ("svhn", "train" if name in ("igebm", "icd") else "test") in asked
        assert (("dtd", "test" if name == "suite" else "all", way.textures) in asked) == ("textures" in found)
        assert (("celeba", "test", way.celeba) in asked) == ("celeba" in found)
        assert ("textures" in found) == (name != "jem") and ("celeba" in found) == (name in ("suite", "icd", "jem"))
        assert len(notes) == ("textures" not in found) + ("celeba" not in found)
        (svhn,) = prepared("svhn", colours, name).parts
        assert svhn.shape == ((40 if way.as_many else 500), 3, 16, 16)
        assert prepared("svhn", colours, name).noise is (centred if name == "igebm" else way.noise)


# the sets


def test_images_are_brought_to_side_and_colours() -> None:
    colour = pictures(5, 3, 32)
    small = fitted(Images(colour), 1, 8)
    luma = (colour.float() * torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]).sum(1, keepdim=True)
    means = luma.unfold(2, 4, 4).unfold(3, 4, 4).mean((-1, -2))
    assert small.shape == (5, 1, 8, 8) and ((small.float() - means).abs() <= 1).all()
    assert (fitted(Images(colour), 3, 32) == colour).all()
    grey = pictures(5, 1, 28)
    padded = fitted(Images(grey), 1, 32)
    assert (padded[:, :, 2:30, 2:30] == grey).all() and padded[:, :, :2].max() == 0
    assert (fitted(Images(grey), 1, 28) == grey).all() and fitted(Images(grey), 3, 8).shape == (5, 3, 8, 8)
    with pytest.raises(DataError, match="mine: 16x16 pixels, and the images in distribution have 32x32"):
        fitted(Images(pictures(5, 3, 16), name="mine"), 3, 32)


def test_which_sets_belong_to_which_data() -> None:
    made = ("interpolated", "mirrored", "rotated", "shuffled", "noise", "constant")
    assert usual("digits") == (*made, "shapes", "fashion_mnist")
    assert "shapes" not in usual("shapes") and {"svhn", "textures", "celeba", "cifar100"} <= set(usual("shapes@16"))
    assert "mirrored" not in usual("shapes@16")
    assert same(SETS["celeba"], "celeba64") and same(SETS["svhn"], "svhn@16") and not same(SETS["cifar100"], "cifar10")
    assert is_near("cifar100", "cifar10@16") and not is_near("cifar100", "svhn") and is_near("rotated", "svhn")
    assert not is_near("shapes", "cifar10")


def test_a_set_that_is_not_there_is_told_of_and_one_that_is_asked_for_is_an_error(colours: str) -> None:
    found, notes = available(colours)
    assert found == ("interpolated", "rotated", "shuffled", "noise", "constant", "shapes")
    assert len(notes) == 4 and notes[1].startswith("SVHN: the data set 'svhn' is not there; make data DATASET=svhn")
    with pytest.raises(DataError, match="Looked for test_32x32"):
        available(colours, ("noise", "svhn"))
    with pytest.raises(ConfigError, match="Shapes: the images that the runs were trained on; leave shapes out"):
        available("shapes@16", ("shapes",))


# scores


class Brightness(Method):
    """A made-up method of which all is known: E(x) is the mean of x; h and u agree by its first pixel."""

    title = "Brightness"

    def __init__(self, encoder: bool = True) -> None:
        super().__init__(None, load("digits").spec)
        self.encoder = encoder

    def energy(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3))

    def representations(self, x: Tensor) -> dict[str, Tensor]:
        cosine = x[:, 0, 0, 0]
        one = torch.tensor([1.0, 0.0]).expand(len(x), 2)
        return {"h": one, "u": torch.stack([cosine, (1 - cosine**2).sqrt()], 1)} if self.encoder else {}

    recipes = optimisers = training_step = sample = None  # type: ignore[assignment]


def made_up(encoder: bool = True) -> Any:
    return SimpleNamespace(method=Brightness(encoder), images=load("digits"))


Brightness.__abstractmethods__ = frozenset()


def test_energies_and_agreement_of_all_images_in_order() -> None:
    images = Prepared("a", (pictures(600),))
    found, x = energies(made_up(), images), torch.cat(list(images.batches()))
    assert found.agreement is not None and torch.allclose(found.energy, x.mean((1, 2, 3)).double())
    assert torch.allclose(found.agreement, x[:, 0, 0, 0].double(), atol=1e-6)
    assert torch.allclose(found.joint(0.5), found.energy - 0.5 * found.agreement)
    assert energies(made_up(), images, encoder=False).agreement is None
    bare = energies(made_up(encoder=False), images)
    assert bare.scores(0.1).keys() == {"energy"}
    with pytest.raises(ConfigError, match="takes a method with an encoder"):
        bare.joint(0.1)


def test_the_joint_score_is_clels() -> None:
    run = table1_cells("quick", methods=METHODS, rows=["clel"])[-1].run
    method = METHODS["clel"].build(run.config, load("digits").spec, 0).eval()  # type: ignore[union-attr]
    trained: Any = SimpleNamespace(method=method, images=load("digits"))
    images = inside("digits")
    found = energies(trained, Prepared(images.name, (images.parts[0][:50],)))
    with torch.no_grad():
        x = next(Prepared(images.name, (images.parts[0][:50],)).batches())
        assert torch.allclose(found.joint(0.1), method.ood_score(x, 0.1).double(), atol=1e-6)  # type: ignore[operator]


def test_a_set_of_higher_energy_is_told_from_the_test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    bright = torch.full((30, 1, 8, 8), 250, dtype=torch.uint8)
    monkeypatch.setattr("experiments.ood.measure.load_trained", lambda *given: trained)
    trained = made_up()
    trained.run = SimpleNamespace(dataset="digits")
    for pixels, least, most in ((bright, 1, 1), (bright - 250, 0, 0)):
        monkeypatch.setattr("experiments.ood.measure.prepared", lambda *given, p=pixels: Prepared("a", (p,)))
        assert least <= auroc_of(Path("run"), "noise") <= most
    with pytest.raises(ConfigError, match=r"unknown score of Brightness 'energi'; did you mean 'energy'"):
        auroc_of(Path("run"), "noise", "energi")
    with pytest.raises(ConfigError, match="unknown set of images out of distribution 'nois'; did you mean 'noise'"):
        auroc_of(Path("run"), "nois")


def test_typicality_is_the_distance_from_the_mean_of_training_images() -> None:
    known = Energies(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0]))
    found = all_scores(known, 1.0, {"energy": 2.5, "joint": 1.0})
    assert found.keys() == SCORES.keys()
    assert found["energy_typicality"].tolist() == [1.5, 0.5] and found["joint_typicality"].tolist() == [0.0, 1.0]
    some = training_images(made_up(), Detecting(("noise",), training=100))
    assert 90 <= len(some) <= 100 and len(training_images(made_up(), Detecting(("noise",)))) == 1347


def test_blurred_images_have_other_noise_and_keep_the_preparation() -> None:
    images = Prepared("a", (pictures(20), pictures(20)), centred)
    soft = softened(images, 1.0)
    assert soft.name != "a" and soft.noise is centred and len(soft.parts) == 2
    assert (soft.parts[1] == blurred(images.parts[1], 1.0)).all()


def test_quantiles_give_the_sample_back() -> None:
    sample = torch.randn(5000, generator=stream("cpu", 0), dtype=torch.float64)
    points = between(quantiles(sample))
    assert points.min() == sample.min() and points.std() == pytest.approx(float(sample.std()), rel=0.02)


# tables and figures


def figures_of(auroc: float, n_out: int = 450) -> dict[str, Any]:
    shown = {"auroc": auroc, "low": auroc - 0.05, "high": auroc + 0.04, "aupr_in": 0.6, "aupr_out": 0.7, "fpr95": 0.2}
    return shown | {"n_in": 450, "n_out": n_out}


def measured(seeds: int = 1) -> list[Found]:
    """Made-up measurements of the plain EBM and CLEL; the last seed of CLEL has none."""
    cells = [c for c in table1_cells("quick", seeds, ["plain", "clel"], rates=False) if c.row in ("plain", "clel")]
    result = []
    for cell in cells:
        if cell.row == "clel" and cell.seed == seeds - 1 and seeds > 1:
            result.append(Found(cell, Stored(cell.run_name, "diverged", "x"), Detecting(("rotated", "noise")), None))
            continue
        scores = [s for s in SCORES if cell.row == "clel" or not s.startswith("joint")]
        own = {name: {s: figures_of(0.5 + 0.1 * cell.seed) for s in scores} for name in ("noise", "rotated")}
        points = torch.linspace(0, 1, 401).tolist()
        values: dict[str, Any] = {"n_in": 450, "n_training": 1347, "means": {}, "sets": own}
        values["betas"] = {name: [0.5] * len(BETAS) for name in own} if cell.row == "clel" else {}
        values |= {"blurs": {TEST: [0.5] * 7}, "quantiles": {TEST: points, "noise": points, "rotated": points}}
        result.append(Found(cell, Stored(cell.run_name, "ok"), Detecting(("rotated", "noise")), values))
    return result


def test_the_csv_has_a_line_for_each_run_set_and_score() -> None:
    found = measured(seeds=2)
    frame = as_frame(found)
    assert len(frame) == 2 * 2 * 2 + 2 * 4 + 1 and not frame.duplicated(["run", "set", "score"]).any()
    lost = frame[frame["status"] == "diverged"]
    assert len(lost) == 1 and lost["auroc"].isna().all()
    assert frame[frame["score"] == "joint"]["beta"].eq(0.1).all() and set(frame["positive"].dropna()) == {
        "in distribution"
    }
    assert measured_sets(frame) == ["rotated", "noise"]
    assert block_means(frame, "plain", "near", "energy").tolist() == pytest.approx([0.5, 0.6])


def test_the_tables_have_seven_columns_at_most_and_few_footnotes() -> None:
    for seeds in (1, 2):
        found = measured(seeds)
        frame = as_frame(found)
        rows = [("plain", "Plain EBM"), ("clel", "CLEL")]
        for grid in (summary_grid(frame, rows), sets_grid(found, frame, rows), reported_grid()):
            assert len(grid.headers) <= 7 and len(grid.footnotes) <= 7
            assert all(len(line) == len(grid.headers) for line in grid.rows)
            assert to_markdown(grid) and to_latex(grid)
        text = to_markdown(sets_grid(found, frame, rows))
        assert "Test images turned by 90° (near, 450 images)" in text and "Uniform noise (far, 450 images)" in text
        assert ("0.500 \\[0.450, 0.540\\]" in text) and ("0.550 ± 0.071" in text) == (seeds == 2)


def test_what_papers_report_is_marked_and_the_doubtful_row_says_so() -> None:
    text = to_markdown(reported_grid())
    assert "0.7248 | 0.7161 | 0.9848 | 0.9437 | 0.7717" in text and "0.75 (unverified)" in text
    row = next(line for line in text.splitlines() if line.startswith("| Improved CD"))
    note = next(line for line in text.splitlines() if "issue 15" in line)
    assert "0.72 to 0.78" in note and note.split("<sup>")[1][0] in row.split("<sup>")[1].split("</sup>")[0]
    assert "ablation" not in text and "components" not in text


def test_figures_are_drawn_of_what_there_is() -> None:
    rows = {found.cell.row: [found] for found in measured()}
    panels = [[axes for axes in figure(rows).axes if axes.get_visible()] for figure in (energies_figure, blurs_figure)]
    assert [len(some) for some in panels] == [2, 1]
    (axes,) = betas_figure(rows).axes
    assert axes.get_title().startswith("CLEL")
    missing = {row: [Found(one.cell, one.run, one.protocol, None)] for row, (one,) in rows.items()}
    for figure in (energies_figure, betas_figure, blurs_figure):
        assert any("no run has been measured" in text.get_text() for text in figure(missing).texts)


# the command


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--sets noise,nois", "unknown set of images out of distribution 'nois'; did you mean 'noise'"),
        ("--preparation ebm", "unknown preparation 'ebm'; .*known: clel, icd, igebm, jem, suite"),
        ("--beta -1", "BETA is -1; expected 0 or more"),
        ("--methods clell", "unknown method 'clell'; did you mean 'clel'"),
        ("--dataset digit", "unknown data set 'digit'; did you mean 'digits'"),
        ("--sets textures --preparation jem", r"Textures \(DTD\): PREPARATION=jem has no such images"),
        ("--dataset shapes --sets shapes", "Shapes: the images that the runs were trained on"),
    ],
)
def test_bad_input_is_refused_before_anything_is_computed(
    options: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    monkeypatch.chdir(tmp_path)
    assert main(["ood", "--device", "cpu", *options.split()]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error) and list(tmp_path.iterdir()) == []


def test_images_too_small_for_a_set_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "big.npz", images=np.zeros((40, 64, 64, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="shapes: 32x32 pixels, and the images in distribution have 64x64"):
        Ood().completed(OodOptions(dataset="big.npz", sets="shapes", device="cpu"))


def test_a_method_without_an_energy_is_left_out_and_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare(METHODS["vae"]):  # type: ignore[misc,name-defined]
        title = "Bare"
        energy = Method.energy

    monkeypatch.setitem(command.METHODS, "bare", Bare)
    rows = [cell.row for cell in Ood().cells_of(OodOptions(device="cpu"))]
    assert "bare" not in rows and {"plain", "clel", "vaebm"} <= set(rows)
    with pytest.raises(ConfigError, match=r"bare defines no energy of an image.*methods with one: .*clel"):
        Ood().cells_of(OodOptions(device="cpu", methods="clel,bare"))


def test_its_runs_are_table_1s_and_each_choice_has_a_folder() -> None:
    theirs = {cell.run_name for cell in table1_cells("quick", 3, device="cpu")}
    assert {cell.run_name for cell in Ood().cells_of(OodOptions(seeds=3, device="cpu"))} < theirs
    artefact = Ood()
    choices = [{}, {"preparation": "clel"}, {"beta": 0.2}, {"sets": "noise"}, {"methods": "clel"}, {"seeds": 3}]
    folders = [artefact.folder(OodOptions(**given)) for given in choices]  # type: ignore[arg-type]
    assert len(set(folders)) == len(folders) and folders[0] == Path("results/quick")
    options = OodOptions(preparation="clel", beta=0.2, sets="noise,svhn")
    assert artefact.command(options) == "make ood SETS=noise,svhn PREPARATION=clel BETA=0.2"
    assert artefact.restored(artefact.stored(options), options.out) == options
    assert any(isinstance(one, Ood) for one in MEASURED)


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A folder in which make ood PROFILE=smoke ran."""
    place = tmp_path_factory.mktemp("ood")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("CLEL_CACHE", str(cache))
        assert main([*ASKED, "--cluster", "debug"]) == 0
    return place


ASKED = "ood --profile smoke --methods clel --sets interpolated,noise,constant --device cpu".split()


@pytest.mark.slow
def test_a_walk_to_the_finished_table(
    walked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(walked)
    (folder,) = Path("results").glob("smoke-*")
    text = (folder / "ood.md").read_text()
    assert "450 images, the positive class" in text and "mean of 1,347 training images" in text
    assert "`make ood PROFILE=smoke METHODS=clel SETS=interpolated,noise,constant`" in text and "issue 15" in text
    lines = list(csv.DictReader((folder / "ood.csv").open()))
    assert len(lines) == 3 * len(SCORES) and {line["n_out"] for line in lines} == {"350", "450"}
    assert all(0 <= float(line["auroc_low"]) <= float(line["auroc"]) <= float(line["auroc_high"]) for line in lines)
    assert r"\begin{tabular}" in (folder / "ood.tex").read_text()
    assert all((folder / f"figures/ood_{name}.png").stat().st_size > 5000 for name in ("energies", "beta", "blur"))
    # measured once: the second time nothing is, and the files are the same
    (run,) = Path("results/runs").iterdir()
    protocol = Detecting(("interpolated", "noise", "constant"))
    assert path_of(run, "ood", protocol).exists()
    monkeypatch.setattr("experiments.ood.measure.measure_run", None)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main([*ASKED, "--report"]) == 0
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert "CLEL, E(x, h(x))" in capsys.readouterr().out


@pytest.mark.slow
def test_another_artefact_asks_for_one_set(walked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(walked)
    (folder,), (run,) = Path("results").glob("smoke-*"), Path("results/runs").iterdir()
    frame = pd.read_csv(folder / "ood.csv").set_index(["set", "score"])["auroc"]
    for score in ("energy", "joint"):
        assert auroc_of(run, "noise", score, device="cpu") == pytest.approx(frame["noise", score], abs=1e-6)
    trained = load_trained(run, METHODS, "cpu")
    assert not trained.method.training
