// Brings settings back from a picture or a recipe: dropped anywhere on the page, or chosen here.
// Value: {"text", "notes": […]}; fires "dropped" with {name, data (base64)}.
const make = (tag, cls, text) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined) node.textContent = text;
  return node;
};
const LARGEST = 16 * 2 ** 20;
let told = null;
const read = async (file) => {
  if (!file) return;
  if (file.size > LARGEST) {
    told = { text: `${file.name} has ${(file.size / 2 ** 20).toFixed(1)} MB; at most ${LARGEST / 2 ** 20} MB are read.`, notes: [] };
    window.xattnTell?.(told.text); // dropped anywhere: where it was dropped nothing of Keep may be seen
    return draw();
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  trigger("dropped", { name: file.name, data: btoa(text) });
};
let first = "";
addEventListener("xattn-dropped", ({ detail: files }) => {
  first = files.length > 1 ? `The first of ${files.length} files is read: ${files[0].name}.` : "";
  draw(); // an answer like the last one is no news
  read(files[0]);
});
const draw = () => {
  const value = told || props.value || {};
  root.replaceChildren();
  const zone = make("label", "drop-zone");
  const input = make("input", "begin-file");
  Object.assign(input, { type: "file", accept: "image/png,image/jpeg,image/webp,.json", id: "drop-file" });
  input.setAttribute("aria-label", "A picture or recipe whose settings come back");
  input.addEventListener("change", () => { first = ""; read(input.files[0]); });
  zone.htmlFor = "drop-file";
  zone.append(make("b", "", "Drop a picture anywhere on this page"), make("span", "", "or click to choose one: its settings come back. Pictures of A1111 and its kin do too."), input);
  root.append(zone);
  if (value.text) root.append(make("p", "drop-text", `${first} ${value.text}`.trim()));
  if (value.notes?.length) {
    const list = make("ul", "drop-notes");
    for (const note of value.notes) list.append(make("li", "", note));
    root.append(list);
  }
};
watch("value", () => {
  told = null;
  draw();
  if (first || props.value?.notes?.length) window.xattnArea?.("keep"); // dropped anywhere: what could not be brought is to be seen
});
draw();
