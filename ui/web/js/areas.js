// The four areas as tabs. All stay on the page, so that what happens elsewhere (a drop, a stroke) is met in each.
// Value: [["make", "Make"], …]; the area of a name is #area-<name>.
const draw = () => {
  const areas = props.value || [];
  const holder = root.closest("#areas");
  root.replaceChildren();
  root.setAttribute("role", "tablist");
  root.setAttribute("aria-label", "Areas");
  const choose = (name, focus) => {
    for (const [other] of areas) {
      const tab = root.querySelector(`[data-area="${other}"]`);
      const on = other === name;
      tab.setAttribute("aria-selected", on ? "true" : "false");
      tab.tabIndex = on ? 0 : -1;
      if (on && focus) tab.focus();
    }
    holder.dataset.area = name; // Gradio scopes our style to its container, which the body is outside of
    dispatchEvent(new CustomEvent("xattn-area", { detail: name }));
  };
  areas.forEach(([name, label], index) => {
    const tab = document.createElement("button");
    Object.assign(tab, { type: "button", className: "area-tab", textContent: label });
    tab.dataset.area = name;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", `area-${name}`);
    tab.addEventListener("click", () => choose(name));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) choose(areas[(index + step + areas.length) % areas.length][0], true);
    });
    root.append(tab);
  });
  choose(holder.dataset.area || areas[0][0]);
  window.xattnArea = choose;
};
watch("value", draw);
draw();
