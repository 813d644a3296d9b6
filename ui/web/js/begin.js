// A picture to begin with: chosen, dropped here, or the one that is shown. Value: {"src", "text"} or null.
// Fires "chosen" with {name, data (base64)}, "shown", "onto" (it goes on the canvas), "removed".
const make = (tag, cls, text) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined) node.textContent = text;
  return node;
};
const LARGEST = 16 * 2 ** 20;
let told = "";
const read = async (file) => {
  if (!file) return;
  told = file.size > LARGEST ? `${file.name} has ${(file.size / 2 ** 20).toFixed(1)} MB; at most ${LARGEST / 2 ** 20} MB are read.` : "";
  if (told) return draw();
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  trigger("chosen", { name: file.name, data: btoa(text) });
};
const draw = () => {
  const value = props.value;
  root.replaceChildren();
  const input = make("input", "begin-file");
  Object.assign(input, { type: "file", accept: "image/png,image/jpeg,image/webp", id: "begin-file" });
  input.addEventListener("change", () => read(input.files[0]));
  if (value?.src) {
    const image = make("img", "begin-picture");
    image.src = value.src;
    image.alt = "The picture to begin with";
    root.append(image);
  }
  const side = make("div", "begin-side");
  side.append(make("p", "begin-text", told || value?.text || "None: the picture begins as noise."));
  const row = make("div", "begin-row");
  const choose = make("label", "begin-button", "Choose a picture");
  choose.htmlFor = "begin-file";
  choose.tabIndex = 0;
  choose.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") input.click(); });
  const shown = make("button", "begin-button", "Use the shown one");
  shown.type = "button";
  shown.addEventListener("click", () => trigger("shown", {}));
  row.append(choose, shown);
  if (value?.src) {
    const onto = make("button", "begin-button", "Paint on it");
    onto.type = "button";
    onto.addEventListener("click", () => trigger("onto", {}));
    const off = make("button", "begin-button", "Remove");
    off.type = "button";
    off.addEventListener("click", () => trigger("removed", {}));
    row.append(onto, off);
  }
  side.append(row, input);
  root.append(side);
};
root.addEventListener("dragover", (event) => event.preventDefault());
root.addEventListener("drop", (event) => { event.preventDefault(); event.stopPropagation(); read(event.dataTransfer.files[0]); });
watch("value", () => { told = ""; draw(); });
draw();
