// The whole: parts put together, and the handle that the app and the exported page hold.

function mount(host, view = null) {
  const model = createModel();
  let drawing = null;
  let alive = true;
  model.touch = () => {
    if (alive && drawing === null) drawing = requestAnimationFrame(draw);
  };
  const setMode = (mode) => {
    if (!modesOf(model).includes(mode) || mode === model.mode) return;
    model.mode = mode;
    model.hover = model.cursor = null;
    model.emit("mode", { mode });
    if (mode === "paint") needWord(model);
    if (mode === "paint" && model.words.length > 1) chooseWord(model, model.words[0], false);
    model.touch();
  };
  const stage = stagePart(model);
  const look = lookPart(model);
  const contact = contactPart(model, setMode);
  const parts = [wordsPart(model), modesPart(model, setMode), stage, contact, legendPart(model), look,
    placePart(model), paintPart(model), regionsPart(model), comparePart(model)];
  const [words, modes, , , legend, ...panels] = parts;
  const alert = el("p", { class: "xv-alert", role: "alert", hidden: true });
  const root = el("div", { class: "xv" },
    el("div", { class: "xv-head" }, words.node, modes.node), alert,
    el("div", { class: "xv-body" },
      el("div", { class: "xv-main" }, stage.node, contact.node, legend.node),
      el("div", { class: "xv-side" }, panels.map(({ node }) => node))));

  function draw() {
    drawing = null;
    if (!alive) return;
    root.dataset.mode = model.mode;
    root.dataset.empty = String(!model.view.picture && !model.view.progress);
    root.style.setProperty("--xv-aspect", `${model.view.width} / ${model.view.height}`);
    root.style.setProperty("--xv-ratio", String(model.view.width / model.view.height));
    stage.node.hidden = model.mode === "words";
    for (const part of parts) part.draw();
    root.dataset.ready = String(model.ready ?? true);
  }

  listenToPointer(model, stage.frame);
  root.addEventListener("keydown", (event) => {
    if (!pressKey(model, stage.frame, event)) return;
    event.preventDefault();
    event.stopPropagation();
    model.touch();
  });
  host.replaceChildren(root);
  const sized = new ResizeObserver(model.touch);
  sized.observe(stage.frame);
  const stopDensity = watchDensity(model.touch);

  function fail(error) {
    say(alert, String(error.message || error));
    alert.hidden = false;
    model.ready = true;
    model.touch();
  }

  const handle = {
    set: (next) => takeView(model, next || {}, true).then(() => (alert.hidden = true)).catch(fail),
    patch: (part) => takeView(model, part || {}, false).catch(fail),
    on: model.on,
    select(wish) {
      const words = wish.words?.filter((word) => word in model.view.words);
      if (words?.length || wish.words?.length === 0) model.words = words; // none that is here: what is chosen stays
      const { words: _, ...axes } = wish;
      scrub(model, axes);
    },
    choose: (word, add = false) => chooseWord(model, word, add),
    phrase: (word) => choosePhrase(model, word),
    mode: setMode,
    place: (place) => showPlace(model, place),
    opacity(value) {
      model.opacity = clamp(value, 0, 1);
      model.touch();
    },
    blend(on) {
      model.showBlend = on;
      model.touch();
    },
    fields: () => exportFields(model),
    regions: () => copyRegions(model.regions),
    clear() {
      clearFields(model);
      changeRegions(model, []);
    },
    /** Without telling: the app took these from its list itself. words: their texts; null is all, and the regions. A mask is in no list. */
    erase(words = null) {
      const painted = model.view.mask ? model.left : { words: model.view.words, fields: model.fields };
      for (const [word, field] of painted?.fields ?? []) {
        if (!words || words.includes(painted.words[word]?.text)) field.values.fill(0);
      }
      if (!words) this.eraseRegions();
      model.touch();
    },
    eraseRegions() {
      if (model.left) model.left.regions = [];
      Object.assign(model, { regions: [], region: null });
      model.touch();
    },
    /** The view of this id, once it comes, stays on the canvas while another picture is drawn, until that one is done. */
    stay: (id) => (model.staying = id),
    undo: () => step(model, "undo"),
    redo: () => step(model, "redo"),
    valueAt(x, y) {
      const shown = shownOf(model);
      return shown ? cellAt(shown.sum, x, y).value : null;
    },
    state: () => ({
      id: model.view.id, mask: Boolean(model.view.mask), mode: model.mode, selection: selectionOf(model), opacity: model.opacity, marker: model.marker,
      tool: model.tool, size: model.size, region: model.region, compareAt: model.compareAt, ready: root.dataset.ready === "true",
    }),
    destroy() {
      alive = false;
      look.stop();
      sized.disconnect();
      stopDensity();
      if (drawing !== null) cancelAnimationFrame(drawing);
      root.remove();
    },
  };
  root.xattnViewer = handle;
  handle.set(view);
  draw();
  return handle;
}

