"""Questions to the Hugging Face Hub: little patience, and one line where it ends badly.

The Hub's client is imported by what uses it, never with this module: `import ourgan` needs no network.
"""

from __future__ import annotations

import errno
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ourgan._core.errors import OurganError

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

PATIENCE = 4.0  # seconds until the Hub counts as out of reach; its client alone retries for 23
COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
TRIES = 4  # of a question that the Hub declines for a while (429, 503)
LONGEST_WAIT = 60.0
REASONS = {429: "too many requests", 503: "out of service"}
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)

_REPOSITORY = re.compile(r"(?=[^/]{1,96}/[^/]{1,96}$)\w[\w.-]*/\w[\w.-]*", re.ASCII)

Answer = TypeVar("Answer")


class HubError(OurganError):
    """A request that the Hub refused or that failed; the text says what to do."""


class HubUnreachable(HubError):
    """The Hub did not answer; a copy in the cache may do."""


def looks_like_repository(text: str) -> bool:
    """Return whether `text` has the form "user/repo" of a repository's name; a directory may have it too."""
    return bool(_REPOSITORY.fullmatch(text)) and not re.search(r"--|\.\.|[-.](/|$)|\.git$", text)


def check_name(repository: str) -> None:
    """Raise HubError unless `repository` has the form of a repository's name."""
    if not looks_like_repository(repository):
        raise HubError(
            f"{repository!r} is not the name of a repository on the Hub; it has the form user/repo"
        )


def ask(question: Callable[[], Answer], endpoint: str, *, tries: int = TRIES) -> Answer:
    """Return the Hub's answer to `question`.

    Args:
        question: a call of the Hub's client; it is repeated after an answer of 429 or 503, when the time
            that the Hub asks for is over.
        endpoint: the Hub's address, for error lines.
        tries: how often it is called at most.

    Raises:
        HubUnreachable: after PATIENCE seconds without an answer.
        HfHubHTTPError: the Hub refused.
    """
    from huggingface_hub.errors import HfHubHTTPError

    for attempt in range(1, tries + 1):
        try:
            return _answer(question, endpoint)
        except HfHubHTTPError as error:
            if error.response.status_code not in (429, 503) or attempt == tries:
                raise
            time.sleep(_wait(error, attempt))
    raise AssertionError("the last attempt returns or raises")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its type where it has no text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield `error`, the error it was raised from, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def is_inside(name: str) -> bool:
    """Return whether a file's name in a repository stays inside the directory it is downloaded to."""
    parts = re.split(r"[/\\]", name)
    return not ({"", ".", ".."} & set(parts)) and ":" not in parts[0] and "\0" not in name


def hub_cache(cache: str | os.PathLike[str] | None) -> Path:
    """Return `cache`, or the directory that the Hub's client is set to use, as an absolute path."""
    from huggingface_hub import constants

    return Path(cache or constants.HF_HUB_CACHE).expanduser().resolve()


def explain_refusal(error: HfHubHTTPError, repository: str, revision: str | None, endpoint: str) -> HubError:
    """Return an error that says what the Hub's refusal means, and what to do."""
    from huggingface_hub.errors import GatedRepoError, RevisionNotFoundError

    if isinstance(error, GatedRepoError):
        return HubError(
            f"{repository}: is gated; accept its conditions at {endpoint}/{repository} "
            "and log in with `hf auth login`"
        )
    if isinstance(error, RevisionNotFoundError):
        return HubError(f"{repository}: has no revision {revision!r}; see {endpoint}/{repository}/commits")
    if error.response.status_code not in (401, 403, 404):
        return HubError(f"{repository}: the Hub answered {describe_status(error)}; try again later")
    if kind := _other_kind(repository, endpoint):
        return HubError(f"{repository}: is a {kind}, not a model; give the name of a model's repository")
    return HubError(
        f"{repository}: there is no such model at {endpoint}, or it is private: "
        "check the name, or log in with `hf auth login`"
    )


def explain_failure(error: Exception, repository: str, cache: Path) -> HubError:
    """Return an error that says why a download failed, where the Hub did not refuse it."""
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno in UNWRITABLE:
            return HubError(
                f"{repository}: {cache} cannot be written ({cause.strerror}); "
                "free some space, or point HF_HOME to another disk"
            )
    return HubError(f"{repository}: the download failed ({first_line(error)}); try again")


def describe_status(error: HfHubHTTPError) -> str:
    """Return the status of a refusal and its reason."""
    status = error.response.status_code
    return f"{status} ({REASONS.get(status) or error.server_message or first_line(error)})"


def _other_kind(repository: str, endpoint: str) -> str:
    """Return what `repository` is if it is not a model: "data set", "space" or "".

    Models, data sets and spaces have separate names on the Hub.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    for repo_type, kind in (("dataset", "data set"), ("space", "space")):
        try:
            ask(
                lambda repo_type=repo_type: HfApi(endpoint=endpoint).repo_info(  # type: ignore[misc]
                    repository, repo_type=repo_type, timeout=PATIENCE
                ),
                endpoint,
                tries=1,
            )
        except (HfHubHTTPError, HubUnreachable):
            continue
        return kind
    return ""


def _answer(question: Callable[[], Answer], endpoint: str) -> Answer:
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    answers: list[Answer] = []
    errors: list[Exception] = []

    def call() -> None:
        try:
            answers.append(question())
        except Exception as error:  # raised below, in the caller's thread
            errors.append(error)

    # In a thread, because the time that a name server takes is under no timeout of the client.
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if answers:
        return answers[0]
    error = errors[0] if errors else TimeoutError(f"no answer in {PATIENCE:g} s")
    if isinstance(error, HfHubHTTPError | LocalTokenNotFoundError):
        raise error
    raise HubUnreachable(f"the Hub is out of reach at {endpoint} ({first_line(error)})") from error


def _wait(error: HfHubHTTPError, attempt: int) -> float:
    headers = error.response.headers
    named = headers.get("Retry-After", "") or "".join(re.findall(r";t=(\d+)", headers.get("RateLimit", "")))
    return min(float(named), LONGEST_WAIT) if named.isdigit() else float(2 ** (attempt - 1))
