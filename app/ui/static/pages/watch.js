// Watch and ask: player, strip, evidence; beside it the conversation.

import { linkTo, readAddress, writeAddress } from "/assets/lib/address.js";
import { call, poll, stream } from "/assets/lib/api.js";
import { empty, failure, momentCard, progressText, statusChip } from "/assets/lib/cards.js";
import { clock, dialog, fill, h, icon, spanText, toast } from "/assets/lib/dom.js";
import { KEYS, Player } from "/assets/player.js";
import { Timeline } from "/assets/timeline.js";

const STARTERS = [
  "What happens in this video?",
  "When does something move?",
  "What color is the car?",
];

export async function mount(main, session) {
  const { videos } = await call("GET", "/api/v1/videos");
  if (!videos.length) {
    fill(
      main,
      h("h1", { class: "sr" }, "Watch and ask"),
      empty(
        "film",
        "Nothing to watch yet",
        "Add a video first; its first chunks can be asked while the rest is being read.",
        h("a", { class: "button", href: "/ui/" }, "Open the library"),
      ),
    );
    return;
  }
  const page = new Watch(main, session, videos);
  await page.start();
}

class Watch {
  constructor(main, session, videos) {
    Object.assign(this, { main, session, videos, evidence: [], at: -1, marks: {}, talk: null });
    const address = readAddress();
    this.video = videos.find((one) => one.video_id === address.v) ?? videos[0];
    this.whole = !address.v;
    this.player = new Player({
      ontick: (time) => this.tick(time),
      onmark: (kind, time) => this.mark(kind, time),
      onstep: (by) => this.step(by),
    });
    this.strip = new Timeline({ onseek: (time) => this.seek(time) });
    this.draw();
  }

  async start() {
    const { t, q, c } = readAddress();
    await this.open(this.video.video_id, Number(t) || 0);
    if (c) await this.reopen(c).catch((error) => toast(error.message, error.hint));
    if (q) {
      this.box.value = q;
      if (!c) await this.ask(q);
    }
    window.addEventListener("popstate", () => {
      const state = readAddress();
      if (state.v && state.v !== this.video.video_id) this.open(state.v, Number(state.t) || 0);
      else this.player.seek(Number(state.t) || 0);
    });
    poll(() => this.follow());
  }

  draw() {
    this.title = h("h1", {}, this.video.name);
    this.state = h("span", { class: "row" });
    this.choose = h(
      "select",
      {
        "aria-label": "Video",
        style: "width:auto;max-width:280px",
        onchange: (event) => this.open(event.target.value, 0, true),
      },
      this.videos.map((one) => h("option", { value: one.video_id }, one.name)),
    );
    this.cards = h("div", { class: "evidence" });
    this.said = h("div", {
      class: "said",
      tabindex: "0",
      role: "log",
      "aria-label": "Conversation",
    });
    fill(
      this.main,
      h(
        "div",
        { class: "head" },
        this.title,
        this.state,
        h(
          "div",
          { class: "end" },
          this.videos.length > 1 ? this.choose : null,
          h(
            "button",
            {
              type: "button",
              class: "quiet",
              title: "Copy a link to this moment",
              onclick: () => this.share(),
            },
            icon("link"),
            h("span", {}, "Copy link"),
          ),
          h(
            "button",
            { type: "button", class: "quiet wide-only", onclick: () => this.help() },
            "Keys",
          ),
        ),
      ),
      h(
        "div",
        { class: "watch" },
        h(
          "div",
          { class: "stack" },
          h("div", { class: "film" }, this.player.element, this.strip.element),
          h("section", { "aria-label": "Evidence" }, this.cards),
        ),
        h("aside", { class: "side panel", "aria-label": "Ask" }, this.drawTalk()),
      ),
    );
  }

