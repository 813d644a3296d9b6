// The shown picture's recipe as text that runs as it is. Value: {"copies": [{"label", "hint", "text"}]}
const make = (tag, cls, text) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined) node.textContent = text;
  return node;
};
let chosen = 0;
const draw = () => {
  const list = props.value?.copies || [];
  root.replaceChildren();
  if (!list.length) {
    root.append(make("p", "insight-none", "Draw a picture first: what makes it again appears here."));
    return;
  }
  const tabs = make("div", "copies-tabs");
  tabs.setAttribute("role", "group");
  tabs.setAttribute("aria-label", "As what");
  list.forEach((one, index) => {
    const tab = make("button", "copies-tab", one.label);
    tab.type = "button";
    tab.setAttribute("aria-pressed", index === chosen ? "true" : "false");
    tab.addEventListener("click", () => { chosen = index; draw(); });
    tabs.append(tab);
  });
  const one = list[Math.min(chosen, list.length - 1)];
  const code = make("pre", "copies-text", one.text);
  code.tabIndex = 0;
  code.setAttribute("aria-label", one.label);
  const foot = make("div", "copies-foot");
  const copy = make("button", "begin-button", "Copy");
  copy.type = "button";
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(one.text);
      copy.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      copy.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => (copy.textContent = "Copy"), 1600);
  });
  foot.append(make("span", "", one.hint), copy);
  root.append(tabs, code, foot);
};
watch("value", draw);
draw();
