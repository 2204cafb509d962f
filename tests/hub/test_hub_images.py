"""Images of a data set on the Hub: its real client against a server on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub.models import closed_port, one_line
from hub.server import Hub, serve
from torch import Tensor

from ourgan.hub import HubError, HubUnreachable, download_images
from ourgan.io.pixels import write_image
from ourgan.training.patches import FolderPatches

NAME = "someone/pictures"


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: None)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve() as running:
        yield running


def test_images_alone_are_fetched_and_can_be_learned_from(
    hub: Hub, photo: Callable[..., Tensor], tmp_path: Path
) -> None:
    write_image(tmp_path / "a.png", photo(width=64))
    body = (tmp_path / "a.png").read_bytes()
    files = {"train/a.png": body, "B.PNG": body, "README.md": b"# pictures", "run.py": b"import os"}
    hub.publish(NAME, files, kind="dataset")
    found = download_images(NAME, endpoint=hub.endpoint, cache=tmp_path / "hub")
    assert sorted(str(path.relative_to(found)) for path in found.rglob("*") if path.is_file()) == [
        "B.PNG", "train/a.png"
    ]  # fmt: skip
    _, high = FolderPatches(found, patch=32).batch(0, 2)
    assert high.shape == (2, 3, 32, 32)


def test_refusals_say_what_they_mean(hub: Hub, tmp_path: Path) -> None:
    hub.publish("someone/tables", {"data.parquet": b"x"}, kind="dataset")
    with pytest.raises(HubError, match="someone/tables: none of its files is an image") as caught:
        download_images("someone/tables", endpoint=hub.endpoint, cache=tmp_path)
    one_line(caught)
    with pytest.raises(HubError, match="someone/absent: no data set that you may read") as caught:
        download_images("someone/absent", endpoint=hub.endpoint, cache=tmp_path)
    one_line(caught)
    with pytest.raises(HubUnreachable, match="hf download --repo-type dataset someone/pictures"):
        download_images(NAME, endpoint=closed_port(), cache=tmp_path)
