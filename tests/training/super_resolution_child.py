"""A tiny training of super-resolution in a process of its own, killed where its parent says.

    python super_resolution_child.py RUN CALL [--resume]

CALL: the function call (Python's or C's) of the training at which it dies by SIGKILL; 0 for none: then it
prints how many there were.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from conftest import _scaled
from test_super_resolution import trainer
from training_child import Calls

from ourgan.training.finetune import train_super_resolution


def photo(name: str = "picos-de-europa", width: int = 64) -> torch.Tensor:
    return torch.tensor(_scaled(name, width)).permute(2, 0, 1).float() / 255


def main(run: str, call: str, *options: str) -> None:
    torch.set_num_threads(1)
    made = trainer(photo)
    calls = Calls(int(call))
    sys.setprofile(calls)
    train_super_resolution(
        made, Path(run), resume="--resume" in options, checkpoint_seconds=0, progress=False
    )
    sys.setprofile(None)
    print(calls.count)


if __name__ == "__main__":
    main(*sys.argv[1:])
