// On the pages of the book: frames of class "nbsupport-page" get the height of what they hold, and the book's colours.
"use strict";
(() => {
  const frames = () => Array.from(document.querySelectorAll("iframe.nbsupport-page"));
  const tell = (frame) => frame.contentWindow.postMessage(
    { nbsupport: "theme", dark: document.documentElement.dataset.theme === "dark" }, "*");
  window.addEventListener("message", (event) => {
    const frame = frames().find((one) => one.contentWindow === event.source);
    if (!frame || !event.data) return;
    if (event.data.nbsupport === "height") frame.style.height = `${Math.min(Number(event.data.height) + 16, 8000)}px`;
    if (event.data.nbsupport === "ready") tell(frame);
  });
  new MutationObserver(() => frames().forEach(tell))
    .observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
})();
