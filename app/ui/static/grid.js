// Cards by key, morphed into those that are wanted: what is alike stays, with menus and focus.

import { relay } from "./parts.js";

export async function grid(element, { trigger, props, watch }) {
  const loading = import("./vendor/idiomorph.esm.js");
  const [place] = element.children;
  const cards = new Map();
  let chosen = new Set();
  const check = () => {
    place.classList.toggle("choosing", chosen.size > 0);
    for (const box of place.querySelectorAll(".pick input")) box.checked = chosen.has(box.value);
  };
  // Values come before the library does, and each is but what has changed.
  const draw = async () => {
    const { marks, cards: changed = {}, chosen: wanted } = props.value ?? {};
    chosen = new Set(wanted ?? chosen);
    for (const [key, mark] of marks ?? [])
      if (changed[key]) cards.set(key, { mark, markup: changed[key] });
    // Two answers may cross: what is lacking or old is asked for again.
    if (marks?.some(([key, mark]) => cards.get(key)?.mark !== mark)) return trigger("missing", {});
    const markup = marks?.map(([key]) => cards.get(key).markup).join("");
    const { Idiomorph } = await loading;
    if (marks) Idiomorph.morph(place, markup, { morphStyle: "innerHTML" });
    check();
  };
  place.addEventListener("change", ({ target }) => {
    chosen[target.checked ? "add" : "delete"](target.value);
    check();
    trigger("choose", { keys: [...chosen] });
  });
  relay(element, { trigger });
  watch("value", draw);
  await draw();
}
