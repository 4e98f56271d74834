"use strict";
// Names of persons, and corrections of stored crops. Uses app.js, which is loaded before.

const GENERATED = /^person-[0-9a-f]{4}$/; // nobody has named this person yet

async function nameQuery(name) { // a new name of the person searched for renames this person
  if (!mayWrite || !named || !name || name === named) return true;
  const done = await rename(named, name, GENERATED.test(named));
  if (!done) $("name").value = named;
  return done;
}

async function rename(person, name, sure = false) { // returns whether it was done
  let merge = false, note = "All crops of this person get the new name.";
  for (;;) {
    if (!sure && !(name = await askName(person, name, note, merge))) return false;
    try {
      const { crops: count, person: now } = await (await ask("POST", "/api/rename", { person, name, merge })).json();
      renamed(person, now);
      toast(`${personLabel(person)} is now ${personLabel(now)}, in ${many(count)}.`);
      return true;
    } catch (error) {
      if (error.status !== 409) { toast(error.message, true); return false; }
      [sure, merge, note] = [false, true, `${error.message} Is this the same as ${personLabel(person)}? After a merge, nobody can tell the two apart.`];
    }
  }
}

function askName(person, name, note, merge) {
  const dialog = $("rename"), field = $("rename-form").elements.name;
  $("rename-old").textContent = personLabel(person);
  $("rename-note").textContent = note;
  $("rename-go").textContent = merge ? "Merge" : "Rename";
  field.value = name;
  field.readOnly = merge; // what is confirmed is this name
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((answer) => dialog.addEventListener("close", () => answer(dialog.returnValue === "go" ? field.value.trim() : ""), { once: true }));
}

function renamed(person, name) { // everything on the page that had the former name
  know(name);
  const filter = $("person").value === person;
  for (const option of [...$("persons").options, ...$("person").options]) if (option.value === person) option.remove();
  if (filter) $("person").value = name;
  if (named === person) callQuery(name);
  for (const query of past.values()) if (query.name === person) query.name = name;
  for (const one of results.querySelectorAll(".card")) {
    if (one.dataset.person === person) one.dataset.person = name;
    const not = one.dataset.not.split("\n").map((other) => other === person ? name : other).filter((other) => other !== one.dataset.person);
    one.dataset.not = [...new Set(not)].join("\n");
  }
  drawMarks();
  showRename();
}

function showRename() { if (mayWrite) $("rename-open").hidden = !$("person").value; }
$("rename-open")?.addEventListener("click", () => rename($("person").value, ""));

// ---- corrections

function knowCamera(camera) {
  if (!camera || [...$("cameras").options].some((option) => option.value === camera)) return;
  $("cameras").append(new Option("", camera));
  form.query_camera.append(new Option(camera, camera));
  const tick = filters.querySelector(".ticks .tick")?.cloneNode(true);
  if (!tick) return;
  Object.assign(tick.querySelector("input"), { value: camera, checked: false });
  tick.querySelector("span").textContent = camera;
  tick.querySelector("small").textContent = "";
  filters.querySelector(".ticks").append(tick);
}

function openEdit() {
  $("edit-form").reset();
  $("edit-count").textContent = many(selected.size);
  $("edit").returnValue = "";
  $("edit").showModal();
}
$("edit").addEventListener("close", () => {
  const given = Object.fromEntries([...new FormData($("edit-form"))].map(([field, value]) => [field, value.trim()]).filter(([, value]) => value));
  if (given.add_tags) given.add_tags = words(given.add_tags);
  if ($("edit").returnValue === "go" && Object.keys(given).length) correct([...selected], given);
});

function words(text) { return text.split(",").map((word) => word.trim()).filter(Boolean); }

async function correct(ids, fields) { // returns whether it was done
  try {
    const { items } = await (await ask("PATCH", "/api/items", { crops: ids, ...fields })).json();
    keep(items);
    knowCamera(fields.camera);
    if ("camera" in fields || "time" in fields) look();
    toast(ids.length === 1 ? "Saved." : `${many(ids.length)} corrected.`);
    return true;
  } catch (error) { toast(error.message, true); return false; }
}

document.addEventListener("submit", async (event) => {
  if (event.target.id !== "label-form") return;
  event.preventDefault();
  const own = event.target.elements, { id, keep: kept } = event.target.dataset, fields = {};
  for (const { name, value, defaultValue } of [own.person, own.tags, own.camera, own.time]) if (value !== defaultValue) fields[name] = value.trim();
  if ("tags" in fields) fields.tags = [...words(fields.tags), ...kept.split("\n").filter(Boolean)];
  if (fields.person && own.all_crops?.checked) {
    if (!(await rename(own.all_crops.dataset.person, fields.person, true))) return;
    delete fields.person;
  }
  if (Object.keys(fields).length && !(await correct([id], fields))) return;
  for (const field of [own.person, own.tags, own.camera, own.time]) field.defaultValue = field.value;
});
