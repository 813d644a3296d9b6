// Grey 8-bit PNGs: a canvas would write colour with alpha, and a field is one number a place.

const CRC = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value >>> 0;
});

function chunk(name, body) {
  const out = new Uint8Array(12 + body.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, body.length);
  for (let place = 0; place < 4; place++) out[4 + place] = name.charCodeAt(place);
  out.set(body, 8);
  let crc = 0xffffffff;
  for (let place = 4; place < 8 + body.length; place++) crc = CRC[(crc ^ out[place]) & 255] ^ (crc >>> 8);
  view.setUint32(8 + body.length, (crc ^ 0xffffffff) >>> 0);
  return out;
}

function base64(bytes) {
  let text = "";
  for (let from = 0; from < bytes.length; from += 0x8000) text += String.fromCharCode(...bytes.subarray(from, from + 0x8000));
  return btoa(text);
}

/** {values: Uint8Array, width, height} → base64 of a PNG of colour type 0, 8 bits. */
async function encodeGrey({ values, width, height }) {
  const rows = new Uint8Array((width + 1) * height); // each row begins with its filter: 0, none
  for (let y = 0; y < height; y++) rows.set(values.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const packed = await new Response(new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"))).arrayBuffer();
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header[8] = 8;
  const parts = [
    Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10),
    chunk("IHDR", header),
    chunk("IDAT", new Uint8Array(packed)),
    chunk("IEND", new Uint8Array(0)),
  ];
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) {
    out.set(part, place);
    place += part.length;
  }
  return base64(out);
}

/** base64 of a PNG → {values, width, height} at the given size, else at its own; its red channel. */
async function decodeGrey(text, wide, high) {
  const image = new Image();
  image.src = `data:image/png;base64,${text}`;
  await image.decode();
  const [width, height] = [wide ?? image.naturalWidth, high ?? image.naturalHeight];
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, width, height);
  const pixels = context.getImageData(0, 0, width, height).data;
  return { values: Uint8Array.from({ length: width * height }, (_, pixel) => pixels[pixel * 4]), width, height };
}
