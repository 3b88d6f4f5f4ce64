// The player: keys, marks, clips. Its markup stands in `components/player.py`.

import { clock, hear, momentOf, say, toast } from "./parts.js";

export function mount(element, { trigger, props, watch }) {
  const player = new Player(element, trigger);
  watch("value", () => player.apply(props.value));
  if (props.value?.video) player.apply(props.value);
}

class Player {
  constructor(element, trigger) {
    Object.assign(this, { trigger, spans: [], at: -1, marks: {}, source: null, still_s: 0 });
    this.screen = element.querySelector(".screen");
    this.part = (name) => this.screen.querySelector(`[data-part="${name}"]`);
    this.video = this.screen.querySelector("video");
    this.keys = JSON.parse(this.screen.dataset.keys);
    // Before the browser's own keys, whose arrows go further the longer a video is.
    this.screen.addEventListener("keydown", (event) => this.key(event), true);
    this.screen.addEventListener("click", (event) => {
      const act = event.target.closest("[data-act]")?.dataset.act;
      if (act) this.act(act);
    });
    this.part("rate").addEventListener("change", (event) => {
      this.video.playbackRate = Number(event.target.value);
    });
    this.part("seek").addEventListener("input", (event) => this.seek(Number(event.target.value)));
    const keys = this.screen.querySelector("[name=keys]");
    keys.checked = localStorage.getItem("lw-keys") !== "off";
    keys.addEventListener("change", () =>
      localStorage.setItem("lw-keys", keys.checked ? "on" : "off"),
    );
    for (const name of ["timeupdate", "seeked", "pause", "play", "loadedmetadata"])
      this.video.addEventListener(name, () => this.tick());
    this.video.addEventListener("error", () => this.fail());
    this.video.addEventListener("loadeddata", () => this.word());
    document.addEventListener("click", (event) => this.follow(event));
    hear("lw-seek", ({ time_s: time, ...rest }) => this.seek(time, rest));
    hear("lw-marks", (marks) => this.mark(marks));
  }

  get time() {
    if (!this.source?.play_url) return this.still_s;
    return Math.max(0, (this.video.currentTime || 0) - this.source.play_offset_s);
  }

  apply({ video, time_s: time, end_s: end, spans, inset }) {
    if (!video) return;
    const isNew = video.video_id !== this.source?.video_id;
    const isOpened = isNew || (video.play_url && !this.source.play_url);
    this.source = video;
    if (isNew) this.mark({});
    if (isOpened) this.open();
    if (isNew || inset) this.inset = inset;
    if (spans) Object.assign(this, { spans, at: -1 });
    if (time !== null && (time || !isNew)) this.seek(time, { play: end !== null, end });
    else this.tick();
  }

  open() {
    const { video_id: id, play_url: url } = this.source;
    for (const track of this.video.querySelectorAll("track"))
      track.src = `/media/${id}/${track.kind}.vtt`;
    // Of what cannot be played the kept still is what there is to see.
    this.video.poster = url ? "" : `/media/${id}/frame.jpg?t=0&w=640`;
    this.still_s = 0;
    this.word(...(url ? [] : this.source.play_note));
    if (url) this.video.src = url;
    else if (this.video.hasAttribute("src")) {
      this.video.removeAttribute("src");
      this.video.load();
    }
  }

  // What stands over the picture in place of it; nothing takes it away.
  word(message = "", hint = "") {
    const [title, rest] = this.part("word").children;
    title.textContent = message;
    rest.textContent = hint;
    this.part("word").hidden = !message;
  }

  fail() {
    if (this.video.getAttribute("src"))
      this.word(
        "This browser cannot play the original.",
        "A playable copy is made once reading is done; questions and evidence work meanwhile.",
      );
  }

  // Goes to a moment; with `end` it pauses there, so that a citation shows exactly its span.
  seek(time, { play = false, end = null } = {}) {
    if (!this.source) return;
    if (!this.source.play_url) {
      // Of a camera, and of what browsers cannot play, the kept still is what there is to see.
      this.still_s = Math.max(0, time);
      this.video.poster = `/media/${this.source.video_id}/frame.jpg?t=${this.still_s.toFixed(1)}&w=640`;
      this.word();
      this.tick();
      return;
    }
    const go = () => {
      this.video.currentTime = Math.max(0, time) + this.source.play_offset_s;
      this.stop_s = end;
      if (play) this.video.play().catch(() => {});
    };
    if (this.video.readyState >= 1) go();
    else this.video.addEventListener("loadedmetadata", go, { once: true });
  }

