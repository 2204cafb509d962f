"""Controls that mean something in the paper: width, the noise of each stage, the coordinate, two seeds."""

from __future__ import annotations

import functools

import ipywidgets as widgets
from torch import Tensor

from ourgan.explorer.state.animation import FRAMES, frames, save_animation
from ourgan.explorer.state.scene import MAX_SEED, Scene
from ourgan.explorer.state.session import WIDTHS
from ourgan.explorer.widgets.base import DESCRIBED, Desk, Panel, button, guarded, named, row, whenever

STRONGEST = (2.0, 20.0)  # of the sliders: for the latent, where 2 is far out already, and for the refiners
PLAY = 400  # milliseconds between two places; those that are not drawn in time are passed over


class Controls(Panel):
    """Width, vertical coordinate and noise (Eq. 1 to 3)."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.width = named(
            widgets.FloatSlider(
                value=1, min=WIDTHS[0], max=WIDTHS[1], step=0.25, description="Width, times the photo's",
                continuous_update=False, readout_format=".2f", style=DESCRIBED, layout={"width": "380px"},
            ),
            "width",
        )  # fmt: skip
        whenever(self.width, self._set_width)
        self.coordinate = named(
            widgets.Checkbox(description="vertical coordinate (Fig. 12)", indent=False), "coordinate"
        )
        self.coordinate.layout.width = "auto"
        self.coordinate.disabled = len(self.session.models) < 2
        whenever(self.coordinate, self._set_coordinate)
        sizes = self.session.model.generator.sizes
        self.strengths = [self._slider(scale, size) for scale, size in enumerate(sizes)]
        trained = button("All as trained", "as-trained", self._as_trained)
        title = widgets.HTML("Noise of each stage, times that of the training:")
        self.fill(row(self.width, self.coordinate), row(title, trained), *self.strengths)

    def _slider(self, scale: int, size: tuple[int, int]) -> widgets.FloatSlider:
        name = "latent z" if scale == 0 else f"stage {scale}"
        slider = widgets.FloatSlider(
            value=1, min=0, max=STRONGEST[min(scale, 1)], step=0.05 if scale == 0 else 0.5,
            description=f"{name}, {size[1]} x {size[0]} px", continuous_update=False,
            style={"description_width": "150px"}, layout={"width": "380px"},
            disabled=scale > 0 and not self.session.model.generator.noisy(scale),
        )  # fmt: skip
        whenever(slider, functools.partial(self._set_strength, scale))
        return named(slider, f"strength-{scale}")

    @guarded
    def _set_width(self, factor: float) -> None:
        self.session.set_width(factor)
        self.desk.changed()

    @guarded
    def _set_coordinate(self, on: bool) -> None:
        self.session.set_coordinate(on)
        self.desk.changed()

    @guarded
    def _set_strength(self, scale: int, factor: float) -> None:
        self.session.set_noise_scale(scale, factor)
        self.desk.changed()

    @guarded
    def _as_trained(self) -> None:
        self.session.change(noise_scales=())
        self.desk.changed()

    def sync(self) -> None:
        """Set the sliders to the scene's values."""
        self.width.value = self.session.width / self.session.own_width
        self.coordinate.value = self.session.coordinate
        strengths = self.session.scene.noise_scales or (1.0,) * len(self.strengths)
        for slider, factor in zip(self.strengths, strengths, strict=True):
            slider.value = factor


class Between(Panel):
    """The way from the scene's seed to a second one, to be played and saved."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.towards = named(
            widgets.BoundedIntText(
                value=1, min=0, max=MAX_SEED, description="Second seed", style=DESCRIBED,
                layout={"width": "200px"},
            ),
            "towards",
        )  # fmt: skip
        last = FRAMES - 1
        self.play = named(widgets.Play(min=0, max=last, interval=PLAY, layout={"width": "auto"}), "play")
        self.share = named(
            widgets.IntSlider(
                min=0, max=last, description="Way to it", readout=False, style=DESCRIBED,
                layout={"width": "260px"},
            ),
            "share",
        )  # fmt: skip
        # Linked in the browser: the play button goes on without waiting for the kernel.
        self.link = widgets.jslink((self.play, "value"), (self.share, "value"))
        whenever(self.share, lambda _: self._move())
        whenever(self.towards, lambda _: self._move())
        self.saves = [
            button(f"Save as {kind.upper()}", f"animate-{kind}", functools.partial(self._save, kind))
            for kind in ("gif", "webp")
        ]
        self.progress = named(
            widgets.IntProgress(max=FRAMES, layout={"width": "160px"}), "animation-progress"
        )
        self.progress.layout.visibility = "hidden"
        self.fill(row(self.towards, self.play, self.share), row(*self.saves, self.progress))

    @guarded
    def _move(self) -> None:
        share = self.share.value / (FRAMES - 1)
        self.session.move(self.towards.value, share)
        self.desk.changed()

    @guarded
    def _save(self, kind: str) -> None:
        self.session.directory()  # before the minute of drawing, not after
        way = frames(self.session.scene, self.towards.value)
        pictures: list[Tensor] = []
        name = f"seed-{way[0].seed}-to-{self.towards.value}"
        self.progress.value, self.progress.layout.visibility = 0, "visible"

        def one(index: int, result: Tensor) -> None:
            pictures.append(result)
            self.progress.value = index + 1
            if len(pictures) == len(way):
                self._write(pictures, name, kind)

        works = [functools.partial(self.session.picture, scene) for scene in way]
        self.desk.worker.each("animation", works, one, self._ended)

    def _write(self, pictures: list[Tensor], name: str, kind: str) -> None:
        def written(path: object) -> None:
            self.progress.layout.visibility = "hidden"
            self.say(f"Saved {path}")

        out = self.session.out
        self.desk.worker.ask(
            "animation file", lambda: save_animation(pictures, out, name, kind), written, self._ended
        )

    def _ended(self, error: Exception) -> None:
        self.progress.layout.visibility = "hidden"
        self.fail(error)

    def close(self) -> None:
        """Unlink the play button."""
        self.link.close()

    def sync(self) -> None:
        """Set the slider to the scene's place on the way."""
        scene: Scene = self.session.scene
        self.share.value = round(scene.fraction * (FRAMES - 1)) if scene.to_seed is not None else 0
        if scene.to_seed is not None:
            self.towards.value = scene.to_seed
