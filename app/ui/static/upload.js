// Resumable uploads by tus-js-client: retried by themselves, byte by byte. Where the browser may
// open a file again they go on after a reload and on every page; elsewhere it has to be chosen.

import { LOST, ownHeaders, sentence } from "./parts.js";

const OPTIONS = {
  endpoint: "/api/v1/uploads",
  chunkSize: 8 * 1024 * 1024,
  retryDelays: [0, 1000, 3000, 5000, 10_000, 20_000, 30_000],
  storeFingerprintForResuming: false,
};
const AT_ONCE = 2;

const rows = new Map();
const views = new Set();
const going = () => [...rows.values()].filter((row) => row.state === "going");

function set(row, changes) {
  Object.assign(row, changes);
  if (row.state !== "going") row.release?.();
  views.forEach((view) => view(row));
  // Whatever became of the one before, the next one gets its turn.
  const waiting = [...rows.values()].find(({ state }) => state === "waiting");
  if (waiting && going().length < AT_ONCE) start(waiting);
}

// What outlives the page: files that the server has begun to take, each with its address there and,
// where the browser has it, with what opens the file again.
function kept(mode, act) {
  return new Promise((done) => {
    const opening = indexedDB.open("lw-unfinished", 1);
    const create = () => opening.result.createObjectStore("files", { keyPath: "key" });
    opening.addEventListener("upgradeneeded", create);
    opening.addEventListener("error", () => done());
    opening.addEventListener("success", () => {
      const request = act(opening.result.transaction("files", mode).objectStore("files"));
      request.addEventListener("success", () => done(request.result));
      request.addEventListener("error", () => done());
    });
  });
}

const forget = ({ key }) => kept("readwrite", (files) => files.delete(key));

function add(file, handle = null) {
  const key = `${file.name}:${file.size}:${file.lastModified}`;
  const row = rows.get(key) ?? { key, name: file.name, size: file.size, sent: 0 };
  if (row.file) return;
  rows.set(key, row);
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
  if (!window.tus) await import("./vendor/tus.min.js");
  // Another tab may have begun it after this page was opened.
  row.url ??= (await kept("readonly", (files) => files.get(row.key)))?.url;
  row.upload = new window.tus.Upload(row.file, {
    ...OPTIONS,
    uploadUrl: row.url,
    metadata: { filename: row.name },
    headers: await ownHeaders(),
    onUploadUrlAvailable: () => {
      row.url = row.upload.url;
      const { key, name, size, url, handle } = row;
      kept("readwrite", (files) => files.put({ key, name, size, url, handle }));
    },
    onProgress: (sent) => set(row, { sent }),
    onAfterResponse: (_, answer) => (row.video = answer.getHeader("Longwatch-Video") ?? row.video),
    onError: ({ originalResponse: answer }) => fail(row, answer?.getStatus(), answer?.getBody()),
    onSuccess: () => leave(row, "done"),
  });
  row.upload.start();
  return released;
}

function fail(row, status, body) {
  const lost = { message: LOST, hint: "It goes on when the connection is back." };
  const told = status ? JSON.parse(body || "{}").error : lost;
  const error = sentence(told ?? { message: `The server answered ${status}` });
  const state = status === 422 ? "refused" : "failed";
  // What was refused is gone on the server too: the same file would begin anew.
  if (state === "refused") forget(Object.assign(row, { url: null }));
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
    leave(row, "dropped");
    const headers = await ownHeaders({ "Tus-Resumable": "1.0.0" });
    if (row.url) fetch(row.url, { method: "DELETE", headers });
  },
};

function leave(row, state) {
  rows.delete(row.key);
  forget(row);
  set(row, { state });
}

// Takes up what an earlier page left unfinished.
async function remember() {
  for (const row of (await kept("readonly", (files) => files.getAll())) ?? []) {
    const { key, handle } = row;
    if (rows.has(key)) continue;
    rows.set(key, Object.assign(row, { sent: 0 }));
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

export async function upload(element, { trigger }) {
  const loading = import("./vendor/idiomorph.esm.js");
  const [drop, list, template] = element.firstElementChild.children;
  const field = drop.querySelector("input");
  const draw = async (row) => {
    if (row?.state === "done") trigger("added", { video_id: row.video });
    const { Idiomorph } = await loading;
    const nodes = [...rows.values()].map((item) => newNode(template, item));
    Idiomorph.morph(list, nodes, { morphStyle: "innerHTML" });
  };
  views.add(draw);
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
  // The bar of the page may have taken some up before this part was there.
  await draw();
}

async function choose(field) {
  if (!window.showOpenFilePicker) return field.click();
  const chosen = await window.showOpenFilePicker({ multiple: true }).catch(() => []);
  for (const handle of chosen) add(await handle.getFile(), handle);
}

function newNode(template, { key, name, state, size, sent, error }) {
  const node = template.content.cloneNode(true).firstElementChild;
  const share = size ? sent / size : 0;
  Object.assign(node.dataset, { key, state });
  node.querySelector("strong").textContent = name;
  node.querySelector("em").textContent = JSON.parse(template.dataset.words)[state] ?? "";
  node.querySelector("progress").value = share;
  node.querySelector("b").textContent = `${Math.floor(100 * share)} %`;
  node.querySelector("i").textContent = `${(size / 1e6).toFixed(1)} MB`;
  node.querySelector("p").textContent = error ?? "";
  for (const named of node.querySelectorAll("[aria-label]")) named.ariaLabel += ` ${name}`;
  return node;
}
