// Which word of the changed prompt takes over which word's place. Value: {"links": [{"kind", "source", "target"}], "error"}
const make = (tag, cls, text) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined) node.textContent = text;
  return node;
};
const titles = { kept: "stays", replaced: "takes over the place above", paired: "takes over the place above", added: "new, with a place of its own", removed: "goes" };
const draw = () => {
  const value = props.value || {};
  root.replaceChildren();
  root.hidden = !(value.links || []).length && !value.error;
  if (value.error) root.append(make("p", "chips-error", value.error));
  for (const link of value.links || []) {
    const pair = make("span", `pair ${link.kind}`);
    pair.title = titles[link.kind] || link.kind;
    pair.append(make("span", "pair-old", link.source || "·"), make("span", "pair-new", link.target || "·"));
    root.append(pair);
  }
};
watch("value", draw);
draw();
