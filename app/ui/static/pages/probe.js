// The probe: plant known moments, see over length and depth where they are still found.

import { linkTo, readAddress, writeAddress } from "/assets/lib/address.js";
import { call, poll, sendFile } from "/assets/lib/api.js";
import { empty, failure, statusChip } from "/assets/lib/cards.js";
import { clock, fill, h, lengthText, spanText, toast } from "/assets/lib/dom.js";

// cividis, from matplotlib, at nine even steps: even to those who do not see red or green.
const CIVIDIS = [
  "#00224e",
  "#123570",
  "#3b496c",
  "#575d6d",
  "#707173",
  "#8a8678",
  "#a59c74",
  "#c3b369",
  "#fee838",
];
const LENGTHS = [16, 32, 64, 128, 256, 512, 1024];
const DEPTHS = [0, 0.25, 0.5, 0.75, 1];

export async function mount(main, session) {
  const { videos } = await call("GET", "/api/v1/videos");
  const { sets } = session.role === "admin" ? await call("GET", "/api/v1/needles") : { sets: [] };
  new Probe(main, session, videos, sets).start();
}

class Probe {
  constructor(main, session, videos, sets) {
    Object.assign(this, { main, session, videos, sets, run: null, other: null, cell: null });
    this.shown = h("div", { class: "stack" });
    this.list = h("div");
    fill(
      main,
      h(
        "div",
        { class: "head" },
        h("h1", {}, "Probe"),
        h(
          "p",
          { class: "faint" },
          "Plants pictures in a haystack and asks for them: how far back can " +
            "the model be trusted?",
        ),
      ),
      h(
        "div",
        { class: "probe" },
        h(
          "div",
          { class: "stack" },
          session.role === "admin" ? this.form() : null,
          h(
            "section",
            { class: "panel", "aria-label": "Runs" },
            h("div", { class: "title" }, h("h2", {}, "Runs")),
            this.list,
          ),
        ),
        this.shown,
      ),
    );
  }

  start() {
    this.poll = poll(() => this.refresh());
  }

