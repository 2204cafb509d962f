// The front end of ourgan.explorer.deep_zoom.viewer. Tiles come from the kernel as messages, never from an address.
// `OpenSeadragon` is put in front of this file when the widget's module is made.

const FOREVER = 24 * 60 * 60 * 1000; // ms: a tile out of sight waits until it is looked at again
const PATIENCE = 8; // seconds without a tile after which the note says why
const MIN_PIXEL_RATIO = 0.7; // screen pixels for each of a level's: below, the next smaller level is enough
const SMOOTH_UP_TO = 1.5; // screen pixels for each of the picture's: above, single pixels are shown as such

// The library reports tiles of a picture that was exchanged as errors; what matters is in the status line.
OpenSeadragon.console = { ...console, error: console.debug.bind(console), warn: console.debug.bind(console) };

const nameOf = (tile) => tile.join("/");
const shown = (number) => Math.round(number).toLocaleString("en");

function element(kind, className, parent, attributes = {}) {
  const made = document.createElement(kind);
  made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent.append(made);
  return made;
}

// What one view lacks. A tile that was asked for and is out of sight keeps its job but is not named.
class Wanted {
  constructor(model, viewer, changed) {
    Object.assign(this, { model, viewer, changed });
    this.name = Math.random().toString(36).slice(2);
    this.jobs = new Map(); // name of tile: { tile, job }
    this.failed = new Set();
    this.sent = "";
    this.pending = 0;
  }

  source() {
    const model = this.model;
    const [height, width] = model.get("shapes").at(-1);
    const source = new OpenSeadragon.TileSource({
      width,
      height,
      tileSize: model.get("tile"),
      minLevel: 0,
      maxLevel: model.get("shapes").length - 1,
    });
    const scene = model.get("scene");
    source.getTileUrl = (level, x, y) => `ourgan:${scene}/${level}/${x}/${y}`;
    source.hasTransparency = () => false;
    source.downloadTileStart = (job) => {
      const tile = [job.tile.level, job.tile.x, job.tile.y];
      this.jobs.set(nameOf(tile), { tile, job });
      this.tell();
    };
    source.downloadTileAbort = () => {};
    return source;
  }

  // Jobs of the picture before this one.
  clear() {
    const jobs = [...this.jobs.values()];
    this.jobs.clear();
    this.failed.clear();
    this.sent = "";
    for (const { job } of jobs) job.abort();
  }

  tell(again = false) {
    if (again) this.failed.clear();
    this.again ||= again;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.send();
    }, 60);
  }

  send() {
    const wanted = this.inSight();
    this.pending = wanted.length;
    const sent = nameOf(wanted);
    if (sent !== this.sent) {
      this.sent = sent;
      this.model.send({ want: wanted, view: this.name, scene: this.model.get("scene"), again: !!this.again });
      this.again = false;
    }
    this.changed();
  }

  inSight() {
    const item = this.viewer.world.getItemAt(0);
    if (!item) return [];
    const bounds = this.viewer.viewport.getBounds();
    const middle = bounds.getCenter();
    const near = [];
    for (const [name, { tile }] of this.jobs) {
      const [level, x, y] = tile;
      const ratio = this.viewer.viewport.deltaPixelsFromPoints(item.source.getPixelRatio(level)).x;
      const place = item.source.getTileBounds(level, x, y);
      const apart = place.x > bounds.x + bounds.width || bounds.x > place.x + place.width;
      const above = place.y > bounds.y + bounds.height || bounds.y > place.y + place.height;
      if (this.failed.has(name) || apart || above || (level > 0 && ratio < MIN_PIXEL_RATIO)) continue;
      near.push([place.getCenter().squaredDistanceTo(middle), tile]);
    }
    return near.sort((a, b) => a[0] - b[0]).map(([, tile]) => tile);
  }

  async receive(message, buffers) {
    if (message.scene !== this.model.get("scene")) return;
    const name = nameOf(message.tile);
    const entry = this.jobs.get(name);
    if (!entry) return;
    if (message.failed) {
      this.failed.add(name);
    } else {
      this.jobs.delete(name);
      const bitmap = await createImageBitmap(new Blob([buffers[0]], { type: "image/png" }));
      entry.job.finish(bitmap, null, "imageBitmap");
    }
    this.tell();
  }
}

