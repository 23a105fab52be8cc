// Draws what the admin API says, every two seconds while somebody looks. Everything is put in as
// text, never as markup: paths and names come from strangers.
"use strict";

const EVERY_MS = 2000;
const RECORDS_SHOWN = 50;
const at = (id) => document.getElementById(id);

function cell(text, style) {
  const made = document.createElement("td");
  made.textContent = text;
  if (style) made.className = style;
  return made;
}

function fill(id, rows) {
  at(id).replaceChildren(...rows.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells);
    return row;
  }));
}

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(5000) });
  return answer.json();
}

function record(one) {
  const answered = one.status ?? "left";
  const said = one.code ? `${answered} ${one.code}` : one.ack ? `${answered} ${one.ack}` : `${answered}`;
  const style = one.status >= 500 || !one.status ? "bad" : one.status >= 400 ? "quiet" : "good";
  return [
    cell(new Date(one.at_us / 1000).toLocaleTimeString()),
    cell(`${one.method} ${one.path}`),
    cell(one.route ?? "–"),
    cell(one.address ?? "–"),
    cell(said, style),
    cell(`${(one.took_us / 1000).toFixed(1)} ms`, "number"),
  ];
}

async function draw() {
  try {
    const [ready, routes, upstreams, records] = await Promise.all([
      ask("/readyz"), ask("/api/v1/routes"), ask("/api/v1/upstreams"), ask("/api/v1/records"),
    ]);
    at("about").textContent =
      `${ready.version} · ${ready.listeners.map((one) => one.url).join(" · ")}`;
    at("state").textContent = ready.ready ? "ready" : "draining";
    at("state").className = ready.ready ? "state good" : "state bad";
    fill("routes", routes.map((one) => [
      cell(one.name), cell(one.serves), cell(one.goes_to), cell(one.place, "quiet"),
    ]));
    fill("upstreams", upstreams.map((one) => [
      cell(one.name), cell(one.kind), cell(one.at), cell(one.acks.join(", ")),
    ]));
    fill("records", records.slice(-RECORDS_SHOWN).reverse().map(record));
    at("none").hidden = records.length > 0;
  } catch {
    at("state").textContent = "no answer";
    at("state").className = "state bad";
  }
}

async function forever() {
  if (!document.hidden) await draw();
  setTimeout(forever, EVERY_MS);
}

forever();
