"""Models to the Hub: its real client against a server on loopback."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub.models import NAME, SMALL, closed_port, content, one_line
from hub.server import TOKEN, Hub, serve

from ourgan.hub import HubError, HubUnreachable, download_model, upload_model
from ourgan.hub.upload import photo_line

MODEL = Path(__file__).parents[2] / "data" / "models" / "picos-de-europa"

# The client's own plain upload, which the chunked storage has all but replaced.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> None:
    # The server speaks the plain protocol, and this machine may have somebody's token.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: None)
    monkeypatch.setattr("huggingface_hub.hf_api.get_token", lambda: None)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve() as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub"


def test_a_pushed_model_comes_back_byte_for_byte(hub: Hub, cache: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "training").mkdir(parents=True)
    (model / "training" / "checkpoint.pt").write_bytes(b"a pickle")
    (model / "notes.txt").write_bytes(b"mine")
    files = content(MODEL)
    for name, body in files.items():
        (model / name).write_bytes(body)
    address = upload_model(model, NAME, private=True, endpoint=hub.endpoint, token=TOKEN, message="Mountains")
    repository = hub.repositories["model", NAME]
    assert repository.private
    assert address == f"{hub.endpoint}/{NAME}/commit/{repository.commits[-1].oid}"
    assert repository.files == {**files, ".gitattributes": b""}
    assert len(repository.commits) == 2
    repository.private = False
    found = download_model(NAME, endpoint=hub.endpoint, cache=cache)
    assert content(found) == {name: body for name, body in files.items() if name != "log.jsonl"}
    assert json.loads((found / "config.json").read_text())["format"]


def small_model(directory: Path) -> Path:
    directory.mkdir()
    for name in ("config.json", "global.safetensors"):
        (directory / name).write_bytes(SMALL[name])
    return directory


def test_what_the_model_no_longer_has_is_removed(hub: Hub, tmp_path: Path) -> None:
    hub.publish(NAME, {**SMALL, "sr4.safetensors": b"of an earlier model"})
    upload_model(small_model(tmp_path / "model"), NAME, endpoint=hub.endpoint, token=TOKEN)
    kept = {
        "config.json",
        "global.safetensors",
        "training/checkpoint.pt",
        "notes.txt",
        "deep/down.safetensors",
    }
    assert set(hub.repositories["model", NAME].files) == kept


def test_an_interrupted_upload_leaves_the_repository_as_it_was(hub: Hub, tmp_path: Path) -> None:
    repository = hub.publish(NAME, {"config.json": b"old", "global.safetensors": b"old weights"})
    hub.hold_uploads = True
    model = small_model(tmp_path / "model")
    code = (
        "from ourgan.hub import upload_model\n"
        f"upload_model({str(model)!r}, {NAME!r}, endpoint={hub.endpoint!r}, token={TOKEN!r})"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], env={"HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path)}
    )
    assert hub.upload_begun.wait(30)
    child.kill()
    assert child.wait(10) == -signal.SIGKILL
    assert repository.files == {"config.json": b"old", "global.safetensors": b"old weights"}
    assert len(repository.commits) == 1
    hub.hold_uploads = False
    upload_model(model, NAME, endpoint=hub.endpoint, token=TOKEN)
    assert repository.files == {name: SMALL[name] for name in ("config.json", "global.safetensors")}


def test_uploads_that_may_not_be_are_refused(hub: Hub, tmp_path: Path) -> None:
    repository = hub.publish(NAME, SMALL)
    model = small_model(tmp_path / "model")

    def refusal(directory: Path = model, token: str | None = TOKEN, **what: bool) -> str:
        with pytest.raises(HubError) as caught:
            upload_model(directory, NAME, endpoint=hub.endpoint, token=token, **what)
        return one_line(caught)

    assert "does not let you write there" in refusal(token="hf_wrong")
    assert "log in first with `hf auth login`" in refusal(token=None)
    assert "is public: make it private" in refusal(private=True)
    (model / "config.json").unlink()
    hub.requests.clear()
    assert f"{model}: has no config.json" in refusal()
    assert hub.requests == [] and len(repository.commits) == 1


def test_an_upload_to_nowhere_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ourgan.hub.client.PATIENCE", 1.0)
    model = small_model(tmp_path / "model")
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts and never answers
        silent = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for endpoint in (closed_port(), silent):
            start = time.monotonic()
            with pytest.raises(HubUnreachable, match="out of reach") as caught:
                upload_model(model, NAME, endpoint=endpoint, token=TOKEN)
            assert time.monotonic() - start < 20  # and not for ever
            assert endpoint in one_line(caught)


def test_the_photo_is_published_only_when_it_is_asked_for(hub: Hub, cache: Path, tmp_path: Path) -> None:
    model = small_model(tmp_path / "model")
    with pytest.raises(HubError, match=r"has no photo.jpg to upload"):
        upload_model(model, NAME, photo=True, endpoint=hub.endpoint, token=TOKEN)
    assert ("model", NAME) not in hub.repositories
    (model / "photo.png").write_bytes(b"a photo")
    (model / "README.md").write_bytes(b"# mountains\n")
    upload_model(model, NAME, endpoint=hub.endpoint, token=TOKEN)
    repository = hub.repositories["model", NAME]
    assert "photo.png" not in repository.files
    assert repository.files["README.md"].startswith(b"# mountains\n\nThe photo's own file is not among these")
    (model / "README.md").write_text(f"# mountains\n\n{photo_line(None)}\n\n| a | table |\n")
    upload_model(model, NAME, photo=True, endpoint=hub.endpoint, token=TOKEN)
    assert repository.files["photo.png"] == b"a photo"
    said = b"The photo's own file is among these: `photo.png`."
    assert repository.files["README.md"] == b"# mountains\n\n" + said + b"\n\n| a | table |\n"
    assert photo_line(None) in (model / "README.md").read_text()  # the card on the disk stays as it is
    found = download_model(NAME, endpoint=hub.endpoint, cache=cache)
    assert (found / "photo.png").read_bytes() == b"a photo"
    upload_model(model, NAME, endpoint=hub.endpoint, token=TOKEN)
    assert "photo.png" not in repository.files
