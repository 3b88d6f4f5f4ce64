// The timeline: pointer and keys over lanes that `components/timeline.py` has drawn. What is written
// here are seconds, as variables of the style sheet, which places everything by them.

import { clock, hear, say } from "./parts.js";

const STEPS_S = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600];
const DRAG_PX = 6;

export function timeline(element, { trigger, props, watch }) {
  const drawn = new Timeline(element, trigger, props);
  watch(["value", "marks"], () => drawn.take());
  drawn.take();
}

class Timeline {
  constructor(element, trigger, props) {
    Object.assign(this, { element, trigger, props, time: 0, chosen: {}, from: null });
    for (const name of ["pointerdown", "pointermove", "pointerup", "keydown"])
      element.addEventListener(name, (event) => event.target === this.over && this[name](event));
    element.addEventListener("pointerout", () => (this.part("peek").hidden = true));
    element.addEventListener(
      "click",
      ({ target: { dataset } }) => dataset.zoom && this.zoom(dataset.zoom),
    );
    hear(
      "lw-time",
      ({ video_id: video, time_s: time }) => video === this.video && this.place(time),
    );
    hear("lw-marked", (marks) => this.choose(marks));
    new ResizeObserver(() => this.draw()).observe(element);
  }

  part(name) {
    return this.element.querySelector(`.tl-${name}`);
  }

  get wide() {
    return this.view[1] - this.view[0];
  }

  // Reads what Python has drawn; a zoom outlives it where the axis is the same.
  take() {
    this.over = this.part("over");
    if (!this.over) return;
    const { axis, video, end, clock: at, view } = this.part("rows").parentElement.dataset;
    const key = [axis, end, view].join(" ");
    if (axis !== this.axis) Object.assign(this, { time: 0, chosen: {} });
    if (key !== this.key) this.view = view.split(" ").map(Number);
    Object.assign(this, { axis, key, video, at, end: Number(end) });
    const marks = (this.props.marks ?? []).map(([from, to]) => piece("i", { from, to }));
    this.part("marks").replaceChildren(...marks);
    this.draw();
  }

  draw() {
    if (!this.over) return;
    const [start, end] = this.view;
    for (const { viewBox } of this.element.querySelectorAll("svg.tl-plot"))
      Object.assign(viewBox.baseVal, { x: start, width: this.wide });
    this.element.querySelector("[data-zoom=all]").disabled = start <= 0 && end >= this.end;
    const every = this.wide / this.part("ruler").clientWidth;
    const step = STEPS_S.find((seconds) => seconds > 76 * every) ?? 43200;
    // Ticks stand at round times of day, or of the video.
    const skew = Number(this.at) % 3600;
    const ticks = [];
    for (let from = Math.ceil((start + skew) / step) * step - skew; from <= end; from += step)
      ticks.push(piece("span", { from }, this.text(from, this.at ? 3 * (step < 60) : step < 1)));
    this.part("ruler").replaceChildren(...ticks);
    this.show();
  }

  show() {
    if (!this.over) return;
    const { time, view, wide } = this;
    const { start_s: from, end_s: to } = this.chosen;
    place(this.over.parentElement.parentElement, { first: view[0], wide, time, from, to });
    this.part("chosen").hidden = from === undefined;
    this.over.ariaValueNow = Math.round(time);
    const words = [this.text(time, this.at && 3), ...this.under(time).map(({ label }) => label)];
    this.over.ariaValueText = [...new Set(words)].slice(0, 6).join(", ");
  }

  // Moves the head; what is zoomed into follows it.
  place(time) {
    this.time = time;
    const [start, end] = this.view;
    if (time >= start && time <= end) this.show();
    else this.look(time, this.wide);
  }

  look(middle, wanted) {
    const wide = Math.min(wanted, this.end);
    const first = Math.max(0, Math.min(middle - wide / 2, this.end - wide));
    this.view = [first, first + wide];
    this.draw();
  }

  zoom(how) {
    const { start_s: from, end_s: to } = this.chosen;
    const wide = to > from ? to - from : Math.max(2, this.wide / 4);
    const middle = to > from ? (from + to) / 2 : this.time;
    if (!this.video) this.chosen = {};
    if (how === "all") return this.look(0, this.end);
    if (!this.video) this.time = middle;
    this.look(middle, wide);
  }

  choose(marks) {
    this.chosen = marks;
    this.show();
  }

  // Time of day where there is a wall clock, else media time.
  text(time, digits) {
    if (!this.at) return clock(time, Number(digits));
    const day = new Date(1000 * Math.floor(Number(this.at) + time));
    return day.toISOString().slice(11, 16 + digits);
  }

