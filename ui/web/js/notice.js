// A line in the head of the page; a sentence of its own where something failed. Value: {"text", "failed"}
const draw = () => {
  root.textContent = props.value?.text || "";
  root.classList.toggle("failed", Boolean(props.value?.failed));
  root.setAttribute("role", "status");
  root.hidden = !root.textContent;
};
watch("value", draw);
draw();
