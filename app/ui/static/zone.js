// A polygon or a line over a still: a click adds a corner, dragging or arrows move one, Delete takes
// it away. Its frame is drawn by `components/zone.py`; where the corners are is told to Python.

const STEP = 0.01;
// Several clicks in a row are told as one.
const TELL_AFTER_MS = 200;
const MOVES = {
  ArrowLeft: [-STEP, 0],
  ArrowRight: [STEP, 0],
  ArrowUp: [0, -STEP],
  ArrowDown: [0, STEP],
};

const share = (value) => Math.min(1, Math.max(0, Math.round(value * 1000) / 1000));

export function zone(element, { trigger, props, watch }) {
  const frame = element.querySelector(".zone-frame");
  const [picture, drawing, handles, template] = frame.children;
  let corners = [];
  let held = null;
  let timer = null;

  const draw = () => {
    drawing.firstElementChild.setAttribute("points", corners.join(" "));
    while (handles.children.length > corners.length) handles.lastChild.remove();
    while (handles.children.length < corners.length)
      handles.append(template.content.cloneNode(true));
    for (const [idx, [x, y]] of corners.entries()) {
      const [across, down] = [x, y].map((value) => Math.round(100 * value));
      const handle = handles.children[idx];
      handle.style.cssText = `left: ${100 * x}%; top: ${100 * y}%`;
      handle.dataset.corner = idx;
      handle.ariaLabel = `Corner ${idx + 1} at ${across} % across, ${down} % down`;
    }
  };
  const change = (wanted) => {
    corners = wanted;
    draw();
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = null;
      trigger("draw", { corners: corners.join(" ") });
    }, TELL_AFTER_MS);
  };
  const show = () => {
    const { picture: still, corners: known = [] } = props.value ?? {};
    frame.parentElement.hidden = !still;
    if (still && picture.getAttribute("src") !== still) picture.src = still;
    // What is known there is older than a hand that draws.
    if (held === null && !timer) corners = known;
    draw();
  };
  const moved = (idx, place) => change(corners.with(idx, place.map(share)));
  const at = ({ clientX: x, clientY: y }) => {
    const { left, top, width, height } = frame.getBoundingClientRect();
    return [(x - left) / width, (y - top) / height];
  };
  const cornerOf = ({ target }) => target.closest("[data-corner]")?.dataset.corner;

  frame.addEventListener("pointerdown", (event) => {
    held = Number(cornerOf(event) ?? corners.length);
    if (props.value.shape === "line" && held > 1) [held, corners] = [0, []];
    if (held === corners.length) change([...corners, at(event).map(share)]);
    frame.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  frame.addEventListener("pointermove", (event) => held !== null && moved(held, at(event)));
  for (const name of ["pointerup", "pointercancel"])
    frame.addEventListener(name, () => (held = null));
  frame.addEventListener("keydown", (event) => {
    const idx = Number(cornerOf(event));
    const [x, y] = corners[idx] ?? [];
    const [right, down] = MOVES[event.key] ?? [];
    if (event.key === "Delete" || event.key === "Backspace") change(corners.toSpliced(idx, 1));
    else if (right === undefined) return;
    else moved(idx, [x + right, y + down]);
    event.preventDefault();
  });
  element.querySelector("[data-clear]").addEventListener("click", () => change([]));
  watch("value", show);
  show();
}
