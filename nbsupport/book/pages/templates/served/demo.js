"use strict";
(() => {
  const settings = JSON.parse(document.getElementById("jupyter-config-data").textContent);
  const place = `${settings.baseUrl}nbsupport/kernel/${settings.kernelId}`;
  const told = document.getElementById("ended");
  const end = () => navigator.sendBeacon(place);
  const say = (text) => { told.textContent = text; told.hidden = !text; };
  addEventListener("pagehide", end);
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  const ask = async () => {
    try {
      const answer = await fetch(place, { cache: "no-store" });
      say(answer.ok ? "" : "This page has ended. Load it again to continue.");
    } catch {
      say("The demo's server has stopped. Start it again with:  python -m nbsupport demo");
    }
  };
  setInterval(ask, 2000);
  // ipycanvas keeps every key to itself; a reader without a mouse must be able to leave the canvas.
  addEventListener("keydown", (event) => {
    if (event.target.tagName === "CANVAS" || event.target.closest?.(".inpaint-canvas")) event.stopImmediatePropagation();
  }, true);
  // Pictures whose meaning stands beside them as text are no news to a screen reader; the others carry a name.
  const name = () => {
    for (const picture of document.querySelectorAll(".demo img:not([alt])")) {
      const own = [...picture.classList].find((one) => /^(inpaint|detect)-/.test(one));
      picture.alt = own ? own.replace(/^\w+-/, "") : "";
    }
    for (const line of document.querySelectorAll(".inpaint-status, .inpaint-message, .detect-message, .demo-using")) {
      line.setAttribute("aria-live", "polite");
    }
  };
  new MutationObserver(name).observe(document.body, { childList: true, subtree: true });
})();
