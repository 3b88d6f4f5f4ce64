// The frame: mounts the page that an element names, tells session and theme.

import { call, getSession } from "/assets/lib/api.js";
import { fill, h, icon, toast } from "/assets/lib/dom.js";

export async function mount(element) {
  const root = element.querySelector(".lw");
  if (!root || root.dataset.mounted) return;
  root.dataset.mounted = "yes";
  const main = root.querySelector(".page");
  try {
    const session = await getSession();
    account(root, session);
    const page = await import(`/assets/pages/${root.dataset.page}.js`);
    await page.mount(main, session);
  } catch (error) {
    fill(
      main,
      h(
        "div",
        { class: "note bad", role: "alert" },
        h("strong", {}, error.message),
        error.hint ? h("p", {}, error.hint) : null,
      ),
    );
  }
  main.setAttribute("aria-busy", "false");
}

function account(root, session) {
  const place = root.querySelector(".bar .end");
  fill(
    place,
    h(
      "span",
      { class: "badge wide-only", title: session.model.detail },
      session.model.ready ? `model ${session.model.name}` : "no model",
    ),
    session.offline
      ? h(
          "span",
          {
            class: "badge wide-only",
            title: "No outbound request is made. Settings lists what ever would be.",
          },
          "offline",
        )
      : null,
    themeButton(),
    h("div", { class: "menu" }, accountButton(session)),
  );
}

function themeButton() {
  const dark = () => document.documentElement.dataset.theme === "dark";
  const button = h("button", { class: "quiet icon", type: "button" });
  const draw = () => {
    fill(button, icon(dark() ? "sun" : "moon"));
    button.setAttribute("aria-label", dark() ? "Use light colours" : "Use dark colours");
  };
  button.addEventListener("click", () => {
    const theme = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("lw-theme", theme);
    draw();
    window.dispatchEvent(new CustomEvent("lw-theme"));
  });
  draw();
  return button;
}

function accountButton(session) {
  const list = h("ul", { hidden: true });
  const button = h(
    "button",
    {
      class: "quiet",
      type: "button",
      "aria-haspopup": "true",
      "aria-expanded": "false",
      "aria-label": `Account of ${session.user}`,
    },
    icon("person"),
    h("span", { class: "wide-only" }, session.user),
  );
  const show = (open) => {
    list.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
  };
  fill(
    list,
    h(
      "li",
      {},
      h("a", { class: "button quiet", href: "/ui/settings" }, `Signed in as ${session.role}`),
    ),
    h("li", {}, h("button", { type: "button", class: "quiet", onclick: signOut }, "Sign out")),
  );
  button.addEventListener("click", () => show(list.hidden));
  document.addEventListener("click", (event) => {
    if (!button.parentElement?.contains(event.target)) show(false);
  });
  list.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      show(false);
      button.focus();
    }
  });
  return [button, list];
}

async function signOut() {
  try {
    await call("DELETE", "/api/v1/session");
    location.assign("/sign-in");
  } catch (error) {
    toast(error.message, error.hint);
  }
}