/** Calls when the window moves to a screen of another density, or is zoomed. */
function watchDensity(call) {
  let query = null;
  const listen = () => {
    query?.removeEventListener("change", listen);
    query = matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`);
    query.addEventListener("change", listen);
    call();
  };
  listen();
  return () => query.removeEventListener("change", listen);
}

/** Take a whole view, or a part of one over what is shown. Maps are unpacked here; a view that came later wins. */
async function takeView(model, next, whole) {
  if (!whole && next.id !== undefined && next.id !== model.view.id) return;
  if (whole || next.progress === null) model.stays = whole && next.id === model.staying;
  if (!whole && model.stays && next.progress) return; // drawn beside what is looked at
  const blank = { id: "", picture: null, width: 1, height: 1, words: [], prompt: [], before: null, progress: null, note: "" };
  const { maps, more_maps: more, place, fields, regions, mode, blend, ...rest } = next;
  const fresh = whole && next.id !== model.view.id;
  const asked = (model.asked = (model.asked || 0) + (whole || maps ? 1 : 0));
  model.ready = false;
  const [veil, ...blocks] = await Promise.all([blend ? decodeGrey(blend) : null, ...(maps || more || []).map(readBlock)]);
  if (asked !== model.asked) return;
  const kept = whole || maps ? [] : model.blocks;
  const chosen = model.words.map((word) => model.view.words[word]?.text);
  const masking = Boolean(model.view.mask);
  if (fresh && next.mask && !masking) leave(model);
  const left = fresh && masking && model.left?.id === next.id ? model.left : null;
  model.view = { ...(whole ? blank : model.view), ...rest };
  keepOwn(model, next, whole);
  if (whole || blend !== undefined) model.blend = veil;
  model.blocks = [...kept, ...blocks];
  model.axes = axesOf(model.blocks);
  model.grids.clear();
  // Of another picture the same step, layer and head are looked at, where it has them.
  const { step, layers, head } = model;
  const wish = { step, layers, head };
  if (fresh) {
    Object.assign(model, ALL, { marker: null, cursor: null, place: null, looks: null, showLooks: false, region: null, draft: null, regions: [] });
    model.fields.clear();
    model.history.forget();
  }
  // A word stays chosen by its text: "fox" of the last prompt is "fox" of this one, wherever it stands.
  model.words = chosen.map((text) => model.view.words.findIndex((word) => word.text === text)).filter((word) => word >= 0);
  if (!model.view.plain) needWord(model);
  if (model.blocks.length && !chooseBlock(model.blocks, model)) Object.assign(model, ALL);
  if (fields && (fresh || !whole)) await loadFields(model, fields);
  if (regions && (fresh || !whole)) model.regions = copyRegions(regions);
  if (left) {
    model.fields = new Map(left.fields);
    model.regions = left.regions;
  }
  if (place !== undefined && (place || !whole)) await showPlace(model, place);
  if (!mode && masking && !model.view.mask) model.mode = model.left?.mode ?? model.mode;
  if (mode) model.mode = mode;
  if (!modesOf(model).includes(model.mode)) model.mode = modesOf(model)[0] ?? "look";
  if (model.mode === "paint") needWord(model);
  const seen = fresh ? ["step", "layers", "head"].filter((axis) => wish[axis] !== null && hasAxis(model.axes, axis, wish[axis])) : [];
  if (seen.length) scrub(model, Object.fromEntries(seen.map((axis) => [axis, wish[axis]])));
  model.ready = true;
  model.touch();
}

/** Whether the maps have these labels along an axis. */
const hasAxis = (axes, axis, wish) =>
  [wish].flat().every((label) => axes[axis === "layers" ? "layer" : axis].some((known) => (known.name ?? known) === label));

/** What was painted on a picture, and how it was looked at, while the canvas has another one for its mask. */
function leave(model) {
  const { view, mode, fields, regions } = model;
  model.left = { id: view.id, words: view.words, mode, fields: [...fields], regions };
}

/** A picture that comes with progress is a preview: where progress ends without another view, the own one is back. */
function keepOwn(model, next, whole) {
  const { picture, width, height } = model.view;
  if (whole || (next.picture !== undefined && !next.progress)) model.own = { picture, width, height };
  else if (next.progress === null) Object.assign(model.view, model.own);
}

async function loadFields(model, fields) {
  model.fields.clear();
  for (const [word, png] of Object.entries(fields)) {
    const { width, height } = emptyField(model.view.width, model.view.height);
    model.fields.set(Number(word), await decodeGrey(png, width, height));
  }
}
