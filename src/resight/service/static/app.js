"use strict";
// The page's state is its query: uploaded files and ids of stored crops. Everything else is in the form.
const $ = (id) => document.getElementById(id);
const form = $("look"), input = $("pictures"), results = $("results");
const mayWrite = document.body.dataset.role === "write";
const narrow = window.matchMedia("(max-width: 52rem)");
const SHRINK_ABOVE = 3e6, SHRINK_TO = 2400; // bytes; pixels of the longer side
let files = [], crops = [], choice = null, selected = new Set();
let named = "", naming = Promise.resolve(true); // the person searched for, and whether a new name was accepted
const past = new Map(); // queries of this visit, for the browser's "back": uploaded files fit into no address

// ---- messages

function toast(text, bad = false) {
  const box = document.createElement("p");
  box.className = bad ? "toast bad" : "toast";
  box.textContent = text;
  $("toasts").append(box);
  $("toasts").hidePopover();
  $("toasts").showPopover(); // again, to be above a dialog that was opened since
  setTimeout(() => box.remove(), bad ? 9000 : 4000);
}

function many(count) { return count === 1 ? "1 crop" : `${count.toLocaleString("en")} crops`; }

async function ask(method, url, body) {
  const options = { method, headers: {} };
  if (body instanceof FormData) options.body = body;
  else { options.body = JSON.stringify(body); options.headers["content-type"] = "application/json"; }
  let answer;
  try { answer = await fetch(url, options); } catch { throw new Error("The service does not answer."); }
  if (answer.status === 401) location.assign("/login");
  if (!answer.ok) throw Object.assign(new Error(await sentence(answer)), { status: answer.status });
  return answer;
}

async function sentence(answer) {
  try { return (await answer.json()).error; } catch { return `The service failed (${answer.status}).`; }
}

// ---- the query

function look() { htmx.trigger(form, "look"); }

function showQuery() {
  const list = $("query");
  for (const image of list.querySelectorAll("img[src^=blob]")) URL.revokeObjectURL(image.src);
  list.replaceChildren();
  files.forEach((file, index) => list.append(chip(URL.createObjectURL(file), "Uploaded picture", () => files.splice(index, 1))));
  crops.forEach((id, index) => {
    const item = chip(`/api/items/${id}/thumbnail`, "Stored crop", () => crops.splice(index, 1));
    item.append(hidden("crop", id));
    list.append(item);
  });
  if (choice !== null) list.append(hidden("choice", choice));
  const transfer = new DataTransfer();
  for (const file of files) transfer.items.add(file);
  input.files = transfer.files;
  const count = files.length + crops.length;
  list.classList.toggle("many", count > 2);
  $("query-tools").hidden = count === 0;
  $("combine-row").hidden = count < 2;
  $("taken-row").hidden = files.length === 0;
}

function chip(source, text, remove) {
  const item = document.createElement("li"), image = document.createElement("img"), button = document.createElement("button");
  image.addEventListener("error", () => item.classList.add("broken")); // the service reports what is wrong
  image.src = source;
  image.alt = text;
  button.type = "button";
  button.textContent = "✕";
  button.setAttribute("aria-label", `Remove: ${text}`);
  button.addEventListener("click", () => { remove(); choice = null; changed(); });
  item.append(image, button);
  return item;
}

function hidden(name, value) {
  const field = document.createElement("input");
  Object.assign(field, { type: "hidden", name, value });
  return field;
}

function changed(remember = true) {
  select([]);
  showQuery();
  if (remember) {
    const url = crops.length && !files.length ? `/?${crops.map((id) => `crop=${id}`).join("&")}` : "/";
    const key = `${performance.timeOrigin}/${past.size}`; // a new one after a reload
    past.set(key, { files: [...files], crops: [...crops], choice, name: $("name").value });
    history.pushState(key, "", url);
  }
  look();
}

function searchFor(ids) {
  const labels = new Set(ids.map((id) => card(id)?.dataset.person).filter(Boolean));
  [files, crops, choice] = [[], [...ids], null];
  callQuery(labels.size === 1 ? [...labels][0] : "");
  changed();
  goToResults();
}

function addToQuery(ids) {
  crops = [...crops, ...ids.filter((id) => !crops.includes(id))];
  changed();
  goToResults();
}