  tick() {
    const { time, video } = this;
    if (this.stop_s !== null && time >= this.stop_s) {
      this.stop_s = null;
      video.pause();
    }
    this.lay(time);
    const length = this.source?.duration_s ?? video.duration ?? 0;
    this.part("now").textContent = `${clock(time, 1)} / ${clock(length)}`;
    Object.assign(this.part("seek"), { max: length, value: time });
    this.screen.classList.toggle("playing", !video.paused);
    this.screen.querySelector("button[data-act=play]").ariaLabel = video.paused ? "Play" : "Pause";
    say("lw-time", { video_id: this.source?.video_id, time_s: time });
    clearTimeout(this.writing);
    this.writing = setTimeout(() => write(time), 400);
    for (const link of document.querySelectorAll("a.shot[href*='/ui/watch?']")) {
      const { video_id: id, start_s: start, end_s: end } = momentOf(link);
      const isNear = id === this.source?.video_id && start <= time && time < end;
      const place = link.closest(".moment, li") ?? link;
      // A list in step with the picture scrolls by itself, but never the page.
      const list = place.closest("[data-follow]");
      if (isNear && list && !place.classList.contains("near") && !list.matches(":hover"))
        list.scrollTop = place.offsetTop - list.offsetTop - list.clientHeight / 3;
      place.classList.toggle("near", isNear);
    }
  }

  // The picture that stands over the video, while it does.
  lay(time) {
    const { picture, words, start_s: start, end_s: end } = this.inset ?? {};
    const figure = this.part("inset");
    figure.hidden = !picture || time < start - 0.05 || time >= end;
    if (figure.hidden) return;
    const [image, caption] = figure.children;
    if (image.getAttribute("src") !== picture) image.src = picture;
    caption.textContent = words;
  }

  // Links to moments are played here, without a word to the server where their video is open.
  follow(event) {
    const words = event.target.closest?.("[data-copy]")?.dataset.copy;
    if (words) copy(words, "The answer is copied, with its times.");
    const link = event.target.closest?.("a[href*='/ui/watch?']");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || !this.source) return;
    const moment = momentOf(link);
    if (!moment.video_id || moment.end_s === null) return;
    event.preventDefault();
    this.play(moment);
  }

  play(moment) {
    this.at = this.spans.findIndex(
      ({ video_id: id, start_s: start }) => id === moment.video_id && start === moment.start_s,
    );
    if (moment.video_id !== this.source.video_id) this.trigger("open", moment);
    else this.seek(moment.start_s, { play: true, end: moment.end_s });
  }

  step(by) {
    if (!this.spans.length) return;
    const at = (Math.max(this.at, by > 0 ? -1 : 0) + by + this.spans.length) % this.spans.length;
    this.play(this.spans[at]);
    this.at = at;
  }

  mark(marks) {
    this.marks = marks;
    const { start_s: start, end_s: end } = marks;
    const words = [start, end].map((time) => (time === undefined ? "…" : clock(time, 1)));
    this.part("span").textContent = start === undefined ? "" : words.join("–");
    this.part("clip").hidden = start === undefined;
    this.screen.querySelector("[data-act=cut]").disabled = !(end > start);
    if (!marks.is_drawn) say("lw-marked", marks);
  }

  act(name) {
    const { video, marks, time } = this;
    const acts = {
      play: () => (video.paused ? video.play() : video.pause()),
      mute: () => this.screen.classList.toggle("muted", (video.muted = !video.muted)),
      full: () =>
        document.fullscreenElement ? document.exitFullscreen() : this.screen.requestFullscreen(),
      words: () => {
        const track = [...video.textTracks].find(({ kind }) => kind === "captions");
        track.mode = track.mode === "showing" ? "hidden" : "showing";
        this.screen.classList.toggle("captioned", track.mode === "showing");
      },
      in: () => this.mark({ start_s: time }),
      out: () =>
        marks.start_s !== undefined &&
        this.mark({ ...marks, end_s: Math.max(time, marks.start_s) }),
      clear: () => this.mark({}),
      cut: () => this.cut(),
      link: () => {
        write(time);
        copy(location.href, "The link to this moment is copied.");
      },
      help: () => this.screen.querySelector("dialog").showModal(),
      forth: () => this.step(1),
      back: () => this.step(-1),
    };
    // Acts that are numbers go so many seconds.
    const done = name in acts ? acts[name]() : this.seek(time + Number(name));
    Promise.resolve(done).catch(() => {});
  }

  cut() {
    const { start_s: start, end_s: end } = this.marks;
    if (!(end > start)) return toast("Mark a start with [ and an end with ] first.");
    const query = `start=${start.toFixed(2)}&end=${end.toFixed(2)}`;
    location.assign(`/media/${this.source.video_id}/clip?${query}`);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (localStorage.getItem("lw-keys") === "off" || event.target.closest("select, dialog")) return;
    const act = this.keys[event.key] ?? this.keys[event.key.toLowerCase()];
    if (!act || (event.key === " " && event.target.closest("button"))) return;
    event.preventDefault();
    event.stopPropagation();
    this.act(act);
  }
}

function write(time) {
  const query = new URLSearchParams(location.search);
  if (time) query.set("t", time.toFixed(1));
  else query.delete("t");
  history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
}

async function copy(text, done) {
  try {
    await navigator.clipboard.writeText(text);
    toast(done);
  } catch {
    toast("The browser does not let this page copy.", text);
  }
}
