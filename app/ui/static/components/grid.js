// Cards by key: one that has changed is replaced, the others stay; menus, focus and pictures too.

export function mount(element, { trigger, props, watch }) {
  const grid = document.createElement("div");
  grid.className = "lw part cards";
  element.append(grid);
  const cards = new Map();
  let chosen = new Set();

  const draw = () => {
    const { marks, cards: changed = {}, chosen: wanted } = props.value ?? {};
    if (wanted) chosen = new Set(wanted);
    if (marks) arrange(marks, changed);
    grid.classList.toggle("choosing", chosen.size > 0);
    for (const box of grid.querySelectorAll(".pick input")) box.checked = chosen.has(box.value);
  };
  const arrange = (marks, changed) => {
    const focused = document.activeElement;
    let place = 0;
    for (const [key, mark] of marks) {
      if (changed[key]) cards.set(key, { mark, node: replace(cards.get(key)?.node, changed[key]) });
      const card = cards.get(key);
      // Two answers may cross: what is lacking or old is asked for again.
      if (card?.mark !== mark) return trigger("missing", {});
      if (grid.children[place] !== card.node) grid.insertBefore(card.node, grid.children[place]);
      place += 1;
    }
    while (grid.children.length > place) grid.lastChild.remove();
    if (grid.contains(focused) && focused !== document.activeElement) focused.focus();
  };
  grid.addEventListener("change", ({ target }) => {
    chosen[target.checked ? "add" : "delete"](target.value);
    grid.classList.toggle("choosing", chosen.size > 0);
    trigger("choose", { keys: [...chosen] });
  });
  grid.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-action]");
    if (button) trigger("act", { action: button.dataset.action, key: button.dataset.key });
  });
  watch("value", draw);
  draw();
}

function replace(before, markup) {
  const template = document.createElement("template");
  template.innerHTML = markup;
  const card = template.content.firstElementChild;
  if (!before) return card;
  const [now, then] = [card, before].map((node) => node.querySelector("img"));
  if (now && now.getAttribute("src") === then?.getAttribute("src")) now.replaceWith(then);
  const parts = (node) => [...node.querySelectorAll("a, button, input")];
  const place = parts(before).indexOf(document.activeElement);
  const isOpen = before.querySelector(".menu > ul:not([hidden])");
  before.replaceWith(card);
  if (isOpen) {
    card.querySelector(".menu > ul").hidden = false;
    card.querySelector(".menu > button").setAttribute("aria-expanded", "true");
  }
  parts(card)[place]?.focus();
  return card;
}
