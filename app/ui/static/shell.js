// The frame of every page: title, menus, colours, times on the browser's clock, the way out.

import { ownHeaders } from "./parts.js";
import { showShare } from "./upload.js";

export function shell(element) {
  const main = document.querySelector("#lw-main");
  main.tabIndex = -1;
  main.ariaBusy = "false";
  element.addEventListener("click", ({ target }) => {
    const theme = target.closest("[data-colours]")?.dataset.colours;
    if (theme) document.documentElement.dataset.theme = localStorage["lw-theme"] = theme;
    if (target.closest("[data-sign-out]")) signOut();
  });
  // A picture that is not kept leaves its place to what stands behind it; errors do not bubble.
  const leave = ({ target }) => {
    if (target.matches?.("img.still, .tl-peek img")) target.hidden = true;
  };
  document.addEventListener("error", leave, true);
  document.addEventListener("keydown", walk);
  const look = () => {
    const title = main.querySelector("h1")?.textContent;
    document.title = title ? `${title} · Longwatch` : "Longwatch";
    main.querySelectorAll("time[datetime]:not([data-local])").forEach(showTime);
  };
  new MutationObserver(look).observe(main, { childList: true, subtree: true, characterData: true });
  look();
  const isOnItsWay = Object.keys(localStorage).some((key) => key.startsWith("tus::lw-upload:"));
  if (isOnItsWay && !main.querySelector(".drop")) showShare(element.querySelector("#lw-share"));
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

async function signOut() {
  await fetch("/api/v1/session", { method: "DELETE", headers: await ownHeaders() });
  location.assign("/sign-in");
}
