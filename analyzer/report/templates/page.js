"use strict";
// The page is whole without this script; it adds copying, and lighting a packet in table and ladder alike.
for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = button.parentElement.querySelector("code, pre");
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      const range = document.createRange();
      range.selectNodeContents(source);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      button.textContent = "Selected";
      return;
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
// On a narrow screen the cells of a row stand below each other: each is told what its column is called.
for (const table of document.querySelectorAll(".scroll > table")) {
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  for (const row of table.tBodies[0].rows) [...row.cells].forEach((cell, at) => { cell.dataset.label = names[at]; });
  table.classList.add("cards");
}
// On a narrow screen a ladder begins where the packet was lost.
for (const scroll of document.querySelectorAll(".scroll:has(> svg.ladder)")) {
  const mark = scroll.querySelector(".end.cross") || scroll.querySelector(".host-reset .origin");
  if (!mark || scroll.scrollWidth <= scroll.clientWidth) continue;
  const at = mark.getBoundingClientRect(), box = scroll.getBoundingClientRect();
  scroll.scrollLeft = at.left + at.width / 2 - box.left - box.width / 2;
}
for (const finding of document.querySelectorAll(".finding")) {
  const light = (event, on) => {
    const packet = event.target.closest("[data-packet]");
    if (!packet) return;
    for (const twin of finding.querySelectorAll(`[data-packet="${packet.dataset.packet}"]`)) twin.classList.toggle("lit", on);
  };
  finding.addEventListener("mouseover", (event) => light(event, true));
  finding.addEventListener("mouseout", (event) => light(event, false));
}
// A link to a finding opens its packets.
const reveal = () => {
  const finding = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const details = finding && finding.matches(".finding") && finding.querySelector("details");
  if (details) details.open = true;
};
addEventListener("hashchange", reveal);
reveal();
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
