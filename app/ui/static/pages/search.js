// Search over every video: one box, filters that become chips, moments with their stills.

import { linkTo, readAddress, writeAddress } from "/assets/lib/address.js";
import { call } from "/assets/lib/api.js";
import { empty, failure, momentCard } from "/assets/lib/cards.js";
import { clock, fill, h, icon } from "/assets/lib/dom.js";

const TOKEN = /(^|\s)(camera|video|after|before|time):("([^"]*)"|\S+)/gi;

export async function mount(main) {
  const { videos } = await call("GET", "/api/v1/videos");
  new Search(main, videos).start();
}

class Search {
  constructor(main, videos) {
    Object.assign(this, { main, videos, filters: [], like: null, grouped: false });
    this.box = h("input", {
      type: "search",
      "aria-label": "Search",
      placeholder: "a person carrying a box   camera:gate   after:22:00",
      enterkeyhint: "search",
    });
    this.chips = h("div", { class: "filters" });
    this.found = h("div", { "aria-live": "polite" });
    const form = h(
      "form",
      { class: "ask-box", role: "search" },
      this.box,
      h(
        "button",
        { class: "primary", type: "submit", "aria-label": "Search" },
        icon("search"),
        h("span", {}, "Search"),
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.take();
      this.run();
    });
    fill(main, h("div", { class: "head" }, h("h1", {}, "Search")), form, this.chips, this.found);
    this.found.addEventListener("keydown", (event) => this.key(event));
  }

  start() {
    const { q, v, after, before, time, like, group } = readAddress();
    this.box.value = q ?? "";
    if (v) this.add("video", v);
    for (const [name, value] of Object.entries({ after, before, time })) {
      if (value) this.add(name, value);
    }
    if (like) {
      const [video, at] = like.split("@");
      this.like = { video_id: video, time_s: Number(at) };
    }
    this.grouped = group === "1";
    this.drawChips();
    if (q || this.like) this.run();
    else this.greet();
    this.box.focus();
  }

  greet() {
    const indexed = this.videos.filter((video) => video.chunks).length;
    fill(
      this.found,
      indexed
        ? empty(
            "search",
            `Search ${indexed} video${indexed === 1 ? "" : "s"}`,
            "Describe what a moment looks like. Narrow it with camera:NAME, after: and before: " +
              "(1:30, 90m or 2026-03-01T22:00), or time:22:00-06:00 for footage with a wall clock.",
          )
        : empty(
            "search",
            "Nothing is indexed yet",
            "Add a video; its first chunks can be searched while the rest is being read.",
            h("a", { class: "button", href: "/ui/" }, "Open the library"),
          ),
    );
  }

  // Words like camera:gate leave the box and become chips.
  take() {
    this.box.value = this.box.value
      .replace(TOKEN, (_, gap, name, value, quoted) => {
        this.add(name.toLowerCase(), quoted ?? value);
        return gap;
      })
      .trim();
    if (this.box.value) this.like = null;
  }

  add(name, value) {
    const kind = name === "camera" ? "video" : name;
    if (kind !== "video") this.filters = this.filters.filter((one) => one.kind !== kind);
    let text = `${kind}: ${value}`,
      bad = null;
    if (kind === "video") {
      const wanted = value.toLowerCase();
      const video =
        this.videos.find((one) => one.video_id === value) ??
        this.videos.find((one) => one.name.toLowerCase() === wanted) ??
        this.videos.find((one) => one.name.toLowerCase().includes(wanted));
      if (!video) bad = `no video named ${value}`;
      else {
        value = video.video_id;
        text = video.name;
      }
      if (this.filters.some((one) => one.kind === "video" && one.value === value)) return;
    }
    if (kind === "time" && !/^\d{2}:\d{2}-\d{2}:\d{2}$/.test(value)) bad = "time:22:00-06:00";
    if (["after", "before"].includes(kind) && bound(value) === undefined)
      bad = `${kind}: 1:30 or a date`;
    this.filters.push({ kind, value, text: bad ?? text, bad });
  }

  drawChips() {
    const remove = (drop, text) =>
      h(
        "button",
        {
          type: "button",
          "aria-label": `Remove ${text}`,
          onclick: () => {
            drop();
            this.drawChips();
            this.run();
          },
        },
        icon("close"),
      );
    const rest = this.videos.filter(
      (video) => !this.filters.some((one) => one.kind === "video" && one.value === video.video_id),
    );
    const more = h(
      "select",
      {
        "aria-label": "Only in a video",
        style: "width:auto;min-height:28px;padding:2px 28px 2px 8px;font-size:12.5px",
      },
      h("option", { value: "" }, "Only in …"),
      rest.map((video) => h("option", { value: video.video_id }, video.name)),
    );
    more.addEventListener("change", () => {
      this.add("video", more.value);
      this.drawChips();
      this.run();
    });
    fill(
      this.chips,
      this.like
        ? h(
            "span",
            { class: "chip set" },
            `like ${this.nameOf(this.like.video_id)} at ${clock(this.like.time_s)}`,
            remove(() => {
              this.like = null;
            }, "the frame"),
          )
        : null,
      this.filters.map((one) =>
        h(
          "span",
          { class: `chip ${one.bad ? "failed" : "set"}` },
          one.text,
          remove(() => {
            this.filters = this.filters.filter((other) => other !== one);
          }, one.text),
        ),
      ),
      rest.length && this.videos.length > 1 ? more : null,
      h(
        "label",
        { class: "row", style: "margin-left:auto" },
        h("input", {
          type: "checkbox",
          checked: this.grouped,
          onchange: (event) => {
            this.grouped = event.target.checked;
            writeAddress({ group: this.grouped ? "1" : null });
            if (this.last) this.draw(this.last);
          },
        }),
        "Group by video",
      ),
    );
  }

