// Resumable upload, tus 1.0: parts of 8 MB; a closed tab goes on where it stopped.

import { headers, ApiError } from "/assets/lib/api.js";

const PART_BYTES = 8 * 1024 * 1024;
const ROOT = "/api/v1/uploads";

const keyOf = (file) => `lw-upload:${file.name}:${file.size}:${file.lastModified}`;
const encode = (text) => btoa(String.fromCodePoint(...new TextEncoder().encode(text)));

export class Upload {
  constructor(file, { onchange }) {
    Object.assign(this, { file, onchange, offset: 0, state: "waiting", error: null, video: null });
    this.controller = null;
  }

  get share() {
    return this.file.size ? this.offset / this.file.size : 0;
  }

  async start() {
    this.controller = new AbortController();
    this.say("uploading");
    try {
      await this.find();
      while (this.offset < this.file.size) await this.part();
      localStorage.removeItem(keyOf(this.file));
      this.say("done");
    } catch (error) {
      if (error.name === "AbortError") return;
      // What was refused is gone on the server too: the same file would begin anew.
      if (error.status === 422) localStorage.removeItem(keyOf(this.file));
      this.error = error;
      this.say("failed");
    }
  }

  pause() {
    this.controller?.abort();
    this.say("paused");
  }

  async cancel() {
    this.controller?.abort();
    localStorage.removeItem(keyOf(this.file));
    this.say("cancelled");
    if (this.url) await this.send("DELETE", this.url, {}, undefined, true);
  }

  async find() {
    const known = localStorage.getItem(keyOf(this.file));
    if (known) {
      const answer = await this.send("HEAD", known, {}, undefined, true);
      if (answer.ok) {
        this.url = known;
        this.offset = Number(answer.headers.get("Upload-Offset"));
        return;
      }
    }
    const answer = await this.send("POST", ROOT, {
      "Upload-Length": String(this.file.size),
      "Upload-Metadata": `filename ${encode(this.file.name)}`,
    });
    this.url = answer.headers.get("Location");
    this.offset = 0;
    localStorage.setItem(keyOf(this.file), this.url);
  }

  async part() {
    const piece = this.file.slice(this.offset, this.offset + PART_BYTES);
    const answer = await this.send(
      "PATCH",
      this.url,
      {
        "Upload-Offset": String(this.offset),
        "Content-Type": "application/offset+octet-stream",
      },
      piece,
    );
    this.offset = Number(answer.headers.get("Upload-Offset"));
    this.video = answer.headers.get("Longwatch-Video") ?? this.video;
    this.say("uploading");
  }

  async send(method, url, extra = {}, body = undefined, lenient = false) {
    const answer = await fetch(url, {
      method,
      body,
      signal: method === "DELETE" ? undefined : this.controller.signal,
      headers: await headers({ "Tus-Resumable": "1.0.0", ...extra }),
    });
    if (!answer.ok && !lenient) {
      throw new ApiError(answer.status, await answer.json().catch(() => null));
    }
    return answer;
  }

  say(state) {
    this.state = state;
    this.onchange(this);
  }
}
