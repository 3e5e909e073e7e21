"""Who makes which shard: this process, processes beside it, or (under torchrun) processes on several machines.

The shards are shared out by rank, and on each machine handed to whichever process is free. None of this changes a byte.
Only one attempt may work on a run at a time; a lock, which the system takes back when a process dies, sees to that.
"""

import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

import filelock
import torch
from tqdm.auto import tqdm

from nbsupport.config import PairsConfig
from nbsupport.core.errors import UserError
from nbsupport.pairs import generation
from nbsupport.pairs.generation import Tally, Work
from nbsupport.runs import Run

_STATE: dict[str, Work] = {}  # of a worker process


def rank_and_size() -> tuple[int, int]:
    """This process's number among those that torchrun started, and how many there are; (0, 1) without it."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


@contextlib.contextmanager
def alone(run: Run) -> Iterator[None]:
    """Hold the lock of a run's paired set.

    Raises:
        UserError: another process holds it, or the folder cannot be written.
    """
    lock = filelock.FileLock(run / "pairs.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(
            f"Another process is making the paired set of '{run.path}' at this moment. Wait until it is done, or give "
            "this run another name (run_name)."
        ) from None
    except OSError as error:
        raise UserError(f"'{run.path}' cannot be written ({error.strerror}). Set NBSUPPORT_RUNS to another.") from error
    try:
        yield
    finally:
        lock.release()


def choose_workers(shards: int) -> int:
    """How many processes are worth starting: one where there is little to do, or a GPU does it; else one a core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1 if torch.cuda.is_available() or shards < 8 * cores else cores


def make(work: Work, run: Run, todo: Sequence[tuple[int, int, int]], total: int, workers: int) -> Tally:
    """Make shards, with a progress bar over the files of the set.

    Args: todo: (number, first row, files) of each shard to make. total: files of the whole set.
    """
    tally, planned = Tally(), sum(files for _, _, files in todo)
    with tqdm(total=total, initial=total - planned, desc="pairs", unit="image") as progress:
        done = _here(work, todo) if workers <= 1 else _beside(run, work.config, todo, workers)
        for part in done:
            tally.add(part)
            progress.update(part.made)
    return tally


def _here(work: Work, todo: Sequence[tuple[int, int, int]]) -> Iterator[Tally]:
    for number, first, _ in todo:
        yield generation.make_shard(work, number, first)


def _beside(run: Run, config: PairsConfig, todo: Sequence[tuple[int, int, int]], workers: int) -> Iterator[Tally]:
    """Shards by processes of their own, each of which opens the run for itself."""
    context = multiprocessing.get_context("spawn")
    waiting = list(todo)[::-1]
    try:
        with ProcessPoolExecutor(workers, context, _open, (run.path, config, os.getpid())) as pool:
            running = set()
            try:
                while waiting or running:
                    while waiting and len(running) < 2 * workers:
                        number, first, _ = waiting.pop()
                        running.add(pool.submit(_make_one, number, first))
                    finished, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        yield future.result()
            finally:
                for future in running:
                    future.cancel()
    except BrokenProcessPool:
        raise UserError(
            "A process that was making the paired set was killed, perhaps for want of memory. What is finished is "
            "kept: run it again, with fewer workers or a smaller batch_size."
        ) from None


def _open(path: str, config: PairsConfig, parent: int) -> None:
    """Begin a worker process: it ends when its parent does."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    torch.set_num_threads(1)
    _STATE["work"] = Work.open(Run(path), config)


def _make_one(number: int, first: int) -> Tally:
    return generation.make_shard(_STATE["work"], number, first)
