// Colours in OKLab, so that every word's ramp climbs in lightness alike.

const linear = (byte) => (byte <= 10.31475 ? byte / 255 / 12.92 : ((byte / 255 + 0.055) / 1.055) ** 2.4);
const gamma = (value) => clamp(Math.round(255 * (value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055)), 0, 255);
const hexBytes = (color) => [1, 3, 5].map((place) => parseInt(color.slice(place, place + 2), 16));

function toLab([red, green, blue]) {
  const [r, g, b] = [linear(red), linear(green), linear(blue)];
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function fromLab([light, a, b]) {
  const l = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (light - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    gamma(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    gamma(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    gamma(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

const ramps = new Map();

/** 256 colours from near black through the word's own to almost white: [r, g, b] each. */
function rampOf(color) {
  if (ramps.has(color)) return ramps.get(color);
  const [light, a, b] = toLab(hexBytes(color));
  const stops = [
    [0, 0.13, 0.2],
    [0.35, light * 0.62, 0.8],
    [0.72, light, 1],
    [1, 0.96, 0.28],
  ];
  const table = [];
  for (let index = 0; index < 256; index++) {
    const t = index / 255;
    const next = Math.max(1, stops.findIndex((stop) => stop[0] >= t));
    const [t0, l0, c0] = stops[next - 1];
    const [t1, l1, c1] = stops[next];
    const mix = (t - t0) / (t1 - t0);
    const chroma = c0 + (c1 - c0) * mix;
    table.push(fromLab([l0 + (l1 - l0) * mix, a * chroma, b * chroma]));
  }
  ramps.set(color, table);
  return table;
}

const rampCss = (color) =>
  `linear-gradient(90deg, ${Array.from({ length: 17 }, (_, index) => `rgb(${rampOf(color)[Math.round((index / 16) * 255)].join(" ")})`).join(", ")})`;

/** Black or white, whichever reads better on the colour (WCAG contrast): one of them has 4.58 and more on any. */
function inkOn(color) {
  const [r, g, b] = hexBytes(color).map(linear);
  const luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) ? "#000000" : "#ffffff";
}
