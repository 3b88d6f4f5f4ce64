// The player of a page: keys, marks, clips. Its markup stands in `components/player.py`.

import { clock, hear, momentOf, say, toast } from "./parts.js";

let screen, video, trigger;
// What is open, what stands over it, what N and P walk, what is marked, where to pause.
let source, inset, writing;
let [spans, at] = [[], -1];
let marks = {};
let still = 0;
let stop = null;

const part = (name) => screen.querySelector(`[data-part="${name}"]`);
const stillOf = (time) => `/media/${source.video_id}/frame.jpg?t=${time.toFixed(1)}&w=640`;
const now = () =>
  source?.play_url ? Math.max(0, (video.currentTime || 0) - source.play_offset_s) : still;

export function player(element, { trigger: tell, props, watch }) {
  [screen, trigger] = [element.querySelector(".screen"), tell];
  video = screen.querySelector("video");
  const keys = JSON.parse(screen.dataset.keys);
  // Before the browser's own keys, whose arrows go further the longer a video is.
  screen.addEventListener("keydown", (event) => press(event, keys), true);
  screen.addEventListener("click", ({ target }) => act(target.closest("[data-act]")?.dataset.act));
  screen.addEventListener("input", ({ target }) => {
    if (target === part("rate")) video.playbackRate = Number(target.value);
    else if (target === part("seek")) seek(Number(target.value));
    else localStorage.setItem("lw-keys", target.checked ? "on" : "off");
  });
  part("keys").checked = localStorage.getItem("lw-keys") !== "off";
  for (const name of ["timeupdate", "seeked", "pause", "play", "loadedmetadata"])
    video.addEventListener(name, tick);
  video.addEventListener("error", () => source.play_url && cover(...source.unplayable));
  video.addEventListener("loadeddata", () => cover(...source.play_note));
  document.addEventListener("click", follow);
  hear("lw-seek", ({ time_s: time, ...rest }) => seek(time, rest));
  hear("lw-marks", mark);
  watch("value", () => apply(props.value));
  apply(props.value ?? {});
}

function apply({ video: wanted, time_s: time, end_s: end, spans: walked, inset: over }) {
  if (!wanted) return;
  const isNew = wanted.video_id !== source?.video_id;
  const isOpened = isNew || (wanted.play_url && !source.play_url);
  source = wanted;
  if (isNew) mark({});
  if (isOpened) open(time ?? 0);
  if (isNew || over) inset = over;
  if (walked) [spans, at] = [walked, -1];
  if (time !== null && (time || !isNew)) seek(time, { play: end !== null, end });
  else tick();
}

function open(time) {
  const { video_id: id, play_url: url, play_note: note } = source;
  for (const track of video.querySelectorAll("track")) track.src = `/media/${id}/${track.kind}.vtt`;
  // Until it plays, which phones begin to fetch it for, and of what cannot be played, a kept still
  // is what there is to see.
  video.poster = url && note.length ? "" : stillOf(time);
  still = 0;
  cover(...note);
  if (url) video.src = url;
  else video.removeAttribute("src");
  video.load();
}

// What stands over the picture in place of it; nothing takes it away.
function cover(...lines) {
  [...part("word").children].forEach((line, idx) => (line.textContent = lines[idx] ?? ""));
  part("word").hidden = !lines.length;
}

// Goes to a moment; with `end` it pauses there, so that a citation shows exactly its span.
function seek(time, { play = false, end = null } = {}) {
  if (!source) return;
  if (!source.play_url) {
    // Of a camera, and of what browsers cannot play, the kept still is what there is to see.
    still = Math.max(0, time);
    video.poster = stillOf(still);
    cover();
    return tick();
  }
  // The browser goes there once it knows the video, if it does not yet.
  video.currentTime = Math.max(0, time) + source.play_offset_s;
  stop = end;
  if (play) video.play().catch(() => {});
}

function tick() {
  const time = now();
  if (stop !== null && time >= stop) {
    stop = null;
    video.pause();
  }
  const length = source?.duration_s ?? video.duration ?? 0;
  part("now").textContent = `${clock(time, 1)} / ${clock(length)}`;
  Object.assign(part("seek"), { max: length, value: time });
  screen.classList.toggle("playing", !video.paused);
  screen.querySelector("button[data-act=play]").ariaLabel = video.paused ? "Play" : "Pause";
  say("lw-time", { video_id: source?.video_id, time_s: time });
  clearTimeout(writing);
  writing = setTimeout(write, 400, time);
  lay(time);
  for (const link of document.querySelectorAll("a.shot[href*='/ui/watch?']")) light(link, time);
}

