"""Names that would be HTML, Markdown or a command in a model card or a notebook: shown as what they are."""

from __future__ import annotations

import dataclasses
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from at_scale import TINY
from IPython.display import HTML

from ourgan.config import SuperResolutionConfig
from ourgan.io.model_dir import ModelMetadata, StepMetadata
from ourgan.models.generators import HPVAEGAN
from ourgan.pipeline import OurGAN
from ourgan.reproduce import chapter
from ourgan.training.model_card import card
from ourgan.upscale.upscaler import Upscaler

SCRIPT = "<script>alert(1)</script>"
NAMES = [
    "<img src=x onerror=alert(1)>.jpg",
    f"a`{SCRIPT}`.jpg",
    "a|b.jpg\n\n# Another model\n\n[click](javascript:alert(1))",
    "$(touch /tmp/owned); rm -rf ~.jpg",
    "'; touch owned; '.jpg",
    "---\nlicense: mit\n---.jpg",
]


class Tags(HTMLParser):
    """The tags of a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: object) -> None:
        self.found.append(tag)


def carded(facts: ModelMetadata, name: str, steps: dict[int, StepMetadata] | None = None) -> str:
    model = OurGAN(HPVAEGAN(TINY.network, 0.75), Upscaler(SuperResolutionConfig()), facts, steps or {})
    return card(model, {"row_colour_error": 1.0, "diversity": 2.0, "distance_to_photo": 3.0}, name)


@pytest.mark.parametrize("hostile", NAMES)
@pytest.mark.parametrize("where", ["photo", "credit", "profile", "trained_on", "name", "start", "perceptual"])
def test_a_model_card_shows_names_and_does_nothing(hostile: str, where: str) -> None:
    plain = ModelMetadata(
        photo="a.jpg", photo_sha256="0" * 64, credit="A. B.", profile="cpu", trained_on="a CPU"
    )
    facts = dataclasses.replace(plain, **{where: hostile}) if hasattr(plain, where) else plain
    step = StepMetadata(1024, "released", "0" * 64, "VGG16", 9, 5, 0.02, (0.2, 0.1), (29.0, 28.0), 1.0)
    if hasattr(step, where):
        step = dataclasses.replace(step, **{where: hostile})
    text = carded(facts, hostile if where == "name" else "mine", {2: step})
    harmless = carded(plain, "mine", {2: dataclasses.replace(step, start="released", perceptual="VGG16")})
    assert len(text.splitlines()) == len(harmless.splitlines())
    assert re.findall(r"(?m)^(?:---|#.*? |\| )", text) == re.findall(r"(?m)^(?:---|#.*? |\| )", harmless)
    prose = re.sub(r"(?m)^    .*$", "", text)  # in a block of code nothing is HTML
    assert Tags(re.sub(r"`[^`\n]*`", "", prose)).found == []
    assert not re.search(r"(?<!\\)\[click\]", prose)


@pytest.mark.parametrize("hostile", NAMES)
def test_a_command_of_a_model_card_can_be_copied_into_a_shell(hostile: str) -> None:
    text = carded(ModelMetadata(photo=hostile, profile="cpu"), hostile)
    train, synthesize = re.findall(r"(?m)^    (.*)$", text)
    name = " ".join(hostile.split())
    assert shlex.split(train)[:6] == ["ourgan", "train", name, "--out", name, "--profile"]
    assert shlex.split(synthesize)[:3] == ["ourgan", "synthesize", name]


@pytest.mark.parametrize("hostile", NAMES)
def test_a_notebooks_record_shows_names_and_does_nothing(
    hostile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / hostile.replace("/", "")
    photo.write_bytes(b"a photo")
    shown: list[HTML] = []
    monkeypatch.setattr(chapter, "display", shown.append)
    monkeypatch.setenv("OURGAN_OUT", str(tmp_path))
    run = chapter.begin("01_effective_receptive_field", "smoke", 0, str(photo))
    run.log(**{"a fact": hostile, f"a key {hostile}": torch.pi})
    run.finish()
    (table,) = shown
    assert set(Tags(table.data).found) == {"table", "tr", "th", "td"}
    assert photo.name.splitlines()[0] in capsys.readouterr().out
