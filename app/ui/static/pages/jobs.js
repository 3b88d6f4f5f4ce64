// Jobs: what runs, what waits, what failed and why.

import { linkTo } from "/assets/lib/address.js";
import { call, poll } from "/assets/lib/api.js";
import { empty, failure, statusChip } from "/assets/lib/cards.js";
import { clock, fill, h, toast, wallText } from "/assets/lib/dom.js";

const KINDS = { ingest: "read", preview: "stills and copy", probe: "probe", caption: "captions" };

export async function mount(main, session) {
  const table = h("div");
  fill(
    main,
    h(
      "div",
      { class: "head" },
      h("h1", {}, "Jobs"),
      h("p", { class: "faint" }, "Work goes on when this tab closes, and after a restart."),
    ),
    table,
  );
  const watch = poll(async () => {
    let jobs;
    try {
      ({ jobs } = await call("GET", "/api/v1/jobs"));
    } catch (error) {
      fill(table, failure(error));
      return 8000;
    }
    draw(table, jobs, session, watch);
    return jobs.some((job) => ["running", "queued"].includes(job.state)) ? 1500 : 6000;
  });
}

function draw(table, jobs, session, watch) {
  if (!jobs.length) {
    fill(table, empty("list", "No job yet", "Adding a video or running a probe makes one."));
    return;
  }
  const act = (job, what, text) =>
    h(
      "button",
      {
        type: "button",
        class: "quiet",
        id: `${what}-${job.job_id}`,
        "aria-label": `${text} job ${job.job_id}`,
        onclick: async () => {
          try {
            await call("POST", `/api/v1/jobs/${job.job_id}/${what}`);
          } catch (error) {
            toast(error.message, error.hint);
          }
          watch.now();
        },
      },
      text,
    );
  const focused = document.activeElement?.id;
  const rows = jobs.map((job) =>
    h(
      "tr",
      {},
      h("td", { class: "mono" }, `#${job.job_id}`),
      h("td", {}, KINDS[job.kind] ?? job.kind),
      h(
        "td",
        {},
        job.video_id
          ? h("a", { href: linkTo("watch", { v: job.video_id }) }, job.video ?? "removed")
          : h("span", { class: "faint" }, "—"),
      ),
      h(
        "td",
        {},
        statusChip(job.cancel_requested && job.state === "running" ? "stopping" : job.state),
      ),
      h("td", { style: "min-width:190px" }, how(job)),
      h("td", { class: "faint" }, wallText(job.created_at)),
      h("td", { class: "faint mono" }, took(job)),
      h(
        "td",
        {},
        session.role !== "admin"
          ? null
          : ["queued", "running"].includes(job.state)
            ? act(job, "cancel", "Stop")
            : ["failed", "cancelled"].includes(job.state)
              ? act(job, "retry", "Retry")
              : null,
      ),
    ),
  );
  fill(
    table,
    h(
      "div",
      { class: "panel scroll-x", tabindex: "0", role: "region", "aria-label": "Jobs" },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["Job", "Does", "Video", "State", "How far", "Asked for", "Took", ""].map((name) =>
              h("th", { scope: "col" }, name || h("span", { class: "sr" }, "Act")),
            ),
          ),
        ),
        h("tbody", {}, rows),
      ),
    ),
  );
  if (focused) document.getElementById(focused)?.focus();
}

function how(job) {
  if (job.error) {
    return h(
      "div",
      {},
      h("span", { class: "wrong" }, job.error),
      job.hint ? h("div", { class: "faint" }, job.hint) : null,
      job.attempts > 1 ? h("div", { class: "faint" }, `tried ${job.attempts} times`) : null,
    );
  }
  if (job.state === "queued") return h("span", { class: "faint" }, "waits for its turn");
  const bar = h("progress", { max: "1", "aria-label": `Job ${job.job_id}` });
  if (job.state === "done") return h("span", { class: "faint" }, job.note);
  if (job.total) bar.value = Math.min(1, job.done / job.total);
  return h(
    "div",
    {},
    job.state === "running" ? bar : null,
    h("span", { class: "faint" }, job.note),
  );
}

function took(job) {
  if (!job.started_at) return "";
  const end = job.ended_at ? new Date(job.ended_at) : new Date();
  return clock((end - new Date(job.started_at)) / 1000);
}
