// Fingers, pens, mice and keys on the picture. What they mean depends on the mode.

function placeOf(frame, event) {
  const { x, y } = wherever(frame, event);
  return { x: clamp(x, 0, 1), y: clamp(y, 0, 1) };
}

/** The same, and it may be beside the picture. */
function wherever(frame, event) {
  const bounds = frame.getBoundingClientRect();
  return { x: (event.clientX - bounds.left) / bounds.width, y: (event.clientY - bounds.top) / bounds.height };
}

/** Which grip or region lies under a place; a grip's reach is wider for a finger. */
function regionUnder(model, frame, at, coarse) {
  const reach = coarse ? 22 : 10;
  const { clientWidth: width, clientHeight: height } = frame;
  const chosen = model.regions.find((region) => region.id === model.region);
  for (const [grip, x, y] of chosen ? gripsOf(chosen) : []) {
    if (Math.hypot((x - at.x) * width, (y - at.y) * height) <= reach) return { region: chosen, grip };
  }
  const over = [...model.regions].reverse().find((region) =>
    region.left <= at.x && at.x <= region.right && region.top <= at.y && at.y <= region.bottom);
  return over ? { region: over, grip: null } : null;
}

const brushOf = (model) => ({ radius: model.size, strength: model.strength, erase: model.tool === "eraser" });

/** A gesture is what pointer moves and its end do; each mode begins its own. */
const GESTURES = {
  look: (model, at) => ({ end: (last) => choosePlace(model, last ?? at) }),

  compare: (model, at) => {
    const move = ({ x }) => {
      model.compareAt = x;
      model.touch();
    };
    move(at);
    return { move, end: () => model.emit("compare", { at: model.compareAt }) };
  },

  paint: (model, at) => {
    const word = model.words[0];
    if (!model.view.words[word]) return null;
    if (model.tool === "box") {
      const move = (now) => {
        model.draft = boxOf(at, now);
        model.touch();
      };
      const end = () => {
        const draft = model.draft;
        model.draft = null;
        if (draft) changeField(model, word, (field) => fillBox(field, draft, model.strength));
        model.touch();
      };
      return { move, end, cancel: () => (model.draft = null) };
    }
    const field = fieldOf(model, word);
    const before = field.values.slice();
    let from = at;
    const move = (now) => {
      strokeLine(field, from, now, brushOf(model));
      from = now;
      model.touch();
    };
    move(at);
    // free: a brush that leaves the picture paints nothing along its border
    return { move, free: true, end: () => changeField(model, word, () => {}, before), cancel: () => field.values.set(before) };
  },

  regions: (model, at, frame, coarse) => {
    const found = regionUnder(model, frame, at, coarse);
    const before = copyRegions(model.regions);
    if (!found) {
      const move = (now) => {
        model.draft = boxOf(at, now);
        model.touch();
      };
      const end = () => {
        const draft = model.draft;
        model.draft = null;
        if (draft && draft.right - draft.left >= SMALLEST && draft.bottom - draft.top >= SMALLEST) addRegion(model, draft);
        else model.region = null;
        model.touch();
      };
      return { move, end, cancel: () => (model.draft = null) };
    }
    model.region = found.region.id;
    const start = { ...found.region };
    const move = (now) => {
      const box = found.grip ? resizedBox(start, found.grip, now) : movedBox(start, now.x - at.x, now.y - at.y);
      model.regions = model.regions.map((region) => (region.id === start.id ? { ...region, ...box } : region));
      model.touch();
    };
    model.touch();
    return { move, end: () => changeRegions(model, model.regions, before), cancel: () => (model.regions = before) };
  },
};

