// The frame of every page: title, menus, colours, times on the browser's clock, the way out.

import { showShare } from "./upload.js";

export function shell(element, { watch }) {
  const main = document.querySelector("#lw-main");
  main.tabIndex = -1;
  main.ariaBusy = "false";
  element.addEventListener("click", ({ target }) => {
    const theme = target.closest("[data-colours]")?.dataset.colours;
    // The address of this page stays: whoever signs in comes back to it.
    if (target.closest("[data-reload]")) location.reload();
    if (target.closest("[data-notify]")) window.Notification?.requestPermission();
    if (theme) document.documentElement.dataset.theme = localStorage["lw-theme"] = theme;
  });
  // A picture that is not kept leaves its place to what stands behind it; errors do not bubble.
  const leave = ({ target }) => {
    if (target.matches?.("img.still, .tl-peek img")) target.hidden = true;
  };
  document.addEventListener("error", leave, true);
  document.addEventListener("keydown", walk);
  // Gradio says no more than "Error": whether a page is cut off is told by what became of its
  // requests, and the style sheet shows which sentence that is.
  new PerformanceObserver((list) => {
    for (const { name, responseStatus } of list.getEntries())
      if (/gradio_api\/(run|queue\/join)/.test(name)) element.dataset.status = responseStatus;
  }).observe({ type: "resource" });
  // A menu looks names up at each key: what is pasted into it, or dropped there, has none.
  main.addEventListener("input", ({ target, inputType }) => {
    for (const name of /Paste|Drop/.test(inputType) ? ["keydown", "keyup"] : [])
      target.dispatchEvent(new KeyboardEvent(name, { bubbles: true }));
  });
  const look = () => {
    const title = main.querySelector("h1")?.textContent;
    const open = element.querySelector(".count:not([hidden])")?.textContent;
    const words = [open && `(${open})`, title && `${title} ·`, "Longwatch"];
    document.title = words.filter(Boolean).join(" ");
    main.querySelectorAll("time[datetime]:not([data-local])").forEach(showTime);
    // Gradio's box of pictures: items of no list, and a button named otherwise than it reads.
    for (const item of main.querySelectorAll("#lw-question [role=listitem]")) item.role = "group";
    for (const button of main.querySelectorAll("#lw-question .submit-button"))
      button.ariaLabel = button.textContent;
  };
  new MutationObserver(look).observe(main, { childList: true, subtree: true, characterData: true });
  // What is raised while the page is open is told by a browser that may.
  let latest;
  const tell = () => {
    const alerts = JSON.parse(element.querySelector(".count").dataset.raised ?? "null");
    const may = window.Notification?.permission === "granted";
    for (const [tag, rule, body] of alerts ?? [])
      if (may && tag > latest)
        new Notification(rule, { body, tag }).addEventListener("click", () => focus());
    if (alerts) latest = Math.max(latest ?? 0, ...alerts.map(([tag]) => tag));
    look();
  };
  watch("value", tell);
  tell();
  showShare(element.querySelector("#lw-share"));
}

// Keys walk what an element with `data-walk` holds: a selector, and how many stand side by side.
function walk(event) {
  const { target, key } = event;
  const place = target.closest?.("[data-walk]");
  const menu = place ? null : target.popoverTargetElement;
  const items = [...((menu ?? place)?.querySelectorAll((menu ?? place).dataset.walk) ?? [])];
  const [here, last] = [items.indexOf(target), items.length - 1];
  const across = Number(place?.dataset.across);
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across, n: 1, p: -1 };
  const to = { Home: 0, End: last }[key] ?? (here + steps[key] + items.length) % items.length;
  const next = items[menu ? { ArrowDown: 0, ArrowUp: last }[key] : here < 0 ? NaN : to];
  if (!next?.matches("a, button")) return;
  event.preventDefault();
  if (menu) menu.showPopover({ source: target });
  // Where one alone is a stop of the keyboard, that goes along.
  else [target.tabIndex, next.tabIndex] = [next.tabIndex, target.tabIndex];
  next.focus();
}

function showTime(time) {
  time.dataset.local = "";
  const date = new Date(time.dateTime);
  time.textContent = date.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}
