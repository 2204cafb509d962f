"""The explorer: looking at a model's scenes, and into them (notebook 07).

`state` computes and knows no widget, `widgets` are panels around it, `deep_zoom` shows pictures of any size,
and `app` puts all together. It may import every room below it (`benchmark` and lower), never `reproduce`.

    from ourgan.explorer import Explorer
    Explorer("data/models/picos-de-europa", other="data/models/picos-de-europa-plain")

Names that tests and style sheets may rely on (CSS classes of the widgets, all within `.ourgan-explorer`):

| class                                                       | what it is                                   |
|-------------------------------------------------------------|----------------------------------------------|
| ourgan-picture                                              | the scene; an `img` in it, and the rectangle |
| ourgan-message                                              | line below a panel: errors, what was done    |
| ourgan-busy                                                 | line below the scene: what is computed       |
| ourgan-scene-switch, ourgan-detail-switch, ourgan-taken     | as drawn or redrawn, detail from where; why  |
| ourgan-seed, ourgan-draw, ourgan-undo                       | seed (number), another scene, undo           |
| ourgan-gallery                                              | contact sheet; each sample is a `button`     |
| ourgan-previous, ourgan-next, ourgan-favourite              | pages; keep the scene shown                  |
| ourgan-which                                                | seeds, favourites, more like this            |
| ourgan-like-stage                                           | scale from which "more like this" is fresh   |
| ourgan-width                                                | width, 0.5 to 4 times the photo's            |
| ourgan-strength-0 ... ourgan-strength-9                     | noise of each scale                          |
| ourgan-coordinate                                           | vertical coordinate on or off                |
| ourgan-towards, ourgan-share, ourgan-play                   | second seed, fraction of the way, play       |
| ourgan-animate-gif, ourgan-animate-webp                     | save the way between the two seeds           |
| ourgan-x, -y, -w, -h, ourgan-to-x, ourgan-to-y              | the rectangle and where it goes, in pixels   |
| ourgan-operation, ourgan-stage, ourgan-apply                | what to do with it, where to inject it       |
| ourgan-upload                                               | a rough picture of one's own                 |
| ourgan-tile, ourgan-overlap, ourgan-place-x, ourgan-place-y | seam lab                                     |
| ourgan-measure, ourgan-seam-picture, ourgan-seam-number     | its start, its map and its numbers           |
| ourgan-name, ourgan-code, ourgan-save-png, ourgan-save-json | the scene as code, PNG and JSON              |
| ourgan-size, ourgan-render, ourgan-cancel, ourgan-progress  | rendering                                    |
| ourgan-zoom-open, ourgan-zoom                               | deep zoom: its button, the box it appears in |
"""

from ourgan._core.lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "app": ["Explorer"],
        "deep_zoom.viewer": ["DeepZoom"],
        "state.edits": ["Edit", "encode_picture"],
        "state.export": ["frames"],
        "state.scene": ["Scene", "draw"],
        "state.seam_lab": ["SeamLab"],
        "state.session": ["Session"],
        "state.switches": ["Switches", "decide", "project"],
    },
)