// The picture that stands over the video, while it does.
function lay(time) {
  const { picture, words, start_s: start, end_s: end } = inset ?? {};
  const [image, caption] = part("inset").children;
  part("inset").hidden = !picture || time < start - 0.05 || time >= end;
  if (picture && image.getAttribute("src") !== picture) image.src = picture;
  caption.textContent = words ?? "";
}

// Marks a link whose moment is on; a list in step scrolls by itself, but never the page.
function light(link, time) {
  const { video_id: id, start_s: start, end_s: end } = momentOf(link);
  const isNear = id === source?.video_id && start <= time && time < end;
  const place = link.closest(".moment, li") ?? link;
  const list = place.closest("[data-follow]");
  if (isNear && list && !place.classList.contains("near") && !list.matches(":hover"))
    list.scrollTop = place.offsetTop - list.offsetTop - list.clientHeight / 3;
  place.classList.toggle("near", isNear);
}

// Links to moments are played here, without a word to the server where their video is open.
function follow(event) {
  const words = event.target.closest?.("[data-copy]")?.dataset.copy;
  if (words) copy(words, "The answer is copied, with its times.");
  const link = event.target.closest?.("a[href*='/ui/watch?']");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || !source) return;
  const moment = momentOf(link);
  if (!moment.video_id || moment.end_s === null) return;
  event.preventDefault();
  at = spans.findIndex(
    ({ video_id: id, start_s: start }) => id === moment.video_id && start === moment.start_s,
  );
  show(moment);
}

function show(moment) {
  if (moment.video_id !== source.video_id) trigger("open", moment);
  else seek(moment.start_s, { play: true, end: moment.end_s });
}

function step(by) {
  if (!spans.length) return;
  at = (Math.max(at, by > 0 ? -1 : 0) + by + spans.length) % spans.length;
  show(spans[at]);
}

function mark(wanted) {
  const { start_s: start = null, end_s: end = null } = wanted;
  if ("end_s" in marks || end !== null)
    trigger("mark", { video_id: source.video_id, start_s: start, end_s: end });
  marks = wanted;
  const words = [start, end].map((time) => (time === null ? "…" : clock(time, 1)));
  part("span").textContent = words.join("–");
  part("clip").hidden = start === null;
  screen.querySelector("[data-act=cut]").disabled = !(end > start);
  say("lw-marked", marks);
}

const ACTS = {
  play: () => (video.paused ? video.play() : video.pause()),
  mute: () => screen.classList.toggle("muted", (video.muted = !video.muted)),
  full: () => (document.fullscreenElement ? document.exitFullscreen() : screen.requestFullscreen()),
  words: () => {
    const { track } = video.querySelector("track");
    track.mode = track.mode === "showing" ? "hidden" : "showing";
    screen.classList.toggle("captioned", track.mode === "showing");
  },
  in: () => mark({ start_s: now() }),
  out: () => "start_s" in marks && mark({ ...marks, end_s: Math.max(now(), marks.start_s) }),
  clear: () => mark({}),
  cut: () => {
    const { start_s: start, end_s: end } = marks;
    if (!(end > start)) return toast("Mark a start with [ and an end with ] first.");
    location.assign(
      `/media/${source.video_id}/clip?start=${start.toFixed(2)}&end=${end.toFixed(2)}`,
    );
  },
  link: () => {
    write(now());
    copy(location.href, "The link to this moment is copied.");
  },
  help: () => screen.querySelector("dialog").showModal(),
  forth: () => step(1),
  back: () => step(-1),
};

// Acts that are numbers go so many seconds.
function act(name) {
  if (!name) return;
  const done = name in ACTS ? ACTS[name]() : seek(now() + Number(name));
  Promise.resolve(done).catch(() => {});
}

function press(event, keys) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (!part("keys").checked || event.target.closest("select, dialog")) return;
  const name = keys[event.key] ?? keys[event.key.toLowerCase()];
  if (!name || (event.key === " " && event.target.closest("button"))) return;
  event.preventDefault();
  event.stopPropagation();
  act(name);
}

function write(time) {
  const query = new URLSearchParams(location.search);
  if (time) query.set("t", time.toFixed(1));
  else query.delete("t");
  history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
}

async function copy(text, done) {
  const copied = navigator.clipboard?.writeText(text) ?? Promise.reject(new Error());
  await copied.then(
    () => toast(done),
    () => toast("The browser does not let this page copy.", text),
  );
}
