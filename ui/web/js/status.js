// One line: what happens now. Value: {"state", "text", "done": 0…1, "detail"}
// What is refused while a picture is drawn would be gone with its next step: it stays for some seconds.
let refused = null;
document.addEventListener("click", (event) => { if (event.target.closest?.("#draw, #draw-edits")) refused = null; });
const busy = (state) => ["drawing", "waiting"].includes(state);
const draw = () => {
  const value = props.value || { state: "idle", text: "" };
  if (value.state === "failed" && (refused || busy(root.dataset.state))) refused = { text: value.text, until: Date.now() + 8000 };
  else if (!busy(value.state) || Date.now() > refused?.until) refused = null;
  root.dataset.state = value.state;
  root.classList.toggle("refused", Boolean(refused));
  root.setAttribute("role", "status");
  root.setAttribute("aria-live", "polite");
  let bar = root.querySelector(".status-bar > i");
  if (!bar) {
    root.innerHTML = '<div class="status-bar"><i></i></div><div class="status-line"><span class="status-text"></span><span class="status-detail"></span></div>';
    bar = root.querySelector(".status-bar > i");
  }
  bar.style.transform = `scaleX(${value.done ?? 0})`;
  root.querySelector(".status-text").textContent = refused?.text || value.text || "";
  root.querySelector(".status-detail").textContent = value.detail || "";
  document.body.dataset.state = value.state;
};
watch("value", draw);
draw();