  form() {
    const box = (name, value, text, checked) =>
      h("label", {}, h("input", { type: "checkbox", name, value: String(value), checked }), text);
    const form = h(
      "form",
      { class: "panel", "aria-label": "A new run" },
      h(
        "label",
        {},
        "Haystack",
        h(
          "select",
          { name: "haystack" },
          h("option", { value: "" }, "a drawn recording"),
          this.videos
            .filter((video) => !video.is_live)
            .map((video) => h("option", { value: video.video_id }, video.name)),
        ),
      ),
      h(
        "fieldset",
        {},
        h("legend", {}, "Lengths, in sampled frames"),
        LENGTHS.map((length) => box("lengths", length, String(length), [32, 64].includes(length))),
      ),
      h(
        "fieldset",
        {},
        h("legend", {}, "Depths"),
        DEPTHS.map((depth) =>
          box("depths", depth, `${depth * 100} %`, [0, 0.5, 1].includes(depth)),
        ),
      ),
      this.needles(),
      h(
        "div",
        { class: "row", style: "align-items:end;flex-wrap:nowrap" },
        h("label", {}, "Cards", this.seeds),
        h(
          "label",
          {},
          "Ratio",
          h("input", { name: "ratio", type: "number", min: "1", max: "64", placeholder: "own" }),
        ),
        h(
          "label",
          {},
          "Recall",
          h(
            "select",
            { name: "recall" },
            h("option", { value: "top" }, "top"),
            h("option", { value: "all" }, "all"),
          ),
        ),
      ),
      h("button", { class: "primary", type: "submit" }, "Run"),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.order(new FormData(form));
    });
    return form;
  }

  needles() {
    this.seeds = h("input", { name: "seeds", type: "number", min: "1", max: "16", value: "2" });
    const option = (set) => h("option", { value: set.key }, set.name);
    const choice = h(
      "select",
      { name: "needles" },
      h("option", { value: "" }, "drawn cards"),
      this.sets.map(option),
    );
    const drawnOnly = () => {
      this.seeds.disabled = choice.value !== "";
    };
    choice.addEventListener("change", drawnOnly);
    const said = h(
      "p",
      { class: "faint", role: "status", id: "needles-said" },
      "A zip with pictures and needles.jsonl: ",
      h("code", {}, '{"image", "question", "answer"}'),
      " a line. Folders below the server's own roots are listed by themselves.",
    );
    const file = h("input", {
      type: "file",
      accept: ".zip,application/zip",
      name: "archive",
      "aria-describedby": "needles-said",
    });
    file.addEventListener("change", async () => {
      const [archive] = file.files;
      if (!archive) return;
      const name = archive.name
        .replace(/\.zip$/i, "")
        .replace(/[^\w .-]+/g, "-")
        .slice(0, 64);
      fill(said, `Sending ${archive.name} …`);
      try {
        const set = await sendFile(
          `/api/v1/needles/${encodeURIComponent(name)}`,
          archive,
          "application/zip",
        );
        choice.append(option(set));
        choice.value = set.key;
        drawnOnly();
        fill(said, `${set.name}: ${set.n_needles} needles, chosen above.`);
      } catch (error) {
        fill(
          said,
          h("span", { class: "wrong" }, [error.message, error.hint].filter(Boolean).join("; ")),
        );
      }
      file.value = "";
    });
    return h(
      "div",
      { class: "stack" },
      h("label", {}, "Needles", choice),
      h("label", {}, "Upload needles", file),
      said,
    );
  }

  async order(data) {
    const numbers = (name) => data.getAll(name).map(Number);
    const body = {
      haystack: data.get("haystack") || null,
      lengths: numbers("lengths"),
      depths: numbers("depths"),
      seeds: Number(data.get("seeds") ?? 1),
      needles: data.get("needles") || null,
      recall: data.get("recall"),
      ratio: data.get("ratio") ? Number(data.get("ratio")) : null,
    };
    if (!body.lengths.length || !body.depths.length) {
      toast("Choose a length and a depth.");
      return;
    }
    try {
      const job = await call("POST", "/api/v1/probes", body);
      this.awaited = job.job_id;
      toast("The run is queued; cells appear as they are done.");
    } catch (error) {
      toast(error.message, error.hint);
    }
    this.poll.now();
  }

  async refresh() {
    const found = await call("GET", "/api/v1/probes").catch((error) => {
      fill(this.list, failure(error));
      return null;
    });
    if (!found) return 8000;
    this.runs = found.runs;
    const awaited = found.runs.find((run) => run.job?.job_id === this.awaited);
    const wanted = Number(readAddress().run) || null;
    this.run =
      awaited ??
      found.runs.find((run) => run.run_id === (this.run?.run_id ?? wanted)) ??
      found.runs[0] ??
      null;
    if (awaited) this.awaited = null;
    this.drawList(found);
    const stamp = JSON.stringify([this.run, this.other?.run_id]);
    if (stamp !== this.stamp) {
      this.stamp = stamp;
      this.drawRun();
    }
    return found.jobs.some((job) => job.state !== "failed") ? 1200 : 8000;
  }

  drawList(found) {
    const jobs = found.jobs.map((job) =>
      h(
        "li",
        { style: "padding:10px 14px;border-bottom:1px solid var(--line)" },
        h(
          "div",
          { class: "row" },
          statusChip(job.state),
          h("span", { class: "faint" }, job.error ?? job.note ?? ""),
        ),
        job.state === "failed" ? null : progress(job),
      ),
    );
    const runs = found.runs.map((run) =>
      h(
        "li",
        {},
        h(
          "button",
          {
            type: "button",
            class: "quiet",
            style:
              "width:100%;justify-content:flex-start;min-height:44px;border-radius:0;text-align:left",
            "aria-current": run.run_id === this.run?.run_id ? "true" : null,
            onclick: () => this.choose(run),
          },
          h(
            "span",
            { style: "flex:1;overflow:hidden;text-overflow:ellipsis;line-height:1.35" },
            h("strong", {}, run.haystack),
            h(
              "span",
              { class: "faint", style: "display:block" },
              `#${run.run_id} · ratio ${run.compression_ratio} · ${run.recall}`,
            ),
          ),
          h("span", { class: "mono" }, percent(run.answer_accuracy)),
        ),
      ),
    );
    fill(
      this.list,
      jobs.length || runs.length
        ? h("ul", {}, jobs, runs)
        : h("p", { class: "pad faint" }, "No run yet."),
    );
  }

  choose(run) {
    this.run = run;
    this.cell = null;
    this.stamp = null;
    writeAddress({ run: run.run_id });
    this.poll.now();
  }

  drawRun() {
    const { run } = this;
    if (!run) {
      fill(
        this.shown,
        empty(
          "grid",
          "Is the past really there?",
          "A run hides pictures at chosen depths of footage of chosen lengths, reads it through the " +
            "real pipeline, and asks for each. The heat map shows where they are found again.",
        ),
      );
      return;
    }
    const others = this.runs.filter((one) => one.run_id !== run.run_id);
    const compare = h(
      "select",
      {
        "aria-label": "Compare with",
        style: "width:auto;max-width:220px;min-height:32px;padding:2px 8px;font-size:13px",
      },
      h("option", { value: "" }, "compare with …"),
      others.map((one) =>
        h(
          "option",
          { value: one.run_id, selected: one.run_id === this.other?.run_id },
          `#${one.run_id} ${one.haystack}, ratio ${one.compression_ratio}`,
        ),
      ),
    );
    compare.addEventListener("change", () => {
      this.other = others.find((one) => String(one.run_id) === compare.value) ?? null;
      this.drawRun();
    });
    const sum = (value, text) => h("div", {}, h("b", {}, value), h("span", {}, text));
    this.inside = h("div", { class: "trials" });
    fill(
      this.shown,
      h(
        "section",
        { class: "panel", "aria-label": `Run ${run.run_id}` },
        h(
          "div",
          { class: "title" },
          h("h2", {}, `${run.haystack}`),
          run.job ? statusChip(run.job.state) : null,
          h(
            "div",
            { class: "row end" },
            others.length ? compare : null,
            h(
              "a",
              { class: "button", href: `/api/v1/probes/${run.run_id}/cells.csv`, download: "" },
              "CSV",
            ),
            h(
              "a",
              {
                class: "button",
                href: `/api/v1/probes/${run.run_id}`,
                download: `longwatch-probe-${run.run_id}.json`,
              },
              "JSON",
            ),
          ),
        ),
        h(
          "div",
          { class: "sums" },
          sum(percent(run.answer_accuracy), "answers right"),
          sum(percent(run.evidence_hit_at_1), "first evidence right"),
          sum(String(run.cells.reduce((total, cell) => total + cell.n, 0)), "needles"),
          sum(run.model, "model"),
          sum(String(run.compression_ratio), "tokens per latent"),
          sum(run.recall, "recall"),
        ),
        h(
          "div",
          { class: "heats" },
          this.heat("Answers right", "answers_right"),
          this.heat("First evidence right", "evidence_hit_at_1"),
        ),
        this.inside,
      ),
    );
    if (this.cell !== null) this.look(this.cell);
  }

  heat(title, field) {
    const { cells } = this.run;
    const lengths = [
      ...new Set([
        ...cells.map((cell) => cell.length_frames),
        ...(this.run.settings.lengths ?? []),
      ]),
    ].toSorted((a, b) => a - b);
    const depths = [
      ...new Set([...cells.map((cell) => cell.depth), ...(this.run.settings.depths ?? [])]),
    ].toSorted((a, b) => a - b);
    const one = (length, depth) => {
      const place = cells.findIndex(
        (cell) => cell.length_frames === length && cell.depth === depth,
      );
      if (place < 0) return h("td", { class: "none" }, "…");
      const cell = cells[place],
        share = cell[field] / cell.n;
      const ink = share > 0.55 ? "#14171a" : "#ffffff";
      const before = this.other?.cells.find(
        (past) => past.length_frames === length && past.depth === depth,
      );
      const change = before ? share - before[field] / before.n : null;
      return h(
        "td",
        {},
        h(
          "button",
          {
            type: "button",
            dataset: { cell: place },
            style: `background:${colour(share)};color:${ink}`,
            "aria-pressed": String(place === this.cell),
            "aria-label": `${title}, ${length} frames, depth ${depth * 100} %: ${cell[field]} of ${cell.n}`,
            onclick: () => this.look(place),
          },
          share.toFixed(2),
          h(
            "small",
            {},
            change === null
              ? `${cell[field]}/${cell.n}`
              : `${change > 0 ? "+" : change < 0 ? "−" : "±"}${Math.abs(change).toFixed(2)}`,
          ),
        ),
      );
    };
    return h(
      "figure",
      {},
      h("h3", {}, title),
      h(
        "table",
        { class: "heat" },
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "col", style: "width:52px" }, "depth"),
            lengths.map((length) => {
              const cell = cells.find((each) => each.length_frames === length);
              return h(
                "th",
                { scope: "col" },
                `${length}`,
                h("br"),
                cell ? lengthText(cell.length_s) : "",
              );
            }),
          ),
        ),
        h(
          "tbody",
          {},
          depths.map((depth) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, `${depth * 100} %`),
              lengths.map((length) => one(length, depth)),
            ),
          ),
        ),
      ),
    );
  }

  async look(place) {
    this.cell = place;
    this.shown.querySelectorAll(".heat button").forEach((button) => {
      button.setAttribute("aria-pressed", String(button.dataset.cell === String(place)));
    });
    const { run } = this,
      cell = run.cells[place];
    try {
      const { trials } = await call("GET", `/api/v1/probes/${run.run_id}/cells/${place}`);
      fill(
        this.inside,
        h(
          "div",
          { class: "pad" },
          h(
            "h3",
            {},
            `${cell.length_frames} frames, depth ${cell.depth * 100} %: ${cell.answers_right} of ${cell.n} right`,
          ),
        ),
        trials.map((trial) => this.trial(trial)),
      );
    } catch (error) {
      fill(this.inside, failure(error));
    }
  }

  trial(trial) {
    const haystack = this.run.settings.haystack;
    const when = (span) =>
      haystack
        ? h(
            "a",
            { href: linkTo("watch", { v: haystack, t: span[0].toFixed(1) }), class: "mono" },
            spanText(...span),
          )
        : h("span", { class: "mono" }, spanText(...span));
    const rank = trial.evidence_rank;
    const line = (name, ...value) => [h("dt", {}, name), h("dd", {}, value)];
    return h(
      "article",
      { class: "trial" },
      h("img", {
        src: this.run.settings.needles
          ? `/api/v1/probes/${this.run.run_id}/needles/${trial.seed}.png`
          : `/api/v1/probes/needles/${trial.seed}.png`,
        alt: "The needle that was planted",
        width: 176,
        height: 99,
      }),
      h(
        "dl",
        {},
        line("asked", trial.question),
        line("expected", trial.expected),
        line(
          "answered",
          h(
            "span",
            { class: trial.is_right ? "right" : "wrong" },
            `${trial.is_right ? "✓" : "✗"} ${trial.answer || "(nothing)"}`,
          ),
        ),
        line("planted at", h("span", { class: "mono" }, clock(trial.planted_s))),
        line(
          "shown",
          trial.shown.length
            ? trial.shown.map((span, at) => [at ? ", " : "", when(span)])
            : "nothing",
          h(
            "span",
            { class: rank ? "right" : "wrong" },
            rank ? ` — right at place ${rank}` : " — not the needle",
          ),
        ),
      ),
    );
  }
}

function percent(share) {
  return `${Math.round(share * 100)} %`;
}

function progress(job) {
  const bar = h("progress", { max: "1", "aria-label": "Probe", style: "margin-top:8px" });
  if (job.total) bar.value = job.done / job.total;
  return bar;
}

function colour(share) {
  return CIVIDIS[Math.round(share * (CIVIDIS.length - 1))];
}
