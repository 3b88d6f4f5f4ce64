// A polygon or a line over a still: a click adds a corner, dragging or arrows move one, Delete takes it away.

import { fill, h } from "../lib/dom.js";

const STEP = 0.01;
// Several clicks in a row are told as one.
const TELL_AFTER_MS = 200;
const MOVES = {
  ArrowLeft: [-STEP, 0],
  ArrowRight: [STEP, 0],
  ArrowUp: [0, -STEP],
  ArrowDown: [0, STEP],
};
const SVG = "http://www.w3.org/2000/svg";

const share = (value) => Math.min(1, Math.max(0, Math.round(value * 1000) / 1000));

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

const textOf = (corners) => corners.map((corner) => corner.join(",")).join(" ");

export function mount(element, { trigger, props, watch }) {
  const drawing = new Drawing((corners) => trigger("draw", { corners }));
  element.append(h("div", { class: "lw part" }, drawing.element));
  const show = () => drawing.show(props.value);
  watch("value", show);
  show();
}

class Drawing {
  constructor(ondraw) {
    Object.assign(this, { ondraw, corners: [], shape: "zone", held: null, told: [], timer: null });
    this.picture = h("img", { alt: "", draggable: false });
    this.svg = shape("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none" });
    this.svg.setAttribute("aria-hidden", "true");
    this.handles = h("div", { class: "handles" });
    this.frame = h("div", { class: "zone-frame" }, this.picture, this.svg, this.handles);
    this.hint = h("p", { class: "faint" });
    const clear = { type: "button", class: "quiet", onclick: () => this.change([]) };
    this.element = h(
      "div",
      { class: "zone", hidden: true },
      this.frame,
      h("div", { class: "row" }, this.hint, h("button", clear, "Clear")),
    );
    this.frame.addEventListener("pointerdown", (event) => this.press(event));
    this.frame.addEventListener("pointermove", (event) => this.drag(event));
    this.frame.addEventListener("pointerup", () => this.release());
    this.frame.addEventListener("pointercancel", () => this.release());
  }

  show(value) {
    this.element.hidden = !value?.picture;
    if (!value?.picture) return;
    if (this.picture.getAttribute("src") !== value.picture) this.picture.src = value.picture;
    this.shape = value.shape;
    // What comes back of what was told is older than the hand that draws.
    const echo = this.told.indexOf(textOf(value.corners));
    if (echo >= 0) this.told.splice(0, echo + 1);
    else if (this.held === null && !this.timer)
      this.corners = value.corners.map(([x, y]) => [x, y]);
    this.draw();
  }

  tell() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = null;
      const corners = textOf(this.corners);
      this.told.push(corners);
      this.ondraw(corners);
    }, TELL_AFTER_MS);
  }

  at(event) {
    const box = this.frame.getBoundingClientRect();
    return [
      share((event.clientX - box.left) / box.width),
      share((event.clientY - box.top) / box.height),
    ];
  }

  press(event) {
    const handle = event.target.closest("[data-corner]");
    if (handle) {
      this.held = Number(handle.dataset.corner);
    } else {
      if (this.shape === "line" && this.corners.length >= 2) this.corners = [];
      this.corners.push(this.at(event));
      this.held = this.corners.length - 1;
      this.draw();
    }
    this.frame.setPointerCapture(event.pointerId);
    event.preventDefault();
  }

  drag(event) {
    if (this.held === null) return;
    this.corners[this.held] = this.at(event);
    this.draw();
  }

  release() {
    if (this.held === null) return;
    this.held = null;
    this.tell();
  }

  move(idx, event) {
    if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      this.change(this.corners.filter((_, place) => place !== idx));
      return;
    }
    const step = MOVES[event.key];
    if (!step) return;
    event.preventDefault();
    const [x, y] = this.corners[idx];
    this.corners[idx] = [share(x + step[0]), share(y + step[1])];
    this.change(this.corners);
    this.handles.children[idx]?.focus();
  }

  change(corners) {
    this.corners = corners;
    this.draw();
    this.tell();
  }

  draw() {
    const points = this.corners.map((corner) => corner.join(",")).join(" ");
    const name = this.shape === "line" || this.corners.length < 3 ? "polyline" : "polygon";
    fill(this.svg, shape(name, { points, "vector-effect": "non-scaling-stroke" }));
    fill(
      this.handles,
      this.corners.map(([x, y], idx) =>
        h("button", {
          type: "button",
          style: `left:${x * 100}%;top:${y * 100}%`,
          dataset: { corner: String(idx) },
          "aria-label": `Corner ${idx + 1} at ${Math.round(x * 100)} % across, ${Math.round(y * 100)} % down`,
          onkeydown: (event) => this.move(idx, event),
        }),
      ),
    );
    const left = (this.shape === "line" ? 2 : 3) - this.corners.length;
    this.hint.textContent =
      left > 0
        ? `Click on the picture to set ${left} more ${this.shape === "line" ? "ends" : "corners"}.`
        : "Drag a corner to move it, or use the arrow keys.";
  }
}
