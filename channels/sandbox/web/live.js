// Live view: asks for the version and brings in the page when it has moved. It
// waits while someone is busy in it or has something open.
"use strict";
const busy = () => {
  const live = document.getElementById("live");
  const field = live.contains(document.activeElement);
  const typed = [...live.querySelectorAll("input[name=body]")].some((input) => input.value !== "");
  return document.hidden || field || typed || live.querySelector("details[open]") !== null;
};
const look = async () => {
  try {
    const live = document.getElementById("live");
    if (busy()) return;
    const version = await (await fetch("version", { cache: "no-store" })).text();
    if (version === live.dataset.version) return;
    const page = await (await fetch(location.href, { cache: "no-store" })).text();
    if (!busy()) live.replaceWith(new DOMParser().parseFromString(page, "text/html").getElementById("live"));
  } catch {
    // The gateway is restarting: look again at the next tick.
  }
};
setInterval(look, 2000);
