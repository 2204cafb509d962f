"""Repositories as the Hub keeps them: commits of whole files, branches, and who may read them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

LARGE = (".safetensors", ".pth")  # stored by SHA-256 (LFS); the rest is in git


@dataclass(frozen=True)
class Commit:
    oid: str
    files: dict[str, bytes]


@dataclass
class Repository:
    """`kind`: model, dataset or space. `commits`: oldest first, the last one is the branch "main"."""

    name: str
    kind: str = "model"
    private: bool = False
    gated: bool = False
    commits: list[Commit] = field(default_factory=list)

    def commit(self, files: dict[str, bytes], oid: str = "") -> Commit:
        """Make a commit of exactly these files."""
        listing = repr(
            (len(self.commits), sorted((name, checksum(name, body)) for name, body in files.items()))
        )
        made = Commit(oid or hashlib.sha1(listing.encode()).hexdigest(), dict(files))
        self.commits.append(made)
        return made

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1].files

    def at(self, revision: str) -> Commit | None:
        """The commit of a branch's name or of its own 40 digits."""
        if revision == "main":
            return self.commits[-1]
        return next((commit for commit in self.commits if commit.oid == revision), None)

    def info(self, commit: Commit) -> dict[str, Any]:
        """What `GET /api/models/{name}` answers."""
        siblings = [
            {"rfilename": name, "size": len(body), "blobId": git_oid(body), **_lfs(name, body, "sha256")}
            for name, body in commit.files.items()
        ]
        return {"id": self.name, "sha": commit.oid, "private": self.private, "siblings": siblings}

    def tree(self, commit: Commit) -> list[dict[str, Any]]:
        """What `GET /api/models/{name}/tree/{revision}` answers."""
        return [
            {"type": "file", "path": name, "size": len(body), "oid": git_oid(body), **_lfs(name, body, "oid")}
            for name, body in commit.files.items()
        ]


def checksum(name: str, body: bytes) -> str:
    """The ETag of a file: SHA-256 of a large one, git's SHA-1 of another."""
    return hashlib.sha256(body).hexdigest() if name.endswith(LARGE) else git_oid(body)


def git_oid(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def _lfs(name: str, body: bytes, key: str) -> dict[str, Any]:
    if not name.endswith(LARGE):
        return {}
    return {"lfs": {key: hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 134}}
