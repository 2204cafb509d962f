"""The scenes that a person keeps."""

from __future__ import annotations

import json
from pathlib import Path

from ourgan._core import files
from ourgan._core.errors import OurganError
from ourgan.explorer.state.scene import Scene

FAVOURITES_FILE = "favourites.json"
MAX_FAVOURITES = 500


class Favourites:
    """The scenes of one model that a person keeps, oldest first, in a small JSON beside its weights.

    Where that cannot be written, scenes are kept in memory, and `note` says so. The file is read again before
    each change: other explorers may have it open, too.

    Args:
        directory: the model's; None for a model that lies in none.
    """

    def __init__(self, directory: Path | None) -> None:
        self.path = None if directory is None else directory / FAVOURITES_FILE
        self.note = (
            "" if self.path else "This model lies in no directory: favourites last until you close it."
        )
        self._memory: list[Scene] = []

    def scenes(self) -> list[Scene]:
        """Return all of them; raise OurganError, one line, for a damaged file, which is left as it is."""
        if self.path is None or not self.path.exists():
            return list(self._memory)
        try:
            saved = json.loads(self.path.read_text(encoding="utf-8"))["scenes"]
            return [Scene.from_json(json.dumps(scene)) for scene in saved]
        except (OSError, ValueError, KeyError, TypeError, OurganError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise OurganError(f"{self.path}: damaged ({reason}); repair it or remove it") from None

    def toggle(self, scene: Scene) -> bool:
        """Keep the scene, or drop it if it is kept; return whether it is kept now."""
        scenes = self.scenes()
        if keep := scene not in scenes:
            if len(scenes) >= MAX_FAVOURITES:
                raise OurganError(f"{MAX_FAVOURITES} favourites are kept; drop one first")
            scenes.append(scene)
        else:
            scenes.remove(scene)
        self._save(scenes)
        return keep

    def _save(self, scenes: list[Scene]) -> None:
        if self.path is not None:
            try:
                files.write_json(self.path, {"scenes": [json.loads(scene.to_json()) for scene in scenes]})
                return
            except OSError as error:
                reason = error.strerror or str(error)
                self.note = f"{self.path} cannot be written ({reason}): favourites last until you close this."
                self.path = None
        self._memory = scenes
