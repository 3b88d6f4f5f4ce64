// What several components share, and the small components themselves.

// What the player and the timeline say to each other, and to whoever reads them.
//
// On `document`: `lw-time` where the player is, `lw-seek` where it shall go, `lw-marks` what is
// marked. Neither needs the other, and none of it asks the server.

export const say = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));
export const hear = (name, act) => document.addEventListener(name, (event) => act(event.detail));

export function clock(seconds, digits = 0) {
  // What is filmed still has no end that a browser knows.
  const whole_ms = Number.isFinite(seconds) ? Math.max(0, Math.round(1000 * seconds)) : 0;
  const hours = Math.floor(whole_ms / 3_600_000);
  const rest = new Date(whole_ms).toISOString().slice(14, digits ? 20 + digits : 19);
  return hours ? `${hours}:${rest}` : rest.replace(/^0/, "");
}

// The moment that a link leads to; `end_s` is null where it names none.
export function momentOf(link) {
  const query = new URL(link.href, location.origin).searchParams;
  const end = query.get("end");
  return {
    video_id: query.get("v"),
    start_s: Number(query.get("t") ?? 0),
    end_s: end === null ? null : Number(end),
  };
}

export function toast(words, hint = "") {
  const item = document.createElement("div");
  item.className = "toast";
  item.textContent = [words, hint].filter(Boolean).join(" ");
  document.querySelector(".lw .toasts")?.append(item);
  setTimeout(() => item.remove(), 7000);
}

export const LOST = "The server cannot be reached.";
export const sentence = ({ message, hint }) => [message, hint].filter(Boolean).join(" — ");

// Headers of a request that changes something.
export async function ownHeaders(rest = {}) {
  const { csrf } = await (await fetch("/api/v1/session")).json();
  return { "X-CSRF-Token": csrf, ...rest };
}

// A button with data triggers the event that it names, else `act`, with all that it carries.
export function relay(element, { trigger }) {
  element.addEventListener("click", ({ target }) => {
    const data = target.closest("[data-action], [data-event]")?.dataset;
    if (data) trigger(data.event ?? "act", { ...data });
  });
}

// The query string of the page, as Python sets it; where the user goes back, Python is told.
export function address(element, { trigger, props, watch }) {
  let isFirst = true;
  watch("value", () => {
    const wanted = new URLSearchParams(props.value);
    const present = new URLSearchParams(location.search);
    for (const name of props.keeps ?? [])
      if (!wanted.has(name) && present.has(name)) wanted.set(name, present.get(name));
    const url = `${location.pathname}${wanted.size ? `?${wanted}` : ""}`;
    wanted.sort();
    present.sort();
    if (wanted.toString() !== present.toString())
      history[isFirst ? "replaceState" : "pushState"](null, "", url);
    isFirst = false;
  });
  addEventListener("popstate", () => trigger("revisit", { query: location.search }));
}

// A timer that rests while its tab is hidden, and beats at once when it is shown again. With `tells`
// it goes on where the browser may notify: that is for whoever looks at something else.
export function pulse(element, { trigger, props, watch }) {
  let timer;
  const beat = (isDue = true) => {
    clearTimeout(timer);
    timer = setTimeout(beat, Number(props.value) * 1000);
    const mayTell = props.tells && window.Notification?.permission === "granted";
    if (isDue && (mayTell || !document.hidden)) trigger("beat", {});
  };
  watch("value", () => beat(false));
  document.addEventListener("visibilitychange", () => beat());
  beat(false);
}

// Buttons that confirm or reject a moment; pressed again, one takes its verdict back.
export function verdicts(element, { trigger }) {
  document.addEventListener("click", ({ target }) => {
    const button = target.closest?.("[data-judge]");
    const place = button?.closest("[data-moment]");
    if (!place) return;
    const isTaken = button.ariaPressed === "true";
    for (const other of place.querySelectorAll("[data-judge]"))
      other.ariaPressed = other === button && !isTaken;
    const verdict = isTaken ? null : button.dataset.judge;
    trigger("judge", { moment: { ...JSON.parse(place.dataset.moment), verdict } });
  });
}

// A panel beside the page: it takes the focus when it opens and gives it back when it leaves.
export function drawer(element, { trigger }) {
  const before = document.activeElement;
  const panel = element.closest(".lw-drawer");
  let first = null;
  const look = () => {
    panel.ariaLabel = element.querySelector("h2")?.textContent ?? "";
    if (!first) (first = panel.querySelector("input, textarea, .lw-go"))?.focus();
    if (panel.isConnected) return;
    watcher.disconnect();
    // What had the focus may have been drawn anew meanwhile.
    (document.getElementById(before?.id) ?? before)?.focus();
  };
  const watcher = new MutationObserver(look);
  watcher.observe(document.body, { childList: true, subtree: true });
  panel.role = "dialog";
  look();
  relay(element, { trigger });
  panel.addEventListener("keydown", ({ key }) => key === "Escape" && trigger("leave", {}));
}

// One small file as the body of a PUT; the route says what is wrong with it.
export function filePut(element, { trigger, props }) {
  const field = element.querySelector("input");
  const words = element.querySelector("[role=status]");
  field.addEventListener("change", async () => {
    const [file] = field.files;
    words.textContent = `Sending ${file.name} …`;
    const name = file.name.replace(/\.\w+$/, "").replace(/[^\w .-]+/g, "-");
    const path = `${props.address}/${encodeURIComponent(name.slice(0, 64))}`;
    const headers = await ownHeaders({ "Content-Type": props.media_type });
    const answer = await fetch(path, { method: "PUT", body: file, headers }).catch(() => null);
    const { error, ...document } = (await answer?.json()) ?? { error: { message: LOST } };
    words.textContent = error ? sentence(error) : `${file.name} has arrived.`;
    words.classList.toggle("wrong", Boolean(error));
    if (!error) trigger("sent", document);
    field.value = "";
  });
}
