"""Scenes that somebody wants to keep, in a small JSON beside the model's weights."""

from __future__ import annotations

import json
from pathlib import Path

from ourgan._core import files
from ourgan._core.errors import OurganError
from ourgan.explorer.state.scene import Scene

FILE = "favourites.json"
MAX_FAVOURITES = 500


class Favourites:
    """The kept scenes of one model, oldest first.

    `directory`: the model's; None for a model that lies nowhere. Where it cannot be written, scenes are kept
    in memory, and `note` says so. The file is read again before each change: others may have it open, too.
    """

    def __init__(self, directory: Path | None) -> None:
        self.path = None if directory is None else directory / FILE
        self.note = (
            "" if self.path else "This model lies in no directory: favourites last until you close it."
        )
        self._memory: list[Scene] = []

    def scenes(self) -> list[Scene]:
        """All of them. Raises OurganError, one line, for a file that is damaged; it is left as it is."""
        if self.path is None or not self.path.exists():
            return list(self._memory)
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))["scenes"]
            return [Scene.from_json(json.dumps(scene)) for scene in kept]
        except (OSError, ValueError, KeyError, TypeError, OurganError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise OurganError(f"{self.path}: damaged ({reason}); mend it or remove it") from None

    def toggle(self, scene: Scene) -> bool:
        """Keep the scene, or drop it if it was kept; whether it is kept now."""
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
