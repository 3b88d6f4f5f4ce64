// The address is the state: any moment is a link.

export function readAddress() {
  return Object.fromEntries(new URLSearchParams(location.search));
}

export function writeAddress(changes, { push = false } = {}) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") query.delete(name);
    else query.set(name, value);
  }
  const url = `${location.pathname}${query.size ? `?${query}` : ""}`;
  if (url === location.pathname + location.search) return;
  history[push ? "pushState" : "replaceState"](null, "", url);
}

export function linkTo(page, state = {}) {
  const query = new URLSearchParams(
    Object.entries(state).filter(([, value]) => value !== null && value !== undefined),
  );
  const base = page === "library" ? "/ui/" : `/ui/${page}`;
  return `${base}${query.size ? `?${query}` : ""}`;
}