async function addFiles(list) {
  const pictures = [...list].filter((file) => file.size > 0);
  if (!pictures.length) return toast("That is not a picture.", true);
  if (pictures.length > Number(document.body.dataset.pictures)) return toast(`A search takes at most ${document.body.dataset.pictures} pictures.`, true);
  const ready = await Promise.all(pictures.map(shrink));
  if (ready.reduce((sum, file) => sum + file.size, 0) > Number(document.body.dataset.most)) return toast("That is too large to send. Cut the person out, or shrink it.", true);
  [files, crops, choice] = [ready, [], null];
  callQuery("");
  changed();
  goToResults();
}

function goToResults() {
  if (narrow.matches) results.scrollIntoView();
  else window.scrollTo({ top: 0 });
}

async function shrink(file) { // photos of phones: fewer bytes to send, and the model uses few pixels
  if (file.size < SHRINK_ABOVE || !/^image\/(jpeg|png|webp)$/.test(file.type)) return file;
  try {
    const picture = await createImageBitmap(file);
    const scale = Math.min(1, SHRINK_TO / Math.max(picture.width, picture.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(picture.width * scale);
    canvas.height = Math.round(picture.height * scale);
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.93));
    return new File([blob], file.name, { type: "image/jpeg" });
  } catch { return file; } // the service reports what is wrong with it
}

input.addEventListener("change", () => { if (input.files.length) addFiles(input.files); });
document.addEventListener("paste", (event) => { if (event.clipboardData.files.length) { event.preventDefault(); addFiles(event.clipboardData.files); } });
let depth = 0;
document.addEventListener("dragenter", (event) => { if (event.dataTransfer.types.includes("Files")) { depth += 1; $("veil").hidden = false; } });
document.addEventListener("dragleave", () => { depth = Math.max(0, depth - 1); if (!depth) $("veil").hidden = true; });
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => { event.preventDefault(); depth = 0; $("veil").hidden = true; if (event.dataTransfer.files.length) addFiles(event.dataTransfer.files); });
$("clear").addEventListener("click", () => { [files, crops, choice] = [[], [], null]; callQuery(""); changed(); });
window.addEventListener("popstate", goBack);

function goBack() {
  const known = past.get(history.state) ?? { files: [], crops: new URLSearchParams(location.search).getAll("crop"), choice: null, name: "" };
  [files, crops, choice] = [[...known.files], [...known.crops], known.choice];
  callQuery(known.name);
  changed(false);
}

// ---- filters

const filters = form.querySelector(".filters");
filters.addEventListener("change", () => { nameCameras(); countFilters(); showRename(); look(); });
$("query-tools").addEventListener("change", (event) => { if (event.target.id !== "name") look(); });
$("name").addEventListener("input", drawMarks);
$("name").addEventListener("change", () => { naming = nameQuery($("name").value.trim()); });
form.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target.id === "name") { event.preventDefault(); event.target.blur(); } });
$("reset").addEventListener("click", () => {
  for (const field of filters.querySelectorAll("input, select")) {
    if (field.type === "checkbox") field.checked = false;
    else if (field.type === "radio") field.checked = field.value === "camera";
    else field.value = "";
  }
  nameCameras();
  countFilters();
  showRename();
  look();
});

function nameCameras() { // the switch decides whether ticked cameras are kept or left out
  const { value } = filters.querySelector("[type=radio]:checked");
  for (const box of filters.querySelectorAll(".ticks input")) box.name = value;
}

function countFilters() {
  const set = [...filters.querySelectorAll("input, select")].filter((field) => field.type === "checkbox" ? field.checked : field.type !== "radio" && field.value);
  $("filter-count").hidden = !set.length;
  $("filter-count").textContent = set.length;
}

// ---- crops on the page

function card(id) { return $(`c-${id}`); }

function select(ids) {
  selected = new Set(ids);
  for (const one of results.querySelectorAll(".card")) {
    one.classList.toggle("selected", selected.has(one.dataset.id));
    one.querySelector("[data-act=select]").checked = selected.has(one.dataset.id);
  }
  $("bar").hidden = !selected.size;
  $("bar").querySelector("[data-act=add]").hidden = !(files.length + crops.length);
  $("bar-count").textContent = `${selected.size} selected`;
}

function toggle(id) {
  const ids = new Set(selected);
  if (!ids.delete(id)) ids.add(id);
  select([...ids]);
}

function personLabel(person) { return /^\p{Nd}+$/u.test(person) ? `person ${person}` : person; } // a number alone says nothing

