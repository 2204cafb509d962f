"""Controls that mean something in the paper: width, the noise of each scale, the coordinate, two seeds."""

from __future__ import annotations

import functools

import ipywidgets as widgets
from torch import Tensor

from ourgan.explorer.state.export import FRAMES, frames, save_animation
from ourgan.explorer.state.scene import MAX_SEED, Scene
from ourgan.explorer.state.session import WIDTHS
from ourgan.explorer.widgets.base import (
    ExplorerContext,
    Panel,
    button,
    control,
    on_change,
    report_errors,
    row,
    with_class,
)

STRONGEST = (2.0, 20.0)  # of the sliders: for the latent, where 2 is far out already, and for the refiners
PLAY = 400  # milliseconds between two frames; those that are not drawn in time are left out


class Controls(Panel):
    """Width, vertical coordinate and noise (Eq. 1 to 3)."""

    def __init__(self, context: ExplorerContext) -> None:
        super().__init__(context)
        self.width = control(
            widgets.FloatSlider, "Width, times the photo's", "width", "380px",
            value=1, min=WIDTHS[0], max=WIDTHS[1], step=0.25, continuous_update=False, readout_format=".2f",
        )  # fmt: skip
        on_change(self.width, self._set_width)
        self.coordinate = with_class(
            widgets.Checkbox(description="vertical coordinate (Fig. 12)", indent=False), "coordinate"
        )
        self.coordinate.layout.width = "auto"
        self.coordinate.disabled = len(self.session.models) < 2
        on_change(self.coordinate, self._set_coordinate)
        sizes = self.session.model.generator.sizes
        self.noise_scales = [self._slider(scale, size) for scale, size in enumerate(sizes)]
        trained = button("All as trained", "as-trained", self._as_trained)
        title = widgets.HTML("Noise of each scale, times that of the training:")
        self.fill(row(self.width, self.coordinate), row(title, trained), *self.noise_scales)

    def _slider(self, scale: int, size: tuple[int, int]) -> widgets.FloatSlider:
        name = "latent z" if scale == 0 else f"scale {scale}"
        slider = control(
            widgets.FloatSlider, f"{name}, {size[1]} x {size[0]} px", f"strength-{scale}", "380px",
            value=1, min=0, max=STRONGEST[min(scale, 1)], step=0.05 if scale == 0 else 0.5,
            continuous_update=False, style={"description_width": "150px"},
            disabled=scale > 0 and not self.session.model.generator.noisy(scale),
        )  # fmt: skip
        on_change(slider, functools.partial(self._set_noise_scale, scale))
        return slider

    @report_errors
    def _set_width(self, factor: float) -> None:
        self.session.set_width(factor)
        self.context.sync()

    @report_errors
    def _set_coordinate(self, on: bool) -> None:
        self.session.set_coordinate(on)
        self.context.sync()

    @report_errors
    def _set_noise_scale(self, scale: int, factor: float) -> None:
        self.session.set_noise_scale(scale, factor)
        self.context.sync()

    @report_errors
    def _as_trained(self) -> None:
        self.session.change(noise_scales=())
        self.context.sync()

    def sync(self) -> None:
        """Set the sliders to the scene's values."""
        self.width.value = self.session.width / self.session.own_width
        self.coordinate.value = self.session.coordinate
        factors = self.session.scene.noise_scales or (1.0,) * len(self.noise_scales)
        for slider, factor in zip(self.noise_scales, factors, strict=True):
            slider.value = factor


class Between(Panel):
    """The way from the scene's seed to a second one, to be played and saved."""

    def __init__(self, context: ExplorerContext) -> None:
        super().__init__(context)
        self.to_seed = control(
            widgets.BoundedIntText, "Second seed", "towards", "200px", value=1, min=0, max=MAX_SEED
        )
        last = FRAMES - 1
        self.play = with_class(widgets.Play(min=0, max=last, interval=PLAY, layout={"width": "auto"}), "play")
        self.fraction = control(
            widgets.IntSlider, "Way to it", "share", "260px", min=0, max=last, readout=False
        )
        # Linked in the browser: the play button goes on without waiting for the kernel.
        self.link = widgets.jslink((self.play, "value"), (self.fraction, "value"))
        on_change(self.fraction, lambda _: self._move())
        on_change(self.to_seed, lambda _: self._move())
        self.saves = [
            button(f"Save as {kind.upper()}", f"animate-{kind}", functools.partial(self._save, kind))
            for kind in ("gif", "webp")
        ]
        self.progress = with_class(
            widgets.IntProgress(max=FRAMES, layout={"width": "160px"}), "animation-progress"
        )
        self.progress.layout.visibility = "hidden"
        self.fill(row(self.to_seed, self.play, self.fraction), row(*self.saves, self.progress))

    @report_errors
    def _move(self) -> None:
        fraction = self.fraction.value / (FRAMES - 1)
        self.session.move(self.to_seed.value, fraction)
        self.context.sync()

    @report_errors
    def _save(self, kind: str) -> None:
        self.session.directory()  # before the minute of drawing, not after
        way = frames(self.session.scene, self.to_seed.value)
        pictures: list[Tensor] = []
        name = f"seed-{way[0].seed}-to-{self.to_seed.value}"
        self.progress.value, self.progress.layout.visibility = 0, "visible"

        def collect(index: int, result: Tensor) -> None:
            pictures.append(result)
            self.progress.value = index + 1
            if len(pictures) == len(way):
                self._write(pictures, name, kind)

        works = [functools.partial(self.session.picture, scene) for scene in way]
        self.context.worker.submit_each("animation", works, collect, self._failed)

    def _write(self, pictures: list[Tensor], name: str, kind: str) -> None:
        def written(path: object) -> None:
            self.progress.layout.visibility = "hidden"
            self.say(f"Saved {path}")

        out = self.session.out
        self.context.worker.submit(
            "animation file", lambda: save_animation(pictures, out, name, kind), written, self._failed
        )

    def _failed(self, error: Exception) -> None:
        self.progress.layout.visibility = "hidden"
        self.fail(error)

    def close(self) -> None:
        """Unlink the play button."""
        self.link.close()

    def sync(self) -> None:
        """Set the slider to the fraction of the way."""
        scene: Scene = self.session.scene
        self.fraction.value = round(scene.fraction * (FRAMES - 1)) if scene.to_seed is not None else 0
        if scene.to_seed is not None:
            self.to_seed.value = scene.to_seed
