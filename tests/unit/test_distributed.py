"""Two processes that share each batch (torchrun, gloo) follow the curve of one process with the whole batch."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

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
}


def train(tmp_path, name, processes):
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--master-port", "29713"]
    command = [sys.executable, *(launcher if processes > 1 else []), "-m", "nbsupport", "train", "--profile", "smoke"]
    command += ["-r", name, *(f"--set={key}={value}" for key, value in SETTINGS.items())]
    environment = os.environ | {"NBSUPPORT_RUNS": str(tmp_path), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    folder = tmp_path / name
    return pd.read_csv(folder / "tdanet_log.csv"), load_file(folder / "checkpoints" / "tdanet.safetensors")


def test_two_processes_give_the_curve_of_one(tmp_path):
    one, weights = train(tmp_path, "one", 1)
    two, shared = train(tmp_path, "two", 2)
    assert one["step"].tolist() == two["step"].tolist() == [1, 2, 3, 4, 5, 6]
    for column in ("l1", "l1_auxiliary", "kl", "discriminators", "adversarial", "hole_l1", "gradient"):
        np.testing.assert_allclose(one[column], two[column], rtol=2e-3, atol=1e-5, err_msg=column)
    assert one["validation_hole_l1"].dropna().tolist() == pytest.approx(
        two["validation_hole_l1"].dropna().tolist(), rel=1e-3
    )
    largest = max(float((weights[name] - shared[name]).abs().max()) for name in weights)
    assert largest < 2e-3, largest
    assert len(one["l1"].unique()) == 6  # it moved: equal curves are not two standing still
