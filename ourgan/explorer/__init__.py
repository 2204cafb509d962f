"""The explorer: looking at samples, and into them (notebook 07).

State without widgets, widgets without logic: `scene.py`, `edits.py`, `state.py` and those beside them know no
widget; `panels/` turn them into controls; `app.py` puts the panels together.

    from ourgan.explorer import Explorer
    Explorer("data/models/picos-de-europa", other="data/models/picos-de-europa-plain")

Names that tests and style sheets may rely on (CSS classes of the widgets, all within `.ourgan-explorer`):

| class                                                       | what it is                                   |
|-------------------------------------------------------------|----------------------------------------------|
| ourgan-picture                                              | the scene; an `img` in it, and the rectangle |
| ourgan-message                                              | line below a panel: errors, what was done    |
| ourgan-busy                                                 | line below the scene: what is computed       |
| ourgan-seed, ourgan-draw, ourgan-undo                       | seed (number), another scene, undo           |
| ourgan-gallery                                              | contact sheet; each sample is a `button`     |
| ourgan-previous, ourgan-next, ourgan-favourite              | pages; keep the scene shown                  |
| ourgan-which                                                | seeds, favourites, more like this            |
| ourgan-like-stage                                           | stage from which "more like this" is fresh   |
| ourgan-width                                                | width, 0.5 to 4 times the photo's            |
| ourgan-strength-0 ... ourgan-strength-9                     | noise of each stage                          |
| ourgan-coordinate                                           | vertical coordinate on or off                |
| ourgan-towards, ourgan-share, ourgan-play                   | second seed, place between the two, play     |
| ourgan-animate-gif, ourgan-animate-webp                     | save the way between the two seeds           |
| ourgan-x, -y, -w, -h, ourgan-to-x, ourgan-to-y              | the rectangle and where it goes, in pixels   |
| ourgan-operation, ourgan-stage, ourgan-apply                | what to do with it, where to inject it       |
| ourgan-upload                                               | a rough picture of one's own                 |
| ourgan-tile, ourgan-overlap, ourgan-place-x, ourgan-place-y | seam lab                                     |
| ourgan-measure, ourgan-seam-picture, ourgan-seam-number     | its start, its map and its numbers           |
| ourgan-name, ourgan-code, ourgan-save-png, ourgan-save-json | take it with you                             |
| ourgan-size, ourgan-render, ourgan-cancel, ourgan-progress  | rendering                                    |
| ourgan-zoom-open, ourgan-zoom                               | deep zoom: its button, the box it appears in |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ourgan.explorer.app import Explorer

from ourgan.explorer.state.edits import Edit
from ourgan.explorer.state.scene import Scene, draw

__all__ = ["Edit", "Explorer", "Scene", "draw"]


def __getattr__(name: str) -> Any:
    if name != "Explorer":
        raise AttributeError(f"module 'ourgan.explorer' has no attribute '{name}'")
    from ourgan.explorer.app import Explorer  # widgets come with the first that shows them

    return Explorer
