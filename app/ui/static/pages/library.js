// The library: upload, see it being read, open, rename, cut, delete.

import { linkTo } from "/assets/lib/address.js";
import { call, poll } from "/assets/lib/api.js";
import { empty, failure, progressBar, progressText, statusChip } from "/assets/lib/cards.js";
import { bytesText, clock, dialog, fill, h, icon, lengthText, toast } from "/assets/lib/dom.js";
import { Upload } from "/assets/lib/tus.js";

const PAGE = 60;
const MOST = 500;

export async function mount(main, session) {
  const admin = session.role === "admin";
  const room = h("div", { class: "room" });
  const uploads = h("div", { class: "uploads", hidden: true });
  const cards = h("div", { "aria-live": "off" });
  const spoken = h("p", { class: "sr", role: "status", "aria-live": "polite" });
  const state = {
    admin,
    cards,
    room,
    uploads,
    spoken,
    told: new Map(),
    open: [],
    wanted: PAGE,
    stamp: null,
  };
  fill(
    main,
    h("div", { class: "head" }, h("h1", {}, "Library"), h("div", { class: "end" }, room)),
    admin ? dropZone(state) : null,
    uploads,
    cards,
    spoken,
  );
  fill(
    cards,
    h(
      "div",
      { class: "cards" },
      [1, 2, 3].map(() => h("div", { class: "card skeleton", style: "height:280px" })),
    ),
  );
  state.poll = poll(() => refresh(state));
}

async function refresh(state) {
  let library;
  try {
    library = await read(state.wanted);
  } catch (error) {
    state.stamp = null;
    fill(
      state.cards,
      failure(error, () => state.poll.now()),
    );
    return 8000;
  }
  drawRoom(state, library);
  // A menu or a dialog that is open stays: redrawing under a pointer loses the click.
  const stamp = JSON.stringify([library.videos, library.total]);
  if (stamp !== state.stamp && !state.cards.querySelector(".menu > ul:not([hidden]), dialog")) {
    state.stamp = stamp;
    drawCards(state, library);
  }
  speak(state, library.videos);
  const busy = library.videos.some((video) => video.job || video.status === "ingesting");
  return busy ? 1200 : 6000;
}

// The newest videos, as many as are wanted, in as few requests as the server allows.
async function read(wanted) {
  const library = { videos: [] };
  do {
    const query = new URLSearchParams({ limit: Math.min(MOST, wanted - library.videos.length) });
    if (library.next) query.set("cursor", library.next);
    const page = await call("GET", `/api/v1/videos?${query}`);
    Object.assign(library, page, { videos: [...library.videos, ...page.videos] });
  } while (library.next && library.videos.length < wanted);
  return library;
}

function drawRoom(state, library) {
  const total = library.used_bytes + library.free_bytes;
  const low = library.free_bytes < library.reserve_bytes;
  fill(
    state.room,
    h(
      "span",
      {},
      `${bytesText(library.used_bytes)} of latents, `,
      h("span", { class: low ? "wrong" : "" }, `${bytesText(library.free_bytes)} free`),
    ),
    h(
      "div",
      { class: "meter" },
      h("i", { style: `width:${Math.max(1, (library.used_bytes / total) * 100).toFixed(1)}%` }),
    ),
    low ? h("p", { class: "wrong" }, "Below the reserve: reading is paused, search works.") : null,
  );
}

function drawCards(state, library) {
  if (!library.videos.length) {
    fill(
      state.cards,
      empty(
        "film",
        "No video yet",
        state.admin
          ? "Drop a long video above. It is read once, chunk by chunk; you can ask about the first " +
              "minutes while the rest is still being read."
          : "Nothing has been shared with you. An admin grants videos in Settings.",
      ),
    );
    return;
  }
  const focused = document.activeElement?.id;
  fill(
    state.cards,
    h(
      "div",
      { class: "cards" },
      library.videos.map((video) => card(state, video)),
    ),
    more(state, library),
  );
  if (focused) document.getElementById(focused)?.focus();
}

