// Small controls that several panels share.

/** A labelled slider with its value in words beside it. */
function slider(label, { name, min = 0, max, step: by = 1, read, write, told, done = () => {}, touch }) {
  const id = freshId(name);
  const input = el("input", {
    type: "range", id, name, min, max, step: by, class: "xv-range",
    oninput: () => {
      write(Number(input.value));
      touch();
    },
    onchange: () => done(),
  });
  const output = el("output", { for: id });
  const node = el("div", { class: "xv-row", "data-row": name }, el("label", { for: id }, label), input, output);
  function draw(limit = max) {
    if (input.max !== String(limit)) input.max = String(limit);
    const value = String(read());
    if (input.value !== value) input.value = value;
    const share = (Number(input.value) - min) / (limit - min || 1);
    input.style.setProperty("--at", `${share * 100}%`);
    say(output, told());
    input.setAttribute("aria-valuetext", told());
  }
  return { node, draw, input };
}

/** A switch: a checkbox with its label. */
function toggle(label, { name, read, write, touch, hint = "" }) {
  const input = el("input", {
    type: "checkbox", name,
    onchange: () => {
      write(input.checked);
      touch();
    },
  });
  const node = el("label", { class: "xv-toggle", title: hint || null }, input, el("span", {}, label));
  return { node, draw: () => (input.checked = Boolean(read())) };
}

/** One of a few, as a row of buttons. */
function choice(label, { name, write, touch }) {
  const buttons = el("div", { class: "xv-choice", role: "group", "aria-label": label });
  const node = el("div", { class: "xv-row", "data-row": name }, el("span", { class: "xv-label", "aria-hidden": "true" }, label), buttons);
  let built = "";
  /** options: [value, text]; a value is compared by its JSON. */
  function draw(options, chosen) {
    const key = JSON.stringify(options);
    if (key !== built) {
      buttons.replaceChildren(...options.map(([value, text]) =>
        el("button", { type: "button", "data-value": JSON.stringify(value), onclick: () => {
          write(value);
          touch();
        } }, text)));
      built = key;
    }
    for (const each of buttons.children) each.setAttribute("aria-pressed", String(each.dataset.value === JSON.stringify(chosen)));
  }
  return { node, draw };
}
