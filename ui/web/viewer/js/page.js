// The exported page: its data stand in a script element that no browser runs.

function mountPage() {
  const data = JSON.parse(document.getElementById("xattn-view").textContent);
  return mount(document.getElementById("xattn-viewer"), data);
}