function more(state, library) {
  if (!library.next) return null;
  return h(
    "div",
    { class: "more" },
    h("span", { class: "faint" }, `${library.videos.length} of ${library.total} videos`),
    h(
      "button",
      {
        type: "button",
        id: "lw-more",
        onclick: () => {
          state.wanted = library.videos.length + PAGE;
          state.poll.now();
        },
      },
      "Load more",
    ),
  );
}

function card(state, video) {
  const link = linkTo("watch", { v: video.video_id });
  const reading = ["queued", "ingesting"].includes(video.status);
  const cover = h(
    "a",
    { class: "cover", href: link, tabindex: "-1", "aria-hidden": "true" },
    video.thumb_url
      ? h("img", {
          src: video.thumb_url,
          alt: "",
          loading: "lazy",
          onerror: (event) => event.target.remove(),
        })
      : null,
    h(
      "span",
      { class: "stamp" },
      video.is_live ? "live" : video.duration_s ? clock(video.duration_s) : "?",
    ),
  );
  return h(
    "article",
    { class: "card", "aria-label": video.name },
    cover,
    h(
      "div",
      { class: "body" },
      h(
        "div",
        { class: "top" },
        h("a", { href: link, id: `open-${video.video_id}` }, video.name),
        menu(state, video),
      ),
      h(
        "div",
        { class: "row" },
        statusChip(video.status),
        reading && video.chunks ? h("span", { class: "faint" }, "can be asked already") : null,
      ),
      reading
        ? [progressBar(video), h("div", { class: "facts mono" }, progressText(video))]
        : h("div", { class: "facts" }, facts(video)),
      video.error
        ? h("p", { class: "reason" }, video.error, video.hint ? ` — ${video.hint}` : "")
        : null,
    ),
  );
}

function facts(video) {
  const parts = [];
  if (video.width_px) parts.push(`${video.width_px}×${video.height_px}`);
  if (video.video_codec) parts.push(video.video_codec);
  if (video.chunks) parts.push(`${video.chunks} chunks`, bytesText(video.latent_bytes));
  if (video.realtime_factor) parts.push(`read at ${Math.round(video.realtime_factor)}×`);
  if (video.warnings.length) parts.push(`${video.warnings.length} warnings`);
  return parts.map((part) => h("span", {}, part));
}

function menu(state, video) {
  const reading = ["queued", "ingesting"].includes(video.status);
  const items = [
    h(
      "li",
      {},
      h(
        "a",
        { class: "button quiet", href: linkTo("search", { v: video.video_id }) },
        "Search in it",
      ),
    ),
  ];
  const act = (text, run, danger = false) =>
    items.push(
      h(
        "li",
        {},
        h(
          "button",
          {
            type: "button",
            class: `quiet ${danger ? "danger" : ""}`,
            onclick: () => {
              show(false);
              run();
            },
          },
          text,
        ),
      ),
    );
  if (video.play_url) act("Export a clip …", () => exportClip(state, video));
  if (state.admin) {
    act("Rename …", () => rename(state, video));
    if (reading && video.job)
      act("Stop reading", () => send(state, `/api/v1/jobs/${video.job.job_id}/cancel`));
    if (["failed", "cancelled"].includes(video.status)) {
      act("Go on reading", () => send(state, `/api/v1/videos/${video.video_id}/ingest`));
    }
    if (video.status === "ready") {
      act("Describe in words", () => send(state, `/api/v1/videos/${video.video_id}/captions`));
    }
    act("Delete …", () => remove(state, video), true);
  }
  const list = h("ul", { hidden: true }, items);
  const button = h(
    "button",
    {
      class: "quiet icon",
      type: "button",
      "aria-haspopup": "true",
      "aria-expanded": "false",
      "aria-label": `More for ${video.name}`,
      id: `menu-${video.video_id}`,
      onclick: () => show(list.hidden),
    },
    icon("more"),
  );
  const away = (event) => {
    if (!list.parentElement?.contains(event.target)) show(false);
  };
  const show = (open) => {
    list.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    document[open ? "addEventListener" : "removeEventListener"]("pointerdown", away);
  };
  list.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      show(false);
      button.focus();
    }
  });
  return h("div", { class: "menu" }, button, list);
}

