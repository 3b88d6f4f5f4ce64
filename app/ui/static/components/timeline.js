// The timeline: pointer and keys over lanes that `components/timeline.py` has drawn.

import { clock, hear, say } from "./parts.js";

const STEPS_S = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600];
const DRAG_PX = 6;

export function mount(element, { trigger, props, watch }) {
  const timeline = new Timeline(element, trigger, props);
  watch(["value", "marks"], () => timeline.take());
  timeline.take();
}

class Timeline {
  constructor(element, trigger, props) {
    Object.assign(this, { element, trigger, props, time: 0, chosen: {}, key: "", from: null });
    for (const name of ["pointerdown", "pointermove", "pointerup", "keydown"])
      element.addEventListener(name, (event) => event.target === this.over && this[name](event));
    element.addEventListener("pointerout", () => (this.part("peek").hidden = true));
    element.addEventListener("click", ({ target }) => this.zoom(target.dataset.zoom));
    element.addEventListener("error", ({ target }) => (target.hidden = true), true);
    hear("lw-time", ({ video_id: video, time_s: time }) => {
      if (this.root && video === this.video) this.place(time);
    });
    hear("lw-marked", (marks) => this.choose(marks));
    new ResizeObserver(() => this.root && this.draw()).observe(element);
  }

  part(name) {
    return this.element.querySelector(`.tl-${name}`);
  }

  // Reads what Python has drawn; a zoom outlives it where the axis is the same.
  take() {
    this.root = this.element.querySelector(".timeline");
    if (!this.root) return;
    const { video, end, clock: at, view } = this.root.dataset;
    if (video !== this.video || at !== this.at) Object.assign(this, { time: 0, chosen: {} });
    Object.assign(this, { video, end: Number(end), at, over: this.part("over") });
    const key = [video, end, at, view].join(" ");
    if (key !== this.key) Object.assign(this, { key, view: view.split(" ").map(Number) });
    const marks = (this.props.marks ?? []).map((span) => {
      const mark = document.createElement("i");
      mark.span = span;
      return mark;
    });
    this.part("marks").replaceChildren(...marks);
    this.draw();
  }

  draw() {
    const [start, end] = this.view;
    for (const plot of this.element.querySelectorAll("svg.tl-plot")) {
      const high = plot.viewBox.baseVal.height;
      plot.setAttribute("viewBox", `${start} 0 ${end - start} ${high}`);
    }
    this.element.querySelector("[data-zoom=all]").disabled = start <= 0 && end >= this.end;
    this.rule();
    this.show();
  }

  lay(element, from, to = from) {
    const [start, end] = this.view;
    element.style.left = `${(100 * (from - start)) / (end - start)}%`;
    element.style.right = `${(100 * (end - to)) / (end - start)}%`;
  }

  // Moves the head; what is zoomed into follows it.
  place(time) {
    this.time = time;
    const [start, end] = this.view;
    if (time >= start && time <= end) return this.show();
    const first = Math.max(0, Math.min(time - (end - start) / 2, this.end - (end - start)));
    this.view = [first, first + end - start];
    this.draw();
  }

  show() {
    const { time } = this;
    this.lay(this.part("head"), time);
    const { start_s: from, end_s: to } = this.chosen;
    this.part("chosen").hidden = from === undefined;
    if (from !== undefined) this.lay(this.part("chosen"), from, to);
    for (const mark of this.part("marks").children) this.lay(mark, ...mark.span);
    this.over.setAttribute("aria-valuenow", Math.round(time));
    const words = [this.text(time), ...this.under(time).map(({ label }) => label)];
    this.over.setAttribute("aria-valuetext", [...new Set(words)].slice(0, 6).join(", "));
  }

  choose(marks) {
    this.chosen = marks;
    if (this.root) this.show();
  }

  // Time of day where there is a wall clock, else media time.
  text(time, digits = 0) {
    if (!this.at) return clock(time, digits);
    const day = new Date(Date.parse(`${this.at.slice(0, 19)}Z`) + 1000 * Math.floor(time));
    return day.toISOString().slice(11, digits === null ? 16 : 19);
  }

