// From a grid of numbers to a layer that can be laid over a picture.

/** Catmull-Rom weights of the four neighbours of `t` in [0, 1). */
const cubic = (t) => [
  ((2 - t) * t - 1) * t * 0.5,
  ((3 * t - 5) * t * t + 2) * 0.5,
  ((4 - 3 * t) * t + 1) * t * 0.5,
  (t - 1) * t * t * 0.5,
];

function resizeRows(values, width, height, target) {
  const out = new Float32Array(target * height);
  for (let x = 0; x < target; x++) {
    const at = ((x + 0.5) * width) / target - 0.5;
    const first = Math.floor(at);
    const weights = cubic(at - first);
    const columns = [-1, 0, 1, 2].map((step) => clamp(first + step, 0, width - 1));
    for (let y = 0; y < height; y++) {
      let sum = 0;
      for (let tap = 0; tap < 4; tap++) sum += weights[tap] * values[y * width + columns[tap]];
      out[y * target + x] = sum;
    }
  }
  return out;
}

function transpose(values, width, height) {
  const out = new Float32Array(values.length);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) out[x * height + y] = values[y * width + x];
  return out;
}

/** A grid enlarged by cubic interpolation; it may overshoot a little, which the ramp's ends take up. */
function enlarge(grid, width, height) {
  if (width <= grid.width && height <= grid.height) return grid;
  const wide = resizeRows(grid.values, grid.width, grid.height, width);
  const tall = resizeRows(transpose(wide, width, grid.height), grid.height, width, height);
  return { values: transpose(tall, height, width), width, height };
}

/**
 * Words' grids as one canvas: brightness is their sum between `low` and `high`, hue is theirs by share.
 * With `cells`, a pixel a cell; without, enlarged to `side` at most, so that stretching it shows no diamonds.
 */
function heatCanvas(grids, colors, { low, high }, { cells = false, side = 192 } = {}) {
  const { width, height } = grids[0];
  const factor = cells ? 1 : Math.max(1, Math.floor(side / Math.max(width, height)));
  const [across, down] = [width * factor, height * factor];
  const layers = grids.map((grid) => enlarge(grid, across, down).values);
  const tables = colors.map(rampOf);
  const canvas = document.createElement("canvas");
  canvas.width = across;
  canvas.height = down;
  const context = canvas.getContext("2d");
  const image = context.createImageData(across, down);
  const span = high > low ? high - low : 1;
  for (let pixel = 0; pixel < across * down; pixel++) {
    let sum = 0;
    for (const layer of layers) sum += Math.max(0, layer[pixel]);
    const t = high > low ? clamp((sum - low) / span, 0, 1) : 0;
    const place = Math.round(t * 255);
    let [red, green, blue] = tables[0][place];
    if (layers.length > 1 && sum > 0) {
      red = green = blue = 0;
      for (let word = 0; word < layers.length; word++) {
        const share = Math.max(0, layers[word][pixel]) / sum;
        const color = tables[word][place];
        red += share * color[0];
        green += share * color[1];
        blue += share * color[2];
      }
    }
    const to = pixel * 4;
    image.data[to] = red;
    image.data[to + 1] = green;
    image.data[to + 2] = blue;
    // Where nothing is, the picture is only dimmed; where most is, the colour covers it.
    image.data[to + 3] = Math.round(255 * (0.62 + 0.38 * Math.sqrt(t)));
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** A painted field in its word's colour: the more paint, the less of the picture. */
function fieldCanvas(field, color) {
  const canvas = document.createElement("canvas");
  canvas.width = field.width;
  canvas.height = field.height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(field.width, field.height);
  const [red, green, blue] = hexBytes(color);
  for (let pixel = 0; pixel < field.values.length; pixel++) {
    image.data.set([red, green, blue, Math.round(field.values[pixel] * 0.82)], pixel * 4);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
