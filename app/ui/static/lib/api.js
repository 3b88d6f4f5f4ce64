// Every word to the server: JSON with the CSRF token of the session, errors as sentences.

let session = null;

export class ApiError extends Error {
  constructor(status, body) {
    super(body?.error?.message ?? body?.detail ?? `the server answered ${status}`);
    this.status = status;
    this.code = body?.error?.code ?? "error";
    this.hint = body?.error?.hint ?? null;
  }
}

export async function getSession() {
  session ??= await call("GET", "/api/v1/session");
  return session;
}

export async function headers(extra = {}) {
  const { csrf } = await getSession();
  return { "X-CSRF-Token": csrf, ...extra };
}

export async function call(method, path, body, { signal } = {}) {
  const options = { method, signal, headers: { Accept: "application/json" } };
  if (method !== "GET") options.headers = await headers(options.headers);
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const answer = await reach(path, options);
  return answer.status === 204 ? null : answer.json();
}

// One file as the body of a request; large videos go by lib/tus.js, in parts.
export async function sendFile(path, file, type) {
  const answer = await reach(path, {
    method: "PUT",
    body: file,
    headers: await headers({ "Content-Type": type, Accept: "application/json" }),
  });
  return answer.json();
}

// Server-sent events of one request; `on` maps event names to callbacks.
export async function stream(path, body, on, { signal } = {}) {
  const answer = await reach(path, {
    method: "POST",
    signal,
    body: JSON.stringify(body),
    headers: await headers({ "Content-Type": "application/json", Accept: "text/event-stream" }),
  });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    let cut;
    while ((cut = rest.indexOf("\n\n")) >= 0) {
      const lines = rest.slice(0, cut).split("\n");
      rest = rest.slice(cut + 2);
      const name = lines.find((line) => line.startsWith("event: "))?.slice(7);
      const data = lines.find((line) => line.startsWith("data: "))?.slice(6);
      if (name && on[name]) on[name](JSON.parse(data ?? "null"));
    }
  }
}

async function reach(path, options) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, {
      error: {
        code: "unreachable",
        message: "The server cannot be reached.",
        hint: "Is `longwatch serve` still running?",
      },
    });
  }
  if (answer.status === 401) {
    location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
  }
  if (!answer.ok) throw new ApiError(answer.status, await answer.json().catch(() => null));
  return answer;
}

// Calls `look` again and again while the page is shown; `look` says how long to wait, in ms.
export function poll(look) {
  let timer = null,
    stopped = false;
  const turn = async () => {
    clearTimeout(timer);
    if (stopped) return;
    let wait = 5000;
    if (!document.hidden) wait = (await look().catch(() => 5000)) ?? 5000;
    timer = setTimeout(turn, wait);
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) turn();
  });
  turn();
  return {
    now: turn,
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