async function send(state, path, method = "POST", body = undefined) {
  try {
    await call(method, path, body);
  } catch (error) {
    toast(error.message, error.hint);
  }
  state.poll.now();
}

async function rename(state, video) {
  const given = await dialog(
    state.cards,
    "Rename",
    h(
      "label",
      {},
      "Name",
      h("input", { name: "name", value: video.name, required: true, maxlength: "120" }),
    ),
  );
  if (given) await send(state, `/api/v1/videos/${video.video_id}`, "PATCH", { name: given.name });
}

async function remove(state, video) {
  const given = await dialog(
    state.cards,
    `Delete ${video.name}?`,
    h(
      "p",
      {},
      "Its memory, stills and history of jobs are removed. ",
      video.uri === "uploaded"
        ? "The uploaded file is deleted too."
        : "The file itself stays where it is.",
    ),
    { confirm: "Delete", danger: true },
  );
  if (given) await send(state, `/api/v1/videos/${video.video_id}`, "DELETE");
}

async function exportClip(state, video) {
  const field = (name, text, value) =>
    h(
      "label",
      {},
      text,
      h("input", {
        name,
        required: true,
        inputmode: "decimal",
        value,
        type: "number",
        min: "0",
        step: "0.1",
      }),
    );
  const given = await dialog(
    state.cards,
    `Export a clip of ${video.name}`,
    [
      field("start", "From (seconds)", "0"),
      field("end", "Until (seconds)", String(Math.min(30, Math.floor(video.duration_s ?? 30)))),
    ],
    { confirm: "Export" },
  );
  if (given) {
    location.assign(`/media/${video.video_id}/clip?start=${given.start}&end=${given.end}`);
  }
}

function dropZone(state) {
  const input = h("input", {
    type: "file",
    multiple: true,
    hidden: true,
    id: "lw-files",
    accept: "video/*,.mkv,.ts,.avi,.mov,.webm",
    "aria-label": "Choose videos",
  });
  const add = (files) => [...files].forEach((file) => begin(state, file));
  input.addEventListener("change", () => {
    add(input.files);
    input.value = "";
  });
  const zone = h(
    "div",
    { class: "drop" },
    icon("up"),
    h(
      "div",
      {},
      h("strong", {}, "Drop videos here"),
      h("div", { class: "faint" }, "Uploads go on after a closed tab or a restart."),
    ),
    input,
    h(
      "div",
      { class: "end" },
      h(
        "button",
        { type: "button", onclick: () => addFromServer(state) },
        icon("folder"),
        "From the server",
      ),
      h(
        "button",
        { type: "button", class: "primary", onclick: () => input.click() },
        "Choose files",
      ),
    ),
  );
  for (const name of ["dragenter", "dragover"]) {
    zone.addEventListener(name, (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
  }
  for (const name of ["dragleave", "drop"]) {
    zone.addEventListener(name, () => zone.classList.remove("over"));
  }
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    add(event.dataTransfer.files);
  });
  return zone;
}

function begin(state, file) {
  const upload = new Upload(file, { onchange: () => drawUploads(state) });
  state.open.push(upload);
  next(state);
}

function next(state) {
  const active = state.open.filter((one) => one.state === "uploading").length;
  const waiting = state.open.find((one) => one.state === "waiting");
  if (active < 2 && waiting) waiting.start();
  drawUploads(state);
}

