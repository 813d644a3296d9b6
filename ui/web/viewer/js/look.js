// The panel of the look: opacity, scale, and the scrubs through steps, layers, resolutions and heads.

/** Layers of one grid, finest first: [["16×16", [names]], …]. */
function resolutionsOf(layers) {
  const groups = new Map();
  for (const layer of layers) {
    const key = layer.grid ? layer.grid.join("×") : "";
    groups.set(key, [...(groups.get(key) || []), layer.name]);
  }
  return [...groups].sort(([a], [b]) => Number.parseInt(b, 10) - Number.parseInt(a, 10));
}

/** A slider whose first notch is "all". */
function scrubSlider(model, label, axis, { read, write, told }) {
  const node = slider(label, {
    name: axis, min: 0, max: 1, read,
    write: (place) => write(place),
    told, done: () => model.emit("view", { selection: selectionOf(model) }), touch: model.touch,
  });
  const all = el("button", { type: "button", class: "xv-all", "data-all": axis, "aria-label": `${label}: all`,
    onclick: () => {
      write(0);
      model.emit("view", { selection: selectionOf(model) });
    } }, "all");
  node.node.append(all);
  return { ...node, all };
}

function lookPart(model) {
  const { touch } = model;
  const scrubWord = (change) => {
    needWord(model);
    scrub(model, change);
  };
  const steps = () => model.axes.step;
  const layers = () => model.axes.layer;
  const heads = () => model.axes.head;
  const opacity = slider("Opacity", {
    name: "opacity", max: 1, step: 0.01, touch, read: () => model.opacity, write: (value) => {
      needWord(model);
      model.opacity = value;
    },
    told: () => `${Math.round(model.opacity * 100)} %`,
  });
  const stepper = scrubSlider(model, "Step", "step", {
    read: () => (model.step === null ? 0 : steps().indexOf(model.step) + 1),
    write: (place) => scrubWord({ step: place === 0 ? null : steps()[place - 1] }),
    told: () => (model.step === null ? `mean of ${steps().length}` : `${model.step} of ${steps().at(-1)}`),
  });
  const oneLayer = () => (model.layers?.length === 1 ? layers().findIndex((layer) => layer.name === model.layers[0]) : -1);
  const layer = scrubSlider(model, "Layer", "layer", {
    read: () => oneLayer() + 1,
    write: (place) => scrubWord({ layers: place === 0 ? null : [layers()[place - 1].name] }),
    told: () => (oneLayer() < 0 ? `mean of ${model.layers?.length ?? layers().length}` : layers()[oneLayer()].label),
  });
  const head = scrubSlider(model, "Head", "head", {
    read: () => (model.head === null ? 0 : heads().indexOf(model.head) + 1),
    write: (place) => scrubWord({ head: place === 0 ? null : heads()[place - 1] }),
    told: () => (model.head === null ? `mean of ${heads().length}` : `${model.head + 1} of ${heads().length}`),
  });
  const grid = choice("Grid", { name: "grid", touch, write: (names) => {
    scrubWord({ layers: names });
    model.emit("view", { selection: selectionOf(model) });
  } });
  const shared = toggle("One scale for all words", { name: "shared", touch, read: () => model.shared,
    write: (on) => (model.shared = on), hint: "From nothing to the greatest of all words, so that words compare" });
  const cells = toggle("Cells as they are", { name: "cells", touch, read: () => model.cells,
    write: (on) => (model.cells = on), hint: "One square a cell, not smoothed" });
  const play = playButton(model, steps);
  stepper.node.prepend(play.node);
  const rows = el("div", { class: "xv-rows" }, opacity.node, stepper.node, layer.node, grid.node, head.node);
  const node = el("section", { class: "xv-card", "aria-label": "What of the attention is shown" },
    rows, el("div", { class: "xv-toggles" }, shared.node, cells.node));

  function draw() {
    const maps = model.blocks.length > 0;
    node.hidden = !maps || !["look", "words"].includes(model.mode);
    if (node.hidden) return;
    opacity.draw();
    play.draw();
    for (const [part, labels, freed] of [[stepper, steps(), model.step === null], [layer, layers(), oneLayer() < 0], [head, heads(), model.head === null]]) {
      part.node.hidden = labels.length < 2;
      part.draw(labels.length);
      part.node.classList.toggle("xv-free", freed);
      part.all.setAttribute("aria-pressed", String(freed));
    }
    const groups = resolutionsOf(layers());
    grid.node.hidden = groups.length < 2;
    grid.draw([[null, "all"], ...groups.map(([text, names]) => [names, text])], model.layers);
    shared.draw();
    cells.draw();
  }
  return { node, draw, stop: play.stop };
}

/** Runs through the steps once; pressing it again holds. */
function playButton(model, steps) {
  let timer = null;
  const node = el("button", { type: "button", class: "xv-play", "data-do": "play", onclick: () => (timer ? stop() : start()) });
  function stop() {
    clearInterval(timer);
    timer = null;
    model.touch();
  }
  function start() {
    let place = model.step === null ? -1 : steps().indexOf(model.step);
    if (place >= steps().length - 1) place = -1;
    const tick = () => {
      place++;
      if (place >= steps().length) return stop();
      needWord(model);
      scrub(model, { step: steps()[place] });
    };
    timer = setInterval(tick, Math.max(60, Math.min(220, 4000 / steps().length)));
    tick();
  }
  let drawn = null;
  function draw() {
    if (drawn === Boolean(timer)) return;
    drawn = Boolean(timer);
    node.replaceChildren(icon(drawn ? "pause" : "play"));
    node.setAttribute("aria-label", drawn ? "Hold at this step" : "Play through the steps");
  }
  draw();
  return { node, draw, stop };
}
