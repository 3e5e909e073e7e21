"""What a training leaves to be looked at while it runs: a CSV of every step, TensorBoard curves, grids of pictures.

The CSV (``tdanet_log.csv``) is the record; TensorBoard (``tensorboard --logdir runs``) shows the same numbers, and is
left out where the package is not installed. Not here: figures for the book (``plots.tdanet``), which read the CSV.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from nbsupport.core.files import atomic_path
from nbsupport.runs import Run
from nbsupport.tdanet import weights

SAMPLES = "figures/samples"


class Log:
    """The numbers of every step, kept in memory and written as CSV now and then.

    Args:
        run: its folder. name: of the CSV file. step: how far a training that is resumed had come; later rows of an
            older log are dropped, here and in TensorBoard.
    """

    def __init__(self, run: Run, name: str, step: int = 0) -> None:
        self.path = run / name
        self.rows: list[dict] = []
        if step and self.path.exists():
            self.rows = pd.read_csv(self.path).query("step <= @step").to_dict("records")
        self._board = _tensorboard(run / "tensorboard" / Path(name).stem, step)

    def add(self, row: dict) -> None:
        """Note one step; ``row["step"]`` is its number."""
        self.rows.append(row)
        if self._board is not None:
            for name, value in row.items():
                if name != "step" and value is not None:
                    self._board.add_scalar(name, value, row["step"])

    def add_picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """Show a picture, (H, W, 3) uint8, in TensorBoard."""
        if self._board is not None:
            self._board.add_image(name, picture, step, dataformats="HWC")

    def table(self) -> pd.DataFrame:
        """One row for each step; a value that a step did not have is NaN."""
        return pd.DataFrame(self.rows)

    def write(self) -> pd.DataFrame:
        """Write the CSV, atomically, and return it as a table."""
        table = self.table()
        with atomic_path(self.path) as temporary:
            table.to_csv(temporary, index=False)
        if self._board is not None:
            self._board.flush()
        return table

    def close(self) -> None:
        """Close the TensorBoard file."""
        if self._board is not None:
            self._board.close()


def clear(run: Run, name: str) -> None:
    """Remove the grids and curves of an earlier training, before one begins again."""
    for folder in (run / SAMPLES, run / "tensorboard" / Path(name).stem):
        if folder.is_dir():
            shutil.rmtree(folder)


def _tensorboard(folder: Path, step: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(folder, purge_step=step + 1 if step else None)


def grid(columns: Sequence[np.ndarray], gap: int = 2) -> np.ndarray:
    """Pictures side by side: each of `columns` is (B, H, W, 3) uint8; one row of the grid for each picture of it.

    Returns: (B (H + gap) - gap, n (W + gap) - gap, 3) uint8 on white.
    """
    table = np.stack(columns, axis=1)  # (B, n, H, W, 3)
    padded = np.pad(table, [(0, 0), (0, 0), (0, gap), (0, gap), (0, 0)], constant_values=255)
    count, across, height, width, _ = padded.shape
    whole = padded.transpose(0, 2, 1, 3, 4).reshape(count * height, across * width, 3)
    return np.ascontiguousarray(whole[: -gap or None, : -gap or None])


def save_grid(run: Run, picture: np.ndarray, step: int) -> Path:
    """Write a grid to ``figures/samples/step_000300.png``, atomically; returns where."""
    path = run / SAMPLES / f"step_{step:06d}.png"
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary)
    return path


def reading(result: Mapping, notes: Mapping, log: pd.DataFrame, clip_gradient: float) -> str:
    """How long a training took, on what, and how many of its gradients were shortened, in a few sentences.

    Args: result: ``results/tdanet.json``. notes: of the stage's record. log: a row for each step, whose ``gradient``
        is the norm before it was shortened. clip_gradient: the largest norm of a gradient.
    """
    return (
        f"{result['steps']} steps of {result['batch_size']} photographs, {result['parameters']:,} parameters, "
        f"{result['seconds']:.0f} s of training ({result['images_per_second']:.0f} images/s), text encoder "
        f"{notes['text_encoder']}, on {notes['device']}: {notes['precision']}. "
        f"{(log['gradient'] > clip_gradient).mean():.0%} of the gradients were shortened."
    )


def start_reading(start_from: str | None) -> str:
    """How far the packaged weights had come that a training began from; empty for a file, or for none."""
    if start_from not in weights.names():
        return ""
    before = weights.describe(start_from)["results"]["tdanet"]
    return (
        f"The weights it began from had come to an L1 of {before['hole_l1']['tdanet']['value']:.3f} in the holes of "
        f"the held-out photographs of their own set; the last of their trainings had shown them {before['images']:,} "
        "pictures."
    )
