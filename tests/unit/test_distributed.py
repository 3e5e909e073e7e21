"""Two processes that share each batch (torchrun, gloo) follow the curve of one process with the whole batch."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from nbsupport.cli.app import app
from nbsupport.core import threads

SETTINGS = {
    "1.count": 40,
    "1.image_size": 32,
    "4.matching_steps": 0,
    "4.steps": 6,
    "4.batch_size": 8,
    "4.base_channels": 8,
    "4.latent_channels": 8,
    "4.validate_every": 3,
    "4.checkpoint_every": 3,
    "4.weight_matching": 0.0,  # compares within a process's share, so its value does depend on their number
    "4.weight_adversarial": 0.1,
    "4.auxiliary_share": 0.5,
    "4.patience": 5,
    "4.precision": "float32",  # sums of other order differ by more in bfloat16
}


def arguments(name):
    return ["train", "--profile", "smoke", "-r", name, *(f"--set={key}={value}" for key, value in SETTINGS.items())]


def left_in(folder):
    return pd.read_csv(folder / "tdanet_log.csv"), load_file(folder / "checkpoints" / "tdanet.safetensors")


def test_two_processes_give_the_curve_of_one(runs_folder, monkeypatch):
    for name, value in {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", threads.VARIABLE: "passive"}.items():
        monkeypatch.setenv(name, value)
    alone = CliRunner().invoke(app, arguments("one"))  # in this process, which has PyTorch already
    assert alone.exit_code == 0, alone.output
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29713"]
    done = subprocess.run([*command, "-m", "nbsupport", *arguments("two")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    one, weights = left_in(runs_folder / "one")
    two, shared = left_in(runs_folder / "two")
    assert one["step"].tolist() == two["step"].tolist() == [1, 2, 3, 4, 5, 6]
    for column in ("l1", "l1_auxiliary", "kl", "discriminators", "adversarial", "hole_l1", "gradient"):
        np.testing.assert_allclose(one[column], two[column], rtol=2e-3, atol=1e-5, err_msg=column)
    assert one["validation_hole_l1"].dropna().tolist() == pytest.approx(
        two["validation_hole_l1"].dropna().tolist(), rel=1e-3
    )
    largest = max(float((weights[name] - shared[name]).abs().max()) for name in weights)
    assert largest < 2e-3, largest
    assert len(one["l1"].unique()) == 6  # it moved: equal curves are not two standing still