  timeAt(x) {
    const { left, width } = this.over.getBoundingClientRect();
    return Math.min(this.end, Math.max(0, this.view[0] + ((x - left) / width) * this.wide));
  }

  // Spans at a time, of all lanes or of the one below the pointer.
  under(time, y = null) {
    const room = this.video ? 0 : (3 * this.wide) / this.over.clientWidth;
    const isThere = (lane) => {
      const { top, bottom } = lane.getBoundingClientRect();
      return y === null || (y >= top && y < bottom);
    };
    return [...this.element.querySelectorAll(".lane")]
      .filter(isThere)
      .flatMap((lane) => [...lane.querySelectorAll("rect")])
      .map((rect) => ({ ...rect.dataset, x: rect.x.baseVal.value, w: rect.width.baseVal.value }))
      .filter(({ x, w }) => x - room <= time && time < x + w + room);
  }

  // The moment at a time of the axis, as the video of the span there counts it.
  moment(time, y) {
    if (this.video) return { video_id: this.video, time_s: time };
    const span = this.under(time, y).find(({ video }) => video);
    const into = span && Math.max(0, Math.min(time - span.x, span.w));
    return span && { video_id: span.video, time_s: Number(span.from) + into };
  }

  go(time, y = null) {
    const moment = this.moment(time, y);
    this.place(time);
    if (this.video) say("lw-seek", moment);
    if (moment) this.trigger("pick", moment);
  }

  pointerdown(event) {
    this.from = event.clientX;
    this.over.setPointerCapture(event.pointerId);
  }

  pointermove({ clientX: x, clientY: y }) {
    this.peek(x, y);
    if (this.from === null || Math.abs(x - this.from) < DRAG_PX) return;
    const [start, end] = [this.from, x].map((at) => this.timeAt(at)).toSorted((a, b) => a - b);
    this.choose({ start_s: start, end_s: end });
    this.isDrawn = true;
  }

  pointerup({ clientX: x, clientY: y }) {
    const { isDrawn, from } = this;
    Object.assign(this, { from: null, isDrawn: false });
    if (from === null) return;
    if (!isDrawn) this.go(this.timeAt(x), y);
    else if (this.video) {
      say("lw-marks", this.chosen);
      this.trigger("mark", this.chosen);
    } else this.zoom("in");
  }

  peek(x, y) {
    const time = this.timeAt(x);
    const { video_id: video, time_s: at } = this.moment(time, y) ?? {};
    const peek = this.part("peek");
    const [picture, title, words] = peek.children;
    title.textContent = this.text(time, this.at && 3);
    const labels = this.under(time, y).map(({ label }) => label);
    words.textContent = [...new Set(labels)].slice(0, 2).join(", ");
    peek.style.setProperty("--x", `${x - peek.parentElement.getBoundingClientRect().left}px`);
    peek.hidden = false;
    picture.hidden = !video;
    clearTimeout(this.looking);
    const show = () => (picture.src = `/media/${video}/frame.jpg?t=${Math.floor(at)}&w=160`);
    if (video) this.looking = setTimeout(show, 60);
  }

  // Where a key leads: by seconds along a video, from span to span along a day.
  goal(key) {
    const by = { ArrowLeft: -5, ArrowRight: 5, PageUp: -60, PageDown: 60 }[key];
    if (this.video) return { Enter: this.time, Home: 0, End: this.end }[key] ?? this.time + by;
    const rects = [...this.element.querySelectorAll(".lane rect")];
    const starts = rects.map((rect) => rect.x.baseVal.value).toSorted((a, b) => a - b);
    const goals = {
      Enter: this.time,
      Home: starts[0],
      End: starts.at(-1),
      PageUp: starts.findLast((start) => start < this.time),
      PageDown: starts.find((start) => start > this.time),
    };
    return key in goals ? goals[key] : this.time + (by / 500) * this.wide;
  }

  keydown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const how = { "+": "in", "-": "all" }[event.key];
    const time = Math.min(this.end, Math.max(0, this.goal(event.key)));
    if (how) this.zoom(how);
    else if (Number.isNaN(time)) return;
    else if (this.video || event.key === "Enter") this.go(time);
    else this.place(time);
    event.preventDefault();
  }
}

function place(element, seconds) {
  for (const [name, value] of Object.entries(seconds))
    element.style.setProperty(`--${name}`, value);
}

function piece(tag, seconds, text = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  place(element, seconds);
  return element;
}
