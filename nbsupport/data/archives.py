"""Unpacks archives that come from elsewhere without letting them write anywhere but into their folder.

Refused: absolute paths, paths with ``..``, links that lead out, devices, and archives that grow beyond a limit.
The folder appears under its name only when everything is unpacked.
"""

import errno
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

from nbsupport.core.errors import UserError

MAX_BYTES = 20 * 2**30  # of all files together, unpacked
MAX_FILES = 1_000_000
# What damaged or foreign bytes make the decoders raise; RuntimeError is an encrypted zip.
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, RuntimeError)


def extract(archive: Path, target: Path, *, max_bytes: int = MAX_BYTES) -> Path:
    """Unpack a tar (plain or compressed) or zip archive; its top-level entries end up in `target`.

    An entry of `target` of the same name is replaced once the archive is whole; others are left alone.

    Raises:
        UserError: not an archive, damaged, or it holds what it must not (named); nothing is left in `target` then.
    """
    archive, target = Path(archive), Path(target)
    target.mkdir(parents=True, exist_ok=True)
    scratch = target / f".{archive.name}.unpacking"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        if tarfile.is_tarfile(archive):
            _extract_tar(archive, scratch, max_bytes)
        elif zipfile.is_zipfile(archive):
            _extract_zip(archive, scratch, max_bytes)
        else:
            raise UserError(f"'{archive}' is neither a tar nor a zip archive. Move it away and download it again.")
        for entry in sorted(scratch.iterdir()):
            place = target / entry.name
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            os.replace(entry, place)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise UserError(f"'{target}' cannot be written ({error.strerror}). Make room or allow it.") from error
        raise UserError(f"'{archive}' cannot be unpacked ({error}). Move it away and download it again.") from error
    except _DAMAGED as error:
        raise UserError(f"'{archive}' cannot be unpacked ({error}). Move it away and download it again.") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def _check_name(archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
        raise UserError(f"'{archive}' was refused: its entry '{name}' would be written outside the target folder.")


def _check_total(archive: Path, total: int, count: int, max_bytes: int) -> None:
    if total > max_bytes or count > MAX_FILES:
        raise UserError(
            f"'{archive}' was refused: unpacked it is larger than {max_bytes:,} bytes or {MAX_FILES:,} files."
        )


def _extract_tar(archive: Path, target: Path, max_bytes: int) -> None:
    total = 0
    with tarfile.open(archive) as tar, tqdm(desc=f"unpacking {archive.name}", unit="file") as bar:
        for count, member in enumerate(tar):
            _check_name(archive, member.name)
            if member.issym() or member.islnk():
                base = PurePosixPath(member.name).parent if member.issym() else PurePosixPath()
                _check_link(archive, member.name, base / member.linkname, member.linkname)
            elif not (member.isfile() or member.isdir()):
                raise UserError(f"'{archive}' was refused: its entry '{member.name}' is a device or a pipe.")
            total += max(member.size, 0)
            _check_total(archive, total, count + 1, max_bytes)
            if any((target / parent).is_symlink() for parent in PurePosixPath(member.name).parents):
                raise UserError(f"'{archive}' was refused: its entry '{member.name}' would be written through a link.")
            try:
                tar.extract(member, target, filter="data")
            except tarfile.FilterError as error:
                raise UserError(f"'{archive}' was refused: {error}") from error
            bar.update()
        for _ in range(max_bytes >> 20):  # the checksum of the whole stands behind the last entry
            if not tar.fileobj.read(1 << 20):
                break


def _check_link(archive: Path, name: str, path: PurePosixPath, link: str) -> None:
    depth = 0
    for part in path.parts:
        depth += -1 if part == ".." else part != "."
        if depth < 0:
            break
    if depth < 0 or PurePosixPath(link).is_absolute():
        raise UserError(
            f"'{archive}' was refused: its entry '{name}' is a link to '{link}', outside the target folder."
        )


def _extract_zip(archive: Path, target: Path, max_bytes: int) -> None:
    with zipfile.ZipFile(archive) as zipped:
        members = zipped.infolist()
        _check_total(archive, sum(member.file_size for member in members), len(members), max_bytes)
        for member in members:
            _check_name(archive, member.filename)
            if (member.external_attr >> 16) & 0o170000 == 0o120000:
                raise UserError(f"'{archive}' was refused: its entry '{member.filename}' is a link.")
        for member in tqdm(members, desc=f"unpacking {archive.name}", unit="file"):
            zipped.extract(member, target)