function drawMarks() {
  const name = $("name").value.trim();
  for (const one of results.querySelectorAll(".card")) {
    const { person } = one.dataset, not = one.dataset.not.split("\n").filter(Boolean);
    const parts = [];
    if (person) parts.push(["is", personLabel(person)]);
    for (const other of not) parts.push(["not", `not ${personLabel(other)}`]);
    one.querySelector(".marks").replaceChildren(...parts.map(([kind, text]) => Object.assign(document.createElement("span"), { className: kind, textContent: `${text} ` })));
    const same = name && person === name, different = name && not.includes(name);
    one.classList.toggle("is-different", Boolean(different));
    one.querySelector("[data-act=same]")?.setAttribute("aria-pressed", String(Boolean(same)));
    one.querySelector("[data-act=different]")?.setAttribute("aria-pressed", String(Boolean(different)));
  }
}

function keep(items) {
  for (const item of items) {
    const one = card(item.id);
    if (!one) continue;
    one.dataset.person = item.person ?? "";
    one.dataset.not = item.tags.filter((tag) => tag.startsWith("not:")).map((tag) => tag.slice(4)).join("\n");
    if (item.person) know(item.person);
  }
  drawMarks();
}

function know(person) { // adds a new name to the choices
  if ([...$("persons").options].some((option) => option.value === person)) return;
  $("persons").append(new Option("", person));
  $("person").append(new Option(person, person));
  $("person-row").hidden = false;
}

function callQuery(name) { named = $("name").value = name; }

async function mark(ids, same) {
  if (!mayWrite || !(await naming)) return;
  const query = crops.filter((id) => !ids.includes(id));
  if (!query.length && !files.length && same === false) return toast("Different from which person? Search for one first.", true);
  try {
    const answer = await (await ask("POST", "/api/marks", { crops: ids, query, person: $("name").value.trim(), same })).json();
    if (query.length || files.length) callQuery(answer.person);
    keep(answer.items);
    const what = same === null ? "no longer marked" : same ? `marked as ${personLabel(answer.person)}` : `marked as not ${personLabel(answer.person)}`;
    toast(`${many(ids.length)} ${what}.`);
  } catch (error) { toast(error.message, true); }
}

function markOne(one, same) {
  const pressed = one.querySelector(`[data-act=${same ? "same" : "different"}]`)?.getAttribute("aria-pressed") === "true";
  mark([one.dataset.id], pressed ? null : same);
}

async function details(id) {
  $("details-body").replaceChildren();
  await htmx.ajax("GET", `/crops/${id}`, { target: "#details-body", swap: "innerHTML" });
  if ($("details-body").childElementCount && !$("details").open) $("details").showModal();
}

let deleting = [];
async function forget(ids) {
  deleting = ids;
  $("forget-what").replaceChildren();
  await htmx.ajax("POST", "/deletion", { target: "#forget-what", swap: "innerHTML", values: { id: ids } });
  if (!$("forget-what").childElementCount) return; // it was said why
  $("forget-count").textContent = many(ids.length);
  $("forget").returnValue = "";
  $("forget").showModal();
}
$("forget").addEventListener("close", async () => {
  if ($("forget").returnValue !== "go") return;
  const body = new FormData();
  for (const id of deleting) body.append("id", id);
  try {
    const { forgotten } = await (await ask("POST", "/api/forget", body)).json();
    toast(`${many(forgotten)} deleted.`);
    $("details").close();
    for (const query of past.values()) query.crops = query.crops.filter((id) => !deleting.includes(id));
    crops = crops.filter((id) => !deleting.includes(id));
    changed();
    $("count").textContent = many((await (await fetch("/api/gallery")).json()).crops);
  } catch (error) { toast(error.message, true); }
});

function openCase() {
  $("case-count").textContent = many(selected.size);
  $("case").returnValue = "";
  $("case").showModal();
}
$("case").addEventListener("close", async () => {
  if ($("case").returnValue !== "go") return;
  const body = new FormData($("case-form")), shown = [...results.querySelectorAll(".card")].map((one) => one.dataset.id);
  for (const id of [...selected].sort((one, other) => shown.indexOf(one) - shown.indexOf(other))) body.append("crops", id);
  for (const id of crops) body.append("query", id);
  for (const file of files) body.append("pictures", file);
  try {
    const answer = await ask("POST", "/case", body);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = decodeURIComponent(/filename\*?=(?:UTF-8''|")([^"]+)/.exec(answer.headers.get("content-disposition"))[1]);
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  } catch (error) { toast(error.message, true); }
});

