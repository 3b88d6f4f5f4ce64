// The frame of every page: title, menus, colours, times on the browser's clock, the way out.

export function mount(element) {
  const main = document.querySelector("#lw-main");
  main.tabIndex = -1;
  main.setAttribute("aria-busy", "false");
  element.addEventListener("click", ({ target }) => {
    const theme = target.closest("[data-colours]")?.dataset.colours;
    if (theme) useColours(theme);
    if (target.closest("[data-sign-out]")) signOut();
  });
  document.addEventListener("click", ({ target }) => {
    const pressed = target.closest(".lw .menu > button")?.parentElement;
    // What opens by an item gives the focus back to the button, which stays in sight.
    target.closest(".lw .menu li")?.closest(".menu").firstElementChild.focus();
    for (const menu of document.querySelectorAll(".lw .menu"))
      open(menu, menu === pressed && menu.lastElementChild.hidden);
  });
  document.addEventListener("keydown", walk);
  const look = () => {
    const title = main.querySelector("h1")?.textContent;
    document.title = title ? `${title} · Longwatch` : "Longwatch";
    main.querySelectorAll("time[datetime]:not([data-local])").forEach(showTime);
  };
  new MutationObserver(look).observe(main, { childList: true, subtree: true, characterData: true });
  look();
  setInterval(() => !document.hidden && countAlerts(element.querySelector(".count")), 15_000);
  const share = element.querySelector("#lw-share");
  const isOnItsWay = Object.keys(localStorage).some((key) => key.startsWith("tus::lw-upload:"));
  if (isOnItsWay && !main.querySelector(".drop"))
    import("./components/upload.js").then((uploads) => uploads.showShare(share));
}

// A menu is a button and the list behind it.
function open(menu, isOpen) {
  menu.lastElementChild.hidden = !isOpen;
  menu.firstElementChild.setAttribute("aria-expanded", String(isOpen));
}

function walk(event) {
  const menu = event.target.closest?.(".lw .menu");
  if (!menu) return;
  const items = [...menu.querySelectorAll("li > *")];
  const here = items.indexOf(document.activeElement);
  const places = { ArrowDown: here + 1, ArrowUp: here < 0 ? -1 : here - 1, Home: 0, End: -1 };
  const isAway = event.key === "Escape" && !menu.lastElementChild.hidden;
  if (!(event.key in places) && !isAway) return;
  event.preventDefault();
  open(menu, !isAway);
  (isAway ? menu.firstElementChild : items.at(places[event.key] % items.length)).focus();
}

function useColours(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("lw-theme", theme);
  window.dispatchEvent(new CustomEvent("lw-theme"));
}

function showTime(time) {
  time.dataset.local = "";
  const date = new Date(time.dateTime);
  time.textContent = date.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

async function countAlerts(place) {
  const answer = await fetch("/api/v1/alerts?state=open&limit=1").catch(() => null);
  if (!answer?.ok) return;
  const { open: count } = await answer.json();
  place.hidden = !count;
  place.textContent = count > 99 ? "99+" : count;
  place.ariaLabel = `${count} unanswered`;
}

async function signOut() {
  const { csrf } = await (await fetch("/api/v1/session")).json();
  await fetch("/api/v1/session", { method: "DELETE", headers: { "X-CSRF-Token": csrf } });
  location.assign("/sign-in");
}