function makeViewer(picture) {
  const viewer = new OpenSeadragon.Viewer({
    element: picture,
    autoResize: false, // see `resized`
    drawer: "canvas", // a page may hold more viewers than a browser gives WebGL contexts
    showNavigationControl: false,
    minPixelRatio: MIN_PIXEL_RATIO,
    maxZoomPixelRatio: 16,
    maxTilesPerFrame: 8,
    minZoomImageRatio: 0.8,
    visibilityRatio: 0.6,
    zoomPerScroll: 1.3,
    animationTime: 0.5,
    timeout: FOREVER,
    gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
  });
  // Against seams the library draws tiles a pixel larger than they are; at 100 % that would only blur them.
  viewer.drawer.minimumOverlapRequired = (item) => {
    const zoom = item.viewportToImageZoom(viewer.viewport.getZoom(true)) * OpenSeadragon.pixelDensityRatio;
    return Math.abs(zoom - 1) > 1e-6;
  };
  return viewer;
}

// One pixel of the picture on one of the screen, and exactly on it, so that nothing is blurred.
function showPixels(viewer) {
  const item = viewer.world.getItemAt(0);
  if (!item) return;
  const ratio = OpenSeadragon.pixelDensityRatio;
  const { viewport } = viewer;
  const middle = item.viewportToImageCoordinates(viewport.getCenter(false));
  const half = viewport.getContainerSize().times(ratio / 2);
  const corner = middle.minus(half).apply(Math.round);
  viewport.zoomTo(item.imageToViewportZoom(1 / ratio), null, true);
  viewport.panTo(item.imageToViewportCoordinates(corner.plus(half)), true);
}

function makeBar(root, viewer) {
  const bar = element("div", "ourgan-deepzoom-bar", root, { role: "toolbar", "aria-label": "Zoom" });
  const button = (text, label, action) => {
    const made = element("button", "ourgan-deepzoom-button", bar, { type: "button", title: label, "aria-label": label });
    made.textContent = text;
    made.addEventListener("click", () => {
      action();
      viewer.canvas.focus({ preventScroll: true }); // the wheel and the arrow keys go on from here
    });
  };
  button("+", "Zoom in", () => viewer.viewport.zoomBy(2));
  button("−", "Zoom out", () => viewer.viewport.zoomBy(0.5));
  button("Whole", "Show the whole picture", () => viewer.viewport.goHome());
  button("100 %", "One pixel of the picture for each of the screen", () => showPixels(viewer));
  button("Full screen", "Full screen, and back", () =>
    document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen(),
  );
  return element("span", "ourgan-deepzoom-place", bar);
}

