// One line: what happens now. Value: {"state", "text", "done": 0…1, "detail"}
const draw = () => {
  const value = props.value || { state: "idle", text: "" };
  root.dataset.state = value.state;
  root.setAttribute("role", "status");
  root.setAttribute("aria-live", "polite");
  let bar = root.querySelector(".status-bar > i");
  if (!bar) {
    root.innerHTML = '<div class="status-bar"><i></i></div><div class="status-line"><span class="status-text"></span><span class="status-detail"></span></div>';
    bar = root.querySelector(".status-bar > i");
  }
  bar.style.transform = `scaleX(${value.done ?? 0})`;
  root.querySelector(".status-text").textContent = value.text || "";
  root.querySelector(".status-detail").textContent = value.detail || "";
  document.body.dataset.state = value.state;
};
watch("value", draw);
draw();
