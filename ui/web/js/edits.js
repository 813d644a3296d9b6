// The list of edits. Value: {"edits": [{"doc", "title", "what", "unsaid", "color", "thumb", "blend", "steps"}], "error", "turn",
// "canvas"}; fires "edited" with {edits: [doc, …], turn}. An answer has that turn: without it, a list that is put back as it was would be no news.
const make = (tag, cls, text) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined) node.textContent = text;
  return node;
};
const copy = (value) => JSON.parse(JSON.stringify(value));
let items = [];
let turn = 0;
const tell = () => trigger("edited", { edits: items.map((item) => copy(item.doc)), turn: ++turn });
const percent = (value) => `${Math.round(value * 100)} %`;
const slider = (label, value, low, high, step, change, show = (one) => String(one)) => {
  const row = make("label", "edit-field");
  const input = make("input");
  Object.assign(input, { type: "range", min: low, max: high, step, value });
  const out = make("output", "", show(Number(value)));
  input.addEventListener("input", () => (out.textContent = show(Number(input.value))));
  input.addEventListener("change", () => change(Number(input.value)));
  row.append(make("span", "", label), input, out);
  return row;
};
const choice = (label, value, options, change) => {
  const row = make("label", "edit-field");
  const select = make("select");
  for (const [name, text] of options) {
    const option = make("option", "", text);
    option.value = name;
    option.selected = name === value;
    select.append(option);
  }
  select.addEventListener("change", () => change(select.value));
  row.append(make("span", "", label), select);
  return row;
};
// What it does, unless the prompt lacks its word, which the list says until it has it.
const say = (item, text) => {
  if (!item.unsaid) item.what = text;
};
const set = (item, name, value) => {
  item.doc[name] = value;
  tell();
};
const times = (value) => `×${Math.round(value * 100) / 100}`;
const usual = { gain: 3, set: 2, add: 2, move: 1 }; // PaintMap's own, where no amount is given
const what = { set: "looks here, and only here", gain: "looks more here", add: "looks here too", move: "moves", words: "is drawn here" };
// What a painted field does: four ways to change the map itself, and painting with words, which changes the scores.
const painting = (item, op) =>
  choice("The word", op, Object.entries(what), (value) => {
    const { id, word, field, window, enabled, unsaid } = item.doc;
    const kept = { id, word, field, ...(window ? { window } : {}), ...(enabled === false ? { enabled } : {}), ...(unsaid ? { unsaid } : {}) };
    item.doc = value === "words" ? { kind: "paint_with_words", ...kept } : { kind: "paint_map", op: value, ...kept };
    say(item, what[value]);
    tell();
    draw();
  });
