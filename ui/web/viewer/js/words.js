// The prompt as a sentence whose words can be chosen, and the modes beside it.

function wordsPart(model) {
  const sentence = el("div", { class: "xv-sentence", role: "group", "aria-label": "Words of the prompt" });
  const adding = el("button", { type: "button", class: "xv-button xv-bare xv-add", "data-do": "phrase", "aria-pressed": "false",
    "aria-label": "Choose several words: their sum", title: "Choose several words: their maps are added (or Ctrl-click one more, Shift-click the last of a phrase)",
    onclick: () => {
      model.adding = !model.adding;
      model.touch();
    } }, icon("plus"));
  const node = el("div", { class: "xv-words" }, sentence, adding);
  let built = "";

  function build() {
    const { prompt, words } = model.view;
    const pieces = prompt?.length ? [...prompt] : [];
    const placed = new Set(pieces.map((piece) => piece.word));
    words.forEach((word, index) => placed.has(index) || pieces.push({ text: word.text, word: index }));
    sentence.replaceChildren(...pieces.map((piece) => {
      if (piece.word === undefined || piece.word === null) return el("span", { class: "xv-plain" }, piece.text);
      const word = words[piece.word];
      return el("button", {
        type: "button", class: "xv-word", "data-word": piece.word,
        style: `--word: ${word.color}; --on-word: ${inkOn(word.color)}`,
        onclick: (event) => {
          if (event.shiftKey && model.mode !== "paint") choosePhrase(model, piece.word);
          else chooseWord(model, piece.word, model.adding || event.ctrlKey || event.metaKey);
        },
      }, piece.text);
    }));
  }

  function draw() {
    const { prompt, words } = model.view;
    const key = JSON.stringify([prompt, words]);
    if (key !== built) build();
    built = key;
    for (const chip of sentence.querySelectorAll(".xv-word")) {
      const word = Number(chip.dataset.word);
      chip.setAttribute("aria-pressed", String(model.words.includes(word)));
      chip.classList.toggle("xv-painted", !isEmpty(model.fields.get(word)));
    }
    node.hidden = !words.length && !prompt?.length;
    adding.hidden = words.length < 2 || !["look", "words"].includes(model.mode);
    adding.setAttribute("aria-pressed", String(model.adding));
  }
  return { node, draw };
}

const MODE_NAMES = { look: "Look", words: "Words", paint: "Paint", regions: "Regions", compare: "Compare" };

const MODE_HINTS = {
  look: "One map over the picture",
  words: "Every word's map side by side",
  paint: "Paint where a word should be",
  regions: "Boxes with prompts of their own",
  compare: "Before and after",
};

function modesPart(model, setMode) {
  const tabs = MODES.map((mode) =>
    el("button", { type: "button", class: "xv-mode", "data-mode": mode, title: MODE_HINTS[mode],
      onclick: () => setMode(mode) }, MODE_NAMES[mode]));
  const node = el("div", { class: "xv-modes", role: "group", "aria-label": "What to do with the picture" }, ...tabs);
  function draw() {
    const offered = modesOf(model);
    for (const tab of tabs) {
      tab.hidden = !offered.includes(tab.dataset.mode);
      tab.setAttribute("aria-pressed", String(tab.dataset.mode === model.mode));
    }
    node.hidden = offered.length < 2 || (!model.view.picture && !model.view.modes);
  }
  return { node, draw };
}
