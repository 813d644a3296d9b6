// What a place asked of the words, in three stages: scores, softmax, weighted sum.

const ROLE_NAMES = { start: "begin of text", end: "end of text" };

function placePart(model) {
  const title = el("h3", {}, "At this place");
  const where = el("span", { class: "xv-where" });
  const start = toggle("Begin and end of text", { name: "start", touch: model.touch, read: () => model.showStart,
    write: (on) => (model.showStart = on), hint: "They soak up what no word takes; hidden, the words are compared with each other" });
  const looks = toggle("Where this place looks", { name: "looks", touch: model.touch, read: () => model.showLooks,
    write: (on) => (model.showLooks = on), hint: "Self-attention from here, laid over the picture" });
  const table = el("table", { class: "xv-table" });
  const sum = el("div", { class: "xv-sum" });
  const meaning = el("p", { class: "xv-hint xv-meaning" });
  const note = el("p", { class: "xv-note" });
  const hint = el("p", { class: "xv-hint" }, "Click a place of the picture to see which words it asked, and how much each one gave.");
  const body = el("div", {}, table, sum, meaning, note, el("div", { class: "xv-toggles" }, start.node, looks.node));
  const node = el("section", { class: "xv-card xv-place", "aria-label": "At this place" }, el("header", {}, title, where), hint, body);
  let built = "";

  function draw() {
    node.hidden = model.mode !== "look" || !model.blocks.length;
    if (node.hidden) return;
    const place = model.place?.tokens ? model.place : placeFromMaps(model);
    hint.hidden = Boolean(place);
    body.hidden = !place;
    say(where, place ? `${Math.round(place.x * 100)} % across, ${Math.round(place.y * 100)} % down` : "");
    if (!place) {
      built = "";
      return;
    }
    start.node.hidden = place.tokens.every((token) => (token.role ?? "word") === "word");
    looks.node.hidden = !model.looks;
    start.draw();
    looks.draw();
    const key = JSON.stringify([place.tokens, model.showStart, model.view.words, place.note]);
    if (key === built) return;
    built = key;
    fill(model, place, table, sum, note);
    say(meaning, meaningOf(place));
    meaning.hidden = !meaning.textContent;
  }
  return { node, draw };
}

const colorOfToken = (model, token) => (token.word === undefined || token.word === null ? null : model.view.words[token.word]?.color ?? null);

function fill(model, place, table, sum, note) {
  const words = place.tokens.filter((token) => model.showStart || (token.role ?? "word") === "word");
  const hidden = place.tokens.filter((token) => !words.includes(token));
  const stages = [
    { name: "score", title: "Scores", hint: "query · key", tell: (value) => (value < 0 ? `−${figure(-value)}` : figure(value)) },
    { name: "share", title: "Softmax", hint: "shares of 1", tell: percent },
    { name: "output", title: "Sum", hint: "share × value", tell: figure },
  ].filter(({ name }) => place.tokens.some((token) => Number.isFinite(token[name])));
  const head = el("tr", {}, el("td"), stages.map(({ title, hint }) => el("th", { scope: "col" }, title, el("small", {}, hint))));
  const rows = words.map((token) => {
    const color = colorOfToken(model, token);
    return el("tr", { class: color ? null : "xv-other", style: color ? `--word: ${color}` : null },
      el("th", { scope: "row" }, el("i"), token.text || ROLE_NAMES[token.role]),
      stages.map(({ name, tell }) => el("td", { "data-stage": name }, barOf(token[name], words.map((each) => each[name]), tell))));
  });
  table.replaceChildren(el("thead", {}, head), el("tbody", {}, rows));
  const last = stages.at(-1)?.name ?? "share";
  const total = words.reduce((all, token) => all + Math.max(0, token[last] || 0), 0) || 1;
  sum.replaceChildren(...words.map((token) => {
    const color = colorOfToken(model, token);
    return el("i", { style: `flex-grow: ${Math.max(0, token[last] || 0) / total}; ${color ? `--word: ${color}` : ""}`, title: token.text });
  }));
  const away = hidden.reduce((all, token) => all + (token.share || 0), 0);
  say(note, [hidden.length ? `${percent(away)} goes to begin and end of text, hidden here` : "", place.note || ""].filter(Boolean).join(" · "));
}

/** What the last stage is, in a sentence, and what of the first is not shown. */
function meaningOf(place) {
  const all = place.tokens.reduce((sum, token) => sum + (token.output || 0), 0);
  const start = place.tokens.find((token) => token.role === "start");
  const told = [];
  if (all > 0) told.push("The sum is what a word really adds here: its share times the length of its value.");
  if (all > 0 && Number.isFinite(start?.output)) told.push(`Begin of text takes ${percent(start.share)} and adds ${percent(start.output / all)}.`);
  if (all > 0 && !place.partial && !place.tokens.some((token) => Number.isFinite(token.score))) told.push("Scores are shown where one step, layer and head are chosen.");
  return told.join(" ");
}

/** A bar from zero; where a column has negative numbers, zero stands inside. */
function barOf(value, column, tell) {
  if (!Number.isFinite(value)) return el("span", { class: "xv-figure" }, "–");
  const known = column.filter(Number.isFinite);
  const low = Math.min(0, ...known);
  const span = Math.max(0, ...known) - low || 1;
  const from = (Math.min(0, value) - low) / span;
  const wide = Math.abs(value) / span;
  return [
    el("span", { class: "xv-track" }, el("i", { style: `left: ${(from * 100).toFixed(2)}%; width: ${(wide * 100).toFixed(2)}%` })),
    el("span", { class: "xv-figure" }, tell(value)),
  ];
}
