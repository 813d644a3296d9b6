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
    button.addEventListener("click", () => trigger("pick", { id: one.id }));
    root.append(button);
  }
};
watch("value", draw);
draw();
