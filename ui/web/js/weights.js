// The shown picture's words, each with a slider on its chip. Value: {"words": [{"text", "color", "scale"}], "turn"}
// Fires "weigh" with {scales: {index: scale}, turn} when a slider comes to rest: all that are not answered yet, the answer
// being a value with that turn.
const make = (tag, cls, text) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined) node.textContent = text;
  return node;
};
const shown = (scale) => `×${Number(scale).toFixed(2).replace(/0$/, "")}`;
const moved = new Map(); // index → {scale, turn}: a slider that was moved, until the list has it
let turn = 0;
let built = "";
let rows = [];
const tell = () => trigger("weigh", { scales: Object.fromEntries([...moved].map(([index, { scale }]) => [index, scale])), turn });
const build = ({ text, color }, index) => {
  const row = make("div", "weight");
  row.style.setProperty("--word", color);
  const id = `weight-${index}`;
  const name = make("label", "weight-word", text);
  name.htmlFor = id;
  const slider = make("input", "weight-slider");
  Object.assign(slider, { type: "range", id, min: -1, max: 4, step: 0.05, value: 1 });
  const number = make("output", "weight-number");
  const say = (scale) => {
    number.textContent = shown(scale);
    slider.setAttribute("aria-valuetext", shown(scale));
    row.classList.toggle("changed", Number(scale) !== 1);
  };
  let dragged = false;
  slider.addEventListener("pointerdown", () => (dragged = true));
  slider.addEventListener("keydown", () => (dragged = false));
  slider.addEventListener("input", () => {
    // a slider that is dragged near 1 rests there: 1 is "unchanged". Keys go by less than that, and would never leave it
    if (dragged && Math.abs(slider.value - 1) < 0.06) slider.value = 1;
    moved.set(index, { scale: Number(slider.value), turn: Infinity });
    say(slider.value);
  });
  slider.addEventListener("change", () => {
    moved.set(index, { scale: Number(slider.value), turn: ++turn });
    tell();
  });
  const brush = make("button", "weight-paint", "Paint");
  brush.type = "button";
  brush.title = `Paint where “${text}” should look`;
  brush.addEventListener("click", () => {
    window.xattnDrawn?.((viewer) => {
      viewer.mode("paint");
      viewer.select({ words: [index] });
    });
    // the picture itself: with all that stands below it a phone would show its lower half
    document.querySelector("#viewer .xv-frame")?.scrollIntoView({ block: "nearest", behavior: "smooth" });
  });
  row.append(name, slider, number, brush);
  const put = (scale) => {
    slider.value = scale;
    say(scale);
  };
  return { row, put };
};
const draw = () => {
  const { words = [], turn: answered = 0 } = props.value || {};
  const key = JSON.stringify(words.map(({ text, color }) => [text, color]));
  if (key !== built || !words.length) {
    moved.clear();
    rows = words.map(build);
    root.replaceChildren(...rows.map(({ row }) => row));
    if (!words.length) root.append(make("p", "insight-none", "Draw a picture first: its words appear here."));
    built = key;
  }
  for (const [index, one] of moved) if (one.turn <= answered) moved.delete(index);
  words.forEach(({ scale }, index) => { if (!moved.has(index)) rows[index].put(scale); });
};
watch("value", draw);
draw();