  rule() {
    const [start, end] = this.view;
    const width = this.part("ruler").clientWidth;
    const step = STEPS_S.find((every) => (width * every) / (end - start) > 76) ?? 43200;
    // Ticks stand at round times of day, or of the video.
    const skew = this.at ? (Date.parse(`${this.at.slice(0, 19)}Z`) / 1000) % 3600 : 0;
    const ticks = [];
    for (let time = Math.ceil((start + skew) / step) * step - skew; time <= end; time += step) {
      const tick = document.createElement("span");
      tick.textContent = this.text(time, this.at && step >= 60 ? null : step < 1 ? 1 : 0);
      tick.style.left = `${(100 * (time - start)) / (end - start)}%`;
      ticks.push(tick);
    }
    this.part("ruler").replaceChildren(...ticks);
  }

  timeAt(x) {
    const box = this.over.getBoundingClientRect();
    const [start, end] = this.view;
    return Math.min(this.end, Math.max(0, start + ((x - box.left) / box.width) * (end - start)));
  }

  // Spans at a time, of all lanes or of the one below the pointer.
  under(time, y = null) {
    const [start, end] = this.view;
    const room = this.video ? 0 : (3 * (end - start)) / this.over.clientWidth;
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
    const [start, end] = [this.from, x]
      .map((place) => this.timeAt(place))
      .toSorted((a, b) => a - b);
    this.choose({ start_s: start, end_s: end });
    this.isDrawn = true;
  }

  pointerup({ clientX: x, clientY: y }) {
    const { isDrawn, from } = this;
    Object.assign(this, { from: null, isDrawn: false });
    if (from === null) return;
    if (!isDrawn) this.go(this.timeAt(x), y);
    else if (this.video) {
      say("lw-marks", { ...this.chosen, is_drawn: true });
      this.trigger("mark", this.chosen);
    } else this.zoom("in");
  }

  peek(x, y) {
    const time = this.timeAt(x);
    const moment = this.moment(time, y);
    const peek = this.part("peek");
    const [picture, title, words] = peek.children;
    title.textContent = this.text(time);
    const labels = this.under(time, y).map(({ label }) => label);
    words.textContent = [...new Set(labels)].slice(0, 2).join(", ");
    peek.hidden = false;
    const { left, width } = this.root.getBoundingClientRect();
    const half = peek.offsetWidth / 2;
    peek.style.left = `${Math.min(width - half, Math.max(half, x - left))}px`;
    picture.hidden = !moment;
    clearTimeout(this.looking);
    const { video_id: video, time_s: at } = moment ?? {};
    const show = () => (picture.src = `/media/${video}/frame.jpg?t=${Math.floor(at)}&w=160`);
    if (moment) this.looking = setTimeout(show, 60);
  }

  zoom(how) {
    if (!how) return;
    const [start, end] = this.view;
    const { start_s: from, end_s: to } = this.chosen;
    const wide = to > from ? to - from : Math.max(2, (end - start) / 4);
    const first = to > from ? from : Math.max(0, Math.min(this.time - wide / 2, this.end - wide));
    this.view = how === "all" ? [0, this.end] : [first, Math.min(this.end, first + wide)];
    if (!this.video) this.chosen = {};
    if (how === "in" && !this.video) this.time = first + wide / 2;
    this.draw();
  }

  // Where a key leads: by seconds along a video, from span to span along a day.
  goal(key) {
    if (key === "Enter") return this.time;
    const by = { ArrowLeft: -5, ArrowRight: 5, PageUp: -60, PageDown: 60 }[key];
    if (this.video) return { Home: 0, End: this.end }[key] ?? (by && this.time + by);
    const rects = [...this.element.querySelectorAll(".lane rect")];
    const starts = rects.map((rect) => rect.x.baseVal.value).toSorted((a, b) => a - b);
    const near = by && this.time + (by / 500) * (this.view[1] - this.view[0]);
    return {
      Home: starts[0],
      End: starts.at(-1),
      PageUp: starts.findLast((start) => start < this.time),
      PageDown: starts.find((start) => start > this.time),
      ArrowLeft: near,
      ArrowRight: near,
    }[key];
  }

  keydown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const to = this.goal(event.key);
    if (event.key === "+" || event.key === "-") this.zoom(event.key === "+" ? "in" : "all");
    else if (to === undefined) return;
    else if (this.video || event.key === "Enter") this.go(Math.min(this.end, Math.max(0, to)));
    else this.place(Math.min(this.end, Math.max(0, to)));
    event.preventDefault();
  }
}
