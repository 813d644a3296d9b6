// Painted fields: one byte a place, and a brush that knows no order (a stroke twice over is the stroke once).

const FIELD_SIDE = 256;
/** Less than this of 255 an eraser takes along: nobody sees it, and a word whose paint that is would look nowhere else. */
const FAINT = 26;

function emptyField(pictureWidth, pictureHeight) {
  const longest = Math.max(pictureWidth, pictureHeight);
  const width = Math.max(1, Math.round((pictureWidth / longest) * FIELD_SIDE));
  const height = Math.max(1, Math.round((pictureHeight / longest) * FIELD_SIDE));
  return { values: new Uint8Array(width * height), width, height };
}

/**
 * A stroke's piece from one place to another (fractions), `radius` as a fraction of the longer side.
 * Paint takes the greater of what is there and the brush; the eraser leaves what lies outside it.
 */
function strokeLine(field, from, to, { radius, strength = 1, soft = 0.5, erase = false }) {
  const { width, height, values } = field;
  const reach = Math.max(0.75, radius * Math.max(width, height));
  const [x0, y0, x1, y1] = [from.x * width, from.y * height, to.x * width, to.y * height];
  const [dx, dy] = [x1 - x0, y1 - y0];
  const length = dx * dx + dy * dy;
  const left = clamp(Math.floor(Math.min(x0, x1) - reach), 0, width);
  const right = clamp(Math.ceil(Math.max(x0, x1) + reach), 0, width);
  const top = clamp(Math.floor(Math.min(y0, y1) - reach), 0, height);
  const bottom = clamp(Math.ceil(Math.max(y0, y1) + reach), 0, height);
  const core = reach * (1 - soft);
  for (let y = top; y < bottom; y++)
    for (let x = left; x < right; x++) {
      const [px, py] = [x + 0.5 - x0, y + 0.5 - y0];
      const along = length ? clamp((px * dx + py * dy) / length, 0, 1) : 0;
      const distance = Math.hypot(px - along * dx, py - along * dy);
      if (distance >= reach) continue;
      const edge = distance <= core ? 1 : (reach - distance) / (reach - core || 1);
      const cover = edge * edge * (3 - 2 * edge);
      const place = y * width + x;
      const left = Math.min(values[place], Math.round(255 * (1 - cover)));
      values[place] = erase ? (left < FAINT ? 0 : left) : Math.max(values[place], Math.round(255 * strength * cover));
    }
}

function fillBox(field, box, strength = 1) {
  const { width, height, values } = field;
  const [left, right] = [Math.round(box.left * width), Math.round(box.right * width)];
  const [top, bottom] = [Math.round(box.top * height), Math.round(box.bottom * height)];
  for (let y = top; y < bottom; y++) values.fill(Math.round(255 * strength), y * width + left, y * width + right);
}

const isEmpty = (field) => !field || field.values.every((value) => value === 0);
const coverOf = (field) => field.values.reduce((sum, value) => sum + value, 0) / (255 * field.values.length);

/** Two places as a box, whichever corner came first. */
const boxOf = (from, to) => ({
  left: Math.min(from.x, to.x), right: Math.max(from.x, to.x),
  top: Math.min(from.y, to.y), bottom: Math.max(from.y, to.y),
});

/** What was done, so that it can be undone: pairs of functions. */
function createHistory(limit = 60) {
  let past = [];
  let future = [];
  return {
    did(undo, redo) {
      past = [...past, { undo, redo }].slice(-limit);
      future = [];
    },
    undo() {
      const last = past.pop();
      if (!last) return false;
      last.undo();
      future.push(last);
      return true;
    },
    redo() {
      const next = future.pop();
      if (!next) return false;
      next.redo();
      past.push(next);
      return true;
    },
    forget() {
      past = [];
      future = [];
    },
    get canUndo() { return past.length > 0; },
    get canRedo() { return future.length > 0; },
  };
}
