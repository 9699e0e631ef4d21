"""Any images to be measured: folders, archives and arrays that other people's code wrote, our runs, and data sets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from clel.config import ConfigError, nearest
from clel.data.images import DataError
from clel.data.limits import refuse_unsound
from clel.data.readers.array_files import STATISTICS, open_npy, open_npz, open_pt
from clel.data.readers.arrays_in import LAYOUTS, array_samples
from clel.data.readers.image_files import file_samples
from clel.data.readers.streamed import Samples
from clel.data.readers.tree import ARCHIVE_SUFFIXES
from clel.data.registry import SPLITS, data_root, is_name, load, names
from clel.storage.run_samples import is_run, run_samples

ARRAY_FILES = {".npy": open_npy, ".npz": open_npz, ".pt": open_pt, ".pth": open_pt}

_ACCEPTED = (
    f"accepted: a folder or {', '.join(ARCHIVE_SUFFIXES)} of images, {', '.join(ARRAY_FILES)}, the folder of a "
    f"finished run, or a data set's name, alone or with :train or :test; {STATISTICS}"
)


def open_samples(text: str | Path, layout: str | None = None, root: Path | None = None) -> Samples:
    """The images that `text` names, as uint8 [N, C, H, W] in chunks; what was done to them is in `conversions`.

    Args:
        text: a folder, .zip or .tar of images (`image_files.file_samples`: all that are in it); an .npy, .npz, .pt or
            .pth file (`array_files`, `arrays_in.array_samples`); the folder of a finished run, for its fresh samples; a
            known data set's name, which is its split "train"; or "x:train" or "x:test", where x is anything that
            `registry.load` takes. After an array file's name, :CHW or :HWC is the same as `layout`. A relative path is
            looked for as `existing` does.
        layout: "CHW" or "HWC" says which axis of an array the channels are, where this is not plain.
        root: where data sets lie; by default `registry.data_root()`.

    Raises:
        DataError: nothing of that name, or content that could be read in more than one way or not at all.
        ConfigError: an unknown layout, or an unknown data set before :train or :test.
    """
    root = data_root() if root is None else Path(root)
    name, option = _parse(str(text), root)
    data_set = named_split(text, root) is not None
    path = None if data_set else existing(name, root)
    if path is None and not data_set:
        raise DataError(f"{text}: no such file or folder, and no data set of that name; {nearest(name, names())}")
    if option is not None and option not in (*SPLITS, *LAYOUTS) or option in LAYOUTS and layout not in (None, option):
        raise DataError(f"{text}: {option!r} after the colon; accepted: one of {', '.join((*SPLITS, *LAYOUTS))}, once")
    layout = option if option in LAYOUTS else layout
    array = path is not None and path.is_file() and path.suffix.lower() in ARRAY_FILES
    if layout is not None and not array:
        raise DataError(f"{text}: the layout {layout} is for array files; data sets, image files and runs need none")
    if path is None:
        return _data_set(name, option, root)
    title = path.name or path.resolve().name
    if array:
        return array_samples(ARRAY_FILES[path.suffix.lower()](path), title, str(path), layout)
    if is_run(path):
        return _run(path)
    if path.is_dir() or path.name.lower().endswith(ARCHIVE_SUFFIXES):
        return file_samples(path, title)
    raise DataError(f"{path}: a kind of file that is not read; {_ACCEPTED}")


def named_split(text: str | Path, root: Path | None = None) -> tuple[str, str] | None:
    """The data set, by a name or path that `registry.load` takes, and its split, where `text` names one; or None."""
    name, option = _parse(str(text), data_root() if root is None else root)
    if not is_name(name) and option not in SPLITS:
        return None
    return name, option if option in SPLITS else "train"


def existing(name: str | Path, root: Path | None = None) -> Path | None:
    """The file or folder of that name, in the working directory or else under `root`; None where there is none.

    Raises:
        DataError: a pipe or a device, or an archive that declares too much (`limits`).
    """
    root = data_root() if root is None else root
    places = (Path(name).expanduser(), root / name) if str(name) else ()
    found = next((path for path in places if path.exists()), None)
    if found is not None:
        refuse_unsound(found)
    return found


def _parse(text: str, root: Path) -> tuple[str, str | None]:
    """The name, and what stands after its last colon, unless the colon belongs to the name of a file."""
    if ":" not in text or existing(text, root) is not None:
        return text, None
    name, _, option = text.rpartition(":")
    return name, option


def _data_set(name: str, split: str | None, root: Path) -> Samples:
    images = load(name, split or "train", root)
    note = () if split else ("the split is train, as none was named",)
    _, channels, height, width = images.pixels.shape
    title = f"{images.name}/{images.split}"
    return Samples(title, title, len(images), (channels, height, width), note, lambda: iter([images.pixels]))


def _run(folder: Path) -> Samples:
    """The fresh samples of the run in `folder`."""
    try:
        found = run_samples(folder)
    except ConfigError as error:
        raise DataError(str(error)) from error
    samples = array_samples(open_npy(found.path), folder.resolve().name, str(folder), "CHW")
    if found.measured not in (None, samples.n):
        raise DataError(
            f"{folder}: holds {samples.n} of the {found.measured} images that were measured; name the file or folder "
            "that they are from"
        )
    ended = () if found.status == "ok" else (f"the run ended as {found.status!r}: samples of its last good checkpoint",)
    return replace(samples, conversions=(*samples.conversions, *ended))
