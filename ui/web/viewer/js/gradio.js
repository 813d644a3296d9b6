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
  viewer.on("*", (name, detail) => {
    trigger(name, detail);
    if (name === "place") answer("where", [detail.id, detail.x, detail.y, detail.selection], (place) => viewer.place(place));
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
