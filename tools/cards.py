"""Write the cards of models anew: contact sheet, picture with detail from the photo, README.md.

    python tools/cards.py data/models/*

Run it after a change of ourgan/training/model_card.py. Weights and configuration stay as they are.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ourgan.io.model_photo import find_photo
from ourgan.io.read import read_image
from ourgan.pipeline import OurGAN
from ourgan.training.model_card import write_card


def main(directories: list[str]) -> None:
    """Write the card of each model."""
    for directory in map(Path, directories):
        model = OurGAN.from_pretrained(directory, device="cpu")
        write_card(model, read_image(find_photo(model.metadata, directory).path), directory)
        print(directory, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
