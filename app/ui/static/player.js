// The player: a native <video> with keys that work only while focus is inside it.

import { clock, fill, h } from "/assets/lib/dom.js";

const FRAME_S = 1 / 25;

export class Player {
  constructor({ ontick, onmark, onstep }) {
    Object.assign(this, { ontick, onmark, onstep, stopAt: null });
    this.video = h("video", {
      controls: true,
      preload: "metadata",
      playsinline: "",
      tabindex: "0",
      "aria-label": "Video",
    });
    this.word = h("div", { class: "word", hidden: true, role: "status" });
    this.element = h("div", { class: "player" }, this.video, this.word);
    this.element.addEventListener("keydown", (event) => this.key(event));
    let last = 0;
    const tick = () => {
      if (this.stopAt !== null && this.video.currentTime >= this.stopAt) {
        this.stopAt = null;
        this.video.pause();
      }
      if (performance.now() - last < 240 && !this.video.paused) return;
      last = performance.now();
      this.ontick?.(this.video.currentTime);
    };
    for (const name of ["timeupdate", "seeked", "pause"]) this.video.addEventListener(name, tick);
    this.video.addEventListener("error", () => this.failed());
    this.video.addEventListener("loadeddata", () => {
      this.word.hidden = true;
    });
  }

  open(video) {
    this.source = video;
    fill(
      this.video,
      h("track", {
        kind: "chapters",
        src: `/media/${video.video_id}/chapters.vtt`,
        srclang: "en",
        label: "Moments asked about",
        default: true,
      }),
      h("track", {
        kind: "captions",
        src: `/media/${video.video_id}/captions.vtt`,
        srclang: "en",
        label: "What is seen",
      }),
    );
    if (!video.play_url) {
      this.say(...video.play_note);
      return;
    }
    this.word.hidden = true;
    this.video.poster = video.thumb_url ? `${video.thumb_url}&w=1280` : "";
    this.video.src = video.play_url;
  }

  say(message, hint = "") {
    fill(this.word, h("strong", {}, message), hint ? h("span", {}, hint) : null);
    this.word.hidden = false;
  }

  failed() {
    if (!this.video.getAttribute("src")) return;
    this.say(
      "This browser cannot play the original.",
      "A playable copy is made once reading is done; questions and evidence work meanwhile.",
    );
  }

  // Goes to a moment; with `end` it pauses there, so that a citation shows exactly its span.
  seek(time, { play = false, end = null } = {}) {
    const go = () => {
      this.video.currentTime = Math.max(0, time);
      this.stopAt = end;
      if (play) this.video.play().catch(() => {});
    };
    if (this.video.readyState >= 1) go();
    else this.video.addEventListener("loadedmetadata", go, { once: true });
  }

  get time() {
    return this.video.currentTime || 0;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (localStorage.getItem("lw-keys") === "off") return;
    const video = this.video;
    const by = (delta) => this.seek(this.time + delta);
    const acts = {
      " ": () => (video.paused ? video.play() : video.pause()),
      k: () => (video.paused ? video.play() : video.pause()),
      j: () => by(-10),
      l: () => by(10),
      ArrowLeft: () => by(-5),
      ArrowRight: () => by(5),
      ",": () => by(-FRAME_S),
      ".": () => by(FRAME_S),
      "[": () => this.onmark?.("in", this.time),
      "]": () => this.onmark?.("out", this.time),
      e: () => this.onmark?.("export", this.time),
      n: () => this.onstep?.(1),
      p: () => this.onstep?.(-1),
      m: () => {
        video.muted = !video.muted;
      },
      f: () =>
        document.fullscreenElement ? document.exitFullscreen() : this.element.requestFullscreen(),
      "?": () => this.onmark?.("help", this.time),
      Escape: () => this.onmark?.("clear", this.time),
    };
    const act = acts[event.key] ?? acts[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    Promise.resolve(act()).catch(() => {});
  }

  describe() {
    return `${clock(this.time)} of ${clock(this.video.duration || 0)}`;
  }
}

export const KEYS = [
  ["Space, K", "play or pause"],
  ["J, L", "10 s back, forward"],
  ["←, →", "5 s back, forward"],
  [", .", "one frame back, forward"],
  ["N, P", "next, previous evidence"],
  ["[ ]", "mark start, end"],
  ["E", "export the marked clip"],
  ["M", "mute"],
  ["F", "full screen"],
  ["Esc", "clear the marks"],
];
