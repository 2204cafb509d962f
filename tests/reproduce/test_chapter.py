"""What every notebook does alike: tables, and figures with the record of what they were made from."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from ourgan._core.errors import OurganError
from ourgan.reproduce import begin, chapter, table
from ourgan.reproduce.chapter import save_figure


def test_table_keeps_its_columns_whatever_the_cells_hold() -> None:
    lines = str(table(["|g|", "px"], [["a|b", 0.15], ["c", 1234.5], ["d", 24]]).data).splitlines()
    assert lines[2:] == ["| a\\|b | 0.150 |", "| c | 1,234 |", "| d | 24 |"]
    assert all(line.replace("\\|", "").count("|") == 3 for line in lines)


def test_figures_are_kept_with_what_was_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []
    open_before = plt.get_fignums()
    monkeypatch.setattr(chapter, "display", shown.append)
    monkeypatch.setenv("OURGAN_OUT", str(tmp_path))
    nb = begin("01_effective_receptive_field", "smoke", 3, "stream")
    nb.log(radius=10.5)
    for name in ("01_drawing.png", "01_map.jpg"):  # the latter holds photographs: kept and shown as JPEG
        figure, axes = plt.subplots()
        axes.plot([0, 1])
        nb.show(figure, name, alt="A line")
        record = json.loads((tmp_path / "figures" / name).with_suffix(".json").read_text())
        assert record["logged"] == {"radius": 10.5} and record["alt"] == "A line" and record["seed"] == 3
    assert plt.get_fignums() == open_before
    kept = [(tmp_path / "figures" / name).read_bytes() for name in nb.figures]
    for first, second in (kept, [image.data for image in shown]):
        assert first.startswith(b"\x89PNG") and second.startswith(b"\xff\xd8")
    for longest, size in ((chapter.SHOWN, (640, 320)), (200, (200, 100))):
        nb.show(Image.new("RGB", (800, 400)), "01_map.jpg", alt="A map", longest=longest)
        assert Image.open(io.BytesIO(shown[-1].data)).size == size
        with Image.open(tmp_path / "figures/01_map.jpg") as kept_whole:
            assert kept_whole.size == (800, 400)
    nb.finish()
    record = json.loads((tmp_path / "01_effective_receptive_field.json").read_text())
    assert record["figures"] == nb.figures and record["logged"] == {"radius": 10.5}
    assert "<th style='text-align:left'>radius</th><td>10.5</td>" in shown[-1].data


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_figure_and_sidecar(tmp_path, suffix):
    figure, axes = plt.subplots()
    axes.plot([0, 1])
    path = tmp_path / "figures" / f"fig7{suffix}"
    save_figure(figure, path, {"figure": "7"})
    plt.close(figure)
    with Image.open(path) as image:
        assert np.asarray(image.convert("L")).min() < 100 < np.asarray(image.convert("L")).mean()
    assert json.loads((tmp_path / "figures/fig7.json").read_text()) == {"figure": "7"}

    picture = Image.new("RGB", (30, 20), "red")
    save_figure(picture, path, {"figure": "8"})
    with Image.open(path) as image:
        assert image.size == (30, 20)
    assert json.loads((tmp_path / "figures/fig7.json").read_text()) == {"figure": "8"}
    assert len(list(path.parent.iterdir())) == 2


def test_figure_that_cannot_be_written_is_one_line(tmp_path):
    picture = Image.new("RGB", (3, 2))
    (tmp_path / "file").touch()
    for path, words in ((tmp_path / "a.svg", "written as"), (tmp_path / "file/a.png", "cannot be written")):
        with pytest.raises(OurganError, match=words) as caught:
            save_figure(picture, path, {})
        assert "\n" not in str(caught.value)
    with pytest.raises(TypeError):
        save_figure(picture, tmp_path / "a.png", {"path": tmp_path})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
