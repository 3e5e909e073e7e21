"""How the threads of a computation wait for each other, decided before PyTorch is loaded.

PyTorch's small operations are spread over threads that meet thousands of times in a training step. Threads that spin
while they wait make a step up to twice as fast on a machine that has nothing else to do, and several times slower on
a busy one; threads that sleep are never fast and never terrible. ``tests/benchmarks/bench_tdanet.py`` run with the
variable set to either shows by how much on a machine.
"""

import os

import psutil

VARIABLE = "OMP_WAIT_POLICY"
_BUSY = 25.0  # per cent of all cores, taken by other programs


def waiting_policy(seconds: float = 0.4) -> str:
    """``active`` (spin) when the machine is idle, else ``passive`` (sleep); what the environment says comes first.

    Args: seconds: how long to look at the machine's load.
    """
    if chosen := os.environ.get(VARIABLE):
        return chosen
    return "passive" if psutil.cpu_percent(interval=seconds) > _BUSY else "active"


def choose_waiting() -> None:
    """Set the policy for this process and those it starts; without effect once PyTorch is loaded."""
    os.environ[VARIABLE] = waiting_policy()
