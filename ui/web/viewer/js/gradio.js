// The bridge to gr.HTML: `element, props, trigger, watch, server` are what it hands to js_on_load.

/** What Gradio hands over is a proxy of proxies; the viewer wants plain values. */
const plain = (value) => (value === null || value === undefined || value === "" ? null : JSON.parse(JSON.stringify(value)));

function mountInGradio({ element, props, trigger, watch, server }) {
  const viewer = mount(element.querySelector(".xv-host") || element, plain(props.value));
  const answer = async (name, detail, use) => {
    if (typeof server?.[name] !== "function") return;
    const told = await server[name](detail).catch(() => null); // the place keeps what its maps say
    if (told && viewer.state().id === detail[0]) use(told);
  };
  // A scrub asks as fast as it moves: one question at a time, then the newest
  let next = null;
  let asking = false;
  const askWhere = async (detail) => {
    next = detail;
    if (asking) return;
    asking = true;
    while (next) {
      const { id, x, y, selection } = next;
      next = null;
      const same = () => !next && viewer.state().marker?.x === x && viewer.state().marker.y === y;
      await answer("where", [id, x, y, selection], (place) => same() && viewer.place(place));
    }
    asking = false;
  };
  viewer.on("*", (name, detail) => {
    trigger(name, detail);
    if (name === "place") askWhere(detail);
    if (name === "slice") {
      answer("maps", [detail.id, detail.selection], async (blocks) => {
        await viewer.patch({ id: detail.id, more_maps: blocks });
        viewer.select(detail.selection);
      });
    }
  });
  // Gradio takes every quoted name in this text for an event's: a prop must not stand in quotes.
  const taken = { value: viewer.set, patch: viewer.patch };
  for (const [name, take] of Object.entries(taken)) watch(name, () => take(plain(props[name])));
  return viewer;
}
