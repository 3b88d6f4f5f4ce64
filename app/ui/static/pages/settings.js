// Settings: how this server is configured, who may come in, and what could ever leave it.

import { call } from "/assets/lib/api.js";
import { failure } from "/assets/lib/cards.js";
import { dialog, fill, h, toast, wallText } from "/assets/lib/dom.js";
import { values } from "/assets/lib/values.js";

export async function mount(main, session) {
  const left = h("div", { class: "stack" }),
    right = h("div", { class: "stack" });
  const grid = h("div", { class: "settings" }, left, right);
  fill(
    main,
    h(
      "div",
      { class: "head" },
      h("h1", {}, "Settings"),
      h("span", { class: "badge" }, `version ${session.version}`),
    ),
    grid,
  );
  const mine = [password, tokens, appearance];
  const editable = (place) => values(place, session, panel);
  const parts =
    session.role === "admin" ? [editable, facts, people, ...mine, outward] : [editable, ...mine];
  const side = (part) =>
    part === editable || part === facts || session.role !== "admin" ? left : right;
  for (const part of parts) {
    const body = h("div");
    side(part).append(body);
    part(body, session).catch((error) => fill(body, failure(error)));
  }
}

function panel(title, body, ...actions) {
  return h(
    "section",
    { class: "panel", "aria-label": title },
    h("div", { class: "title" }, h("h2", {}, title), h("div", { class: "row end" }, actions)),
    body,
  );
}

function told(error) {
  toast(error.message, error.hint);
}

async function facts(place, session) {
  const settings = await call("GET", "/api/v1/settings");
  const { model } = session;
  fill(
    place,
    panel("In force", [
      model.ready ? null : h("p", { class: "pad wrong" }, model.detail),
      h(
        "div",
        { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "Settings in force" },
        h(
          "table",
          { class: "facts-table" },
          h(
            "tbody",
            {},
            settings.facts.map((fact) =>
              h(
                "tr",
                {},
                h("td", {}, fact.name),
                h("td", {}, fact.value),
                h("td", { class: "faint mono" }, fact.setting),
              ),
            ),
          ),
        ),
      ),
      h(
        "p",
        { class: "pad faint" },
        `What has no field above is changed in ${settings.file} or by environment; then start again.`,
      ),
    ]),
  );
}

async function outward(place) {
  const settings = await call("GET", "/api/v1/settings");
  fill(
    place,
    panel(
      "What could ever leave this machine",
      h(
        "div",
        { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "Outward connections" },
        h(
          "table",
          {},
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              ["Connection", "When", "Now"].map((name) => h("th", { scope: "col" }, name)),
            ),
          ),
          h(
            "tbody",
            {},
            settings.outward.map((line) =>
              h("tr", {}, h("td", {}, line.what), h("td", {}, line.when), h("td", {}, line.now)),
            ),
          ),
        ),
      ),
    ),
  );
}

async function people(place) {
  const [{ users }, { videos }] = await Promise.all([
    call("GET", "/api/v1/users"),
    call("GET", "/api/v1/videos"),
  ]);
  const again = () => people(place).catch(told);
  const rows = users.map((user) =>
    h(
      "tr",
      {},
      h("td", {}, h("strong", {}, user.name)),
      h("td", {}, user.role),
      h("td", {}, user.role === "admin" ? "sees everything" : `${user.videos.length} videos`),
      h("td", {}, user.has_password ? "password" : "one-time link"),
      h(
        "td",
        {},
        h(
          "div",
          { class: "row", style: "flex-wrap:nowrap;justify-content:flex-end" },
          h(
            "button",
            {
              class: "quiet",
              type: "button",
              "aria-label": `Change ${user.name}`,
              onclick: () => change(place, user, videos).then(again),
            },
            "Change",
          ),
          h(
            "button",
            {
              class: "quiet danger",
              type: "button",
              "aria-label": `Remove ${user.name}`,
              onclick: () => remove(place, user).then(again),
            },
            "Remove",
          ),
        ),
      ),
    ),
  );
  fill(
    place,
    panel(
      "People",
      h(
        "div",
        { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "Accounts" },
        h(
          "table",
          {},
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              ["Name", "Role", "May see", "Signs in by", ""].map((name) =>
                h("th", { scope: "col" }, name || h("span", { class: "sr" }, "Act")),
              ),
            ),
          ),
          h("tbody", {}, rows),
        ),
      ),
      h("button", { type: "button", onclick: () => add(place).then(again) }, "Add someone"),
    ),
  );
}

const role = (now) =>
  h(
    "label",
    {},
    "Role",
    h(
      "select",
      { name: "role" },
      ["viewer", "admin"].map((name) => h("option", { value: name, selected: name === now }, name)),
    ),
  );

async function add(place) {
  const given = await dialog(place, "Add someone", [
    h(
      "label",
      {},
      "Name",
      h("input", {
        name: "name",
        required: true,
        pattern: "[\\w.@\\-]{1,64}",
        autocomplete: "off",
      }),
    ),
    h(
      "label",
      {},
      "Password, 10 characters or more",
      h("input", {
        name: "password",
        type: "password",
        required: true,
        minlength: "10",
        autocomplete: "new-password",
      }),
    ),
    role("viewer"),
  ]);
  if (given) await call("POST", "/api/v1/users", given).catch(told);
}

