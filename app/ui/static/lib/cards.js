// Parts that more than one page shows: a status, a moment, an ingest's progress.

import { linkTo } from "/assets/lib/address.js";
import { clock, h, icon, lengthText, spanText, wallText } from "/assets/lib/dom.js";

const WORDS = {
  queued: "waiting",
  ingesting: "reading",
  ready: "ready",
  failed: "failed",
  cancelled: "stopped",
  running: "running",
  done: "done",
};

export function statusChip(status, title = "") {
  const kind =
    { ready: "ready", done: "ready", failed: "failed", ingesting: "running", running: "running" }[
      status
    ] ?? "";
  return h(
    "span",
    { class: `chip ${kind}`, title },
    h("span", { class: "dot" }),
    WORDS[status] ?? status,
  );
}

export function still(url, alt) {
  return h("img", {
    class: "still",
    src: url,
    alt,
    loading: "lazy",
    decoding: "async",
    width: 320,
    height: 180,
    onerror: (event) => {
      event.target.style.visibility = "hidden";
    },
  });
}

// "chunk 214/900 · 8.3x real time · ETA 6 min"
export function progressText(video) {
  const parts = [];
  const of = video.expected_chunks ? `/${video.expected_chunks}` : "";
  parts.push(video.chunks ? `chunk ${video.chunks}${of}` : "opening");
  if (video.realtime_factor) parts.push(`${video.realtime_factor.toFixed(1)}× real time`);
  if (video.eta_s) parts.push(`ETA ${lengthText(video.eta_s)}`);
  return parts.join(" · ");
}

export function progressBar(video) {
  const share = video.duration_s ? Math.min(1, video.ingested_s / video.duration_s) : null;
  const bar = h("progress", { max: "1", "aria-label": `Reading ${video.name}` });
  if (share !== null) bar.value = share;
  return bar;
}

export function momentCard(moment, { number = null, onplay = null, onalike = null } = {}) {
  const time = moment.peak_s ?? moment.keyframe_s ?? moment.start_s;
  const link = linkTo("watch", { v: moment.video_id, t: moment.start_s.toFixed(1) });
  const words = `${moment.video}, ${spanText(moment.start_s, moment.end_s)}`;
  const picture = [
    still(`/media/${moment.video_id}/frame.jpg?t=${time.toFixed(1)}&w=320`, ""),
    h("span", { class: "stamp" }, spanText(moment.start_s, moment.end_s)),
    number === null ? null : h("span", { class: "number", "aria-hidden": "true" }, String(number)),
  ];
  const shot = onplay
    ? h(
        "button",
        { class: "shot", type: "button", "aria-label": `Play ${words}`, onclick: onplay },
        picture,
      )
    : h("a", { class: "shot", href: link, "aria-label": `Open ${words}` }, picture);
  return h(
    "article",
    { class: "moment" },
    shot,
    h(
      "div",
      { class: "about" },
      h(
        "span",
        { title: moment.start_at ? wallText(moment.start_at) : moment.video },
        moment.start_at
          ? `${moment.video} · ${new Date(moment.start_at).toLocaleTimeString()}`
          : moment.video,
      ),
      onalike
        ? h(
            "button",
            {
              class: "quiet",
              type: "button",
              title: "Find similar moments",
              "aria-label": `Find moments similar to ${clock(time)}`,
              onclick: onalike,
            },
            icon("alike"),
          )
        : null,
    ),
  );
}

export function empty(shape, title, words, ...actions) {
  return h(
    "div",
    { class: "panel empty" },
    icon(shape),
    h("h2", {}, title),
    h("p", {}, words),
    actions.length ? h("div", { class: "row" }, actions) : null,
  );
}

export function failure(error, retry) {
  return h(
    "div",
    { class: "note bad", role: "alert" },
    h("strong", {}, error.message),
    error.hint ? h("p", {}, error.hint) : null,
    retry ? h("button", { type: "button", onclick: retry }, "Try again") : null,
  );
}