  drawTalk() {
    this.scopes = h(
      "select",
      { "aria-label": "Where to look" },
      h("option", { value: "one" }, "this video"),
      h("option", { value: "all" }, `all ${this.videos.length} videos`),
    );
    this.scopes.value = "one";
    this.box = h("textarea", {
      rows: "1",
      maxlength: "4000",
      placeholder: "Ask about what was filmed",
      "aria-label": "Question",
    });
    this.button = h(
      "button",
      { class: "primary icon", type: "submit", "aria-label": "Ask" },
      icon("send"),
    );
    const form = h(
      "form",
      { class: "compose" },
      h("div", { class: "scope" }, h("span", {}, "Look in"), this.scopes),
      h("div", { class: "box" }, this.box, this.button),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask(this.box.value);
    });
    this.box.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        this.ask(this.box.value);
      }
    });
    this.greet();
    return h(
      "div",
      { class: "talk" },
      h(
        "div",
        {
          class: "title",
          style:
            "display:flex;align-items:center;gap:8px;padding:8px 8px 8px 14px;border-bottom:1px solid var(--line)",
        },
        h("h2", {}, "Ask"),
        h(
          "div",
          { class: "row", style: "margin-left:auto" },
          h("button", { class: "quiet", type: "button", onclick: () => this.older() }, "Earlier"),
          h("button", { class: "quiet", type: "button", onclick: () => this.fresh() }, "New"),
        ),
      ),
      this.said,
      form,
    );
  }

  greet() {
    fill(
      this.said,
      h(
        "div",
        { class: "starters" },
        h(
          "p",
          { class: "muted" },
          "Ask in plain words. Every answer shows the moments that support it; " +
            "when nothing does, it says so.",
        ),
        STARTERS.map((text) =>
          h("button", { type: "button", class: "chip", onclick: () => this.ask(text) }, text),
        ),
      ),
    );
  }

  async open(id, time, chosen = false) {
    this.video = this.videos.find((one) => one.video_id === id) ?? this.video;
    this.choose.value = this.video.video_id;
    this.title.textContent = this.video.name;
    if (chosen) this.show([]);
    this.player.open(this.video);
    if (time) this.player.seek(time);
    writeAddress({ v: this.video.video_id, t: time ? time.toFixed(1) : null }, { push: chosen });
    this.status();
    this.strip.set({
      chunks: [],
      evidence: [],
      duration: this.video.duration_s ?? 0,
      ingested: 0,
      thumbs: this.video.sprite,
      time,
      view: null,
    });
    await this.timeline();
  }

  async timeline(query = this.query ?? "") {
    const id = this.video.video_id;
    const asked = query ? `?q=${encodeURIComponent(query)}` : "";
    const found = await call("GET", `/api/v1/videos/${id}/timeline${asked}`).catch(() => null);
    if (found && id === this.video.video_id) {
      this.strip.set({
        chunks: found.chunks,
        duration: found.duration_s,
        ingested: found.ingested_s,
      });
    }
  }

  // While a video is being read its strip fills in from left to right.
  async follow() {
    const before = this.video;
    const now = await call("GET", `/api/v1/videos/${before.video_id}`);
    if (now.video_id !== this.video.video_id) return 1500;
    this.video = now;
    this.videos = this.videos.map((one) => (one.video_id === now.video_id ? now : one));
    this.status();
    if (now.chunks !== before.chunks || now.status !== before.status) await this.timeline();
    if (now.play_url && !before.play_url) this.player.open(now);
    if (now.sprite && !before.sprite) this.strip.set({ thumbs: now.sprite });
    return ["queued", "ingesting"].includes(now.status) ? 1500 : 10000;
  }

  status() {
    const reading = ["queued", "ingesting"].includes(this.video.status);
    fill(
      this.state,
      statusChip(this.video.status, this.video.error ?? ""),
      reading ? h("span", { class: "faint mono" }, progressText(this.video)) : null,
      this.video.error ? h("span", { class: "wrong faint" }, this.video.error) : null,
    );
  }

  tick(time) {
    this.strip.set({ time });
    clearTimeout(this.writing);
    this.writing = setTimeout(() => writeAddress({ t: time ? time.toFixed(1) : null }), 400);
    this.highlight(time);
  }

  highlight(time) {
    this.cards.querySelectorAll(".moment").forEach((card, place) => {
      const item = this.evidence[place];
      card.classList.toggle(
        "near",
        item?.video_id === this.video.video_id && item.start_s <= time && time < item.end_s,
      );
    });
  }

  seek(time, options) {
    this.player.seek(time, options);
    this.strip.set({ time });
  }

  // A citation is a seek in the browser: no word to the server.
  async play(item) {
    this.at = this.evidence.indexOf(item);
    if (item.video_id !== this.video.video_id) await this.open(item.video_id, item.start_s, true);
    this.strip.set({ evidence: this.evidence.filter((one) => one.video_id === item.video_id) });
    this.seek(item.start_s, { play: true, end: item.end_s });
    this.highlight(item.start_s);
    writeAddress({ v: item.video_id, t: item.start_s.toFixed(1) });
  }

  step(by) {
    if (!this.evidence.length) return;
    this.at = (this.at + by + this.evidence.length) % this.evidence.length;
    this.play(this.evidence[this.at]);
  }

  show(evidence) {
    this.evidence = evidence;
    this.at = -1;
    fill(
      this.cards,
      evidence.map((item, place) =>
        momentCard(item, {
          number: place + 1,
          onplay: () => this.play(item),
          onalike: () =>
            location.assign(
              linkTo("search", { like: `${item.video_id}@${item.keyframe_s.toFixed(1)}` }),
            ),
        }),
      ),
    );
    this.strip.set({ evidence: evidence.filter((one) => one.video_id === this.video.video_id) });
  }

  async ask(text) {
    const question = text.trim();
    if (!question || this.busy) return;
    if (!this.said.querySelector(".turn")) fill(this.said);
    this.busy = new AbortController();
    this.box.value = "";
    this.button.disabled = true;
    const turn = new Turn(question);
    this.said.append(turn.element);
    this.said.scrollTop = this.said.scrollHeight;
    writeAddress({ q: question });
    const body = {
      question,
      conversation_id: this.talk,
      videos: this.scopes.value === "one" ? [this.video.video_id] : [],
    };
    try {
      await stream(
        "/api/v1/ask",
        body,
        {
          plan: (plan) => turn.plan(plan),
          token: (word) => {
            turn.word(word);
            this.said.scrollTop = this.said.scrollHeight;
          },
          done: (answer) => this.answered(turn, answer),
          error: (error) => turn.failed(error),
        },
        { signal: this.busy.signal },
      );
    } catch (error) {
      turn.failed(error);
    }
    this.busy = null;
    this.button.disabled = false;
    this.said.scrollTop = this.said.scrollHeight;
  }

  answered(turn, answer) {
    this.talk = answer.conversation_id;
    writeAddress({ c: this.talk });
    turn.done(answer, (item) => {
      this.show(answer.evidence);
      this.play(item);
    });
    this.show(answer.evidence);
    this.query = answer.question;
    this.timeline();
  }

  async reopen(id) {
    const talk = await call("GET", `/api/v1/conversations/${id}`);
    this.talk = talk.conversation_id;
    fill(this.said);
    for (const past of talk.turns) {
      const turn = new Turn(past.question);
      turn.word(past.answer);
      turn.done(past, (item) => {
        this.show(past.evidence);
        this.play(item);
      });
      this.said.append(turn.element);
    }
    const last = talk.turns.at(-1);
    if (last) {
      this.show(last.evidence);
      this.query = last.question;
      this.timeline();
    }
    writeAddress({ c: id, q: null });
  }

  async older() {
    const { conversations } = await call("GET", "/api/v1/conversations");
    if (!conversations.length) {
      toast("No conversation has been kept yet.");
      return;
    }
    const given = await dialog(
      this.main,
      "Earlier conversations",
      h(
        "label",
        {},
        "Open one",
        h(
          "select",
          { name: "id", size: String(Math.min(10, conversations.length + 1)), required: true },
          conversations.map((one) => h("option", { value: one.conversation_id }, one.title)),
        ),
      ),
      { confirm: "Open" },
    );
    if (given?.id) this.reopen(given.id).catch((error) => toast(error.message, error.hint));
  }

  fresh() {
    this.talk = null;
    this.query = "";
    this.show([]);
    this.greet();
    writeAddress({ c: null, q: null });
    this.timeline();
    this.box.focus();
  }

  async share() {
    writeAddress({ t: this.player.time.toFixed(1) });
    try {
      await navigator.clipboard.writeText(location.href);
      toast("The link to this moment is copied.");
    } catch {
      toast("The address bar holds the link to this moment.");
    }
  }

  mark(kind, time) {
    if (kind === "help") {
      this.help();
      return;
    }
    if (kind === "clear") this.marks = {};
    if (kind === "in") this.marks = { in: time };
    if (kind === "out" && this.marks.in !== undefined)
      this.marks.out = Math.max(time, this.marks.in);
    if (kind === "export") this.cut();
    this.strip.set({ marks: this.marks });
  }

  cut() {
    const { in: start, out: end } = this.marks;
    if (start === undefined || end === undefined || end <= start) {
      toast("Mark a start with [ and an end with ] first.");
      return;
    }
    location.assign(
      `/media/${this.video.video_id}/clip?start=${start.toFixed(2)}&end=${end.toFixed(2)}`,
    );
  }

  help() {
    const on = localStorage.getItem("lw-keys") !== "off";
    const list = h(
      "div",
      { class: "keys" },
      KEYS.map(([keys, text]) => [
        h(
          "span",
          {},
          keys.split(", ").map((key, place) => [place ? " " : "", h("kbd", {}, key)]),
        ),
        h("span", {}, text),
      ]),
    );
    dialog(
      this.main,
      "Keys while the player has focus",
      [
        list,
        h(
          "label",
          { class: "row" },
          h("input", { type: "checkbox", name: "on", checked: on }),
          "Keys are on",
        ),
      ],
      { confirm: "Done" },
    ).then((given) => {
      if (given) localStorage.setItem("lw-keys", given.on ? "on" : "off");
    });
  }
}