async function change(place, user, videos) {
  const given = await dialog(
    place,
    `Change ${user.name}`,
    [
      role(user.role),
      h(
        "label",
        {},
        "New password (leave empty to keep)",
        h("input", {
          name: "password",
          type: "password",
          minlength: "10",
          autocomplete: "new-password",
        }),
      ),
      user.role === "admin"
        ? null
        : h(
            "fieldset",
            { style: "max-height:220px;overflow:auto" },
            h("legend", { class: "faint" }, "May see"),
            videos.map((video) =>
              h(
                "label",
                { class: "row" },
                h("input", {
                  type: "checkbox",
                  name: `v:${video.video_id}`,
                  checked: user.videos.includes(video.video_id),
                }),
                video.name,
              ),
            ),
          ),
    ].filter(Boolean),
  );
  if (!given) return;
  const body = { role: given.role };
  if (given.password) body.password = given.password;
  if (user.role !== "admin") {
    body.videos = Object.keys(given)
      .filter((name) => name.startsWith("v:"))
      .map((name) => name.slice(2));
  }
  await call("PATCH", `/api/v1/users/${encodeURIComponent(user.name)}`, body).catch(told);
}

async function remove(place, user) {
  const given = await dialog(
    place,
    `Remove ${user.name}?`,
    h("p", {}, "Sessions, tokens and conversations of this account are deleted."),
    { confirm: "Remove", danger: true },
  );
  if (given) await call("DELETE", `/api/v1/users/${encodeURIComponent(user.name)}`).catch(told);
}

async function password(place, session) {
  const field = (label, name, autocomplete, minlength) =>
    h(
      "label",
      {},
      label,
      h("input", { name, type: "password", required: true, minlength, autocomplete }),
    );
  const ask = async () => {
    const given = await dialog(
      place,
      "Change your password",
      [
        session.has_password ? field("Present password", "current", "current-password", "1") : null,
        field("New password, 10 characters or more", "new", "new-password", "10"),
        h(
          "label",
          { class: "row" },
          h("input", { type: "checkbox", name: "end_tokens" }),
          "End my tokens too",
        ),
      ].filter(Boolean),
    );
    if (!given) return;
    try {
      await call("PUT", "/api/v1/session/password", {
        current: given.current ?? "",
        new: given.new,
        end_tokens: Boolean(given.end_tokens),
      });
      session.has_password = true;
      toast("The password is changed", "your other sessions have ended");
      await password(place, session);
    } catch (error) {
      told(error);
    }
  };
  fill(
    place,
    panel(
      "Your password",
      session.has_password
        ? h("p", { class: "pad faint" }, `You sign in as ${session.user}.`)
        : h(
            "p",
            { class: "pad wrong" },
            "You have no password: set one, or the next sign-in needs another one-time link.",
          ),
      h("button", { type: "button", onclick: ask }, session.has_password ? "Change" : "Set one"),
    ),
  );
}

async function tokens(place) {
  const found = await call("GET", "/api/v1/tokens");
  const again = () => tokens(place).catch(told);
  const rows = found.tokens.map((token) =>
    h(
      "tr",
      {},
      h("td", {}, token.name),
      h("td", {}, token.used_at ? `used ${wallText(token.used_at)}` : "never used"),
      h("td", {}, token.expires_at ? `until ${wallText(token.expires_at)}` : ""),
      h(
        "td",
        {},
        h(
          "button",
          {
            class: "quiet danger",
            type: "button",
            "aria-label": `Remove ${token.name}`,
            onclick: async () => {
              await call("DELETE", `/api/v1/tokens/${token.token_id}`).catch(told);
              again();
            },
          },
          "Remove",
        ),
      ),
    ),
  );
  fill(
    place,
    panel(
      "Tokens for programs",
      rows.length
        ? h(
            "div",
            { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "Tokens" },
            h("table", {}, h("tbody", {}, rows)),
          )
        : h(
            "p",
            { class: "pad faint" },
            "None. A token stands for you in scripts: ",
            h("span", { class: "mono" }, "Authorization: Bearer …"),
            " on /api/v1 and /v1.",
          ),
      h("button", { type: "button", onclick: () => hand(place).then(again) }, "New token"),
    ),
  );
}

async function hand(place) {
  const given = await dialog(
    place,
    "New token",
    [
      h(
        "label",
        {},
        "What is it for",
        h("input", { name: "name", required: true, maxlength: "64" }),
      ),
      h(
        "label",
        { class: "row" },
        h("input", { type: "checkbox", name: "write" }),
        "It may change the library, not only look and ask",
      ),
      h(
        "label",
        {},
        "Days until it ends",
        h("input", { name: "days", type: "number", min: "1", max: "366", value: "90" }),
      ),
    ],
    { confirm: "Make it" },
  );
  if (!given) return;
  try {
    const token = await call("POST", "/api/v1/tokens", {
      name: given.name,
      days: Number(given.days),
      scopes: given.write ? ["read", "write"] : ["read"],
    });
    await dialog(
      place,
      "Copy it now, it is shown once",
      h("p", { class: "secret" }, token.secret),
      { confirm: "I have it" },
    );
  } catch (error) {
    told(error);
  }
}

async function appearance(place) {
  const keys = h("input", {
    type: "checkbox",
    checked: localStorage.getItem("lw-keys") !== "off",
    onchange: (event) => localStorage.setItem("lw-keys", event.target.checked ? "on" : "off"),
  });
  fill(
    place,
    panel(
      "This browser",
      h(
        "div",
        { class: "pad stack" },
        h("label", { class: "row" }, keys, "Single-letter keys while the player has focus"),
        h(
          "p",
          { class: "faint" },
          "Colours follow the system until chosen at the top right. Nothing else " +
            "is kept in the browser but uploads that are under way.",
        ),
      ),
    ),
  );
}
