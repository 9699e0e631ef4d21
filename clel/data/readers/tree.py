"""Folders and archives under one view: names and contents, read in memory; nothing is ever extracted."""

from __future__ import annotations

import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from clel.data.images import DataError
from clel.data.limits import DeclaredSize

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
ARCHIVE_SUFFIXES = (".zip", *TAR_SUFFIXES)
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError)
_CLUTTER = ("__MACOSX", "Thumbs.db", "desktop.ini")


class Tree:
    """A read-only set of files.

    Attributes:
        path: the folder or archive on disk.
        files: relative names with forward slashes, sorted; hidden files and what desktops leave behind are left out.
        folders: relative names of all folders, the empty ones included.
    """

    def __init__(self, path: Path):
        self.path = path
        files: list[str] = []
        folders: set[str] = set()
        try:
            for name, is_folder in self._entries():
                parts = PurePosixPath(name).parts
                if any((part.startswith(".") and part != "..") or part in _CLUTTER for part in parts):
                    continue
                if not parts or ".." in parts or name.startswith("/"):
                    if is_folder and not parts:
                        continue
                    raise DataError(f"{path}: the entry {name!r} leads out of the archive; accepted: relative names")
                folders.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
                if is_folder:
                    folders.add("/".join(parts))
                else:
                    files.append("/".join(parts))
        except _BROKEN as error:
            raise self._broken(error) from error
        self.files = tuple(sorted(files))
        self.folders = frozenset(folders)
        twice = next((a for a, b in zip(self.files, self.files[1:], strict=False) if a == b), None)
        if twice is not None:
            raise DataError(f"{path}: holds {twice!r} twice; pack each file once")

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """(name, content) of each of `names`: in the order given, but from a tar in the order in which they are stored.

        Raises:
            DataError: a file that is truncated, fails its checksum, is encrypted, or cannot be read.
        """
        try:
            yield from self._contents(dict.fromkeys(names))
        except _BROKEN as error:
            raise self._broken(error) from error

    def find(self, base_names: Collection[str]) -> dict[str, str]:
        """{base name: name} of those of `base_names` that lie anywhere in the tree (the shallowest, then the first)."""
        wanted = set(base_names)
        found: dict[str, str] = {}
        for name in sorted(self.files, key=lambda file: (file.count("/"), file)):
            base = name.rpartition("/")[2]
            if base in wanted:
                found.setdefault(base, name)
        return found

    def _broken(self, error: Exception) -> DataError:
        return DataError(
            f"{self.path}: cannot be read ({type(error).__name__}: {error}); it is truncated, damaged, encrypted or "
            f"not what its name says; accepted: a folder or one of {', '.join(ARCHIVE_SUFFIXES)}; fetch or pack it anew"
        )

    def _entries(self) -> Iterator[tuple[str, bool]]:
        raise NotImplementedError

    def _contents(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        raise NotImplementedError


class FolderTree(Tree):
    """A folder; links are followed, except into a folder above themselves."""

    def _entries(self) -> Iterator[tuple[str, bool]]:
        return self._walk(self.path, "", frozenset())

    def _walk(self, folder: Path, prefix: str, above: frozenset[str]) -> Iterator[tuple[str, bool]]:
        above = above | {os.path.realpath(folder)}
        for entry in os.scandir(folder):
            name = prefix + entry.name
            if entry.is_file():
                yield name, False
            elif not entry.is_dir():
                kind = "a link to nothing" if entry.is_symlink() else "a pipe, socket or device"
                if not entry.name.startswith("."):
                    raise DataError(f"{entry.path}: {kind}; accepted: files and folders")
            elif os.path.realpath(entry.path) not in above:
                yield name, True
                if not entry.name.startswith("."):
                    yield from self._walk(Path(entry.path), name + "/", above)

    def _contents(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        for name in names:
            yield name, (self.path / name).read_bytes()


class ZipTree(Tree):
    """A zip archive; contents are checked against its CRC-32s as they are read."""

    def _entries(self) -> Iterator[tuple[str, bool]]:
        with zipfile.ZipFile(self.path) as archive:
            declared = DeclaredSize(self.path)
            for info in archive.infolist():
                declared.add(info.file_size)
                yield info.filename, info.is_dir()

    def _contents(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        with zipfile.ZipFile(self.path) as archive:
            files = {"/".join(PurePosixPath(i.filename).parts): i for i in archive.infolist() if not i.is_dir()}
            for name in names:
                if name in files:
                    yield name, archive.read(files[name])


class _Member(tarfile.TarInfo):
    """A header; tarfile itself takes a cut or damaged header after the first for the end of the archive."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _Member:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # it exists, though undocumented
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"it ends without tar's mark of the end: {error}") from error


class TarTree(Tree):
    """A tar archive, compressed or not, read front to back: going back in a compressed one would start over."""

    def _entries(self) -> Iterator[tuple[str, bool]]:
        declared = DeclaredSize(self.path)
        with tarfile.open(self.path, "r|*", tarinfo=_Member) as archive:
            for member in archive:
                declared.add(member.size)
                if not (member.isfile() or member.isdir()):
                    raise DataError(f"{self.path}: {member.name!r} is a link or a device; accepted: files and folders")
                yield member.name, member.isdir()

    def _contents(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        with tarfile.open(self.path, "r|*", tarinfo=_Member) as archive:
            for member in archive:
                name = "/".join(PurePosixPath(member.name).parts)
                content = archive.extractfile(member) if name in names else None
                if content is not None:
                    yield name, content.read()


def open_tree(path: Path) -> Tree:
    """The folder or archive at `path` as a Tree.

    Raises:
        DataError: neither a folder nor an archive of a known kind, or one that cannot be read.
    """
    if path.is_dir():
        return FolderTree(path)
    if path.name.lower().endswith(".zip"):
        return ZipTree(path)
    if path.name.lower().endswith(TAR_SUFFIXES):
        return TarTree(path)
    raise DataError(f"{path}: neither a folder nor an archive; accepted: {', '.join(ARCHIVE_SUFFIXES)}")
