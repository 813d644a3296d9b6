// One line: what happens now. Value: {"state", "text", "done": 0…1, "detail"}; window.xattnTell(text) says a sentence of the
// page's own. What is refused or said while a picture is drawn would be gone with its next step: it stays for some seconds.
let held = null;
document.addEventListener("click", (event) => { if (event.target.closest?.("#draw, #draw-edits")) held = null; });
const busy = (state) => ["drawing", "waiting"].includes(state);
const hold = (text, refused) => (held = { text, refused, until: Date.now() + 8000 });
const draw = () => {
  const value = props.value || { state: "idle", text: "" };
  root.dataset.state = value.state;
  root.classList.toggle("refused", Boolean(held?.refused));
  let bar = root.querySelector(".status-bar > i");
  if (!bar) {
    root.innerHTML = '<div class="status-bar"><i></i></div><div class="status-line"><span class="status-text"></span><span class="status-detail"></span></div><p class="status-said xv-hidden" role="status"></p>';
    bar = root.querySelector(".status-bar > i");
  }
  bar.style.transform = `scaleX(${value.done ?? 0})`;
  root.querySelector(".status-text").textContent = held?.text || value.text || "";
  root.querySelector(".status-detail").textContent = (held && !busy(value.state) ? "" : value.detail) || "";
  document.body.dataset.state = value.state;
  say(value);
};
// For the ear: what begins, ends or goes wrong, at once; steps, of which there are several a second, each quarter of a minute.
let heard = "";
let last = 0;
const say = ({ state, text, detail }) => {
  const step = !held && state === "drawing" && /^step /i.test(text);
  const kind = held?.text || (step ? text.replace(/^step \d+/i, "step") : `${state} ${text}`);
  if (kind === heard && !(step && Date.now() - last > 15000)) return;
  heard = kind;
  last = Date.now();
  root.querySelector(".status-said").textContent = held?.text || [text, detail].filter(Boolean).join(/\.$/.test(text) ? " " : ", ");
};
window.xattnTell = (text) => {
  hold(text, false);
  draw();
};
window.xattnFailed = (text) => { // no server is there to say so
  held = null;
  props.value = { state: "failed", text, done: 0 };
  draw();
};
watch("value", () => {
  const value = props.value || { state: "idle", text: "" };
  if (value.state === "failed" && (held?.refused || busy(root.dataset.state))) hold(value.text, true);
  else if (!busy(value.state) || Date.now() > held?.until) held = null;
  draw();
});
draw();
