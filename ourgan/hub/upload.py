"""A model directory to the Hub, in one commit."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ourgan._core.files import PHOTOS
from ourgan.hub.client import PATIENCE, HubError, ask, causes, check_name, describe_status, first_line
from ourgan.hub.download import NEEDED

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, HfApi

CARD = "README.md"
PHOTO_LINE = re.compile(rb"^The photo's own file is .*$", re.MULTILINE)  # of the card
# What is uploaded; of an earlier upload, these are removed where the model no longer has them.
FILES = (
    *NEEDED,
    *(f"sr{step}.safetensors" for step in (2, 3, 4)),
    *(f"sr{step}-log.jsonl" for step in (2, 3, 4)),
    CARD,
    "samples.jpg",
    "redrawn.jpg",
    "thumbnail.jpg",
    "log.jsonl",
)


def upload_model(
    directory: str | os.PathLike[str],
    repository: str,
    *,
    private: bool = False,
    photo: bool = False,
    endpoint: str | None = None,
    token: str | None = None,
    message: str = "Upload an OUR-GAN model",
) -> str:
    """Upload the files of a model directory in one commit; return the commit's address.

    The repository is created where there is none. Of a training only its log is uploaded. An upload that
    is interrupted leaves the repository as it was.

    Args:
        directory: of the model.
        repository: "user/repo".
        private: whether a new repository is private; one that exists must be, too.
        photo: also upload the photo that lies in the directory. Without it, one of an earlier upload is
            removed from the repository's files (its history keeps it). The card that is uploaded says which.
        endpoint: the Hub's address, if it is another than its client's.
        token: for the Hub, if it is another than its client's.
        message: of the commit.

    Raises:
        HubError: not a model directory, no photo in it that is to be uploaded, a link to somewhere
            else in it, not logged in or not allowed, a public repository where `private` is asked for, out
            of reach.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    directory = Path(directory)
    names = _names(directory, photo)
    check_name(repository)
    endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
    _refuse_links(directory, names)
    try:
        commit = _commit(
            HfApi(endpoint=endpoint, token=token), directory, names, repository, private, message
        )
    except HubError:
        raise
    except LocalTokenNotFoundError as error:
        raise HubError(f"{repository}: log in first with `hf auth login`; nothing was sent") from error
    except HfHubHTTPError as error:
        if error.response.status_code in (401, 403):
            raise HubError(
                f"{repository}: {endpoint} does not let you write there; "
                "log in with `hf auth login` and a token that may write"
            ) from error
        raise HubError(f"{repository}: the Hub answered {describe_status(error)}; try again later") from error
    except Exception as error:  # also those of the client's HTTP library, which it has changed twice
        why = ": ".join(dict.fromkeys(first_line(cause) for cause in list(causes(error))[:2]))
        raise HubError(f"{repository}: the upload failed ({why}); run it again") from error
    return str(commit.commit_url)


def _names(directory: Path, photo: bool) -> list[str]:
    """Return the names of what is uploaded; the photo only when it is asked for, and must be there then."""
    for name in NEEDED:
        if not (directory / name).is_file():
            raise HubError(f"{directory}: has no {name}, so it is not a model directory; nothing was sent")
    photos = [name for name in PHOTOS if (directory / name).is_file()]
    if photo and not photos:
        raise HubError(f"{directory}: has no {PHOTOS[0]} to upload; put the photo there; nothing was sent")
    return [name for name in FILES if (directory / name).is_file()] + (photos if photo else [])


def _commit(
    api: HfApi, directory: Path, names: list[str], repository: str, private: bool, message: str
) -> CommitInfo:
    """Upload the files called `names`, and remove from the repository those that the model no longer has."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    ask(api.whoami, api.endpoint)
    api.create_repo(repository, private=private, exist_ok=True)
    before = ask(lambda: api.model_info(repository, timeout=PATIENCE), api.endpoint)
    if private and not before.private:
        raise HubError(f"{repository} is public: make it private in its settings first; nothing was sent")
    there = {sibling.rfilename for sibling in before.siblings or ()}
    stale = [name for name in (*FILES, *PHOTOS) if name in there and name not in names]
    # Not upload_folder, which may send several commits: half a model must never be there.
    return api.create_commit(
        repository,
        [
            *(CommitOperationAdd(name, _content(directory / name, names)) for name in names),
            *(CommitOperationDelete(name) for name in stale),
        ],
        commit_message=message,
        parent_commit=before.sha,
    )


def _content(path: Path, names: list[str]) -> Path | bytes:
    """Return what is uploaded of a file: of the card, with a line on whether the photo is published."""
    if path.name != CARD:
        return path
    return say_where_the_photo_is(path.read_bytes(), next((name for name in names if name in PHOTOS), None))


def say_where_the_photo_is(card: bytes, photo: str | None) -> bytes:
    """Return a model card that says whether the photo is among the model's files, in place of what it said.

    Args:
        card: Markdown in UTF-8.
        photo: its name among the files, None if it is not one of them.
    """
    line = photo_line(photo).encode()
    said, count = PHOTO_LINE.subn(lambda _: line, card)
    return said if count else card.rstrip() + b"\n\n" + line + b"\n"


def photo_line(photo: str | None) -> str:
    """Return the line of a card on whether the photo, called `photo`, is among the model's files."""
    if photo:
        return f"The photo's own file is among these: `{photo}`."
    return (
        "The photo's own file is not among these. Who has it names it with `--photo FILE`, or puts it beside "
        "them as `photo.jpg`; it is known by its checksum."
    )


def _refuse_links(directory: Path, names: list[str]) -> None:
    """Raise HubError for a link out of the model: it would publish another file of this machine."""
    home = directory.resolve()
    blobs = home.parents[1] / "blobs" if home.parent.name == "snapshots" else home  # of the Hub's own cache
    for name in names:
        target = (directory / name).resolve()
        if not (target.is_relative_to(home) or target.is_relative_to(blobs)):
            raise HubError(f"{directory / name}: is a link to {target}; put a copy there; nothing was sent")
