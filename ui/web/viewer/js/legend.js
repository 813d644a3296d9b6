// Below the picture: the colour bar, and the number under the pointer.

function legendPart(model) {
  const bar = el("div", { class: "xv-bar" });
  const needle = el("i", { class: "xv-needle" });
  const low = el("span", { class: "xv-low" });
  const high = el("span", { class: "xv-high" });
  const scale = el("div", { class: "xv-scale" }, low, el("div", { class: "xv-bar-box" }, bar, needle), high);
  const value = el("p", { class: "xv-value", role: "status" });
  const note = el("p", { class: "xv-note" });
  const node = el("div", { class: "xv-legend" }, scale, value, note);

  function draw() {
    const shown = model.mode === "look" ? shownOf(model) : null;
    scale.hidden = !shown;
    say(note, model.view.note || "");
    note.hidden = !model.view.note || model.view.progress || !model.blocks.length || ["regions", "compare"].includes(model.mode);
    const at = model.hover || model.cursor || model.marker;
    const free = model.mode === "look" && model.blocks.length > 0 && !model.words.length && !model.view.progress;
    value.hidden = !shown && !free;
    needle.hidden = !shown || !at;
    if (free && !shown) say(value, "Click a word to see where it looks.");
    if (!shown) return;
    const bars = shown.colors.map((color) => rampCss(color));
    const background = bars.map((image, place) => `${image} 0 ${bars.length === 1 ? 0 : (place / (bars.length - 1)) * 100}% / 100% ${100 / bars.length}% no-repeat`).join(", ");
    if (bar.dataset.key !== background) {
      bar.dataset.key = background;
      bar.style.background = background;
    }
    say(low, figure(shown.low));
    say(high, figure(shown.high));
    if (!at) {
      say(value, shown.name === "looks" ? "Where this place looks" : shown.name);
      return;
    }
    const cell = cellAt(shown.sum, at.x, at.y);
    needle.style.left = `${clamp((cell.value - shown.low) / (shown.high - shown.low || 1), 0, 1) * 100}%`;
    say(value, `${shown.name === "looks" ? "looks here" : shown.name} ${figure(asShare(model, cell.value))} · row ${cell.row + 1}, column ${cell.column + 1}`);
  }
  return { node, draw };
}
