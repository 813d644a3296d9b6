// Everything that a viewer knows, and what may be done with it. Parts read it and draw; nothing else is remembered.

const ALL = Object.freeze({ step: null, layers: null, head: null });
const MODES = ["look", "words", "paint", "regions", "compare"];

function createModel() {
  const listeners = new Map();
  const model = {
    view: { id: "", picture: null, width: 1, height: 1, words: [], prompt: [] },
    blocks: [], axes: { step: [], layer: [], head: [] }, grids: new Map(),
    words: [], ...ALL,
    mode: "look", opacity: 0.75, cells: false, shared: false, adding: false,
    hover: null, cursor: null, marker: null, place: null, looks: null, showLooks: false, showStart: false,
    tool: "brush", size: 0.07, strength: 1, ghost: true,
    fields: new Map(), regions: [], region: null, draft: null, history: createHistory(),
    compareAt: 0.5, difference: false, blend: null, showBlend: false,
    touch: () => {},
    on(name, listener) {
      if (!listeners.has(name)) listeners.set(name, new Set());
      listeners.get(name).add(listener);
      return () => listeners.get(name).delete(listener);
    },
    emit(name, detail) {
      const whole = { id: model.view.id, ...detail };
      for (const listener of listeners.get(name) || []) listener(whole);
      for (const listener of listeners.get("*") || []) listener(name, whole);
    },
  };
  return model;
}

const selectionOf = (model) => ({ words: [...model.words], step: model.step, layers: model.layers, head: model.head });

/** The modes that have what they need; a view may name fewer. */
function modesOf(model) {
  const { view } = model;
  if (view.modes) return MODES.filter((mode) => view.modes.includes(mode));
  return MODES.filter((mode) => {
    if (mode === "words") return model.blocks.length > 0 && view.words.length > 1;
    if (mode === "paint") return view.words.length > 0;
    return mode !== "compare" || Boolean(view.before);
  });
}

/** One word's grid under the present selection, remembered; null where no block has it. added: what the word adds. */
function gridOf(model, word, added = false) {
  const key = `${word}|${model.step}|${model.layers}|${model.head}|${added}`;
  if (!model.grids.has(key)) {
    if (model.grids.size > 400) model.grids.clear();
    model.grids.set(key, wordGrid(model.blocks, model, word, added));
  }
  return model.grids.get(key);
}

/** What lies over the picture: grids, their colours, their sum and the range they are drawn in. Null is nothing. */
function shownOf(model) {
  if (model.view.progress) return null; // the maps are not of the picture that grows
  if (model.showLooks && model.looks && model.mode === "look") {
    return { grids: [model.looks], colors: ["#c9c4b8"], sum: model.looks, low: 0, high: rangeOf(model.looks).high, name: "looks" };
  }
  const grids = model.words.map((word) => gridOf(model, word));
  if (!grids.length || grids.includes(null)) return null;
  const sum = grids.length === 1 ? grids[0] : sumGrids(grids);
  const colors = model.words.map((word) => model.view.words[word].color);
  return { grids, colors, sum, ...rangeFor(model, sum), name: model.words.map((word) => model.view.words[word].text).join(" + ") };
}

/**
 * A share as it is told. One passes 1 where an edit has raised it; elsewhere that is the overshoot of a coarse layer's map
 * that was enlarged: the maps keep it, for means to be right, and it is told and drawn as 1.
 */
const asShare = (model, value) => (model.view.raised ? value : Math.min(value, 1));

/** A map's own least and greatest; or, shared, from nothing to the greatest of all words and of this one. */
function rangeFor(model, grid) {
  const own = rangeOf(grid);
  const all = model.shared ? model.view.words.map((_, word) => gridOf(model, word)).filter(Boolean) : [];
  const high = Math.max(own.high, ...all.map((each) => rangeOf(each).high));
  return { low: asShare(model, model.shared ? 0 : own.low), high: asShare(model, high) };
}

/** From the first chosen word to this one, or from this one to the last: a phrase. */
function upTo(words, word) {
  const [first, last] = [Math.min(...words, word), word < Math.min(...words) ? Math.max(word, ...words) : word];
  return Array.from({ length: last - first + 1 }, (_, place) => first + place);
}

/** Pin or free axes; a wish that no block has with the others frees the others, and asks the app for it. */
function scrub(model, change) {
  Object.assign(model, change);
  if (model.blocks.length && !chooseBlock(model.blocks, model)) {
    model.emit("slice", { selection: selectionOf(model) });
    for (const axis of ["head", "step", "layers"]) {
      if (!(axis in change)) model[axis] = null;
      if (chooseBlock(model.blocks, model)) break;
    }
  }
  // the numbers at a place are of what is scrubbed to; words are all there
  if (model.marker && Object.keys(change).length) askPlace(model);
  model.touch();
}

/** The word to begin with: the one that the view names; else the longest, which is seldom "a" or "of". */
const firstWord = ({ words, main }) =>
  main in words ? main : words.reduce((best, word, index) => (word.text.length > words[best].text.length ? index : best), 0);

/** Where a map is to be scrubbed or painted, and no word was chosen. */
function needWord(model) {
  if (!model.words.length && model.view.words.length) model.words = [firstWord(model.view)];
}

/** Choose one word, or with `add` put it to the others or take it away. Who looks at one and chooses it again sees the picture alone. */
function chooseWord(model, word, add) {
  if (add && model.mode !== "paint") {
    const without = model.words.filter((chosen) => chosen !== word);
    model.words = without.length < model.words.length ? without : [...model.words, word].sort((a, b) => a - b);
  } else model.words = model.mode === "look" && model.words.join() === String(word) ? [] : [word];
  model.showLooks = false;
  model.emit("word", { words: [...model.words], texts: model.words.map((index) => model.view.words[index].text) });
  model.touch();
}

/** Choose every word from the first that is chosen to this one. */
function choosePhrase(model, word) {
  model.words = upTo(model.words, word);
  model.showLooks = false;
  model.emit("word", { words: [...model.words], texts: model.words.map((index) => model.view.words[index].text) });
  model.touch();
}

function choosePlace(model, { x, y }) {
  model.marker = { x, y };
  model.looks = null;
  model.showLooks = false;
  askPlace(model);
  model.touch();
}

/** Until the answer is there, the panel reads the words' maps. */
function askPlace(model) {
  model.place = null;
  model.emit("place", { ...model.marker, selection: selectionOf(model) });
}

async function showPlace(model, place) {
  model.place = place;
  model.marker = place ? { x: place.x, y: place.y } : null;
  model.looks = null;
  if (place?.looks) {
    const bytes = await unpack(place.looks.data, "raw");
    const [height, width] = place.looks.shape;
    model.looks = { width, height, values: Float32Array.from(bytes, (byte) => (byte / 255) * place.looks.scale) };
  }
  model.showLooks = model.showLooks && Boolean(model.looks);
  model.touch();
}

/** What the panel shows where nobody answered: the words' shares, as the maps have them there. */
function placeFromMaps(model) {
  if (!model.marker) return null;
  const tokens = model.view.words
    .map((word, index) => ({ text: word.text, word: index, role: "word", grid: gridOf(model, index), sum: gridOf(model, index, true) }))
    .filter((token) => token.grid)
    .map(({ grid, sum, ...token }) => {
      const [value, output] = [grid, sum].map((each) => (each ? cellAt(each, model.marker.x, model.marker.y).value : undefined));
      const share = asShare(model, value);
      return output === undefined ? { ...token, share } : { ...token, share, output };
    });
  return tokens.length ? { ...model.marker, tokens, note: "read from the maps of these words", partial: true } : null;
}
