// What the embedded model knows, as chips to put into the prompt. Value:
// {"kinds": {"object": ["fox", …], …}, "colorable": ["car", …], "tints": ["red", …]}, the last two empty in most models.
const make = (tag, cls, text) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined) node.textContent = text;
  return node;
};
const titles = { object: "Things", tint: "Colours of things", color: "Backgrounds", relation: "Where" };
const area = () => document.querySelector("#prompt textarea");
const write = (text) => window.xattnWrite?.(text);
const article = (name) => (/(s|s on .*)$/.test(name) && !/ss$|bus$|cactus$|octopus$/.test(name) ? "" : /^[aeiou]/.test(name) ? "an " : "a ");
const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
// Where one of these names stands, with its article and, for things, with the colour before it.
const every = (text, names, before = []) => {
  const tint = before.length ? `(?:\\b(?<tint>${before.map(escaped).join("|")})\\s+)?` : "(?<tint>(?!))?";
  const list = [...names].sort((a, b) => b.length - a.length).map(escaped).join("|");
  if (!list) return [];
  const pattern = new RegExp(`(?:\\b(?:an?|the)\\s+)?${tint}\\b(?<name>${list})\\b`, "gi");
  return [...text.matchAll(pattern)].map(({ 0: all, index, groups }) => ({
    start: index, end: index + all.length, name: groups.name.toLowerCase(), written: groups.name, tint: groups.tint, articled: /^(an?|the)\s/i.test(all),
  }));
};
const last = (text, names, before) => every(text, names, before).pop() ?? null;
// A colour goes before the first thing that may have one and has none; where all have one, the last gets this one.
const colour = (name) => {
  const { kinds, colorable, tints } = props.value;
  const text = area().value.trimEnd();
  const things = every(text, kinds.object || [], tints).filter((one) => colorable.includes(one.name));
  const one = things.find((each) => !each.tint) ?? things.at(-1);
  if (!one) return false;
  write(`${text.slice(0, one.start)}${one.articled ? article(name) : ""}${name} ${one.written}${text.slice(one.end)}`);
  return true;
};
const put = (kind, name, add) => {
  const { kinds, colorable, tints } = props.value;
  const text = area().value.trimEnd();
  const joins = (kinds.relation || []).some((word) => text.toLowerCase().endsWith(word));
  const color = last(text, (kinds.color || []).flatMap((one) => [`on ${one}`, `on a ${one} background`]));
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
  const object = last(text, kinds.object || [], tints);
  if (!object) return write(`${text} ${wanted}`);
  if (add) return write(`${text.slice(0, object.end)} and ${wanted}${text.slice(object.end)}`);
  // a colour stays with a thing that may have it, and goes with one that may not
  const kept = object.tint && colorable.includes(name) ? `${article(object.tint)}${object.tint} ${name}` : wanted;
  return write(text.slice(0, object.start) + kept + text.slice(object.end));
};
let sought = "";
const draw = () => {
  const { kinds = {}, colorable = [], tints = [] } = props.value || {};
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
    // colours of things stand right after the things
    const groups = Object.entries(kinds).flatMap(([kind, names]) => (kind === "object" && tints.length ? [[kind, names], ["tint", tints]] : [[kind, names]]));
    for (const [kind, names] of groups) {
      const found = names.filter((name) => name.includes(sought.trim().toLowerCase()));
      const first = kind === "object" ? found.filter((name) => colorable.includes(name)) : [];
      const shown = [...first, ...found.filter((name) => !first.includes(name))];
      if (!shown.length) continue;
      const list = make("div", `words-list ${kind}`);
      list.setAttribute("role", "group");
      list.setAttribute("aria-label", titles[kind] || kind);
      lists.append(make("div", "words-title", titles[kind] || kind));
      for (const name of shown) {
        const may = kind === "object" && colorable.includes(name);
        const chip = make("button", `word ${kind}${may ? " colorable" : ""}`, name);
        chip.type = "button";
        if (kind === "color" || kind === "tint") chip.style.setProperty("--swatch", name);
        chip.title = kind === "object" ? "Click: in place of the last thing. Shift+click: beside it." : kind === "tint" ? `A ${name} thing` : `Put “${name}” in`;
        if (may) chip.title += " It may have a colour of its own.";
        chip.addEventListener("click", (event) => {
          if (kind !== "tint") return put(kind, name, event.shiftKey);
          const note = lists.querySelector(".words-note");
          note.classList.toggle("asked", !colour(name));
        });
        list.append(chip);
      }
      lists.append(list);
      if (kind === "tint") {
        const note = make("p", "words-note");
        note.setAttribute("role", "status");
        note.append("For things marked ", make("i", "words-mark"), ` such as ${article(colorable[0])}${colorable[0]}: put one in, then its colour.`);
        lists.append(note);
      }
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