function drawUploads(state) {
  state.open = state.open.filter((one) => {
    if (one.state === "done" && !one.seen) {
      one.seen = true;
      state.poll.now();
      next(state);
    }
    return !["done", "cancelled"].includes(one.state);
  });
  state.uploads.hidden = !state.open.length;
  fill(
    state.uploads,
    state.open.map((one) => {
      const word = {
        waiting: "waiting",
        uploading: `${Math.round(one.share * 100)} %`,
        paused: "paused",
        failed: "stopped",
      }[one.state];
      const refused = one.state === "failed" && one.error?.status === 422;
      const button = (text, run) =>
        h(
          "button",
          {
            class: "quiet",
            type: "button",
            onclick: run,
            "aria-label": `${text} ${one.file.name}`,
          },
          text,
        );
      return h(
        "div",
        { class: "upload" },
        h(
          "div",
          { class: "name" },
          h("strong", {}, one.file.name),
          " ",
          h(
            "span",
            { class: "faint" },
            refused ? "refused" : `${word} of ${bytesText(one.file.size)}`,
          ),
        ),
        h(
          "div",
          { class: "row" },
          one.state === "uploading" ? button("Pause", () => one.pause()) : null,
          one.state === "paused" || (one.state === "failed" && !refused)
            ? button("Go on", () => one.start())
            : null,
          button(refused ? "Dismiss" : "Cancel", () => one.cancel().catch(() => {})),
        ),
        refused
          ? null
          : h("progress", {
              max: "1",
              value: one.share,
              "aria-label": `Uploading ${one.file.name}`,
            }),
        one.error && one.state === "failed"
          ? h(
              "p",
              { class: "reason wrong", style: "grid-column:1/-1" },
              one.error.message,
              one.error.hint ? ` — ${one.error.hint}` : "",
            )
          : null,
      );
    }),
  );
}

async function addFromServer(state) {
  let roots;
  try {
    roots = await call("GET", "/api/v1/roots");
  } catch (error) {
    toast(error.message, error.hint);
    return;
  }
  const choices = roots.files.map((file) =>
    h(
      "option",
      { value: file },
      file.replace(roots.roots.find((root) => file.startsWith(root)) ?? "", "").replace(/^\//, ""),
    ),
  );
  const body = roots.roots.length
    ? [
        h(
          "label",
          {},
          `Files below ${roots.roots.join(", ")}`,
          h(
            "select",
            {
              name: "source",
              size: String(Math.min(8, Math.max(2, choices.length))),
              required: true,
            },
            choices,
          ),
        ),
        h("label", {}, "Name (optional)", h("input", { name: "name", maxlength: "120" })),
        h(
          "label",
          {},
          "Wall clock of the first frame (optional)",
          h("input", { name: "start_at", type: "datetime-local", step: "1" }),
        ),
      ]
    : [
        h(
          "label",
          {},
          "Address of a camera",
          h("input", {
            name: "source",
            required: true,
            placeholder: "rtsp://user:password@camera/stream",
          }),
        ),
        h(
          "p",
          { class: "faint" },
          "No server folder is configured. Set paths.media_roots in " +
            "longwatch.toml to add files of this machine without uploading them.",
        ),
      ];
  const given = await dialog(state.cards, "Add from the server", body, { confirm: "Add" });
  if (!given) return;
  const start = given.start_at ? new Date(given.start_at).toISOString() : null;
  await send(state, "/api/v1/videos", "POST", {
    source: given.source,
    name: given.name || null,
    start_at: start,
  });
}

// Says quarters of an ingest to those who cannot see the bar.
function speak(state, videos) {
  for (const video of videos) {
    const quarter =
      video.status === "ready"
        ? 4
        : video.duration_s
          ? Math.floor((video.ingested_s / video.duration_s) * 4)
          : 0;
    const before = state.told.get(video.video_id);
    state.told.set(video.video_id, quarter);
    if (before !== undefined && quarter > before) {
      state.spoken.textContent =
        quarter === 4
          ? `${video.name} is ready`
          : `${video.name}: ${quarter * 25} % read, ${lengthText(video.eta_s)} left`;
    }
  }
}
