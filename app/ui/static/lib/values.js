// The settings that may be changed on a page: inputs for an admin, a table for everybody else.

import { call } from "/assets/lib/api.js";
import { dialog, fill, h, toast } from "/assets/lib/dom.js";

const CHOSEN = "chosen by the model or the engine";

export async function values(place, session, panel) {
  const { settings } = await call("GET", "/api/v1/settings/values");
  show(place, session, panel, settings);
}

function show(place, session, panel, settings) {
  const title = "Model, budgets and retention";
  if (session.role !== "admin") {
    fill(
      place,
      panel(title, [
        h(
          "table",
          { class: "facts-table" },
          h(
            "tbody",
            {},
            settings.map((one) =>
              h("tr", {}, h("td", {}, one.name), h("td", {}, one.in_force ?? "—")),
            ),
          ),
        ),
        h("p", { class: "pad faint" }, "Only an admin may change these."),
      ]),
    );
    return;
  }
  const waiting = settings.filter((one) => one.is_waiting);
  const form = h(
    "form",
    { class: "values", "aria-label": title },
    settings.map(field),
    h("p", { class: "wrong", role: "alert" }),
    h(
      "div",
      { class: "row" },
      h("button", { class: "primary", type: "submit" }, "Save"),
      h("span", { class: "faint" }, "An empty field takes the default. Sizes: 512MiB, 20GiB."),
    ),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const changes = changed(form, settings);
    if (!Object.keys(changes).length) {
      toast("Nothing was changed.");
      return;
    }
    try {
      const after = await save(place, changes);
      if (!after) return;
      show(place, session, panel, after.settings);
      toast("Saved.");
    } catch (error) {
      fill(
        form.querySelector("[role=alert]"),
        [error.message, error.hint].filter(Boolean).join("; "),
      );
    }
  });
  fill(
    place,
    panel(
      title,
      [
        waiting.length
          ? h(
              "p",
              { class: "pad notice", role: "status" },
              `Start the server and its workers again to use: ${waiting
                .map((one) => `${one.name} ${one.value ?? "(default)"}`)
                .join(", ")}.`,
            )
          : null,
        form,
      ].filter(Boolean),
    ),
  );
}

function field(one) {
  const id = `note-${one.setting}`;
  const notes = [
    one.locked_by ? `held by ${one.locked_by}` : null,
    one.is_waiting ? `in force until the restart: ${one.in_force ?? "the default"}` : null,
    !one.locked_by && one.needs_restart && !one.is_waiting ? "used after a restart" : null,
  ]
    .filter(Boolean)
    .join("; ");
  return h(
    "label",
    {},
    h("span", { class: "row" }, one.name, h("span", { class: "faint mono end" }, one.setting)),
    h("input", {
      name: one.setting,
      value: one.is_default && one.kind !== "text" ? "" : (one.value ?? ""),
      placeholder: one.value ?? placeholder(one),
      disabled: Boolean(one.locked_by),
      inputmode: one.kind === "number" ? "decimal" : "text",
      autocomplete: "off",
      spellcheck: "false",
      "aria-describedby": id,
    }),
    h("small", { class: "faint", id }, notes || "used at once"),
  );
}

function placeholder(one) {
  return one.setting === "retention.days" ? "never" : CHOSEN;
}

// Dotted names of what the user has typed over; an emptied field goes back to its default.
function changed(form, settings) {
  const changes = {};
  for (const one of settings) {
    const input = form.elements[one.setting],
      typed = input.value.trim();
    if (input.disabled || typed === input.defaultValue) continue;
    const number = Number(typed);
    if (!typed) changes[one.setting] = null;
    else changes[one.setting] = one.kind !== "text" && Number.isFinite(number) ? number : typed;
  }
  return changes;
}

// Saves changes; where videos would leave at once, the server says how many, and the user decides.
async function save(place, changes) {
  const path = "/api/v1/settings/values";
  try {
    return await call("PATCH", path, { changes });
  } catch (error) {
    if (error.status !== 409) throw error;
    const text = `${error.message}. This cannot be undone.`;
    const options = { confirm: "Delete them", danger: true };
    if (!(await dialog(place, "Let videos leave by age?", h("p", {}, text), options))) return null;
    return call("PATCH", path, { changes, confirm: true });
  }
}
