// Hands a file to the browser. Value: {"name", "media", "data" (base64), "number"}; each new number is one download.
let last = 0;
watch("value", () => {
  const value = props.value;
  if (!value?.data || value.number === last) return;
  last = value.number;
  const bytes = Uint8Array.from(atob(value.data), (letter) => letter.charCodeAt(0));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], { type: value.media }));
  link.download = value.name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 20000);
});
