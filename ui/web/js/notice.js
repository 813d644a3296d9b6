// A line in the head of the page. Value: {"text"}
const draw = () => {
  root.textContent = props.value?.text || "";
  root.setAttribute("role", "status");
  root.hidden = !root.textContent;
};
watch("value", draw);
draw();
