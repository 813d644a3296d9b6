// The panels of painting, of regions, and of the comparison.

function paintPart(model) {
  const { touch } = model;
  const tools = [["brush", "Brush", "B"], ["eraser", "Eraser", "E"], ["box", "Rectangle", "R"]].map(([tool, label, key]) => {
    const node = button(tool, label, () => {
      model.tool = tool;
      touch();
    }, { icon: tool, key });
    node.dataset.tool = tool;
    return node;
  });
  const size = slider("Size", { name: "size", min: 0.01, max: 0.3, step: 0.005, touch, read: () => model.size,
    write: (value) => (model.size = value), told: () => `${Math.round(model.size * 200)} %` });
  const strength = slider("Strength", { name: "strength", min: 0.05, max: 1, step: 0.05, touch, read: () => model.strength,
    write: (value) => (model.strength = value), told: () => `${Math.round(model.strength * 100)} %` });
  const ghost = toggle("The word's own map beneath", { name: "ghost", touch, read: () => model.ghost, write: (on) => (model.ghost = on) });
  const history = historyButtons(model);
  const one = button("clear-word", "Clear word", () => changeField(model, model.words[0], (field) => field.values.fill(0)), { icon: "clear" });
  const all = button("clear", "Clear all", () => clearFields(model));
  const list = el("ul", { class: "xv-painted-list", "aria-label": "Painted words" });
  const hint = el("p", { class: "xv-hint" });
  const node = el("section", { class: "xv-card", "aria-label": "Brush" },
    el("div", { class: "xv-tools", role: "group", "aria-label": "Tool" }, tools),
    el("div", { class: "xv-rows" }, size.node, strength.node),
    el("div", { class: "xv-toggles" }, ghost.node), hint, list,
    el("div", { class: "xv-actions" }, history.node, one, all));
  let built = "";

  function draw() {
    node.hidden = model.mode !== "paint";
    if (node.hidden) return;
    for (const tool of tools) tool.setAttribute("aria-pressed", String(tool.dataset.tool === model.tool));
    size.draw();
    strength.draw();
    ghost.node.hidden = !model.blocks.length;
    ghost.draw();
    history.draw();
    const painted = [...model.fields].filter(([, field]) => !isEmpty(field)).sort(([a], [b]) => a - b);
    one.hidden = model.view.mask; // there is one thing to paint: Clear all is the same
    one.disabled = isEmpty(model.fields.get(model.words[0]));
    all.disabled = !painted.length;
    say(hint, model.view.mask ? "Paint where the picture may change." : "Choose a word above and paint where it should be.");
    hint.hidden = painted.length > 0;
    const key = JSON.stringify(painted.map(([word, field]) => [word, coverOf(field).toFixed(3)]));
    if (key === built) return;
    built = key;
    list.replaceChildren(...painted.map(([word, field]) => {
      const { text, color } = model.view.words[word];
      return el("li", { style: `--word: ${color}` }, el("i"), el("b", {}, text), el("span", {}, `${percent(coverOf(field))} of the picture`));
    }));
  }
  return { node, draw };
}

function historyButtons(model) {
  const undo = button("undo", "Undo", () => step(model, "undo"), { icon: "undo", quiet: true, key: "Ctrl+Z" });
  const redo = button("redo", "Redo", () => step(model, "redo"), { icon: "redo", quiet: true, key: "Ctrl+Shift+Z" });
  const node = el("span", { class: "xv-history" }, undo, redo);
  return {
    node,
    draw() {
      undo.disabled = !model.history.canUndo;
      redo.disabled = !model.history.canRedo;
    },
  };
}

function regionsPart(model) {
  const list = el("ul", { class: "xv-regions", "aria-label": "Regions" });
  const hint = el("p", { class: "xv-hint" }, "Drag a box on the picture and say what belongs there.");
  const add = button("add-region", "Add a region", () => addRegion(model, { left: 0.3, top: 0.3, right: 0.7, bottom: 0.7 }), { icon: "plus" });
  const clear = button("clear-regions", "Clear all", () => changeRegions(model, []));
  const history = historyButtons(model);
  const node = el("section", { class: "xv-card", "aria-label": "Regions" }, hint, list, el("div", { class: "xv-actions" }, add, history.node, clear));
  let built = "";

  function row(region) {
    const field = el("input", {
      type: "text", class: "xv-text", name: `prompt-${region.id}`, value: region.prompt, placeholder: "what belongs here",
      "aria-label": `Prompt of region ${region.id}`, autocomplete: "off", maxlength: 500,
      onfocus: () => {
        model.region = region.id;
        model.touch();
      },
      onchange: () => changeRegions(model, model.regions.map((each) => (each.id === region.id ? { ...each, prompt: field.value } : each))),
    });
    const remove = button(`remove-${region.id}`, `Remove region ${region.id}`, () => removeRegion(model, region.id), { icon: "close", quiet: true });
    return el("li", { "data-region": region.id, style: `--word: ${region.color}` }, el("i"), field, remove);
  }

  function draw() {
    node.hidden = model.mode !== "regions";
    if (node.hidden) return;
    const key = JSON.stringify(model.regions.map(({ id, color }) => [id, color]));
    if (key !== built) list.replaceChildren(...model.regions.map(row));
    built = key;
    for (const region of model.regions) {
      const item = list.querySelector(`[data-region="${region.id}"]`);
      item.classList.toggle("xv-chosen", region.id === model.region);
      const field = item.querySelector("input");
      if (document.activeElement !== field && field.value !== region.prompt) field.value = region.prompt;
    }
    hint.hidden = model.regions.length > 0;
    clear.disabled = !model.regions.length;
    history.draw();
  }
  return { node, draw };
}

function comparePart(model) {
  const divide = slider("Divide", { name: "divide", max: 1, step: 0.01, touch: model.touch, read: () => Number(model.compareAt.toFixed(2)),
    write: (value) => (model.compareAt = value), done: () => model.emit("compare", { at: model.compareAt }),
    told: () => `${Math.round(model.compareAt * 100)} %` });
  const difference = toggle("What changed, alone", { name: "difference", touch: model.touch, read: () => model.difference,
    write: (on) => (model.difference = on), hint: "Black where the two are the same" });
  const blend = toggle("Where it may differ", { name: "blend", touch: model.touch, read: () => model.showBlend,
    write: (on) => (model.showBlend = on), hint: "Everywhere else local blending keeps the first picture" });
  const node = el("section", { class: "xv-card", "aria-label": "Before and after" },
    el("div", { class: "xv-rows" }, divide.node), el("div", { class: "xv-toggles" }, difference.node, blend.node));
  function draw() {
    node.hidden = model.mode !== "compare";
    if (node.hidden) return;
    divide.draw();
    difference.draw();
    blend.node.hidden = !model.blend;
    blend.draw();
  }
  return { node, draw };
}
