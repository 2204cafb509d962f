// A contact sheet of buttons, each with a picture, its caption and whether it is kept.

function render({ model, el }) {
  const grid = document.createElement("div");
  grid.className = "ourgan-sheet";
  grid.setAttribute("role", "group");
  el.append(grid);

  function makeButton(index) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(document.createElement("img"), document.createElement("span"));
    button.addEventListener("click", () => model.send({ chosen: index }));
    return button;
  }
  function setPicture(image, bytes) {
    if (image.shown === bytes) return;
    if (image.src) URL.revokeObjectURL(image.src);
    image.shown = bytes;
    const there = bytes && bytes.byteLength;
    image.className = there ? "" : "ourgan-waiting";
    if (there) image.src = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
    else image.removeAttribute("src");
  }
  // In place: whoever has just pressed or focused a button must not lose it to the next picture.
  function show() {
    const items = model.get("items");
    const pictures = model.get("pictures");
    grid.setAttribute("aria-label", model.get("label"));
    while (grid.children.length > items.length) {
      setPicture(grid.lastChild.firstChild, null);
      grid.lastChild.remove();
    }
    while (grid.children.length < items.length) grid.append(makeButton(grid.children.length));
    items.forEach((item, index) => {
      const button = grid.children[index];
      const [image, caption] = button.children;
      button.setAttribute("aria-pressed", String(item.chosen));
      image.alt = item.alt;
      caption.textContent = item.kept ? `★ ${item.caption}` : item.caption;
      setPicture(image, pictures[index]);
    });
  }

  const names = ["change:items", "change:pictures", "change:label"];
  names.forEach((name) => model.on(name, show));
  show();
  return () => {
    names.forEach((name) => model.off(name, show));
    [...grid.children].forEach((button) => setPicture(button.firstChild, null));
  };
}

export default { render };
