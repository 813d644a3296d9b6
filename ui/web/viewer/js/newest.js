// Gradio sends what came while an event was being answered (trigger_mode always_last) with the data of the first event
// once more, not with the last one's. It holds them by reference: one object an event, filled anew, goes as it is then.
const newestOf = (trigger) => {
  const told = {};
  return (name, data = {}) => {
    const one = (told[name] ??= {});
    for (const key of Object.keys(one)) delete one[key];
    trigger(name, Object.assign(one, data));
  };
};
