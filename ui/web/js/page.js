// Once a page: keys, the theme button, pictures dropped anywhere.
() => {
  const click = (id) => {
    const node = document.getElementById(id);
    const button = node?.tagName === "BUTTON" ? node : node?.querySelector("button");
    if (button && !button.disabled) button.click();
  };
  const busy = () => ["drawing", "waiting"].includes(document.body.dataset.state);
  // Ctrl+Enter draws what was worked on last: the edits of the shown picture, or what the form says
  let editing = false; // kept where the list is made anew under the focus
  addEventListener("focusin", ({ target }) => {
    const within = (where) => Boolean(target.closest?.(where));
    if (within(".xv")) {
      const { mask, mode } = document.querySelector(".xv").xattnViewer.state();
      if (mask || ["paint", "regions"].includes(mode)) editing = !mask;
    } else if (within("#compose, #areas")) {
      editing = within("#area-edit, #tab-edit") && !within("#begin-with"); // Draw draws what is begun with
    }
  });
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
      event.preventDefault();
      click(editing ? "draw-edits" : "draw");
    } else if (event.key === "Escape" && busy()) {
      click("stop");
    }
  });
  const kept = localStorage.getItem("xattn-theme");
  if (kept) document.body.classList.toggle("dark", kept === "dark");
  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("#theme-button")) return;
    const dark = document.body.classList.toggle("dark");
    localStorage.setItem("xattn-theme", dark ? "dark" : "light");
  });
  // a picture dropped anywhere brings its settings back
  let depth = 0;
  const files = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  const over = (on) => document.querySelector("#desk")?.classList.toggle("dropping", on);
  addEventListener("dragenter", (event) => { if (files(event)) { depth += 1; over(true); } }, true);
  addEventListener("dragleave", (event) => { if (files(event)) { depth = Math.max(0, depth - 1); over(depth > 0); } }, true);
  addEventListener("dragover", (event) => { if (files(event)) event.preventDefault(); }, true);
  addEventListener("drop", (event) => {
    if (!files(event)) return;
    depth = 0;
    over(false);
    if (event.target.closest?.(".x-begin")) return; // it takes the picture itself (js/begin.js)
    event.preventDefault();
    event.stopPropagation();
    dispatchEvent(new CustomEvent("xattn-dropped", { detail: event.dataTransfer.files[0] }));
  }, true);
}
