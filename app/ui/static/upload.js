// Resumable uploads by tus-js-client: retried by themselves, byte by byte. Where the browser may
// open a file again they go on after a reload and on every page; elsewhere it has to be chosen.

import { ownHeaders } from "./parts.js";

const OPTIONS = {
  endpoint: "/api/v1/uploads",
  chunkSize: 8 * 1024 * 1024,
  retryDelays: [0, 1000, 3000, 5000, 10_000, 20_000, 30_000],
  removeFingerprintOnSuccess: true,
};
const AT_ONCE = 2;
const LOST = "The server cannot be reached. It goes on when the connection is back.";

const rows = new Map();
const views = new Set();
const going = () => [...rows.values()].filter((row) => row.state === "going");
// What tus keeps of unfinished uploads: address, size, name; each by its key.
const kept = async () => {
  if (!window.tus) await import("./vendor/tus.min.js");
  return window.tus.defaultOptions.urlStorage;
};

function set(row, changes) {
  Object.assign(row, changes);
  if (row.state !== "going") row.release?.();
  views.forEach((view) => view(row));
  // Whatever became of the one before, the next one gets its turn.
  const waiting = [...rows.values()].find(({ state }) => state === "waiting");
  if (waiting && going().length < AT_ONCE) start(waiting);
}

async function add(file, handle = null) {
  const key = `lw-upload:${file.name}:${file.size}:${file.lastModified}`;
  const row = rows.get(key) ?? { key, name: file.name, size: file.size, sent: 0 };
  if (row.file) return;
  rows.set(key, row);
  if (handle) await handles("readwrite", (files) => files.put(handle, key));
  set(row, { file, handle, state: "waiting", error: "" });
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
  await kept();
  row.upload = new window.tus.Upload(row.file, {
    ...OPTIONS,
    metadata: { filename: row.name },
    headers: await ownHeaders(),
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

function fail(row, status, body) {
  const { message, hint } = status ? (JSON.parse(body || "{}").error ?? {}) : { message: LOST };
  const error = [message ?? `The server answered ${status}`, hint].filter(Boolean).join(" — ");
  const state = status === 422 ? "refused" : "failed";
  // What was refused is gone on the server too: the same file would begin anew.
  if (state === "refused") forget(row);
  set(row, { state, error, isLost: !status });
}

const ON_ROW = {
  pause: (row) => {
    row.upload?.abort();
    set(row, { state: "paused" });
  },
  go: async (row) => {
    if (row.file) start(row);
    else if ((await row.handle.requestPermission({ mode: "read" })) === "granted")
      add(await row.handle.getFile(), row.handle);
  },
  drop: async (row) => {
    await row.upload?.abort();
    const known = await (await kept()).findUploadsByFingerprint(row.key);
    leave(row, "dropped");
    const headers = await ownHeaders();
    for (const { uploadUrl: address } of known)
      await window.tus.Upload.terminate(address, { headers }).catch(() => {});
  },
};

function leave(row, state) {
  rows.delete(row.key);
  forget(row);
  set(row, { state });
}

async function forget({ key }) {
  handles("readwrite", (files) => files.delete(key));
  const storage = await kept();
  for (const { urlStorageKey: entry } of await storage.findUploadsByFingerprint(key))
    storage.removeUpload(entry);
}

// What opens a file again, which outlives the page: key -> handle.
function handles(mode, act) {
  return new Promise((done) => {
    const opening = indexedDB.open("lw-uploads", 1);
    opening.addEventListener("upgradeneeded", () => opening.result.createObjectStore("files"));
    opening.addEventListener("error", () => done());
    opening.addEventListener("success", () => {
      const request = act(opening.result.transaction("files", mode).objectStore("files"));
      request.addEventListener("success", () => done(request.result));
      request.addEventListener("error", () => done());
    });
  });
}

// Takes up what an earlier page left unfinished.
async function remember() {
  if (!Object.keys(localStorage).some((name) => name.startsWith("tus::"))) return;
  for (const { size, metadata, urlStorageKey } of await (await kept()).findAllUploads()) {
    const key = urlStorageKey.split("::").slice(1, -1).join("::");
    if (rows.has(key)) continue;
    const handle = await handles("readonly", (files) => files.get(key));
    const row = { key, handle, size, sent: 0, name: metadata.filename };
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

export function upload(element, { trigger }) {
  const [drop, list, template] = element.firstElementChild.children;
  const field = drop.querySelector("input");
  const words = JSON.parse(list.dataset.words);
  const nodes = new Map();
  const draw = (row) => {
    const isGone = ["done", "dropped"].includes(row.state);
    if (row.state === "done") trigger("added", { video_id: row.video });
    const node = nodes.get(row.key) ?? newNode(template, row);
    nodes.set(row.key, node);
    if (isGone) node.remove();
    else if (!node.isConnected) list.append(node);
    if (isGone) nodes.delete(row.key);
    const share = row.size ? row.sent / row.size : 0;
    node.dataset.state = row.state;
    node.querySelector("em").textContent = words[row.state] ?? "";
    node.querySelector("progress").value = share;
    node.querySelector("b").textContent = `${Math.floor(100 * share)} %`;
    node.querySelector("p").textContent = row.error ?? "";
  };
  views.add(draw);
  // The bar of the page may have taken them up before this part was there.
  rows.forEach(draw);
  element.addEventListener("click", ({ target }) => {
    const name = target.closest("[data-do]")?.dataset.do;
    if (name === "other") trigger("other", {});
    else if (name === "choose") choose(field);
    else ON_ROW[name]?.(rows.get(target.closest(".upload").dataset.key));
  });
  field.addEventListener("change", () => {
    [...field.files].forEach((file) => add(file));
    field.value = "";
  });
  for (const name of ["dragenter", "dragover", "dragleave", "drop"])
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", ["dragenter", "dragover"].includes(name));
      for (const item of name === "drop" ? event.dataTransfer.items : []) {
        const file = item.getAsFile();
        const opening = item.getAsFileSystemHandle?.() ?? Promise.resolve(null);
        if (file) opening.then((handle) => add(file, handle));
      }
    });
  remember();
}

async function choose(field) {
  if (!window.showOpenFilePicker) return field.click();
  const chosen = await window.showOpenFilePicker({ multiple: true }).catch(() => []);
  for (const handle of chosen) add(await handle.getFile(), handle);
}

function newNode(template, row) {
  const node = template.content.cloneNode(true).firstElementChild;
  node.dataset.key = row.key;
  node.querySelector("strong").textContent = row.name;
  node.querySelector("i").textContent = `${(row.size / 1e6).toFixed(1)} MB`;
  for (const named of node.querySelectorAll("[aria-label]")) named.ariaLabel += ` ${row.name}`;
  return node;
}