const ACTS = {
  more: (one) => searchFor([one.dataset.id]),
  same: (one) => markOne(one, true),
  different: (one) => markOne(one, false),
  details: (one) => details(one.dataset.id),
  select: (one) => toggle(one.dataset.id),
};
const BAR = {
  search: () => searchFor([...selected]),
  add: () => addToQuery([...selected]),
  same: () => mark([...selected], true),
  different: () => mark([...selected], false),
  case: openCase,
  edit: () => openEdit(),
  forget: () => forget([...selected]),
  none: () => select([]),
};

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-act], [data-go], [data-open], [data-close], [data-more], [data-forget]");
  if (!target) return;
  const { act, go, open, more, forget: gone } = target.dataset;
  if (go) { event.preventDefault(); flash(go); }
  else if (open) $(open).showModal();
  else if (more) { $("details").close(); searchFor([more]); }
  else if (gone) forget([gone]);
  else if (act === "choose") { choice = Number(target.dataset.choice); showQuery(); look(); }
  else if (act && target.closest("#bar")) BAR[act]();
  else if (act) ACTS[act](target.closest(".card"));
  else target.closest("dialog").close();
});

function flash(id) {
  const one = card(id);
  if (!one) return;
  one.scrollIntoView({ block: "center", behavior: "smooth" });
  one.classList.remove("flash");
  void one.offsetWidth; // starts the animation again
  one.classList.add("flash");
  one.querySelector(".shot").focus({ preventScroll: true });
}

// ---- keyboard

const KEYS = { x: ACTS.select, d: ACTS.details, s: (one) => mayWrite && crops.length + files.length && ACTS.same(one), n: (one) => mayWrite && crops.length + files.length && ACTS.different(one) };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.matches("input:not([type=checkbox], [type=radio], [type=file]), select, textarea")) return;
  const one = event.target.closest?.(".card");
  if (event.key === "Escape") select([]);
  else if (event.key === "?") $("help").showModal();
  else if (event.key === "/") { event.preventDefault(); input.focus(); input.click(); }
  else if (one && KEYS[event.key]) { event.preventDefault(); KEYS[event.key](one); }
  else if (event.key.startsWith("Arrow") && !event.target.matches("input")) move(event, one);
});

function move(event, one) {
  const all = [...results.querySelectorAll(".card")];
  if (!all.length) return;
  event.preventDefault();
  if (!one) return all[0].querySelector(".shot").focus();
  const across = all.filter((other) => other.offsetTop === all[0].offsetTop).length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[event.key];
  all[all.indexOf(one) + step]?.querySelector(".shot").focus();
}

// ---- htmx

document.addEventListener("htmx:beforeRequest", (event) => { if (event.detail.target === results) results.setAttribute("aria-busy", "true"); });
document.addEventListener("htmx:afterSettle", (event) => {
  results.setAttribute("aria-busy", "false");
  select([...selected]);
  drawMarks();
  drawPeople();
  if (event.detail.target === results) $("announced").textContent = results.querySelector(".summary")?.textContent ?? "";
});
document.addEventListener("htmx:responseError", (event) => {
  if (event.detail.xhr.status === 401) return location.assign("/login");
  let text = `The service failed (${event.detail.xhr.status}).`;
  try { text = JSON.parse(event.detail.xhr.responseText).error; } catch { /* no message */ }
  failed(event.detail.target, text);
});
document.addEventListener("htmx:sendError", (event) => failed(event.detail.target, "The service does not answer."));

function failed(target, text) { // the former results do not belong to this query
  results.setAttribute("aria-busy", "false");
  if (target !== results) return toast(text, true);
  results.replaceChildren(Object.assign(document.createElement("p"), { className: "warning", textContent: text }));
  $("announced").textContent = text;
}

function drawPeople() { // the detected persons, cut out of the picture in this browser
  const source = $("query").querySelector("img[src^=blob]");
  for (const button of results.querySelectorAll("#people button")) {
    const [left, top, width, height] = button.dataset.box.split(",").map(Number), canvas = button.firstElementChild;
    const draw = () => {
      const w = width * source.naturalWidth, h = height * source.naturalHeight, scale = Math.min(canvas.width / w, canvas.height / h);
      canvas.getContext("2d").drawImage(source, left * source.naturalWidth, top * source.naturalHeight, w, h, (canvas.width - w * scale) / 2, (canvas.height - h * scale) / 2, w * scale, h * scale);
    };
    if (!source) continue;
    if (source.complete) draw(); else source.addEventListener("load", draw, { once: true });
  }
}

if (narrow.matches) filters.open = false;
document.addEventListener("DOMContentLoaded", nameCameras);
document.addEventListener("DOMContentLoaded", goBack); // htmx starts then, too
