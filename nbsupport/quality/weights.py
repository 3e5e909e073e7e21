"""Weights of third-party networks that come over the net: fetched once, given up on quickly.

A machine without a connection must not wait minutes for a number that can be had another way, nor try again for every
batch. What failed is remembered until the process ends. Files go where torch.hub keeps its own, so that what another
program has fetched is found. Not here: weights that travel in a package (:mod:`nbsupport.core.lite0`).
"""

from pathlib import Path

import requests
import torch

from nbsupport.core.errors import UserError

_PATIENCE = 5  # seconds for the server's first word
_failed: dict[str, str] = {}


def fetch(url: str) -> Path:
    """The file of `url` in torch.hub's folder, downloaded if it is not there.

    Args:
        url: ends in ``-<first eight hexadecimal digits of the sha256>.pth``, which the file is checked against.

    Raises:
        UserError: it is not there and cannot be downloaded; the message says where to put it.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if path.is_file():
        return path
    if url not in _failed:
        try:
            requests.head(url, timeout=_PATIENCE, allow_redirects=True).raise_for_status()
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rsplit("-", 1)[-1], progress=False)
            return path
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors; a wrong hash is a RuntimeError
            _failed[url] = type(error).__name__
    raise UserError(
        f"'{url}' cannot be downloaded ({_failed[url]}). Try again with a connection, or put the file at '{path}'."
    )
