// The strip: activity per chunk, similarity of the query, evidence, and what is not read yet.

import { clock, fill, h } from "/assets/lib/dom.js";

const SPRITE = { wide: 160, high: 90, columns: 10 };

export class Timeline {
  constructor({ onseek }) {
    this.onseek = onseek;
    Object.assign(this, {
      chunks: [],
      evidence: [],
      duration: 0,
      ingested: 0,
      time: 0,
      view: null,
      marks: {},
      thumbs: null,
    });
    this.canvas = h("canvas", {
      role: "slider",
      tabindex: "0",
      "aria-label": "Timeline",
      "aria-valuemin": "0",
    });
    this.peek = h("div", { class: "peek", hidden: true });
    this.legend = h("div", { class: "legend" });
    this.element = h("div", { class: "strip" }, this.canvas, this.peek, this.legend);
    this.bind();
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    window.addEventListener("lw-theme", () => this.draw());
  }

  set(values) {
    Object.assign(this, values);
    this.describe();
    this.draw();
  }

  get span() {
    return this.view ?? [0, Math.max(this.duration, this.ingested, 1)];
  }

  at(x) {
    const [start, end] = this.span;
    const { width } = this.canvas.getBoundingClientRect();
    return Math.min(end, Math.max(start, start + (x / width) * (end - start)));
  }