const fields = {
  reweight: (item) => [slider("Times", item.doc.scale, -2, 6, 0.05, (value) => { say(item, `counts ${times(value)}`); set(item, "scale", value); }, times)],
  neg_pip: (item) => [slider("Strength", item.doc.strength ?? 1, 0, 3, 0.05, (value) => set(item, "strength", value))],
  paint_map: (item) => {
    const op = item.doc.op || "gain";
    const made = [painting(item, op)];
    if (op === "move") {
      const shift = () => item.doc.shift || [0, 0];
      made.push(slider("Right", shift()[0], -1, 1, 0.01, (value) => set(item, "shift", [value, shift()[1]]), percent));
      made.push(slider("Down", shift()[1], -1, 1, 0.01, (value) => set(item, "shift", [shift()[0], value]), percent));
      made.push(slider("Size", item.doc.scale ?? 1, 0.25, 4, 0.05, (value) => set(item, "scale", value), times));
    } else {
      made.push(slider("How strongly", item.doc.amount ?? usual[op], 0, 8, 0.1, (value) => set(item, "amount", value), times));
    }
    // one word at most can have it (ui/web/edits.py, settled): it says whose it would be taken from
    const has = items.find((other) => other !== item && other.doc.enabled !== false && (other.doc.renormalise || "none") !== "none");
    const rest = [["none", "as they are"], ["others", has ? `make room, in place of ${has.title}'s` : "make room"], ["softmax", "shared out anew"]];
    made.push(choice("Other words", item.doc.renormalise || "none", rest, (value) => set(item, "renormalise", value)));
    return made;
  },
  paint_with_words: (item) => [painting(item, "words"), slider("Strength", item.doc.strength ?? 0.4, 0, 3, 0.05, (value) => set(item, "strength", value), times)],
  local_blend: (item) => [slider("Threshold", item.doc.threshold ?? 0.3, 0, 1, 0.01, (value) => set(item, "threshold", value), percent)],
  regions: (item) => [slider("Strength", item.doc.regions[0]?.strength ?? 1, 0, 1, 0.05, (value) => {
    for (const region of item.doc.regions) region.strength = value;
    tell();
  }, percent), choice("Borders", item.doc.hard === false ? "soft" : "hard", [["hard", "sharp"], ["soft", "soft"]], (value) => set(item, "hard", value === "hard"))],
};
const windowOf = (item) => {
  const own = (item.doc.window && item.doc.window.steps) || item.steps || [0, 1];
  const change = (place, value) => {
    const steps = [...((item.doc.window && item.doc.window.steps) || item.steps || [0, 1])];
    steps[place] = value;
    if (steps[0] > steps[1]) steps[1 - place] = value;
    item.doc.window = { ...(item.doc.window || {}), steps };
    tell();
    draw();
  };
  const row = make("div", "edit-window");
  row.append(slider("From", own[0], 0, 1, 0.05, (value) => change(0, value), percent), slider("until", own[1], 0, 1, 0.05, (value) => change(1, value), percent));
  return row;
};
const button = (text, label, act, disabled) => {
  const made = make("button", "edit-tool", text);
  made.type = "button";
  made.setAttribute("aria-label", label);
  made.title = label;
  made.disabled = Boolean(disabled);
  made.addEventListener("click", act);
  return made;
};
// What was painted or boxed for an edit goes with it; without one, all of it goes.
const nameOf = (word) => (Array.isArray(word) ? `${word[0]} (${word[1]})` : String(word));
const erase = (doc) => {
  const viewer = document.querySelector(".xv")?.xattnViewer;
  if (!doc) return viewer?.erase();
  if (String(doc.id).startsWith("paint-")) viewer?.erase([nameOf(doc.word)]);
  if (doc.id === "regions") viewer?.eraseRegions();
};
window.xattnErase = () => erase(null);
const open = new Set();
const draw = () => {
  root.replaceChildren();
  if (props.value?.error) root.append(make("p", "chips-error", props.value.error));
  if (!items.length) {
    root.append(make("p", "insight-none", "No edits yet. Turn a word up or down, change the prompt, or paint on the picture."));
    return;
  }
  items.forEach((item, place) => {
    const doc = item.doc;
    const card = make("div", "edit" + (doc.enabled === false ? " off" : ""));
    card.style.setProperty("--word", item.color || "var(--x-quiet)");
    const head = make("div", "edit-head");
    const on = make("input");
    on.type = "checkbox";
    on.checked = doc.enabled !== false;
    on.setAttribute("aria-label", `${item.title}: on`);
    on.addEventListener("change", () => { doc.enabled = on.checked; tell(); draw(); });
    head.append(on);
    if (item.thumb) {
      const thumb = make("img", "edit-thumb");
      thumb.src = item.thumb;
      thumb.alt = "";
      head.append(thumb);
    }
    if (item.blend) {
      const veil = make("button", "edit-veil");
      veil.type = "button";
      veil.title = "Show on the picture where it may differ";
      veil.setAttribute("aria-label", veil.title);
      const thumb = make("img", "edit-thumb");
      thumb.src = item.blend;
      thumb.alt = "";
      veil.append(thumb);
      veil.addEventListener("click", () => {
        const viewer = document.querySelector(".xv")?.xattnViewer;
        viewer?.mode("compare");
        viewer?.blend(true);
        document.querySelector("#viewer .xv-frame")?.scrollIntoView({ block: "nearest", behavior: "smooth" });
      });
      head.append(veil);
    }
    const key = doc.id || `${doc.kind}-${place}`;
    const title = make("button", "edit-title");
    title.type = "button";
    title.append(make("b", "", item.title), make("span", "", item.what || ""));
    title.setAttribute("aria-expanded", open.has(key) ? "true" : "false");
    title.addEventListener("click", () => { open.has(key) ? open.delete(key) : open.add(key); draw(); });
    head.append(title);
    const swap = (other) => { [items[place], items[other]] = [items[other], items[place]]; tell(); draw(); };
    head.append(
      button("↑", `Move ${item.title} up`, () => swap(place - 1), place === 0),
      button("↓", `Move ${item.title} down`, () => swap(place + 1), place === items.length - 1),
      button("×", `Remove ${item.title}`, () => { items.splice(place, 1); erase(doc); tell(); draw(); }),
    );
    card.append(head);
    if (open.has(key)) {
      const body = make("div", "edit-body");
      body.append(...(fields[doc.kind] ? fields[doc.kind](item) : []), windowOf(item));
      card.append(body);
    }
    root.append(card);
  });
};
// What a list that stays for another picture paints and boxes goes onto that picture, once it is on the canvas.
let canvas = null;
const paint = (tries) => {
  const viewer = document.querySelector(".xv")?.xattnViewer;
  const { id, ready } = viewer?.state() ?? {};
  if (!canvas || !tries) return;
  if (!ready || id !== canvas.id) return setTimeout(() => paint(tries - 1), 50);
  viewer.patch(canvas);
  canvas = null;
};
const take = () => {
  if (props.value?.canvas) {
    const waits = canvas;
    canvas = props.value.canvas;
    if (!waits) paint(100);
  }
  items = copy(props.value?.edits || []);
  if (items.length && items.length === 1) open.add(items[0].doc.id);
  draw();
};
watch("value", take);
take();
