"""Models from the Hub: its real client against a server on loopback."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub.models import COMMIT, NAME, SMALL, TAKEN, closed_port, content, one_line
from hub.server import Hub, serve

from ourgan.hub import HubError, HubUnreachable, download_model, looks_like_repository


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    # This machine may have somebody's token.
    monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: None)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve() as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub"


def test_only_the_files_of_a_model_are_fetched_and_serve_offline(
    hub: Hub, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub.publish(NAME, SMALL, COMMIT)
    first = download_model(NAME, endpoint=hub.endpoint, cache=cache)
    assert content(first) == {name: SMALL[name] for name in TAKEN}
    assert first.name == COMMIT
    hub.requests.clear()
    assert download_model(NAME, revision=COMMIT, endpoint=hub.endpoint, cache=cache) == first
    assert hub.requests == []
    start = time.monotonic()
    assert download_model(NAME, endpoint=closed_port(), cache=cache) == first
    assert time.monotonic() - start < 30
    assert "out of reach" in caplog.text and COMMIT in caplog.text


def test_the_offline_setting_of_the_client_is_honoured(
    hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish(NAME, SMALL, COMMIT)
    found = download_model(NAME, endpoint=hub.endpoint, cache=cache)
    hub.requests.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert download_model(NAME, endpoint=hub.endpoint, cache=cache) == found
    with pytest.raises(HubUnreachable, match="hf download someone/else"):
        download_model("someone/else", endpoint=hub.endpoint, cache=cache)
    assert hub.requests == []


def test_a_branch_is_followed_and_a_commit_is_not(hub: Hub, cache: Path) -> None:
    hub.publish(NAME, SMALL, COMMIT)
    hub.publish(NAME, {**SMALL, "config.json": b'{"new": 1}'})
    old = download_model(NAME, revision=COMMIT, endpoint=hub.endpoint, cache=cache)
    new = download_model(NAME, revision="main", endpoint=hub.endpoint, cache=cache)
    assert (old / "config.json").read_bytes() == b"{}"
    assert (new / "config.json").read_bytes() == b'{"new": 1}'


def test_half_a_model_in_the_cache_does_not_pass_for_one(hub: Hub, cache: Path) -> None:
    hub.publish(NAME, SMALL, COMMIT)
    found = download_model(NAME, revision=COMMIT, endpoint=hub.endpoint, cache=cache)
    (found / "global.safetensors").unlink()
    with pytest.raises(HubUnreachable):
        download_model(NAME, revision=COMMIT, endpoint=closed_port(), cache=cache)
    download_model(NAME, revision=COMMIT, endpoint=hub.endpoint, cache=cache)
    assert (found / "global.safetensors").read_bytes() == SMALL["global.safetensors"]


@pytest.mark.parametrize("lost", ["sr2.safetensors", "global.safetensors"])
def test_offline_after_an_update_that_broke_off_the_newest_whole_version_serves(
    lost: str, hub: Hub, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = {**SMALL, "config.json": b'{"steps": {"2": {}}}', "sr2.safetensors": b"step 2"}
    hub.publish(NAME, files, COMMIT)
    old = download_model(NAME, endpoint=hub.endpoint, cache=cache)
    hub.publish(NAME, {**files, "global.safetensors": b"other bytes!", "sr2.safetensors": b"step 2, better"})
    new = download_model(NAME, endpoint=hub.endpoint, cache=cache)
    (new / lost).unlink()
    assert download_model(NAME, endpoint=closed_port(), cache=cache) == old
    assert "not fetched whole" in caplog.text and f"in the cache, {COMMIT}" in caplog.text
    with pytest.raises(HubUnreachable):
        download_model(NAME, revision=new.name, endpoint=closed_port(), cache=cache)
    assert download_model(NAME, endpoint=hub.endpoint, cache=cache) == new
    assert (new / lost).is_file()


@pytest.mark.parametrize("name", ["config.json", "global.safetensors"])
def test_one_flipped_byte_is_caught(name: str, hub: Hub, cache: Path) -> None:
    hub.publish(NAME, SMALL, COMMIT)
    altered = bytes([SMALL[name][0] ^ 1]) + SMALL[name][1:]
    hub.bodies[name] = [altered, SMALL[name]]
    found = download_model(NAME, endpoint=hub.endpoint, cache=cache)
    assert (found / name).read_bytes() == SMALL[name]
    hub.publish(NAME, {**SMALL, name: SMALL[name] + b"more"})
    hub.bodies[name] = [altered + b"more"]
    with pytest.raises(HubError, match=rf"{NAME}: {name} differs twice from its checksum") as caught:
        download_model(NAME, endpoint=hub.endpoint, cache=cache)
    one_line(caught)
    assert altered + b"more" not in content(cache).values()
    assert hub.methods(name).count("GET") == 4


def test_a_short_body_is_no_model(hub: Hub, cache: Path) -> None:
    hub.publish(NAME, SMALL, COMMIT)
    hub.bodies["global.safetensors"] = [SMALL["global.safetensors"][:-1]]
    with pytest.raises(
        HubError, match=rf"{NAME}: the download failed .*global\.safetensors.*try again"
    ) as caught:
        download_model(NAME, endpoint=hub.endpoint, cache=cache)
    one_line(caught)
    with pytest.raises(HubUnreachable):
        download_model(NAME, revision=COMMIT, endpoint=closed_port(), cache=cache)


def test_refusals_say_what_they_mean_and_what_to_do(hub: Hub, cache: Path) -> None:
    hub.publish("someone/closed", SMALL, private=True)
    hub.publish("someone/gated", SMALL, gated=True)
    hub.publish("someone/pictures", {}, kind="dataset")
    hub.publish("someone/demo", {}, kind="space")
    hub.publish("someone/other", {"config.json": b"{}"})
    hub.publish(NAME, SMALL)

    def refusal(name: str, revision: str | None = None) -> str:
        with pytest.raises(HubError) as caught:
            download_model(name, revision=revision, endpoint=hub.endpoint, cache=cache)
        assert name in one_line(caught)
        return one_line(caught)

    for name in ("someone/absent", "someone/closed"):
        assert "no such model" in refusal(name) and "hf auth login" in refusal(name)
    assert "is gated; accept its conditions at" in refusal("someone/gated")
    assert "is a data set, not a model" in refusal("someone/pictures")
    assert "is a space, not a model" in refusal("someone/demo")
    assert "has no global.safetensors" in refusal("someone/other")
    assert "has no revision 'v2'" in refusal(NAME, "v2")
    assert "has no revision" in refusal(NAME, COMMIT)
    assert "has the form user/repo" in refusal("../models/x")
    assert not list(cache.rglob("*.safetensors"))


def test_a_busy_hub_is_asked_again(hub: Hub, cache: Path) -> None:
    hub.publish(NAME, SMALL)
    hub.statuses = [503, 429]
    download_model(NAME, endpoint=hub.endpoint, cache=cache)
    assert hub.requests[:3] == [("GET", f"/api/models/{NAME}")] * 3


def test_a_hub_that_stays_busy_is_given_up(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.status = 429
    with pytest.raises(
        HubError, match=rf"{NAME}: the Hub answered 429 \(too many requests\); try again later"
    ):
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        download_model(NAME, endpoint=hub.endpoint, cache=cache)
    assert len(hub.requests) == 4


@pytest.mark.slow
def test_an_unreachable_hub_is_given_up_at_once(cache: Path) -> None:
    import huggingface_hub  # noqa: F401  (its import is not what is measured)

    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts and never answers
        silent = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for endpoint in (closed_port(), silent):
            start = time.monotonic()
            with pytest.raises(HubUnreachable) as caught:
                download_model(NAME, revision="main", endpoint=endpoint, cache=cache)
            assert time.monotonic() - start < 30  # and not for ever
            for part in (endpoint, "*.safetensors", f"hf download {NAME} --revision main"):
                assert part in one_line(caught)


def test_a_full_disk_is_named(hub: Hub, cache: Path) -> None:
    hub.publish(NAME, {**SMALL, "global.safetensors": bytes(4_000_000)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The nearest to a full disk that needs no rights: no file may grow beyond a megabyte.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(HubError, match=rf"{NAME}: {cache} cannot be written \(.+\); free some space"):
            download_model(NAME, endpoint=hub.endpoint, cache=cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(cache.rglob("*.incomplete"))


@pytest.mark.parametrize("name", ["../../escaped.safetensors", "/escaped.jpg", "a\\..\\..\\escaped.jpg"])
def test_names_that_lead_out_of_the_cache_are_refused(name: str, hub: Hub, cache: Path) -> None:
    hub.publish(NAME, {**SMALL, name: b"escaped"})
    with pytest.raises(HubError, match="outside of itself; refused"):
        download_model(NAME, endpoint=hub.endpoint, cache=cache)
    assert not list(cache.parent.rglob("*escaped*"))


@pytest.mark.parametrize("header", ["ETag", "X-Linked-Etag", "X-Repo-Commit"])
def test_headers_that_lead_out_of_the_cache_are_refused(header: str, hub: Hub, cache: Path) -> None:
    hub.publish(NAME, SMALL, COMMIT)
    hub.headers[header] = '"../../../escaped"'
    with pytest.raises(HubError, match="announced with another checksum than listed; refused"):
        download_model(NAME, endpoint=hub.endpoint, cache=cache)
    assert not list(cache.parent.rglob("*escaped*"))


# Names


@pytest.mark.parametrize("text", ["someone/mountains", "Some-one/mount.ains_2", "a/b", "data/models"])
def test_names_of_repositories(text: str) -> None:
    assert looks_like_repository(text)


@pytest.mark.parametrize(
    "text",
    ["mountains", "./mountains", "../a", "/a/b", "a/b/c", "a//b", "~/b", "a/b.git", "a/-b", "a/b..c", "a/b-",
     "a--b/c", "C:\\a", "", "é/b", "a/b\n", "a/" + 97 * "b"],
)  # fmt: skip
def test_other_names(text: str) -> None:
    assert not looks_like_repository(text)


def test_import_needs_no_client() -> None:
    code = "import sys, ourgan.hub; sys.exit(bool({'huggingface_hub', 'torch'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
