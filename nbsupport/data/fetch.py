"""Downloads the official archives of the research sets: resumed where broken off, verified, refused on mismatch.

Sizes and checksums of CUB-200-2011 are those of its CaltechDATA records (65de6-vp158, w9d68-gec53); the checksums of
Oxford-IIIT Pet those that torchvision verifies. The captions of Reed et al. are handed out by their authors from a
shared drive that cannot be fetched by a program; :func:`fetch` says where to put them.
"""

import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import requests
from tqdm.auto import tqdm

import nbsupport
from nbsupport.core.errors import ConfigError, UserError, unknown
from nbsupport.data.archives import extract

_CHUNK = 1 << 16  # what a broken connection loses at most
_TIMEOUT = 30  # seconds without a byte
_ATTEMPTS = 5


@dataclass(frozen=True)
class Archive:
    """A file to download, what it must be, and what unpacking it makes (relative to the target)."""

    url: str
    makes: str
    folder: str = "."  # where in the target it is unpacked
    size: int | None = None
    md5: str | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        """The file name that the address ends in."""
        return self.url.split("?")[0].rsplit("/", 1)[-1]


_CALTECH = "https://data.caltech.edu/records"
_OXFORD = "https://www.robots.ox.ac.uk/~vgg/data/pets/data"

#: The official archives of each set.
ARCHIVES: dict[str, tuple[Archive, ...]] = {
    "cub": (
        Archive(
            f"{_CALTECH}/65de6-vp158/files/CUB_200_2011.tgz",
            "CUB_200_2011/images.txt",
            size=1_150_585_339,
            md5="97eceeb196236b17998738112f37df78",
        ),
        Archive(
            f"{_CALTECH}/w9d68-gec53/files/segmentations.tgz",
            "segmentations",
            size=39_272_883,
            md5="4d47ba1228eae64f2fa547c47bc65255",
        ),
    ),
    "pets": (
        Archive(
            f"{_OXFORD}/images.tar.gz",
            "oxford-iiit-pet/images",
            folder="oxford-iiit-pet",
            md5="5c4f3ee8e5d25df40f4fd59a7f44e54c",
        ),
        Archive(
            f"{_OXFORD}/annotations.tar.gz",
            "oxford-iiit-pet/annotations",
            folder="oxford-iiit-pet",
            md5="95a8c909bbe2e81eed6a22bccdf3f68f",
        ),
    ),
}
_CAPTIONS = (
    "The captions of Reed et al. (CVPR 2016) have no address that a program can fetch. Get 'cvpr2016_cub' by way of "
    "https://github.com/reedscot/cvpr2016 (or the 'birds' archive of https://github.com/taoxugit/AttnGAN) and put its "
    "folder 'text_c10' (or 'text') into '{place}'."
)


