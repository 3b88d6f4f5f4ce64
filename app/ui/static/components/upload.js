// Resumable uploads by tus-js-client: retried by themselves, byte by byte. Where the browser may
// open a file again they go on after a reload and on every page; elsewhere it has to be chosen.

const OPTIONS = {
  endpoint: "/api/v1/uploads",
  chunkSize: 8 * 1024 * 1024,
  retryDelays: [0, 1000, 3000, 5000, 10_000, 20_000, 30_000],
  removeFingerprintOnSuccess: true,
};
const AT_ONCE = 2;
const WORDS = {
  waiting: "waits,",
  going: "",
  paused: "paused at",
  failed: "stopped at",
  refused: "refused,",
  kept: "unfinished: choose the file again,",
  elsewhere: "on its way in another tab,",
};
const LOST = "The server cannot be reached. It goes on when the connection is back.";

const rows = new Map();
const views = new Set();
const keyOf = (file) => `lw-upload:${file.name}:${file.size}:${file.lastModified}`;
const going = () => [...rows.values()].filter((row) => row.state === "going");
// What tus keeps of an upload: its address, its size.
const entries = (key = "lw-upload:") =>
  Object.keys(localStorage).filter((name) => name.startsWith(`tus::${key}`));

function set(row, changes) {
  Object.assign(row, changes);
  if (row.state !== "going") row.release?.();
  views.forEach((view) => view(row));
}

// Whatever became of the one before, the next one gets its turn.
function next() {
  const waiting = [...rows.values()].find((row) => row.state === "waiting");
  if (waiting && going().length < AT_ONCE) start(waiting);
}

async function add(file, handle = null) {
  const key = keyOf(file);
  const row = rows.get(key) ?? { key, name: file.name, size: file.size, sent: 0 };
  if (row.file) return;
  rows.set(key, row);
  set(row, { file, handle, state: "waiting", error: "" });
  if (handle) await kept("readwrite", (files) => files.put(handle, key));
  next();
}

// One tab sends a file; the others say so.
async function start(row) {
  set(row, { state: "going", error: "", isLost: false });
  const send = (lock) => (lock ? transfer(row) : set(row, { state: "elsewhere" }));
  const sending = navigator.locks?.request(row.key, { ifAvailable: true }, send);
  await (sending ?? transfer(row)).catch(() => fail(row, 0));
}

async function transfer(row) {
  const released = new Promise((release) => Object.assign(row, { release }));
  if (!window.tus) await import("../vendor/tus.min.js");
  row.upload = new window.tus.Upload(row.file, {
    ...OPTIONS,
    metadata: { filename: row.name },
    headers: await headers(),
    fingerprint: async () => row.key,
    onProgress: (sent) => set(row, { sent }),
    onAfterResponse: (_, answer) => (row.video = answer.getHeader("Longwatch-Video") ?? row.video),
    onError: ({ originalResponse: answer }) => fail(row, answer?.getStatus(), answer?.getBody()),
    onSuccess: () => leave(row, "done"),
  });
  const [known] = await row.upload.findPreviousUploads();
  if (known) row.upload.resumeFromPreviousUpload(known);
  row.upload.start();
  return released;
}

async function headers() {
  const { csrf } = await (await fetch("/api/v1/session")).json();
  return { "X-CSRF-Token": csrf };
}

function fail(row, status, body) {
  const { message, hint } = status ? (JSON.parse(body || "{}").error ?? {}) : { message: LOST };
  const error = [message ?? `The server answered ${status}`, hint].filter(Boolean).join(" — ");
  const state = status === 422 ? "refused" : "failed";
  // What was refused is gone on the server too: the same file would begin anew.
  if (state === "refused") forget(row);
  set(row, { state, error, isLost: !status });
  next();
}

function pause(row) {
  row.upload?.abort();
  set(row, { state: "paused" });
  next();
}

async function goOn(row) {
  if (row.file) start(row);
  else if ((await row.handle.requestPermission({ mode: "read" })) === "granted")
    add(await row.handle.getFile(), row.handle);
}

async function drop(row) {
  if (row.state === "going") await row.upload?.abort();
  for (const name of entries(row.key)) {
    const { uploadUrl: address } = JSON.parse(localStorage.getItem(name));
    const options = { ...(await headers()), "Tus-Resumable": "1.0.0" };
    await fetch(address, { method: "DELETE", headers: options }).catch(() => {});
  }
  leave(row, "dropped");
}

function leave(row, state) {
  rows.delete(row.key);
  forget(row);
  set(row, { state });
  next();
}

