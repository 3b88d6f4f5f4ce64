// Cards by key: one that has changed is replaced, the others stay; menus, focus and pictures too.

import { relay } from "./parts.js";

export function grid(element, { trigger, props, watch }) {
  const [place] = element.children;
  const cards = new Map();
  let chosen = new Set();
  const check = () => {
    place.classList.toggle("choosing", chosen.size > 0);
    for (const box of place.querySelectorAll(".pick input")) box.checked = chosen.has(box.value);
  };
  const arrange = (marks, changed) => {
    const focused = document.activeElement;
    for (const [at, [key, mark]] of marks.entries()) {
      if (changed[key])
        cards.set(key, { mark, node: replaced(cards.get(key)?.node, changed[key]) });
      const card = cards.get(key);
      // Two answers may cross: what is lacking or old is asked for again.
      if (card?.mark !== mark) return trigger("missing", {});
      if (place.children[at] !== card.node) place.insertBefore(card.node, place.children[at]);
    }
    while (place.children.length > marks.length) place.lastChild.remove();
    if (place.contains(focused)) focused.focus();
  };
  const draw = () => {
    const { marks, cards: changed = {}, chosen: wanted } = props.value ?? {};
    if (wanted) chosen = new Set(wanted);
    if (marks) arrange(marks, changed);
    check();
  };
  place.addEventListener("change", ({ target }) => {
    chosen[target.checked ? "add" : "delete"](target.value);
    check();
    trigger("choose", { keys: [...chosen] });
  });
  relay(element, { trigger });
  watch("value", draw);
  draw();
}

// The card of some markup, in place of the one before and with what the user does there.
function replaced(before, markup) {
  const template = document.createElement("template");
  template.innerHTML = markup;
  const card = template.content.firstElementChild;
  if (!before) return card;
  const [now, then] = [card, before].map((node) => node.querySelector("img"));
  if (now && now.getAttribute("src") === then?.getAttribute("src")) now.replaceWith(then);
  const parts = (node) => [...node.querySelectorAll("a, button, input")];
  const place = parts(before).indexOf(document.activeElement);
  const isOpen = before.querySelector(":popover-open");
  before.replaceWith(card);
  if (isOpen) card.querySelector("[popovertarget]").click();
  parts(card)[place]?.focus();
  return card;
}
