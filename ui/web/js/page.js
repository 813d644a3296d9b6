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
  // What was typed or moved is told to the server at once, without a place in line: drawing waits until all of it is answered
  let untold = 0;
  const ask = window.fetch;
  window.fetch = (...given) => {
    const asked = ask(...given);
    if (!/\/gradio_api\/run\//.test(given[0]?.url ?? given[0])) return asked;
    untold += 1;
    return asked.finally(() => (untold -= 1));
  };
  window.xattnTold = async () => {
    // an answer may be followed by what was typed meanwhile: twice quiet is quiet
    for (let quiet = 0; quiet < 2; quiet = untold ? 0 : quiet + 1) await new Promise((done) => setTimeout(done, 30));
  };
  // before all others: a place that was clicked must not take Escape for itself while a picture is drawn
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
      event.preventDefault();
      const field = document.activeElement;
      if (field?.matches(".xv input, .x-part input")) { // it tells what was typed when it is left
        field.blur();
        field.focus({ preventScroll: true });
      }
      click(editing ? "draw-edits" : "draw");
    } else if (event.key === "Escape" && busy()) {
      event.stopPropagation();
      click("stop");
    }
  }, true);
  // Puts text into the prompt as typing would, what differs alone, so that Ctrl+Z takes it back. stay: the focus stays in it
  window.xattnWrite = (text, stay = false) => {
    const area = document.querySelector("#prompt textarea");
    const had = document.activeElement;
    const old = area.value;
    let from = 0;
    while (from < Math.min(old.length, text.length) && old[from] === text[from]) from++;
    let end = 0;
    while (end < Math.min(old.length, text.length) - from && old[old.length - 1 - end] === text[text.length - 1 - end]) end++;
    area.focus({ preventScroll: true });
    area.setSelectionRange(from, old.length - end);
    const put = text.slice(from, text.length - end);
    document.execCommand(...(put ? ["insertText", false, put] : ["delete"]));
    if (area.value !== text) { // a browser without that
      area.value = text;
      area.dispatchEvent(new Event("input", { bubbles: true }));
    }
    // where fingers type, the keyboard would open over the page
    if (!stay || matchMedia("(pointer: coarse)").matches) had === document.body ? area.blur() : had?.focus({ preventScroll: true });
  };
  // Where the server is gone no step comes any more, and nothing would say so. Gradio looks for it, and loads the page again
  // once it is there; the prompt comes along (early.js)
  setInterval(async () => {
    if (!busy()) return;
    const there = await fetch("gradio_api/app_id", { cache: "no-store" }).then((told) => told.ok, () => false);
    if (!there && busy()) window.xattnFailed("The server does not answer any more, and what it was drawing is lost. Start it again: this page then comes back by itself.");
  }, 3000);
  addEventListener("pagehide", () => {
    const typed = document.querySelector("#prompt textarea")?.value;
    if (typed) sessionStorage.setItem("xattn-typed", typed);
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
    dispatchEvent(new CustomEvent("xattn-dropped", { detail: [...event.dataTransfer.files] }));
  }, true);
}
