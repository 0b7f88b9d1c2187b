"use strict";
// The pages are whole without this script. It adds dropping, transfers that resume, and pages that follow what happens.
const SLICE = 64 * 1024 * 1024;
const AT_ONCE = 2;
const PATIENCE = [1, 2, 4, 8, 15, 30];
const BASE = document.body.dataset.base; // The path before ours, where a server in front has put us.
let sending = 0;
let wanted = false;
const sources = new Map(); // Each live part as the server sent it.

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
const note = (text) => {
  for (const place of document.querySelectorAll("[data-note]")) { place.textContent = text; place.hidden = !text; }
};

class Refused extends Error {}

// Ask the API; a refusal is final, anything else may pass.
const ask = async (path, options = {}) => {
  const answer = await fetch(path, options);
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  const problem = answer.status >= 500 && answer.status !== 507 ? new Error(told.error) : new Refused(told.error || `The server answered ${answer.status}.`);
  problem.status = answer.status;
  throw problem;
};
const post = (path, value) => ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });

// Send a file from where the server has it, as often as it takes.
const send = async (url, file) => {
  for (let failures = 0; ;) {
    try {
      const head = await ask(url, { method: "HEAD" });
      let offset = Number(head.headers.get("Upload-Offset"));
      while (offset < file.size) {
        const slice = file.slice(offset, offset + SLICE);
        const answer = await ask(url, { method: "PATCH", headers: { "Upload-Offset": String(offset), "Content-Type": "application/partial-upload" }, body: slice });
        offset = Number(answer.headers.get("Upload-Offset"));
        failures = 0;
        note("");
      }
      return;
    } catch (problem) {
      // 408, 409: the server knows better how far it is; it is asked again.
      if (problem instanceof Refused && ![400, 408, 409].includes(problem.status)) throw problem;
      if (failures >= 200) throw problem;
      note(`The connection broke. ${file.name} goes on by itself when the server answers again.`);
      await pause(PATIENCE[Math.min(failures++, PATIENCE.length - 1)]);
    }
  }
};

// Send files; one that the page shows as incomplete is resumed, one that is there already is left out.
const sendAll = async (id, files) => {
  const base = `${BASE}/api/uploads/${id}/files`;
  const rows = [...document.querySelectorAll("[data-file]")].map((row) => ({ ...row.dataset }));
  const queue = files.filter(({ file, name }) => {
    const row = rows.find((one) => !one.taken && one.name === name && Number(one.size) === file.size);
    if (!row) return true;
    row.taken = true;
    if (row.complete === "yes") return false;
    file.resumes = `${base}/${row.file}`;
    return true;
  }).map((one) => ({ ...one, url: one.file.resumes }));
  sending += 1;
  try {
    // All are announced first, so that the page shows what is to come.
    for (const one of queue) one.url ??= (await (await post(base, { name: one.name, size: one.file.size })).json()).url;
    follow(0);
    const work = async () => { for (let one; (one = queue.shift());) await send(one.url, one.file); };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    note("");
  } catch (problem) {
    note(problem.message);
    return;
  } finally {
    sending -= 1;
    await refresh();
  }
  if (wanted && !sending) document.querySelector("[data-analyse]")?.requestSubmit();
};

// Show another page of ours without leaving this one: the chosen files would be lost.
const show = async (path) => {
  const answer = await fetch(path);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.querySelector("main").replaceWith(page.querySelector("main"));
  document.title = page.title;
  history.pushState({}, "", path);
  scrollTo(0, 0);
  enhance();
};

const begin = async (form, files) => {
  if (!files.length) return;
  note("");
  try {
    let id = document.querySelector("[data-upload]")?.dataset.upload;
    if (!id) {
      const folders = new Set(files.map(({ name }) => name.includes("/") ? name.split("/")[0] : ""));
      const name = form.elements.name?.value || (folders.size === 1 ? [...folders][0] : "");
      id = (await (await post(`${BASE}/api/uploads`, { name })).json()).id;
      await show(`${BASE}/uploads/${id}`);
    }
    await sendAll(id, files);
  } catch (problem) {
    note(problem.message);
  }
};

