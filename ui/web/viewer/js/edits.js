// Paint and regions, as things that can be undone and told.

const fieldOf = (model, word) => {
  if (!model.fields.has(word)) model.fields.set(word, emptyField(model.view.width, model.view.height));
  return model.fields.get(word);
};

/** Change one word's field; what it was and what it became go into the history. */
function changeField(model, word, change, before = fieldOf(model, word).values.slice()) {
  const field = fieldOf(model, word);
  change(field);
  const after = field.values.slice();
  if (after.every((value, place) => value === before[place])) return;
  const put = (values) => () => fieldOf(model, word).values.set(values);
  model.history.did(put(before), put(after));
  tellFields(model);
}

function clearFields(model) {
  const before = [...model.fields].map(([word, field]) => [word, field.values.slice()]);
  if (before.every(([, values]) => values.every((value) => value === 0))) return;
  const empty = () => model.fields.forEach((field) => field.values.fill(0));
  empty();
  model.history.did(() => before.forEach(([word, values]) => fieldOf(model, word).values.set(values)), empty);
  tellFields(model);
}

async function exportFields(model) {
  const painted = [...model.fields].filter(([, field]) => !isEmpty(field)).sort(([a], [b]) => a - b);
  const told = {};
  for (const [word, field] of painted) {
    told[word] = {
      png: await encodeGrey(field), width: field.width, height: field.height,
      word: model.view.words[word]?.text ?? "", cover: Number(coverOf(field).toFixed(4)),
    };
  }
  return told;
}

/** Tell the app what is painted; where strokes follow fast, only the last of them. */
async function tellFields(model) {
  model.touch();
  const turn = (model.turn = (model.turn || 0) + 1);
  const { id, mask } = model.view; // another view may come meanwhile
  const fields = await exportFields(model);
  if (turn === model.turn) model.emit(mask ? "mask" : "paint", { id, fields });
}

const copyRegions = (regions) => regions.map((region) => ({ ...region }));

function changeRegions(model, regions, before = copyRegions(model.regions)) {
  const after = copyRegions(regions);
  if (JSON.stringify(before) === JSON.stringify(after)) return;
  const put = (wanted) => () => {
    model.regions = copyRegions(wanted);
    if (!model.regions.some((region) => region.id === model.region)) model.region = null;
  };
  model.history.did(put(before), put(after));
  put(after)();
  tellRegions(model);
}

function tellRegions(model) {
  model.touch();
  model.emit("regions", { regions: copyRegions(model.regions) });
}

const REGION_COLORS = ["#f66754", "#14c3c3", "#e8b616", "#b376f0", "#46c865", "#ed68ae", "#4799fd", "#f78c08"];

/** A region of its own number and colour, as yet without a prompt. */
function freshRegion(model, box) {
  const taken = new Set(model.regions.map((region) => region.id));
  let number = 1;
  while (taken.has(`r${number}`)) number++;
  const used = new Set(model.regions.map((region) => region.color));
  const color = REGION_COLORS.find((known) => !used.has(known)) ?? REGION_COLORS[number % REGION_COLORS.length];
  return { id: `r${number}`, ...roundedBox(box), prompt: "", color };
}

const roundedBox = (box) =>
  Object.fromEntries(["left", "top", "right", "bottom"].map((side) => [side, Number(clamp(box[side], 0, 1).toFixed(4))]));

function addRegion(model, box) {
  const region = freshRegion(model, box);
  model.region = region.id;
  changeRegions(model, [...model.regions, region]);
}

function removeRegion(model, id) {
  changeRegions(model, model.regions.filter((region) => region.id !== id));
}

/** A box moved by (dx, dy), whole and inside the picture. */
function movedBox(box, dx, dy) {
  const x = clamp(dx, -box.left, 1 - box.right);
  const y = clamp(dy, -box.top, 1 - box.bottom);
  return roundedBox({ left: box.left + x, right: box.right + x, top: box.top + y, bottom: box.bottom + y });
}

const SMALLEST = 0.02;

/** A box whose sides named in `grip` ("n", "se", …) follow a place. */
function resizedBox(box, grip, { x, y }) {
  const next = { ...box };
  if (grip.includes("w")) next.left = Math.min(x, box.right - SMALLEST);
  if (grip.includes("e")) next.right = Math.max(x, box.left + SMALLEST);
  if (grip.includes("n")) next.top = Math.min(y, box.bottom - SMALLEST);
  if (grip.includes("s")) next.bottom = Math.max(y, box.top + SMALLEST);
  return roundedBox(next);
}

function step(model, direction) {
  const { regions } = model;
  if (!model.history[direction]()) return;
  if (model.regions !== regions) tellRegions(model);
  else tellFields(model);
}
