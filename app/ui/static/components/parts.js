// The small components, in one file: each that a page asks for by itself is a request.

// What the player and the timeline say to each other, and to whoever reads them.
//
// On `document`: `lw-time` where the player is, `lw-seek` where it shall go, `lw-marks` what is
// marked. Neither needs the other, and none of it asks the server.

export const say = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));
export const hear = (name, act) => document.addEventListener(name, (event) => act(event.detail));

export function clock(seconds, digits = 0) {
  const scale = 10 ** digits;
  const whole = Math.floor(Math.max(0, seconds) * scale + 1e-6) / scale;
  const pad = (value) => String(Math.floor(value)).padStart(2, "0");
  const rest = (whole % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  const minutes = Math.floor(whole / 60);
  const hours = Math.floor(minutes / 60);
  return hours ? `${hours}:${pad(minutes % 60)}:${rest}` : `${minutes}:${rest}`;
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

// The query string of the page, as Python sets it; where the user goes back, Python is told.
export function address(element, { trigger, props, watch }) {
  let isFirst = true;
  watch("value", () => {
    const wanted = new URLSearchParams(props.value);
    const present = new URLSearchParams(location.search);
    for (const name of props.keeps ?? []) {
      if (!wanted.has(name) && present.has(name)) wanted.set(name, present.get(name));
    }
    const query = wanted.toString();
    wanted.sort();
    present.sort();
    if (wanted.toString() !== present.toString()) {
      const url = `${location.pathname}${query ? `?${query}` : ""}`;
      history[isFirst ? "replaceState" : "pushState"](null, "", url);
    }
    isFirst = false;
  });
  addEventListener("popstate", () => trigger("revisit", { query: location.search }));
}

// A timer that rests while its tab is hidden, and beats at once when it is shown again.
export function pulse(element, { trigger, props, watch }) {
  let timer;
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(beat, Number(props.value) * 1000);
  };
  const beat = () => {
    if (!document.hidden) trigger("beat", {});
    wait();
  };
  watch("value", wait);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) beat();
  });
  wait();
}

// Buttons of rows, as one event.
export function actions(element, { trigger }) {
  element.addEventListener("click", (event) => {
    const button = event.target.closest("[data-action]");
    if (button) trigger("act", { action: button.dataset.action, key: button.dataset.key });
  });
}

// Cards of moments: arrows walk them, a still that was not kept says so, likeness is asked for.
const STEPS = { ArrowRight: 1, ArrowLeft: -1, n: 1, p: -1 };

export function gallery(element, { trigger }) {
  element.addEventListener("keydown", (event) => {
    const shots = [...element.querySelectorAll(".shot")];
    const here = shots.indexOf(document.activeElement);
    const step = STEPS[event.key];
    if (here < 0 || !step) return;
    event.preventDefault();
    shots[(here + step + shots.length) % shots.length].focus();
  });
  element.addEventListener("click", (event) => {
    const like = event.target.closest("[data-video]");
    if (like)
      trigger("similar", { video_id: like.dataset.video, time_s: Number(like.dataset.time) });
  });
  const replace = (event) => {
    if (!event.target.matches?.("img.still")) return;
    const none = document.createElement("span");
    none.className = "still none";
    none.textContent = "no picture is kept";
    event.target.replaceWith(none);
  };
  // Errors of pictures do not bubble.
  element.addEventListener("error", replace, true);
}

// Buttons that confirm or reject a moment; pressed again, one takes its verdict back.
export function verdicts(element, { trigger }) {
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-judge]");
    const place = button?.closest("[data-moment]");
    if (!place) return;
    const isTaken = button.getAttribute("aria-pressed") === "true";
    for (const other of place.querySelectorAll("[data-judge]"))
      other.setAttribute("aria-pressed", String(other === button && !isTaken));
    const verdict = isTaken ? null : button.dataset.judge;
    trigger("judge", { moment: { ...JSON.parse(place.dataset.moment), verdict } });
  });
}

// A heat map: one stop of the keyboard, arrows from cell to cell.
export function heat(element, { trigger, watch }) {
  const cells = () => [...element.querySelectorAll("button[data-key]")];
  const hold = (cell) => cells().forEach((other) => (other.tabIndex = other === cell ? 0 : -1));
  const reset = () => {
    const all = cells();
    hold(all.find((cell) => cell.ariaPressed === "true") ?? all[0]);
  };
  element.addEventListener("click", (event) => {
    const cell = event.target.closest("button[data-key]");
    if (cell) trigger("pick", { key: cell.dataset.key });
  });
  element.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[
      event.key
    ];
    const place = event.target.closest?.("td");
    if (!step || !place) return;
    const rows = place.closest("tbody").rows;
    const row = rows[place.parentElement.rowIndex - 1 + step[0]];
    const next = row?.cells[place.cellIndex + step[1]]?.querySelector("button");
    event.preventDefault();
    if (!next) return;
    hold(next);
    next.focus();
  });
  watch("value", reset);
  reset();
}

// A panel beside the page: it takes the focus when it opens and gives it back when it leaves.

export function drawer(element, { trigger }) {
  const before = document.activeElement;
  const panel = element.closest(".lw-drawer");
  panel.setAttribute("role", "dialog");
  let isEntered = false;
  const look = () => {
    panel.setAttribute("aria-label", element.querySelector("h2")?.textContent ?? "");
    const first = panel.querySelector("input, textarea, .lw-go");
    if (first && !isEntered) first.focus();
    isEntered ||= Boolean(first);
    if (panel.isConnected) return;
    watcher.disconnect();
    // What had the focus may have been drawn anew meanwhile.
    (document.getElementById(before?.id) ?? before)?.focus();
  };
  const watcher = new MutationObserver(look);
  watcher.observe(document.body, { childList: true, subtree: true });
  look();
  const leave = () => trigger("leave", {});
  element.addEventListener("click", ({ target }) => target.closest("[data-leave]") && leave());
  panel.addEventListener("keydown", ({ key }) => key === "Escape" && leave());
}

// One small file as the body of a PUT; the route says what is wrong with it.
export function filePut(element, { trigger, props }) {
  const field = element.querySelector("input");
  const words = element.querySelector("[role=status]");
  const tell = (text, isWrong = false) => {
    words.textContent = text;
    words.classList.toggle("wrong", isWrong);
  };
  field.addEventListener("change", async () => {
    const [file] = field.files;
    if (!file) return;
    const name = file.name.replace(/\.\w+$/, "").replace(/[^\w .-]+/g, "-");
    tell(`Sending ${file.name} …`);
    try {
      const { csrf } = await (await fetch("/api/v1/session")).json();
      const headers = { "X-CSRF-Token": csrf, "Content-Type": props.media_type };
      const path = `${props.address}/${encodeURIComponent(name.slice(0, 64))}`;
      const answer = await fetch(path, { method: "PUT", body: file, headers });
      const document = await answer.json();
      const { message, hint } = document.error ?? {};
      if (!answer.ok) throw new Error([message, hint].filter(Boolean).join("; "));
      tell(`${file.name} has arrived.`);
      trigger("sent", document);
    } catch (error) {
      tell(error.message, true);
    }
    field.value = "";
  });
}
