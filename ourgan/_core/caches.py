"""Where measurements that are valid for good are kept between runs."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def cache_directory() -> Path:
    """Return this user's cache directory of the package; it may not exist yet.

    On Linux it is `$XDG_CACHE_HOME/ourgan`, else `~/.cache/ourgan`; elsewhere where the system keeps caches.
    """
    return platformdirs.user_cache_path("ourgan", appauthor=False)
