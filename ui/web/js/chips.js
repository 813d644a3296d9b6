// The prompt's words as chips, live: colour, weight, tokens, unknown words with replacements, where 77 cuts.
// Value and the server function `ledger`: ledger_view.chips. A click chooses the word in the viewer; a replacement is written into the prompt (xattnWrite of js/page.js).
const make = (tag, cls, text) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined) node.textContent = text;
  return node;
};
const box = () => document.querySelector("#prompt textarea");
// Why the canvas has nothing to show of a word.
const why = (text, nth, known) => {
  if (known.length) return `The shown picture has no ${nth > 1 ? `${nth}. ` : ""}“${text}”: draw this prompt, then it shows where that word looks.`;
  const drawn = document.querySelector(".strip-one");
  return drawn ? "No maps were kept of the shown picture: a smaller one, or fewer words, keeps them." : `Draw a picture first: then it shows where “${text}” looks.`;
};
const choose = (text, nth, { shiftKey, ctrlKey, metaKey }) => {
  const known = (window.xattnWords || []).map((word) => word.toLowerCase());
  const index = known.indexOf(nth > 1 ? `${text.toLowerCase()} (${nth})` : text.toLowerCase());
  if (index < 0) return window.xattnTell?.(why(text, nth, known));
  window.xattnDrawn?.((viewer) => {
    if (viewer.state().mode === "regions" || viewer.state().mode === "compare") viewer.mode("look");
    if (shiftKey) viewer.phrase(index);
    else viewer.choose(index, ctrlKey || metaKey);
  });
};
// asked: the prompt that the value is of
const draw = (value, asked = "") => {
  root.replaceChildren();
  const row = make("div", "chips-row");
  let chunk = 0;
  const seen = {};
  for (const word of value.words) {
    if (word.chunk > chunk) {
      chunk = word.chunk;
      row.append(make("span", "chips-cut", `chunk ${chunk + 1}`));
    }
    if (word.mark) {
      const mark = make("span", "chip mark");
      mark.title = "A token of no word";
      word.tokens.forEach((piece) => mark.append(make("span", "chip-token", piece)));
      row.append(mark);
      continue;
    }
    const nth = (seen[word.text.toLowerCase()] = (seen[word.text.toLowerCase()] || 0) + 1);
    const chip = make("span", "chip" + (word.unknown ? " unknown" : "") + (word.kind === "filler" ? " filler" : "") + (word.hint ? " odd" : ""));
    chip.style.setProperty("--word", word.color);
    const button = make("button", "chip-word");
    button.type = "button";
    button.title = word.hint ? word.hint : word.unknown ? `This model never saw “${word.text}”` : `Show where “${word.text}” looks`;
    const pieces = word.tokens.length > 1 ? word.tokens : [word.text];
    pieces.forEach((piece) => button.append(make("span", "chip-token", piece)));
    button.addEventListener("click", (event) => choose(word.text, nth, event));
    chip.append(button);
    if (word.weight !== 1) chip.append(make("span", "chip-weight" + (word.weight < 1 ? " low" : ""), `×${word.weight}`));
    for (const other of (word.unknown || []).slice(0, 2)) {
      const swap = make("button", "chip-swap", other);
      swap.type = "button";
      swap.setAttribute("aria-label", `Replace ${word.text} by ${other}`);
      swap.addEventListener("click", () => {
        if (box()?.value !== asked) return; // typed on since: the chips of that come in a moment
        const letters = [...asked]; // places are counted in characters, of which some are two of JavaScript's
        window.xattnWrite?.(`${letters.slice(0, word.start).join("")}${other}${letters.slice(word.end).join("")}`, true);
      });
      chip.append(swap);
    }
    row.append(chip);
  }
  root.append(row);
  const foot = make("div", "chips-foot");
  if (value.error) foot.append(make("span", "chips-error", value.error));
  else if (value.tokens !== null && value.tokens !== undefined) {
    const more = value.chunks > 1 ? `, in ${value.chunks} chunks of 77` : "";
    foot.append(make("span", "", `${value.tokens} of ${value.room} tokens${more}`));
    if (value.words.some((word) => word.unknown)) foot.append(make("span", "chips-hint", "dashed: never seen in training"));
  }
  root.append(foot);
  for (const hint of new Set(value.words.map((word) => word.hint).filter(Boolean))) root.append(make("p", "chips-note", hint));
};
// Asked as it is typed, at most one question at a time; the newest text is asked last.
let busy = false;
let next = null;
const ask = async (text) => {
  next = text;
  if (busy) return;
  busy = true;
  while (next !== null) {
    const now = next;
    next = null;
    const told = await server.ledger(now).catch(() => null);
    if (told) draw(told, now);
  }
  busy = false;
};
window.xattnLedger = (text) => ask(text ?? "");
document.addEventListener("input", (event) => {
  if (event.target.matches?.("#prompt textarea")) ask(event.target.value);
});
watch("value", () => ask(box()?.value ?? ""));
draw(props.value || { words: [] });
