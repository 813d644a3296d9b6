// The words of the picture that is shown: how much of the attention each has, and where it is greatest.
// Value: {"words": [{"text", "color", "share", "layer", "step", "spread"}], "kept", "help"}
const make = (tag, cls, text) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined) node.textContent = text;
  return node;
};
const draw = () => {
  const value = props.value;
  window.xattnWords = (value?.words || []).map((word) => word.text); // what the viewer's words are, for the chips
  root.replaceChildren();
  if (!value?.words?.length) {
    root.append(make("p", "insight-none", "Draw a picture first; then click one of its words."));
    return;
  }
  const top = Math.max(...value.words.map((word) => word.share), 1e-9);
  const table = make("div", "insight-table");
  value.words.forEach((word, index) => {
    const row = make("button", "insight-row");
    row.type = "button";
    row.style.setProperty("--word", word.color);
    row.title = `Show where “${word.text}” looks`;
    const name = make("span", "insight-word", word.text);
    const bar = make("span", "insight-bar");
    const fill = make("i");
    fill.style.width = `${(100 * word.share) / top}%`;
    bar.append(fill);
    row.append(name, bar, make("span", "insight-share", `${(100 * word.share).toFixed(1)} %`));
    row.append(make("span", "insight-where", word.layer ? `most in ${word.layer}${word.step ? `, step ${word.step}` : ""}` : ""));
    row.addEventListener("click", () => window.xattnDrawn?.((viewer) => {
      viewer.mode("look");
      viewer.select({ words: [index], step: null, layers: null, head: null });
    }));
    table.append(row);
  });
  root.append(make("p", "insight-lead", value.help), table, make("p", "insight-kept", value.kept));
};
watch("value", draw);
draw();