// What was dropped: files, and the files in folders.
const dropped = async (items) => {
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) {
      const file = await new Promise((done, failed) => entry.file(done, failed));
      if (!file.name.startsWith(".")) found.push({ file, name: entry.fullPath.replace(/^\//, "") });
    } else {
      const reader = entry.createReader();
      for (let some; (some = await new Promise((done, failed) => reader.readEntries(done, failed))).length;) for (const one of some) await walk(one);
    }
  };
  for (const entry of items.map((item) => item.webkitGetAsEntry?.()).filter(Boolean)) await walk(entry);
  return found;
};

// Put in what changed; what the reader is using stays as it is.
const refresh = async () => {
  if (!document.querySelector("[data-live]")) return;
  const answer = await fetch(location.pathname + location.search).catch(() => null);
  if (answer?.status === 404) {
    await show(`${BASE}/`);
    return note("This upload was deleted.");
  }
  if (!answer?.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(old.id);
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    if (!fresh || sources.get(old.id) === fresh.outerHTML || focused?.matches("select, input, a")) continue;
    sources.set(old.id, fresh.outerHTML);
    const place = [...old.querySelectorAll("button")].indexOf(focused);
    for (const choice of old.querySelectorAll("select[data-touched]")) {
      const again = fresh.querySelector(`select[name="${CSS.escape(choice.name)}"]`);
      if (again) { again.value = choice.value; again.dataset.touched = "yes"; }
    }
    old.replaceWith(fresh);
    fresh.querySelectorAll("button")[place]?.focus();
    enhance(fresh);
  }
};

let timer;
const follow = (seconds) => {
  clearTimeout(timer);
  timer = setTimeout(async () => {
    await refresh().catch(() => {});
    const busy = sending || document.querySelector("[data-busy=yes]");
    follow(busy ? 0.7 : 5);
  }, seconds * 1000);
};

const enhance = (part = document) => {
  for (const live of part.querySelectorAll("[data-live]")) sources.set(live.id, live.outerHTML);
  for (const form of part.querySelectorAll("[data-drop]")) {
    const input = form.querySelector("input[type=file]");
    form.querySelector("button").hidden = true;
    input.addEventListener("change", () => {
      begin(form, [...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
      input.value = "";
    });
  }
  for (const form of part.querySelectorAll("[data-analyse]")) {
    form.addEventListener("change", (event) => { event.target.dataset.touched = "yes"; });
    form.addEventListener("submit", (event) => {
      if (!sending) return;
      event.preventDefault();
      wanted = true;
      form.querySelector(".actions .quiet").textContent = "The analysis begins as soon as everything has arrived.";
    });
  }
  for (const link of part.querySelectorAll(".copyable code")) {
    if (link.matches("[data-link]")) link.textContent = new URL(link.textContent, location.href).href;
    const button = link.parentElement.querySelector("button");
    button.hidden = false;
    button.addEventListener("click", async () => {
      getSelection().selectAllChildren(link);
      button.textContent = await navigator.clipboard?.writeText(link.textContent).then(() => "Copied", () => "Selected") ?? "Selected";
    });
  }
};

// The whole window takes what is dropped: a near miss must not open the capture instead of the page.
const target = () => document.querySelector("[data-drop]");
let inside = 0;
addEventListener("dragenter", () => { inside += 1; target()?.classList.add("over"); });
addEventListener("dragleave", () => { inside -= 1; if (inside <= 0) target()?.classList.remove("over"); });
addEventListener("dragover", (event) => { if (target()) event.preventDefault(); });
addEventListener("drop", async (event) => {
  const form = target();
  if (!form) return;
  event.preventDefault();
  inside = 0;
  form.classList.remove("over");
  const plain = [...event.dataTransfer.files].map((file) => ({ file, name: file.name }));
  const found = await dropped([...event.dataTransfer.items]).catch(() => []);
  begin(form, found.length ? found : plain);
});
addEventListener("beforeunload", (event) => { if (sending) event.preventDefault(); });
addEventListener("popstate", () => location.reload());
enhance();
follow(0.7);