class Turn {
  constructor(question) {
    this.text = h("div", { class: "answer live" });
    this.note = h("div", { class: "plan" }, "Waiting …");
    this.rest = h("div", { class: "stack", style: "gap:8px" });
    this.element = h(
      "article",
      { class: "turn" },
      h("div", { class: "question" }, question),
      this.note,
      this.text,
      this.rest,
    );
  }

  plan({ text, waiting }) {
    this.note.textContent = waiting ? `${text} · ${waiting} before you` : `${text} …`;
  }

  word(word) {
    this.text.append(word);
  }

  done(answer, onplay) {
    this.text.classList.remove("live");
    if (!this.text.textContent.trim()) this.text.textContent = answer.answer || "(no words)";
    const found = answer.evidence.length;
    this.note.textContent = found
      ? `Searched ${answer.searched}`
      : `Nothing supports this in the ${answer.searched} searched`;
    fill(
      this.rest,
      found
        ? h(
            "div",
            { class: "cites" },
            answer.evidence.map((item, place) => cite(item, place + 1, onplay)),
          )
        : null,
      facts(answer),
    );
  }

  failed(error) {
    this.text.classList.remove("live");
    this.note.textContent = "";
    fill(this.rest, failure(error));
  }
}

function cite(item, number, onplay) {
  return h(
    "button",
    {
      class: "cite",
      type: "button",
      dataset: { start: item.start_s },
      title: `${item.video}, found by ${item.origin}`,
      "aria-label": `Evidence ${number}: ${item.video}, ${spanText(item.start_s, item.end_s)}. Play it`,
      onclick: () => onplay(item),
    },
    h("b", {}, String(number)),
    h("span", { class: "mono" }, spanText(item.start_s, item.end_s)),
  );
}

function facts(answer) {
  const line = (name, value) => [h("span", {}, name), h("span", { class: "mono" }, value)];
  const ms = (value) => `${Math.round(value)} ms`;
  return h(
    "details",
    {},
    h("summary", {}, "How"),
    h(
      "div",
      { class: "facts" },
      line("recall", `${answer.recall}, ${answer.recalled_chunks} chunks`),
      line("model", answer.model),
      answer.timing
        ? [
            line("found in", ms(answer.timing.retrieve_ms)),
            line("first word", ms(answer.timing.first_token_ms)),
            line("whole answer", ms(answer.timing.total_ms)),
          ]
        : null,
      answer.evidence.map((item, place) =>
        line(
          `[${place + 1}] ${item.origin}`,
          `${clock(item.start_s, { tenths: true })} support ${item.score.toFixed(2)}`,
        ),
      ),
    ),
  );
}