def _digest(path: Path, kind: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _verify(path: Path, size: int | None, md5: str | None, sha256: str | None) -> str | None:
    """What is wrong with a finished download, or None."""
    if size is not None and path.stat().st_size != size:
        return f"it has {path.stat().st_size:,} bytes, not {size:,}"
    for kind, wanted in (("sha256", sha256), ("md5", md5)):
        if wanted is not None and (found := _digest(path, kind)) != wanted.lower():
            return f"its {kind} is {found}, not {wanted}"
    return None


def download(
    url: str,
    path: Path,
    *,
    size: int | None = None,
    md5: str | None = None,
    sha256: str | None = None,
    attempts: int = _ATTEMPTS,
    pause: float = 1.0,
) -> Path:
    """Download `url` to `path`: resumed, retried, verified. A file that is there and right is not fetched again.

    What has arrived is kept as ``<name>.part`` and continued by the next call. The file takes its name only when size
    and checksums are right; otherwise the part is deleted, since continuing it could not mend it.

    Args:
        attempts: how often a broken connection is taken up again; the `pause` before doubles each time (seconds).

    Raises:
        UserError: the server refuses, the connection stays broken, the disk is full, or the file is not what it should
            be.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        problem = _verify(path, size, md5, sha256)
        if problem is None:
            return path
        raise UserError(f"'{path}' is there already, but {problem}. Move it away to download it again.")
    part = path.with_name(path.name + ".part")
    for attempt in range(attempts):
        try:
            _continue(url, part, size)
            break
        except requests.HTTPError as error:
            status = error.response.status_code
            if status < 500 and status != 429:
                raise UserError(f"'{url}' was refused by the server ({status} {error.response.reason}).") from error
            problem = f"{status} {error.response.reason}"
        except (requests.RequestException, ConnectionError, TimeoutError) as error:
            problem = type(error).__name__
        except OSError as error:
            raise UserError(
                f"'{part}' cannot be written ({error.strerror}). Make room, then run the same command: it continues "
                "where it stopped."
            ) from error
        if attempt + 1 == attempts:
            held = part.stat().st_size if part.exists() else 0
            raise UserError(
                f"The connection to '{url}' broke off {attempts} times ({problem}). {held:,} bytes are kept: run the "
                "same command again to continue."
            )
        time.sleep(pause * 2**attempt)
    problem = _verify(part, size, md5, sha256)
    if problem is not None:
        part.unlink()
        raise UserError(f"What came from '{url}' was refused and deleted: {problem}. Try again later.")
    os.replace(part, path)
    return path


def _continue(url: str, part: Path, size: int | None) -> None:
    """Fetch what `part` still lacks; a server that knows no ranges sends all of it again."""
    held = part.stat().st_size if part.exists() else 0
    if size is not None and held > size:
        part.unlink()
        held = 0
    if size is not None and held == size:
        return
    headers = {"Accept-Encoding": "identity", "User-Agent": f"nbsupport/{nbsupport.__version__}"}
    if held:
        headers["Range"] = f"bytes={held}-"
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
        if answer.status_code == 416:  # nothing lies beyond what is held
            total = answer.headers.get("Content-Range", "").rpartition("/")[2]
            if total == str(held):
                return
            part.unlink()
            raise requests.ConnectionError("the part does not belong to this file")
        answer.raise_for_status()
        resumed = answer.status_code == 206
        expected = int(answer.headers.get("Content-Length", 0)) or None
        start = held if resumed else 0
        if expected is not None and shutil.disk_usage(part.parent).free < expected:
            raise OSError(28, f"no room for {expected:,} bytes")
        bar = tqdm(
            total=start + expected if expected else size, initial=start, unit="B", unit_scale=True, desc=part.stem
        )
        with bar, open(part, "ab" if resumed else "wb") as file:
            for chunk in answer.iter_content(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
        if expected is not None and part.stat().st_size != start + expected:
            raise requests.ConnectionError("the connection closed early")


def fetch(dataset: str, target: Path, archives: tuple[Archive, ...] | None = None) -> Path:
    """Download and unpack all archives of a set into `target`; what is there already is left as it is.

    Archives are kept in ``target/downloads`` until they are unpacked. Returns `target`.

    Raises:
        ConfigError: there is no such set to download. UserError: see `download` and `extract`; and for CUB, once the
            photographs are there, where its captions must be put when they are missing.
    """
    if dataset not in ARCHIVES:
        raise ConfigError(unknown("data set to download", dataset, ARCHIVES))
    target = Path(target)
    for archive in archives or ARCHIVES[dataset]:
        if (target / archive.makes).exists():
            print(f"{archive.makes} is there already.")
            continue
        file = download(
            archive.url, target / "downloads" / archive.name, size=archive.size, md5=archive.md5, sha256=archive.sha256
        )
        extract(file, target / archive.folder)
        file.unlink()
    if dataset == "cub":
        place = target / "CUB_200_2011"
        if not any(
            (base / name).is_dir() for base in (place, target, target / "birds") for name in ("text_c10", "text")
        ):
            raise UserError(_CAPTIONS.format(place=place))
    return target
