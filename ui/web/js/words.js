// What the embedded model knows, as chips to put into the prompt. Value: {"kinds": {"object": ["fox", …], …}}
const make = (tag, cls, text) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined) node.textContent = text;
  return node;
};
const titles = { object: "Things", color: "Backgrounds", relation: "Where" };
const area = () => document.querySelector("#prompt textarea");
const write = (text) => {
  const box = area();
  box.value = text;
  box.dispatchEvent(new Event("input", { bubbles: true }));
};
const article = (name) => (/(s|s on .*)$/.test(name) && !/ss$|bus$|cactus$|octopus$/.test(name) ? "" : /^[aeiou]/.test(name) ? "an " : "a ");
const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const last = (text, names) => {
  let found = null;
  for (const name of names) {
    const pattern = new RegExp(`(?:\\b(?:an?|the)\\s+)?\\b${escaped(name)}\\b`, "gi");
    for (const match of text.matchAll(pattern)) {
      if (!found || match.index + match[0].length > found.end) found = { start: match.index, end: match.index + match[0].length };
    }
  }
  return found;
};
const put = (kind, name, add) => {
  const kinds = props.value.kinds;
  let text = area().value.trimEnd();
  const joins = (kinds.relation || []).some((word) => text.toLowerCase().endsWith(word));
  const color = last(text, (kinds.color || []).map((one) => `on ${one}`).concat((kinds.color || []).map((one) => `on a ${one} background`)));
  if (kind === "color") {
    const wanted = `on ${name}`;
    return write(color ? text.slice(0, color.start) + wanted + text.slice(color.end) : `${text || "a fox"} ${wanted}`);
  }
  if (kind === "relation") {
    const head = color ? text.slice(0, color.start).trimEnd() : text;
    return write(`${head || "a fox"} ${name} `);
  }
  const wanted = article(name) + name;
  if (!text) return write(wanted);
  if (joins) return write(`${text} ${wanted}`);
  const object = last(text, kinds.object || []);
  if (!object) return write(`${text} ${wanted}`);
  if (add) return write(`${text.slice(0, object.end)} and ${wanted}${text.slice(object.end)}`);
  return write(text.slice(0, object.start) + wanted + text.slice(object.end));
};
let sought = "";
const draw = () => {
  const kinds = props.value?.kinds || {};
  root.replaceChildren();
  if (!props.value?.kinds) return; // not known yet
  if (!Object.keys(kinds).length) {
    root.append(make("p", "words-none", "This model was trained on language at large: try any words."));
    return;
  }
  const search = make("input", "words-search");
  search.type = "search";
  search.placeholder = `Find one of ${(kinds.object || []).length} things`;
  search.setAttribute("aria-label", "Find a word that the model knows");
  search.value = sought;
  root.append(search);
  const lists = make("div", "words-lists");
  const fill = () => {
    lists.replaceChildren();
    for (const [kind, names] of Object.entries(kinds)) {
      const shown = names.filter((name) => name.includes(sought.trim().toLowerCase()));
      if (!shown.length) continue;
      const list = make("div", `words-list ${kind}`);
      list.setAttribute("role", "group");
      list.setAttribute("aria-label", titles[kind] || kind);
      lists.append(make("div", "words-title", titles[kind] || kind));
      for (const name of shown) {
        const chip = make("button", `word ${kind}`, name);
        chip.type = "button";
        if (kind === "color") chip.style.setProperty("--swatch", name);
        chip.title = kind === "object" ? "Click: in place of the last thing. Shift+click: beside it." : `Put “${name}” in`;
        chip.addEventListener("click", (event) => put(kind, name, event.shiftKey));
        list.append(chip);
      }
      lists.append(list);
    }
  };
  search.addEventListener("input", () => {
    sought = search.value;
    fill();
  });
  fill();
  root.append(lists);
};
watch("value", draw);
draw();
