// The session's pictures, newest first. Value: [{"id", "src", "label", "chosen", "edited"}]; fires "pick" with {id}.
const draw = () => {
  const value = props.value || [];
  root.replaceChildren();
  root.hidden = !value.length;
  for (const one of value) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "strip-one" + (one.chosen ? " chosen" : "") + (one.edited ? " edited" : "");
    button.title = one.label;
    button.setAttribute("aria-label", one.label);
    button.setAttribute("aria-pressed", one.chosen ? "true" : "false");
    const image = document.createElement("img");
    image.src = one.src;
    image.alt = "";
    button.append(image);
    button.addEventListener("click", () => {
      if (document.body.dataset.state === "drawing") document.querySelector(".xv")?.xattnViewer?.stay(one.id);
      trigger("pick", { id: one.id });
    });
    root.append(button);
  }
};
watch("value", draw);
draw();
// Does `act(viewer)` with the chosen picture on the canvas: one to begin with may have taken its place.
window.xattnDrawn = (act) => {
  const viewer = document.querySelector(".xv")?.xattnViewer;
  if (!viewer?.state().mask) return viewer && act(viewer);
  root.querySelector(".strip-one.chosen")?.click();
  const wait = (tries) => {
    const { mask, ready } = viewer.state();
    if (!mask && ready) act(viewer);
    else if (tries) setTimeout(() => wait(tries - 1), 50);
  };
  wait(100);
};