function connect(model, root, viewer, picture) {
  const place = makeBar(root, viewer);
  root.prepend(place.parentElement);
  const status = element("div", "ourgan-deepzoom-status", root);
  const text = element("span", "ourgan-deepzoom-text", status, { role: "status" });
  const retry = element("button", "ourgan-deepzoom-button", status, { type: "button", hidden: "" });
  retry.textContent = "Try again";
  let waiting = 0; // since when nothing has come

  const say = () => {
    const count = wanted.pending;
    root.dataset.pending = count;
    const seconds = Math.floor((Date.now() - waiting) / 1000);
    const long = seconds >= PATIENCE && model.get("note") ? `: ${model.get("note")} (${seconds} s)` : "";
    const work = count ? `computing ${count} tile${count > 1 ? "s" : ""}${long}` : "";
    const hint = picture.contains(document.activeElement) ? "" : "click the picture, then the wheel zooms";
    const error = model.get("error");
    const line = error || work || hint;
    if (text.textContent !== line) text.textContent = line;
    status.classList.toggle("ourgan-deepzoom-error", !!error);
    retry.hidden = !error;
  };
  const wanted = new Wanted(model, viewer, () => {
    if (!wanted.pending) waiting = Infinity;
    else if (waiting === Infinity || !waiting) waiting = Date.now();
    say();
  });
  retry.addEventListener("click", () => wanted.tell(true));

  let refit = false;
  const putBack = () => {
    const item = viewer.world.getItemAt(0);
    const [x, y, zoom] = model.get("place");
    if (zoom) {
      viewer.viewport.zoomTo(item.imageToViewportZoom(zoom / OpenSeadragon.pixelDensityRatio), null, true);
      viewer.viewport.panTo(item.imageToViewportCoordinates(new OpenSeadragon.Point(x, y)), true);
    } else {
      viewer.viewport.goHome(true);
    }
  };
  const moved = () => {
    const item = viewer.world.getItemAt(0);
    if (!item) return;
    if (refit) putBack();
    refit = false;
    // A page that is being laid out anew may show an element of no size for less than a frame.
    if (viewer.viewport.getContainerSize().x !== picture.clientWidth) requestAnimationFrame(resized);
    const zoom = item.viewportToImageZoom(viewer.viewport.getZoom(true)) * OpenSeadragon.pixelDensityRatio;
    const corner = item.viewportToImageCoordinates(viewer.viewport.getBounds(true).getTopLeft());
    const [height, width] = model.get("shapes").at(-1);
    const percent = zoom < 0.1 ? (100 * zoom).toFixed(1) : Math.round(100 * zoom);
    const at = `x ${shown(Math.max(0, corner.x))}, y ${shown(Math.max(0, corner.y))}`;
    place.textContent = `${percent} % at ${at} of ${shown(width)} × ${shown(height)}`;
    viewer.drawer.setImageSmoothingEnabled(zoom <= SMOOTH_UP_TO);
    wanted.tell();
  };
  const rest = () => {
    const item = viewer.world.getItemAt(0);
    if (!item || !picture.clientWidth) return;
    const middle = item.viewportToImageCoordinates(viewer.viewport.getCenter(false));
    const zoom = item.viewportToImageZoom(viewer.viewport.getZoom(false)) * OpenSeadragon.pixelDensityRatio;
    const whole = Math.abs(viewer.viewport.getZoom(false) / viewer.viewport.getHomeZoom() - 1) < 1e-3;
    model.set("place", whole ? [] : [middle.x, middle.y, zoom]);
    model.save_changes();
  };
  const resized = () => {
    if (!picture.clientWidth || !picture.clientHeight) return;
    refit = true; // after the library's own idea of it, which an element of no size leads astray
    viewer.forceResize();
  };
  const open = () => {
    wanted.clear();
    if (!model.get("shapes").length) return;
    viewer.canvas.setAttribute("aria-label", `${model.get("label")}. Arrow keys move, + and - zoom, 0 shows all.`);
    viewer.open(wanted.source());
  };
  viewer.addHandler("open", () => {
    putBack();
    moved();
  });
  viewer.addHandler("viewport-change", moved);
  viewer.addHandler("animation-finish", rest);
  viewer.addHandler("canvas-key", (event) => {
    // Not for looking at a landscape: rotating and mirroring it, and pages that are not there.
    if (["KeyR", "KeyF", "KeyJ", "KeyK"].includes(event.originalEvent.code)) event.preventDefaultAction = true;
  });
  viewer.addHandler("canvas-scroll", (event) => {
    // Someone who scrolls a notebook should not be caught by every picture on the way.
    if (picture.contains(document.activeElement)) return;
    event.preventDefaultAction = true;
    event.preventDefault = false;
  });
  viewer.addHandler("canvas-press", () => viewer.canvas.focus({ preventScroll: true }));

  const receive = (message, buffers) => {
    waiting = Date.now();
    wanted.receive(message, buffers);
  };
  model.on("msg:custom", receive);
  model.on("change:scene", open);
  model.on("change:error", say);
  picture.addEventListener("focusin", say);
  picture.addEventListener("focusout", say);
  const clock = setInterval(say, 1000);
  const observer = new ResizeObserver(resized);
  observer.observe(picture);
  open();
  return () => {
    clearInterval(clock);
    observer.disconnect();
    model.off("msg:custom", receive);
    model.off("change:scene", open);
    model.off("change:error", say);
    wanted.clear();
    model.send({ want: [], view: wanted.name, scene: model.get("scene") });
    viewer.destroy();
  };
}

// Single keys pressed in here are not JupyterLab's ("0, 0" restarts the kernel); Ctrl-S and its like are.
function guardKeys(root) {
  const guard = (event) => {
    const modified = event.ctrlKey || event.metaKey || event.altKey;
    if (root.contains(event.target)) event.target.toggleAttribute("data-lm-suppress-shortcuts", !modified);
  };
  window.addEventListener("keydown", guard, true); // before JupyterLab, which listens on the document
  return () => window.removeEventListener("keydown", guard, true);
}

function render({ model, el }) {
  const root = element("div", "ourgan-deepzoom", el);
  const unguard = guardKeys(root);
  const picture = element("div", "ourgan-deepzoom-picture", root);
  let disconnect = () => {};
  // OpenSeadragon divides by the size of its element, which has none before it is on the page.
  const observer = new ResizeObserver(() => {
    if (!picture.clientWidth || !picture.clientHeight) return;
    observer.disconnect();
    disconnect = connect(model, root, makeViewer(picture), picture);
  });
  observer.observe(picture);
  return () => {
    observer.disconnect();
    unguard();
    disconnect();
  };
}

export default { render };
