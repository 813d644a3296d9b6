// The picture and what lies over it. Pictures are plain images; two canvases above them hold maps and marks.

function stagePart(model) {
  const picture = el("img", { class: "xv-picture", alt: "", draggable: "false" });
  const before = el("img", { class: "xv-before", alt: "", draggable: "false" });
  const heat = el("canvas", { class: "xv-heat", "aria-hidden": "true" });
  const marks = el("canvas", { class: "xv-marks", "aria-hidden": "true" });
  const split = el("div", { class: "xv-split", "aria-hidden": "true" }, el("i"));
  const tags = [el("span", { class: "xv-tag xv-tag-before" }), el("span", { class: "xv-tag xv-tag-after" })];
  const empty = el("p", { class: "xv-empty" }, el("b", {}, "No picture yet"), el("span", {}, "Say what to draw, then press Draw. Where its words look shows here."));
  const progress = el("div", { class: "xv-progress" }, el("span"), el("i"));
  const help = el("p", { class: "xv-hidden", id: freshId("help") });
  const frame = el(
    "div",
    { class: "xv-frame", tabindex: "0", role: "application", "aria-roledescription": "picture", "aria-describedby": help.id },
    picture, before, heat, marks, split, ...tags, empty, progress,
  );
  const node = el("div", { class: "xv-stage" }, frame, help);
  const drawn = {};

  // What a layer was last drawn from: a canvas is painted again only where that differs.
  const stale = (layer, ...key) => {
    const same = drawn[layer]?.length === key.length && drawn[layer].every((value, place) => value === key[place]);
    drawn[layer] = key;
    return !same;
  };

  function fit(canvas) {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = frame;
    const [width, height] = [Math.max(1, Math.round(clientWidth * ratio)), Math.max(1, Math.round(clientHeight * ratio))];
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    context.imageSmoothingQuality = "high";
    return { context, width, height, ratio };
  }

  function drawHeat() {
    const { mode } = model;
    const on = mode === "look" || (mode === "paint" && model.ghost);
    const shown = on ? shownOf(model) : null;
    const opacity = shown ? model.opacity * (mode === "paint" ? 0.5 : 1) : 0;
    heat.style.opacity = String(opacity);
    picture.style.filter = opacity > 0 ? `grayscale(${(opacity * 0.9).toFixed(3)})` : "";
    const size = `${frame.clientWidth}x${frame.clientHeight}@${window.devicePixelRatio}`;
    if (!stale("heat", size, model.cells, shown?.low, shown?.high, ...(shown?.grids ?? []), ...(shown?.colors ?? []))) return;
    const { context, width, height } = fit(heat);
    if (!shown) return;
    context.imageSmoothingEnabled = !model.cells;
    context.drawImage(heatCanvas(shown.grids, shown.colors, shown, { cells: model.cells }), 0, 0, width, height);
  }

  function draw() {
    const { view, mode } = model;
    const comparing = mode === "compare" && Boolean(view.before);
    show(picture, view.picture);
    show(before, view.before);
    frame.dataset.mode = mode;
    frame.dataset.tool = model.tool;
    before.hidden = !comparing || !view.before;
    before.style.clipPath = model.difference ? "" : `inset(0 ${(100 - model.compareAt * 100).toFixed(3)}% 0 0)`;
    before.style.mixBlendMode = model.difference ? "difference" : "";
    split.hidden = !comparing || model.difference;
    split.style.left = `${model.compareAt * 100}%`;
    say(tags[0], view.before_label || "before");
    say(tags[1], view.after_label || "after");
    tags[0].hidden = tags[1].hidden = split.hidden;
    tags[0].classList.toggle("xv-faded", model.compareAt < 0.18);
    tags[1].classList.toggle("xv-faded", model.compareAt > 0.82);
    empty.hidden = Boolean(view.picture);
    drawProgress(progress, view.progress);
    frame.setAttribute("aria-label", labelOf(model));
    say(help, HELP[mode] || "");
    drawHeat();
    drawMarks(model, fit(marks));
  }
  return { node, frame, draw };
}

const HELP = {
  look: "Arrow keys move the cross-hair, with Shift by ten; Enter asks this place which words it looked at; Escape leaves it.",
  paint: "Arrow keys move the brush, Enter or Space puts it down. B brush, E eraser, R rectangle, brackets change the size.",
  regions: "Arrow keys move the chosen region, with Shift they resize it, Delete removes it.",
  compare: "Left and right arrows move the divide.",
};

const labelOf = ({ mode, view, words }) => {
  const names = words.map((word) => view.words[word]?.text).filter(Boolean).join(", ");
  if (mode === "paint") return `Picture to paint “${names}” on`;
  if (mode === "regions") return "Picture to draw regions on";
  if (mode === "compare") return "Two pictures, one over the other";
  return names ? `Picture with the map of “${names}”` : "Picture";
};

function show(image, source) {
  if (source && image.getAttribute("src") !== source) image.src = source;
  if (!source) image.removeAttribute("src");
  image.hidden = !source;
}

function drawProgress(node, progress) {
  node.hidden = !progress;
  if (!progress) return;
  const share = progress.steps ? clamp(progress.step / progress.steps, 0, 1) : 0;
  node.lastChild.style.transform = `scaleX(${share})`;
  say(node.firstChild, [progress.steps ? `step ${progress.step} of ${progress.steps}` : "", progress.note || ""].filter(Boolean).join(" · "));
}
