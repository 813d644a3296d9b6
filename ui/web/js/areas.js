// The four areas as tabs. All stay on the page, so that what happens elsewhere (a drop, a stroke) is met in each.
// Value: [["make", "Make", false], …]; the area of a name is #area-<name>; true keeps the place of one that comes later.
const draw = () => {
  const tabs = props.value || [];
  const areas = tabs.filter(([, , later]) => !later);
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
  tabs.forEach(([name, label, later]) => {
    const tab = document.createElement("button");
    Object.assign(tab, { type: "button", className: "area-tab", textContent: label });
    tab.setAttribute("role", "tab");
    tab.dataset.area = name;
    if (later) {
      Object.assign(tab, { tabIndex: -1, title: "What each head does: comes in a later version" });
      tab.setAttribute("aria-disabled", "true");
      tab.setAttribute("aria-selected", "false");
      const badge = document.createElement("small");
      badge.textContent = "later";
      tab.append(badge);
      root.append(tab);
      return;
    }
    const index = areas.findIndex(([other]) => other === name);
    tab.id = `tab-${name}`;
    tab.setAttribute("aria-controls", `area-${name}`);
    const panel = document.getElementById(`area-${name}`);
    panel?.setAttribute("role", "tabpanel");
    panel?.setAttribute("aria-labelledby", tab.id);
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