function forget(row) {
  entries(row.key).forEach((name) => localStorage.removeItem(name));
  kept("readwrite", (files) => files.delete(row.key));
}

// What opens a file again, which outlives the page: key -> handle.
function kept(mode, act) {
  return new Promise((done) => {
    const opening = indexedDB.open("lw-uploads", 1);
    const create = () => opening.result.createObjectStore("files");
    opening.addEventListener("upgradeneeded", create);
    opening.addEventListener("success", () => {
      const request = act(opening.result.transaction("files", mode).objectStore("files"));
      request.addEventListener("success", () => done(request.result));
      request.addEventListener("error", () => done());
    });
    opening.addEventListener("error", () => done());
  });
}

// Takes up what an earlier page left unfinished.
async function remember() {
  for (const entry of entries()) {
    const { size, metadata } = JSON.parse(localStorage.getItem(entry));
    const key = entry.slice("tus::".length, entry.lastIndexOf("::"));
    if (rows.has(key)) continue;
    const handle = await kept("readonly", (files) => files.get(key));
    const row = { key, handle, size, sent: 0, name: metadata?.filename ?? "a file" };
    rows.set(key, row);
    set(row, { state: handle ? "paused" : "kept" });
    if ((await handle?.queryPermission({ mode: "read" })) === "granted")
      add(await handle.getFile(), handle);
  }
}

addEventListener("online", () => rows.forEach((row) => row.isLost && start(row)));
addEventListener("beforeunload", (event) => {
  if (going().some((row) => !row.handle)) event.preventDefault();
});

// How far all of them are, on a page that does not list them.
export function showShare(place) {
  views.add(() => {
    const sum = (field) => going().reduce((total, row) => total + row[field], 0);
    place.hidden = !going().length;
    place.textContent = `uploading ${Math.floor((100 * sum("sent")) / (sum("size") || 1))} %`;
  });
  remember();
}

export function mount(element, { trigger }) {
  const part = (name) => element.querySelector(name);
  const nodes = new Map();
  const draw = (row) => {
    const isGone = ["done", "dropped"].includes(row.state);
    if (isGone) nodes.get(row.key)?.remove();
    else if (!nodes.has(row.key)) nodes.set(row.key, newNode(part("template"), row));
    const node = nodes.get(row.key);
    if (isGone) nodes.delete(row.key);
    else if (!node.isConnected) part(".uploads").append(node);
    if (row.state === "done") trigger("added", { video_id: row.video });
    if (!node) return;
    const share = row.size ? row.sent / row.size : 0;
    node.dataset.state = row.state;
    node.querySelector("em").textContent = WORDS[row.state] ?? "";
    node.querySelector("progress").value = share;
    node.querySelector("b").textContent = `${Math.floor(100 * share)} %`;
    node.querySelector("p").textContent = row.error ?? "";
  };
  views.add(draw);
  // The bar of the page may have taken them up before this part was there.
  rows.forEach(draw);
  const acts = { go: goOn, pause, drop, other: () => trigger("other", {}), choose };
  element.addEventListener("click", ({ target }) => {
    const name = target.closest("[data-do]")?.dataset.do;
    acts[name]?.(rows.get(target.closest(".upload")?.dataset.key) ?? part("input"));
  });
  part("input").addEventListener("change", ({ target }) => {
    [...target.files].forEach((file) => add(file));
    target.value = "";
  });
  for (const name of ["dragenter", "dragover", "dragleave", "drop"])
    part(".drop").addEventListener(name, (event) => {
      event.preventDefault();
      part(".drop").classList.toggle("over", ["dragenter", "dragover"].includes(name));
      for (const item of name === "drop" ? event.dataTransfer.items : []) {
        const file = item.getAsFile();
        const opening = item.getAsFileSystemHandle?.() ?? Promise.resolve(null);
        if (file) opening.then((handle) => add(file, handle));
      }
    });
  remember();
}

async function choose(input) {
  if (!window.showOpenFilePicker) return input.click();
  const handles = await window.showOpenFilePicker({ multiple: true }).catch(() => []);
  for (const handle of handles) add(await handle.getFile(), handle);
}

function newNode(template, row) {
  const node = template.content.cloneNode(true).firstElementChild;
  node.dataset.key = row.key;
  node.querySelector("strong").textContent = row.name;
  node.querySelector("i").textContent = `${(row.size / 1e6).toFixed(1)} MB`;
  for (const named of node.querySelectorAll("[aria-label]")) named.ariaLabel += ` ${row.name}`;
  return node;
}
