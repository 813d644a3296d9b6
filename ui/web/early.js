// The page's look before the page: who opens it can type at once, and what is typed is in the prompt when it is there.
// Draw and Ctrl+Enter are kept too: the page draws as its first act.
// early.html shows it while Gradio is imported, and the page itself until Gradio has drawn it.
window.xattnShell = () => {
  const kept = localStorage.getItem("xattn-theme");
  const dark = kept ? kept === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const shell = document.createElement("div");
  shell.id = "xattn-shell";
  shell.className = dark ? "in-dark" : "";
  shell.innerHTML = `
<style>
  #xattn-shell { --paper: #eceff5; --panel: #fbfcfe; --line: #d3d8e4; --ink: #171c2b; --quiet: #55607a; --edge: #b3bbcd;
    --field: #fff; --go: #4a48dc; --on: #fff; position: fixed; inset: 0; z-index: 1000; overflow: auto; box-sizing: border-box;
    padding: 0 20px 32px; background: var(--paper); color: var(--ink); color-scheme: light;
    font: 400 14px/1.5 "IBM Plex Sans", ui-sans-serif, system-ui, sans-serif; }
  #xattn-shell.in-dark { --paper: #0e121d; --panel: #171c2b; --line: #2c3449; --ink: #e6e9f2; --quiet: #9aa5bd; --edge: #3c465f;
    --field: #0e121d; --go: #7c86ff; --on: #0e121d; color-scheme: dark; }
  #xattn-shell > * { max-width: 1520px; margin: 0 auto; }
  #xattn-shell header { display: flex; align-items: center; gap: 10px; padding: 12px 0 10px; height: 30px; }
  #xattn-shell svg { width: 26px; height: 26px; flex: none; }
  #xattn-shell b { font: 600 18px/1 "IBM Plex Mono", monospace; letter-spacing: -.02em; }
  #xattn-shell header span { color: var(--quiet); font-size: 13px; }
  #xattn-shell main { display: grid; grid-template-columns: minmax(350px, clamp(350px, 31vw, 440px)) minmax(0, 1fr); gap: 0 20px;
    grid-template-areas: "compose stage" "areas stage"; align-items: start; }
  #xattn-shell section { background: var(--panel); border: 1px solid var(--line); border-radius: 12px; padding: 14px 16px; }
  #xattn-shell .of-words { grid-area: compose; border-radius: 12px 12px 0 0; border-bottom: 0; }
  #xattn-shell .of-areas { grid-area: areas; border-radius: 0 0 12px 12px; padding: 0 16px; min-height: 420px; }
  #xattn-shell .of-picture { grid-area: stage; min-height: 560px; display: grid; place-items: center; color: var(--quiet); }
  #xattn-shell label { display: block; font-weight: 600; }
  #xattn-shell textarea { box-sizing: border-box; width: 100%; margin-top: 4px; padding: 10px 12px; border: 1px solid var(--edge);
    border-radius: 7px; background: var(--field); color: var(--ink); font: 400 16px/1.45 inherit; font-family: inherit; resize: none; }
  #xattn-shell textarea::placeholder { color: var(--quiet); opacity: 1; }
  #xattn-shell textarea:focus { outline: 2px solid var(--go); outline-offset: 1px; }
  #xattn-shell button { display: block; width: 100%; margin-top: 10px; padding: 9px; border: 0; border-radius: 8px; cursor: pointer;
    background: var(--go); color: var(--on); font: 600 14px/1.5 inherit; font-family: inherit; }
  #xattn-shell button:focus-visible { outline: 2px solid var(--go); outline-offset: 2px; }
  #xattn-shell button[aria-pressed=true] { background: none; box-shadow: inset 0 0 0 1px var(--go); color: var(--ink); }
  #xattn-shell p { margin: 8px 0 0; color: var(--quiet); font-size: 12.5px; }
  #xattn-shell nav { display: flex; gap: 4px; margin: 0 -16px; padding: 10px 24px 9px; gap: 28px; color: var(--quiet);
    border-bottom: 1px solid var(--line); }
  @media (max-width: 860px) {
    #xattn-shell { padding: 0 10px 24px; }
    #xattn-shell main { grid-template-columns: minmax(0, 1fr); grid-template-areas: "compose" "stage" "areas"; gap: 10px; }
    #xattn-shell section { border-radius: 12px !important; border: 1px solid var(--line) !important; }
    #xattn-shell header span { display: none; }
    #xattn-shell .of-picture { min-height: 300px; }
  }
</style>
<header><!--mark--><b>xattn</b><span>see and edit where words look</span></header>
<main>
  <section class="of-words"><label>Prompt<textarea rows="2" placeholder="a fox on purple" aria-label="Prompt"></textarea></label>
    <button type="button">Draw</button><p role="status"></p></section>
  <section class="of-areas"><nav aria-hidden="true"><span>Make</span><span>See</span><span>Heads</span><span>Edit</span><span>Keep</span></nav></section>
  <section class="of-picture"></section>
</main>`;
  document.body.append(shell);
  const field = shell.querySelector("textarea"), button = shell.querySelector("button");
  const wanted = (to) => {
    if (to !== undefined) sessionStorage.setItem("xattn-draw", to ? "1" : "");
    const on = sessionStorage.getItem("xattn-draw") === "1";
    button.setAttribute("aria-pressed", on);
    button.textContent = on ? "Do not draw yet" : "Draw";
    shell.querySelector("p").textContent = on
      ? "Drawn as soon as the page is here, in a few seconds. Esc takes it back."
      : "Starting. Type your prompt and draw it: the page comes by itself, in a few seconds.";
    return on;
  };
  field.value = sessionStorage.getItem("xattn-typed") || "";
  field.addEventListener("input", () => sessionStorage.setItem("xattn-typed", field.value));
  button.addEventListener("click", () => { wanted(!wanted()); field.focus(); });
  shell.addEventListener("keydown", (event) => {
    const draws = (event.ctrlKey || event.metaKey) && event.key === "Enter";
    if (!draws && event.key !== "Escape") return;
    event.preventDefault();
    wanted(draws);
  });
  wanted();
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
  return shell;
};
// on the page itself: until its own prompt is there
window.xattnShellUntilDrawn = () => {
  const shell = window.xattnShell();
  const ends = Date.now() + 30000;
  const look = () => {
    const prompt = document.querySelector("#prompt textarea");
    if (!prompt && Date.now() < ends && !document.querySelector("form input[type=password]")) return setTimeout(look, 30);
    const field = shell.querySelector("textarea");
    const [typed, at, within] = [field.value, field.selectionStart, document.activeElement === field];
    const draws = sessionStorage.getItem("xattn-draw") === "1";
    if (draws && prompt && !document.body.dataset.state && Date.now() < ends) return setTimeout(look, 30); // no status line yet
    sessionStorage.removeItem("xattn-typed");
    sessionStorage.removeItem("xattn-draw");
    shell.remove();
    if (!prompt) return;
    if (typed && !prompt.value) {
      Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set.call(prompt, typed);
      prompt.dispatchEvent(new Event("input", { bubbles: true }));
    }
    if (within) {
      prompt.focus();
      prompt.setSelectionRange(at, at);
    }
    // not at once: gradio takes the prompt in first
    if (draws) setTimeout(() => document.querySelector("button#draw, #draw button")?.click(), 200);
  };
  look();
};
