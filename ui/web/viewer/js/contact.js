// All words side by side: one small picture each.

function contactPart(model, setMode) {
  const grid = el("div", { class: "xv-contact-grid" });
  const node = el("div", { class: "xv-contact", role: "group", "aria-label": "Every word's map" }, grid);
  let built = "";
  let prints = [];

  function build() {
    prints = model.view.words.map((word, index) => {
      const image = el("img", { alt: "", draggable: "false" });
      const canvas = el("canvas", { "aria-hidden": "true" });
      const figures = el("span", { class: "xv-peak" });
      const print = el("button", {
        type: "button", class: "xv-print", "data-word": index, style: `--word: ${word.color}; --on-word: ${inkOn(word.color)}`,
        onclick: () => {
          chooseWord(model, index, false);
          setMode("look");
        },
      }, el("span", { class: "xv-window" }, image, canvas), el("span", { class: "xv-caption" }, el("b", {}, word.text), figures));
      return { print, image, canvas, figures, drawn: null };
    });
    grid.replaceChildren(...prints.map(({ print }) => print));
  }

  function draw() {
    node.hidden = model.mode !== "words";
    if (node.hidden) return;
    const key = JSON.stringify(model.view.words);
    if (key !== built) build();
    built = key;
    prints.forEach((each, word) => {
      show(each.image, model.view.picture);
      each.image.style.filter = model.view.progress ? "" : `grayscale(${(model.opacity * 0.9).toFixed(3)})`;
      each.canvas.style.opacity = String(model.opacity);
      each.print.setAttribute("aria-pressed", String(model.words.includes(word)));
      const heat = model.view.progress ? null : gridOf(model, word);
      each.canvas.hidden = !heat;
      if (!heat) return;
      const range = rangeFor(model, heat);
      const stamp = [heat, range.low, range.high, model.cells];
      if (each.drawn?.every((value, place) => value === stamp[place])) return;
      each.drawn = stamp;
      const drawn = heatCanvas([heat], [model.view.words[word].color], range, { cells: model.cells, side: 128 });
      each.canvas.width = drawn.width;
      each.canvas.height = drawn.height;
      each.canvas.style.imageRendering = model.cells ? "pixelated" : "";
      each.canvas.getContext("2d").drawImage(drawn, 0, 0);
      const greatest = figure(asShare(model, rangeOf(heat).high));
      say(each.figures, `to ${greatest}`);
      each.print.setAttribute("aria-label", `${model.view.words[word].text}: greatest ${greatest}. Show it large`);
    });
  }
  return { node, draw };
}
