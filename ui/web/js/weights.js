// The shown picture's words, each with a slider on its chip. Value: {"words": [{"text", "color", "scale"}]}
// Fires "weigh" with {index, scale} when a slider comes to rest; "paint" with {index} for the brush.
const make = (tag, cls, text) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined) node.textContent = text;
  return node;
};
const shown = (scale) => `×${Number(scale).toFixed(2).replace(/0$/, "")}`;
const draw = () => {
  const words = props.value?.words || [];
  root.replaceChildren();
  if (!words.length) root.append(make("p", "insight-none", "Draw a picture first: its words appear here."));
  words.forEach((word, index) => {
    const row = make("div", "weight" + (word.scale === 1 ? "" : " changed"));
    row.style.setProperty("--word", word.color);
    const id = `weight-${index}`;
    const name = make("label", "weight-word", word.text);
    name.htmlFor = id;
    const slider = make("input", "weight-slider");
    Object.assign(slider, { type: "range", id, min: -1, max: 4, step: 0.05, value: word.scale });
    slider.setAttribute("aria-valuetext", shown(word.scale));
    const number = make("output", "weight-number", shown(word.scale));
    slider.addEventListener("input", () => {
      // a slider that comes near 1 rests there: 1 is "unchanged"
      if (Math.abs(slider.value - 1) < 0.06) slider.value = 1;
      number.textContent = shown(slider.value);
      slider.setAttribute("aria-valuetext", shown(slider.value));
    });
    slider.addEventListener("change", () => trigger("weigh", { index, scale: Number(slider.value) }));
    const brush = make("button", "weight-paint", "Paint");
    brush.type = "button";
    brush.title = `Paint where “${word.text}” should look`;
    brush.addEventListener("click", () => {
      window.xattnDrawn?.((viewer) => {
        viewer.mode("paint");
        viewer.select({ words: [index] });
      });
      document.querySelector("#viewer")?.scrollIntoView({ block: "nearest", behavior: "smooth" });
    });
    row.append(name, slider, number, brush);
    root.append(row);
  });
};
watch("value", draw);
draw();