  bind() {
    let from = null;
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      from = event.offsetX;
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      this.hover(event.offsetX);
      this.drag =
        from !== null && Math.abs(event.offsetX - from) > 8 ? [from, event.offsetX] : null;
      this.draw();
    });
    canvas.addEventListener("pointerup", (event) => {
      if (this.drag) this.view = this.drag.map((x) => this.at(x)).toSorted((a, b) => a - b);
      else if (from !== null) this.onseek(this.at(event.offsetX));
      from = this.drag = null;
      this.describe();
      this.draw();
    });
    canvas.addEventListener("pointerleave", () => {
      this.peek.hidden = true;
    });
    canvas.addEventListener("dblclick", () => {
      this.view = null;
      this.describe();
      this.draw();
    });
    canvas.addEventListener(
      "wheel",
      (event) => {
        if (!this.view) return;
        event.preventDefault();
        const [start, end] = this.view;
        const by = Math.sign(event.deltaY || event.deltaX) * (end - start) * 0.15;
        if (start + by >= 0 && end + by <= this.duration) this.view = [start + by, end + by];
        this.draw();
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -5, ArrowRight: 5, PageUp: 60, PageDown: -60 }[event.key];
      const to = event.key === "Home" ? 0 : event.key === "End" ? this.duration : this.time + step;
      if (Number.isNaN(to)) return;
      event.preventDefault();
      this.onseek(Math.min(this.duration, Math.max(0, to)));
    });
  }

  hover(x) {
    const time = this.at(x);
    const still = h("div", { class: "still" });
    if (this.thumbs) {
      const index = Math.min(this.thumbs.count - 1, Math.floor(time / this.thumbs.step_s));
      const column = index % SPRITE.columns,
        row = Math.floor(index / SPRITE.columns);
      still.style.backgroundImage = `url("${this.thumbs.url}")`;
      still.style.backgroundPosition = `-${column * SPRITE.wide}px -${row * SPRITE.high}px`;
    }
    fill(this.peek, this.thumbs && this.thumbs.count ? still : null, h("span", {}, clock(time)));
    this.peek.hidden = false;
    const width = this.canvas.getBoundingClientRect().width;
    const half = this.peek.offsetWidth / 2;
    this.peek.style.left = `${Math.min(width - half - 4, Math.max(half + 4, x))}px`;
  }

  draw() {
    const { canvas } = this;
    const { width, height } = canvas.getBoundingClientRect();
    if (!width) return;
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const colour = (name) => getComputedStyle(canvas).getPropertyValue(name).trim();
    const [start, end] = this.span;
    const x = (time) => ((time - start) / (end - start)) * width;
    const top = 14,
      floor = height - 16;
    this.unread(pen, x, top, floor, colour);
    for (const chunk of this.chunks) {
      if (chunk.end_s < start || chunk.start_s > end) continue;
      const left = x(chunk.start_s),
        wide = Math.max(1, x(chunk.end_s) - left - 0.5);
      const high = 3 + Math.sqrt(chunk.activity_shown) * (floor - top - 6);
      pen.fillStyle = chunk.activity_shown > 0.5 ? colour("--strip-hot") : colour("--strip");
      pen.fillRect(left, floor - high, wide, high);
      if (chunk.similarity) {
        pen.globalAlpha = 0.15 + 0.85 * chunk.similarity;
        pen.fillStyle = colour("--accent");
        pen.fillRect(left, top - 8, wide, 6);
        pen.globalAlpha = 1;
      }
    }
    this.ticks(pen, x, top, floor, colour, width, height);
    this.scale(pen, start, end, x, height, colour, width);
  }

  unread(pen, x, top, floor, colour) {
    if (!this.duration || this.ingested >= this.duration - 0.5) return;
    const left = x(this.ingested),
      right = x(this.duration);
    pen.save();
    pen.beginPath();
    pen.rect(left, top, right - left, floor - top);
    pen.clip();
    pen.strokeStyle = colour("--line");
    pen.lineWidth = 1.5;
    for (let at = left - 60; at < right; at += 7) {
      pen.beginPath();
      pen.moveTo(at, floor);
      pen.lineTo(at + (floor - top), top);
      pen.stroke();
    }
    pen.restore();
  }

  ticks(pen, x, top, floor, colour, width, height) {
    for (const item of this.evidence) {
      const left = x(item.start_s),
        wide = Math.max(3, x(item.end_s) - left);
      pen.globalAlpha = 0.22;
      pen.fillStyle = colour("--accent");
      pen.fillRect(left, top, wide, floor - top);
      pen.globalAlpha = 1;
      pen.fillRect(left, floor - 1, wide, 3);
    }
    if (this.marks.in !== undefined) {
      pen.strokeStyle = colour("--accent");
      pen.lineWidth = 1.5;
      pen.strokeRect(
        x(this.marks.in),
        top - 1,
        Math.max(2, x(this.marks.out ?? this.time) - x(this.marks.in)),
        floor - top + 2,
      );
    }
    if (this.drag) {
      pen.globalAlpha = 0.15;
      pen.fillStyle = colour("--ink");
      pen.fillRect(Math.min(...this.drag), 0, Math.abs(this.drag[1] - this.drag[0]), height);
      pen.globalAlpha = 1;
    }
    const now = x(this.time);
    if (now < -1 || now > width + 1) return;
    pen.fillStyle = colour("--ink");
    pen.fillRect(Math.min(width - 2, Math.max(0, now - 1)), 2, 2, floor);
    pen.beginPath();
    pen.arc(now, 5, 4, 0, 7);
    pen.fill();
  }

  scale(pen, start, end, x, height, colour, width) {
    const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
    const step = steps.find((value) => ((end - start) / value) * 64 < width) ?? 28800;
    pen.fillStyle = colour("--ink-3");
    pen.font = `11px ${colour("--mono")}`;
    for (let at = Math.ceil(start / step) * step; at <= end; at += step) {
      const left = x(at);
      if (left > width - 30) break;
      pen.fillRect(left, height - 14, 1, 3);
      pen.fillText(clock(at), left + 3, height - 4);
    }
  }

  describe() {
    const here = this.chunks.find((chunk) => chunk.start_s <= this.time && this.time < chunk.end_s);
    const level = !here
      ? "not read yet"
      : here.activity_shown > 0.5
        ? "activity high"
        : here.activity_shown > 0.15
          ? "activity some"
          : "activity low";
    const { canvas } = this;
    canvas.setAttribute("aria-valuemax", String(Math.round(this.duration)));
    canvas.setAttribute("aria-valuenow", String(Math.round(this.time)));
    canvas.setAttribute(
      "aria-valuetext",
      `${clock(this.time)}, ${level}, ${this.evidence.length} cited moments`,
    );
    const swatch = (style, text) => h("span", {}, h("i", { style }), text);
    fill(
      this.legend,
      swatch("background:var(--strip-hot)", "activity"),
      this.chunks.some((chunk) => chunk.similarity)
        ? swatch("background:var(--accent);opacity:.6", "similar to the question")
        : null,
      this.evidence.length ? swatch("background:var(--accent)", "cited") : null,
      this.ingested < this.duration - 0.5
        ? swatch(
            "background:repeating-linear-gradient(135deg,var(--line) 0 2px,transparent 2px 4px)",
            "not read yet",
          )
        : null,
      h("span", { class: "end wide-only" }, this.view ? "double-click: all" : "drag: zoom"),
      h(
        "button",
        {
          class: "quiet",
          type: "button",
          "aria-expanded": String(!!this.table),
          onclick: () => this.toggleTable(),
        },
        this.table ? "Hide table" : "As a table",
      ),
    );
  }

  toggleTable() {
    if (this.table) {
      this.table.remove();
      this.table = null;
      this.describe();
      return;
    }
    const rows = this.chunks.map((chunk) =>
      h(
        "tr",
        {},
        h(
          "td",
          {},
          h(
            "button",
            { class: "quiet mono", type: "button", onclick: () => this.onseek(chunk.start_s) },
            clock(chunk.start_s),
          ),
        ),
        h("td", { class: "mono" }, clock(chunk.end_s)),
        h("td", {}, chunk.activity_shown.toFixed(2)),
        h(
          "td",
          {},
          this.evidence.some((item) => item.start_s < chunk.end_s && item.end_s > chunk.start_s)
            ? "cited"
            : "",
        ),
      ),
    );
    this.table = h(
      "div",
      {
        style: "max-height:220px;overflow:auto;border-top:1px solid var(--line)",
        tabindex: "0",
        role: "region",
        "aria-label": "Timeline as a table",
      },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["Start", "End", "Activity", ""].map((name) => h("th", {}, name)),
          ),
        ),
        h("tbody", {}, rows),
      ),
    );
    this.element.append(this.table);
    this.describe();
  }
}