function listenToPointer(model, frame) {
  let gesture = null;
  let pointer = null;

  frame.addEventListener("pointerdown", (event) => {
    // Regions and paint may come before the first picture.
    if (event.button !== 0 || pointer !== null || (!model.view.picture && !["paint", "regions"].includes(model.mode))) return;
    const begin = GESTURES[model.mode];
    if (!begin) return;
    pointer = event.pointerId;
    frame.setPointerCapture(pointer);
    model.hover = placeOf(frame, event);
    model.cursor = null;
    gesture = begin(model, model.hover, frame, event.pointerType !== "mouse");
  });
  frame.addEventListener("pointermove", (event) => {
    if (pointer !== null && event.pointerId !== pointer) return;
    // A fast stroke has more places than frames: all of them, so that curves stay round.
    const events = gesture && event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event];
    for (const each of events) {
      model.hover = placeOf(frame, each);
      gesture?.move?.(gesture.free ? wherever(frame, each) : model.hover);
    }
    model.touch();
  });
  const finish = (event, how) => {
    if (event.pointerId !== pointer) return;
    const done = gesture;
    pointer = gesture = null;
    if (how === "end") done?.end?.(placeOf(frame, event));
    else done?.cancel?.();
    if (event.pointerType !== "mouse" && model.mode === "paint") model.hover = null;
    model.touch();
  };
  frame.addEventListener("pointerup", (event) => finish(event, "end"));
  frame.addEventListener("pointercancel", (event) => finish(event, "cancel"));
  frame.addEventListener("pointerleave", () => {
    model.hover = null;
    model.touch();
  });
  frame.addEventListener("dragstart", (event) => event.preventDefault());
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function arrowOnFrame(model, [dx, dy], shift) {
  if (model.mode === "compare") {
    model.compareAt = clamp(model.compareAt + dx * (shift ? 0.1 : 0.01), 0, 1);
    model.emit("compare", { at: model.compareAt });
    return;
  }
  if (model.mode === "regions") {
    const chosen = model.regions.find((region) => region.id === model.region);
    if (!chosen) return;
    const far = 0.02;
    const box = shift
      ? resizedBox(chosen, "se", { x: chosen.right + dx * far, y: chosen.bottom + dy * far })
      : movedBox(chosen, dx * far, dy * far);
    changeRegions(model, model.regions.map((region) => (region === chosen ? { ...region, ...box } : region)));
    return;
  }
  const far = shift ? 0.1 : 0.01;
  const from = model.cursor || model.marker || { x: 0.5, y: 0.5 };
  model.hover = null;
  model.cursor = { x: clamp(from.x + dx * far, 0, 1), y: clamp(from.y + dy * far, 0, 1) };
}

function pressOnFrame(model) {
  const at = model.cursor || { x: 0.5, y: 0.5 };
  if (model.mode === "look") choosePlace(model, at);
  if (model.mode === "paint" && model.tool !== "box" && model.view.words[model.words[0]]) {
    changeField(model, model.words[0], (field) => strokeLine(field, at, at, brushOf(model)));
  }
}

const TOOL_KEYS = { b: "brush", e: "eraser", r: "box" };

/** Keys of the whole viewer; those that a text field needs are left to it. True where the key was ours. */
function pressKey(model, frame, event) {
  const typing = event.target.matches?.("input:not([type=range], [type=checkbox]), textarea, select");
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if ((event.ctrlKey || event.metaKey) && !event.altKey) {
    if (typing || (key !== "z" && key !== "y")) return false;
    step(model, key === "y" || event.shiftKey ? "redo" : "undo");
    return true;
  }
  if (typing || event.altKey) return false;
  if (model.mode === "paint" && TOOL_KEYS[key]) model.tool = TOOL_KEYS[key];
  else if (model.mode === "paint" && (key === "[" || key === "]")) {
    model.size = clamp(model.size * (key === "[" ? 1 / 1.25 : 1.25), 0.01, 0.3);
  } else if (key === "Escape" && (model.cursor || model.marker)) {
    model.cursor = null;
    showPlace(model, null);
  } else if (event.target !== frame) return false;
  else if (ARROWS[key]) arrowOnFrame(model, ARROWS[key], event.shiftKey);
  else if (key === "Enter" || key === " ") pressOnFrame(model);
  else if ((key === "Delete" || key === "Backspace") && model.mode === "regions" && model.region) removeRegion(model, model.region);
  else return false;
  return true;
}
