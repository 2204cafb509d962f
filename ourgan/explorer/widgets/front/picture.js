// One picture with its alternative text; where `select` is set, with a rectangle to drag or to move by keys.

const STEP = 8; // pixels of the picture that a key moves the rectangle by

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

function render({ model, el }) {
  const frame = document.createElement("div");
  frame.className = "ourgan-frame";
  const image = document.createElement("img");
  image.draggable = false;
  const mark = document.createElement("div");
  mark.className = "ourgan-rectangle";
  frame.append(image, mark);
  el.append(frame);

  let address = null;
  function showPicture() {
    const bytes = model.get("data");
    if (address) URL.revokeObjectURL(address);
    address = null;
    image.hidden = !bytes || bytes.byteLength === 0;
    if (image.hidden) return;
    address = URL.createObjectURL(new Blob([bytes], { type: `image/${model.get("format")}` }));
    image.src = address;
  }
  function showText() {
    image.alt = model.get("alt");
    const [width, height] = model.get("pixels");
    image.style.width = `${Math.max(width * model.get("zoom"), 1)}px`;
    image.style.aspectRatio = `${width} / ${height}`;
  }
  function showBox() {
    const select = model.get("select");
    const [x, y, w, h] = model.get("box");
    const [width, height] = model.get("pixels");
    mark.hidden = !select;
    mark.style.left = `${(100 * x) / width}%`;
    mark.style.top = `${(100 * y) / height}%`;
    mark.style.width = `${(100 * w) / width}%`;
    mark.style.height = `${(100 * h) / height}%`;
    mark.tabIndex = select ? 0 : -1;
    mark.setAttribute("role", "group");
    mark.setAttribute(
      "aria-label",
      `Rectangle at ${x}, ${y}, ${w} by ${h} pixels. Arrow keys move it, with shift they change its size.`,
    );
  }
  function put(box) {
    const [width, height] = model.get("pixels");
    const w = clamp(Math.round(box[2]), 1, width);
    const h = clamp(Math.round(box[3]), 1, height);
    const x = clamp(Math.round(box[0]), 0, width - w);
    const y = clamp(Math.round(box[1]), 0, height - h);
    model.set("box", [x, y, w, h]);
    showBox();
  }

  let start = null;
  function place(event) {
    const bounds = image.getBoundingClientRect();
    const [width, height] = model.get("pixels");
    return [
      clamp(((event.clientX - bounds.left) / bounds.width) * width, 0, width),
      clamp(((event.clientY - bounds.top) / bounds.height) * height, 0, height),
    ];
  }
  frame.addEventListener("pointerdown", (event) => {
    if (!model.get("select") || event.button !== 0) return;
    start = place(event);
    frame.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  frame.addEventListener("pointermove", (event) => {
    if (!start) return;
    const [x, y] = place(event);
    put([Math.min(x, start[0]), Math.min(y, start[1]), Math.abs(x - start[0]), Math.abs(y - start[1])]);
  });
  frame.addEventListener("pointerup", () => {
    if (start) model.save_changes();
    start = null;
  });
  frame.addEventListener("pointercancel", () => {
    start = null;
  });
  mark.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.altKey || event.metaKey) return;
    const [x, y, w, h] = model.get("box");
    const [right, down] = [STEP * move[0], STEP * move[1]];
    put(event.shiftKey ? [x, y, w + right, h + down] : [x + right, y + down, w, h]);
    model.save_changes();
    event.preventDefault();
    event.stopPropagation(); // JupyterLab would go to another cell
  });

  const followed = [
    ["change:data", showPicture],
    ["change:format", showPicture],
    ["change:alt", showText],
    ["change:pixels", showText],
    ["change:zoom", showText],
    ["change:pixels", showBox],
    ["change:box", showBox],
    ["change:select", showBox],
  ];
  followed.forEach(([name, call]) => model.on(name, call));
  showText();
  showBox();
  showPicture();
  return () => {
    followed.forEach(([name, call]) => model.off(name, call));
    if (address) URL.revokeObjectURL(address);
  };
}

export default { render };
