// Blocks of maps: bytes [word, step, layer, head, y, x] and what is asked of them.

async function unpack(text, encoding) {
  const letters = atob(text);
  const packed = new Uint8Array(letters.length);
  for (let place = 0; place < letters.length; place++) packed[place] = letters.charCodeAt(place);
  if (encoding !== "gzip") return packed;
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function readBlock(block) {
  const bytes = await unpack(block.data, block.encoding || "raw");
  const expected = block.shape.reduce((product, length) => product * length, 1);
  if (bytes.length !== expected) throw new Error(`A block of maps has ${bytes.length} bytes, its shape asks for ${expected}.`);
  const [words, steps, layers, heads, height, width] = block.shape;
  return {
    bytes, words, height, width,
    lengths: { step: steps, layer: layers, head: heads },
    labels: { step: block.steps || [], layer: block.layers || [], head: block.heads || [] },
    scale: block.scale,
    valueLengths: block.lengths || null,
    eachSlice: block.scale.length === words * steps * layers * heads && block.scale.length !== words,
  };
}

/** The labels of each axis over all blocks: what the scrubs offer. */
function axesOf(blocks) {
  const longest = (axis) =>
    blocks.map((block) => block.labels[axis]).reduce((best, labels) => (labels.length > best.length ? labels : best), []);
  return { step: longest("step"), layer: longest("layer"), head: longest("head") };
}

/** Indices along an axis for a wish (null is all), or null where the block cannot answer it. */
function indicesOf(block, axis, wish) {
  const labels = block.labels[axis];
  if (wish === null) return Array.from({ length: block.lengths[axis] }, (_, index) => index);
  const wanted = Array.isArray(wish) ? wish : [wish];
  const places = wanted.map((label) => labels.findIndex((known) => (known.name ?? known) === label));
  return places.includes(-1) ? null : places;
}

/** The block that answers a selection with the finest grid, and of those with the fewest slices to average. */
function chooseBlock(blocks, selection) {
  let best = null;
  for (const block of blocks) {
    const steps = indicesOf(block, "step", selection.step);
    const layers = indicesOf(block, "layer", selection.layers);
    const heads = indicesOf(block, "head", selection.head);
    if (!steps || !layers || !heads) continue;
    const fine = block.height * block.width;
    const cost = steps.length * layers.length * heads.length;
    if (!best || fine > best.fine || (fine === best.fine && cost < best.cost)) best = { block, steps, layers, heads, fine, cost };
  }
  return best;
}

/**
 * One word's mean over the chosen slices: {values: Float32Array, width, height}; null where no block has them.
 * added: each share times the length of its value, what the word adds; null where these lengths did not come
 */
function wordGrid(blocks, selection, word, added = false) {
  const found = chooseBlock(blocks, selection);
  if (!found || word >= found.block.words || (added && !found.block.valueLengths)) return null;
  const { block, steps, layers, heads } = found;
  const { bytes, height, width, lengths, labels, scale, eachSlice } = block;
  const cells = height * width;
  const values = new Float32Array(cells);
  let count = 0;
  for (const step of steps)
    for (const layer of layers)
      for (const head of heads) {
        const has = labels.layer[layer]?.heads;
        if (lengths.head > 1 && has !== undefined && head >= has) continue;
        const slice = ((word * lengths.step + step) * lengths.layer + layer) * lengths.head + head;
        const long = added ? block.valueLengths[(word * lengths.layer + layer) * lengths.head + head] : 1;
        const factor = (scale[eachSlice ? slice : word] / 255) * long;
        // Each head of each layer counts once, also where a layer's heads came as their mean.
        const weight = lengths.head === 1 && lengths.layer > 1 ? has ?? 1 : 1;
        for (let cell = 0, from = slice * cells; cell < cells; cell++, from++) values[cell] += bytes[from] * factor * weight;
        count += weight;
      }
  if (count) for (let cell = 0; cell < cells; cell++) values[cell] /= count;
  return { values, width, height };
}

function sumGrids(grids) {
  const values = new Float32Array(grids[0].values);
  for (const grid of grids.slice(1)) for (let cell = 0; cell < values.length; cell++) values[cell] += grid.values[cell];
  return { values, width: grids[0].width, height: grids[0].height };
}

function rangeOf(grid) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of grid.values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { low, high };
}

/** The cell that a place (fractions) is in. */
function cellAt(grid, x, y) {
  const column = clamp(Math.floor(x * grid.width), 0, grid.width - 1);
  const row = clamp(Math.floor(y * grid.height), 0, grid.height - 1);
  return { column, row, value: grid.values[row * grid.width + column] };
}
