// What a dropped picture brought that the form has no place for. Value: {"fields": ["noise nv", …]}
const draw = () => {
  const fields = props.value?.fields || [];
  root.hidden = !fields.length;
  root.textContent = fields.length ? `Also from the picture: ${fields.join("; ")}` : "";
};
watch("value", draw);
draw();