  nameOf(id) {
    return this.videos.find((video) => video.video_id === id)?.name ?? id;
  }

  async run() {
    const query = this.box.value.trim();
    const one = (kind) => this.filters.find((filter) => filter.kind === kind && !filter.bad)?.value;
    const videos = this.filters
      .filter((filter) => filter.kind === "video" && !filter.bad)
      .map((filter) => filter.value);
    this.drawChips();
    writeAddress({
      q: query,
      v: videos[0],
      after: one("after"),
      before: one("before"),
      time: one("time"),
      like: this.like ? `${this.like.video_id}@${this.like.time_s}` : null,
    });
    if (!query && !this.like) {
      this.greet();
      return;
    }
    fill(
      this.found,
      h(
        "div",
        { class: "results" },
        [1, 2, 3, 4, 5, 6].map(() => h("div", { class: "skeleton", style: "aspect-ratio:16/11" })),
      ),
    );
    const body = {
      query: this.like ? "" : query,
      like: this.like,
      videos,
      top: 24,
      after: bound(one("after")) ?? null,
      before: bound(one("before")) ?? null,
      time_of_day: one("time") ?? null,
    };
    try {
      this.last = await call("POST", "/api/v1/search", body);
      this.draw(this.last);
    } catch (error) {
      fill(
        this.found,
        failure(error, () => this.run()),
      );
    }
  }

  draw(found) {
    if (!found.hits.length) {
      fill(
        this.found,
        empty(
          "search",
          "No moment matches",
          `${found.searched} were searched. ` +
            "Remove a filter, or describe what the picture shows rather than what it means.",
        ),
      );
      return;
    }
    const count = `${found.hits.length} moments in ${found.searched}, best first`;
    const card = (hit) => momentCard(hit, { onalike: () => this.alike(hit) });
    const groups = this.grouped
      ? [...Map.groupBy(found.hits, (hit) => hit.video)]
      : [[null, found.hits]];
    fill(
      this.found,
      h(
        "p",
        { class: "faint", style: "margin-bottom:10px" },
        `${count} · ${Math.round(found.timing.total_ms)} ms`,
      ),
      groups.map(([name, hits]) =>
        h(
          "section",
          { class: "group" },
          name ? h("h2", {}, name, h("span", { class: "faint" }, String(hits.length))) : null,
          h("div", { class: "results" }, hits.map(card)),
        ),
      ),
      (found.captions ?? []).length
        ? h(
            "section",
            { class: "group" },
            h(
              "h2",
              {},
              "Descriptions with these words",
              h("span", { class: "faint" }, String(found.captions.length)),
            ),
            h(
              "ul",
              {},
              found.captions.map((one) =>
                h(
                  "li",
                  {},
                  h(
                    "a",
                    { href: linkTo("watch", { v: one.video_id, t: one.start_s }) },
                    `${one.video} ${clock(one.start_s)}`,
                  ),
                  ` ${one.text}`,
                ),
              ),
            ),
          )
        : null,
    );
  }

  alike(hit) {
    this.like = { video_id: hit.video_id, time_s: Number(hit.peak_s.toFixed(1)) };
    this.box.value = "";
    this.run();
    window.scrollTo({ top: 0 });
  }

  // Arrows walk the results while focus is among them.
  key(event) {
    const shots = [...this.found.querySelectorAll(".shot")];
    const here = shots.indexOf(document.activeElement);
    const by = { ArrowRight: 1, ArrowLeft: -1, n: 1, p: -1 }[event.key];
    if (here < 0) return;
    if (event.key === "/") {
      event.preventDefault();
      this.box.focus();
      return;
    }
    if (!by) return;
    event.preventDefault();
    shots[(here + by + shots.length) % shots.length].focus();
  }
}

// `1:30`, `90m`, `1h30m`, `95`, or a date: seconds or ISO 8601; undefined when neither.
function bound(text) {
  if (!text) return undefined;
  const offset = /^(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)s?$/.exec(text);
  if (offset)
    return Number(offset[1] ?? 0) * 3600 + Number(offset[2] ?? 0) * 60 + Number(offset[3]);
  const units = /^(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?$/.exec(text);
  if (units) return Number(units[1] ?? 0) * 3600 + Number(units[2] ?? 0) * 60;
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}
