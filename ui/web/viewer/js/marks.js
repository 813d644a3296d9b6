// Marks over the picture: fields, regions, the marker, the brush's ring. Drawn in device pixels, so lines stay sharp.

const tinted = new WeakMap(); // field → {stamp, color, canvas}

/** A field's canvas, made again where its bytes changed (a sum tells; a stroke only ever moves it). */
function tintOf(field, color) {
  let stamp = 0;
  for (let place = 0; place < field.values.length; place++) stamp = (stamp * 31 + field.values[place]) | 0;
  const known = tinted.get(field);
  if (known && known.stamp === stamp && known.color === color) return known.canvas;
  const canvas = fieldCanvas(field, color);
  tinted.set(field, { stamp, color, canvas });
  return canvas;
}

/** A line that reads on any picture: dark and wide below, the colour on it. */
function twice(context, ratio, color, width, path) {
  for (const [style, wide] of [["rgb(10 10 14 / .65)", width + 2], [color, width]]) {
    context.beginPath();
    path();
    context.lineWidth = wide * ratio;
    context.strokeStyle = style;
    context.stroke();
  }
}

function drawMarks(model, { context, width, height, ratio }) {
  const { mode, view } = model;
  if (mode === "paint") {
    for (const [word, field] of model.fields) {
      if (isEmpty(field) || !view.words[word]) continue;
      context.globalAlpha = model.words.includes(word) ? 1 : 0.45;
      context.drawImage(tintOf(field, view.words[word].color), 0, 0, width, height);
    }
    context.globalAlpha = 1;
    if (model.draft) box(context, ratio, model.draft, view.words[model.words[0]]?.color ?? "#fff", width, height, true);
    ring(model, context, width, height, ratio);
  }
  if (mode === "regions") {
    for (const region of model.regions) {
      box(context, ratio, region, region.color, width, height, region.id === model.region);
      name(context, ratio, region, width, height);
      if (region.id === model.region) grips(context, ratio, region, width, height);
    }
    if (model.draft) box(context, ratio, model.draft, "#ffffff", width, height, true);
  }
  if (mode === "compare" && model.showBlend && model.blend) veil(context, ratio, model.blend, width, height);
  if (mode === "look") {
    if (model.cursor) cross(context, ratio, model.cursor.x * width, model.cursor.y * height, width, height);
    if (model.marker) marker(context, ratio, model.marker.x * width, model.marker.y * height);
  }
}

/** Dims what local blending keeps of the picture before, and draws round the rest, along the latents' cells. */
function veil(context, ratio, { width: across, height: down, values }, width, height) {
  const free = (x, y) => x >= 0 && y >= 0 && x < across && y < down && values[y * across + x] >= 128;
  const [cellWide, cellHigh] = [width / across, height / down];
  const border = [];
  for (let y = 0; y < down; y++)
    for (let x = 0; x < across; x++) {
      const [left, top, right, bottom] = [x * cellWide, y * cellHigh, (x + 1) * cellWide, (y + 1) * cellHigh];
      context.fillStyle = `rgb(12 14 22 / ${(0.7 * (1 - values[y * across + x] / 255)).toFixed(3)})`;
      // whole pixels: seams between cells would show as a grid
      context.fillRect(Math.round(left), Math.round(top), Math.round(right) - Math.round(left), Math.round(bottom) - Math.round(top));
      if (!free(x, y)) continue;
      if (!free(x - 1, y)) border.push([left, top, left, bottom]);
      if (!free(x + 1, y)) border.push([right, top, right, bottom]);
      if (!free(x, y - 1)) border.push([left, top, right, top]);
      if (!free(x, y + 1)) border.push([left, bottom, right, bottom]);
    }
  context.lineCap = "round";
  twice(context, ratio, "#ffffff", 1.5, () => {
    for (const [x0, y0, x1, y1] of border) {
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
    }
  });
}

function ring(model, context, width, height, ratio) {
  const at = model.hover || model.cursor;
  if (!at || model.tool === "box") return;
  const radius = model.size * Math.max(width, height);
  const color = model.tool === "eraser" ? "#ffffff" : model.view.words[model.words[0]]?.color ?? "#ffffff";
  context.setLineDash(model.tool === "eraser" ? [5 * ratio, 4 * ratio] : []);
  twice(context, ratio, color, 1.5, () => context.arc(at.x * width, at.y * height, radius, 0, 2 * Math.PI));
  context.setLineDash([]);
}

function box(context, ratio, { left, top, right, bottom }, color, width, height, chosen) {
  const [x, y, w, h] = [left * width, top * height, (right - left) * width, (bottom - top) * height];
  context.globalAlpha = chosen ? 0.26 : 0.14;
  context.fillStyle = color;
  context.fillRect(x, y, w, h);
  context.globalAlpha = 1;
  twice(context, ratio, color, chosen ? 2.5 : 1.5, () => context.rect(x, y, w, h));
}

function name(context, ratio, region, width, height) {
  const text = region.prompt || region.id;
  context.font = `600 ${12 * ratio}px ui-sans-serif, system-ui, sans-serif`;
  const room = Math.max(24 * ratio, (region.right - region.left) * width - 8 * ratio);
  let shown = text;
  while (shown.length > 1 && context.measureText(shown).width + 12 * ratio > room) shown = `${shown.slice(0, -2)}…`;
  const wide = context.measureText(shown).width + 12 * ratio;
  const [x, y] = [region.left * width, region.top * height];
  context.fillStyle = region.color;
  context.fillRect(x, y, wide, 20 * ratio);
  context.fillStyle = inkOn(region.color);
  context.fillText(shown, x + 6 * ratio, y + 14 * ratio);
}

/** The eight places by which a box is pulled, as names and fractions. */
const gripsOf = ({ left, top, right, bottom }) => {
  const [x, y] = [(left + right) / 2, (top + bottom) / 2];
  return [
    ["nw", left, top], ["n", x, top], ["ne", right, top], ["e", right, y],
    ["se", right, bottom], ["s", x, bottom], ["sw", left, bottom], ["w", left, y],
  ];
};

function grips(context, ratio, region, width, height) {
  for (const [, x, y] of gripsOf(region)) {
    context.fillStyle = "#ffffff";
    twice(context, ratio, "#ffffff", 1, () => context.arc(x * width, y * height, 4 * ratio, 0, 2 * Math.PI));
    context.fill();
  }
}

function cross(context, ratio, x, y, width, height) {
  twice(context, ratio, "rgb(255 255 255 / .9)", 1, () => {
    context.moveTo(x, 0);
    context.lineTo(x, height);
    context.moveTo(0, y);
    context.lineTo(width, y);
  });
}

function marker(context, ratio, x, y) {
  twice(context, ratio, "#ffffff", 2, () => context.arc(x, y, 7 * ratio, 0, 2 * Math.PI));
  context.fillStyle = "#ffffff";
  context.beginPath();
  context.arc(x, y, 1.8 * ratio, 0, 2 * Math.PI);
  context.fill();
}
