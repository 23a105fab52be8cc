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

// The token stays in this tab: it is gone when the tab is closed, and is sent nowhere else.
const TOKEN = "gusset-token";
class NeedsToken extends Error {}

async function ask(path) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { headers, signal: AbortSignal.timeout(5000) });
  if (answer.status === 401) throw new NeedsToken();
  return answer.json();
}

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, at("token").value);
  at("token").value = "";
  draw();
});

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

function size(bytes) {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  let unit = 0;
  for (; bytes >= 1024 && unit < units.length - 1; unit += 1) bytes /= 1024;
  return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
}

function count(number, what) {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

function age(since) {
  const seconds = Math.max(0, Math.round((Date.now() - new Date(since)) / 1000));
  if (seconds < 120) return `${seconds} s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}

function outbox(sums, dead) {
  at("outbox").hidden = !sums.open;
  at("waiting").hidden = sums.targets.length === 0;
  fill("targets", sums.targets.map((one) => [
    cell(one.target), cell(one.pending, "number"), cell(one.delivering, "number"),
    cell(one.parked, one.parked ? "number bad" : "number"), cell(size(one.bytes), "number"),
    cell(one.oldest ? age(one.oldest) : "–"),
  ]));
  const waits = sums.targets.length ? [] : ["nothing waits"];
  const damaged = sums.damaged ? [`${count(sums.damaged, "damaged record")}`] : [];
  const lost = sums.dead_lost ? [`${count(sums.dead_lost, "dead letter")} lost`] : [];
  const letters = `${count(sums.dead, "dead letter")} (${size(sums.dead_bytes)})`;
  at("held").textContent = [...waits, letters, ...lost, ...damaged].join(" · ");
  at("held").className = sums.dead || damaged.length ? "bad" : "quiet";
  at("dead").hidden = dead.length === 0;
  fill("letters", dead.map((one) => [
    cell(`#${one.number}`), cell(age(one.accepted)),
    cell(one.event ? `${one.event.type} ${one.event.id}` : "a request"), cell(one.target),
    cell(one.attempts, "number"),
    cell(one.last ? `${one.why}: ${one.last.class}, ${one.last.reason}` : one.why),
  ]));
}

async function draw() {
  try {
    const [ready, config, routes, upstreams, functions, records, sums, dead] = await Promise.all([
      ask("/readyz"), ask("/api/v1/config"), ask("/api/v1/routes"), ask("/api/v1/upstreams"),
      ask("/api/v1/functions"), ask("/api/v1/records"), ask("/api/v1/outbox"),
      ask("/api/v1/outbox/dead"),
    ]);
    at("ask").hidden = true;
    at("about").textContent =
      `${ready.version} · ${ready.listeners.map((one) => one.url).join(" · ")} · ` +
      `configuration ${config.version} since ${new Date(config.since).toLocaleString()}`;
    const state = !ready.ready ? "draining" : config.stale ? "ready, but stale" : "ready";
    at("state").textContent = state;
    at("state").className = state === "ready" ? "state good" : "state bad";
    at("refused").hidden = !config.refused;
    fill("mistakes", (config.refused?.problems ?? []).map((one) => [
      cell(`${one.file}:${one.line}:${one.column}`), cell(one.message), cell(one.remedy, "quiet"),
    ]));
    fill("functions", functions.map((one) => {
      const breaker = one.breaker?.state.replace("_", " ") ?? "–";
      return [
        cell(one.address), cell(one.kind), cell(breaker, breaker.endsWith("open") ? "bad" : ""),
        cell(one.routes.join(", ")),
      ];
    }));
    fill("routes", routes.map((one) => [
      cell(one.name), cell(one.serves), cell(one.goes_to), cell(one.place, "quiet"),
    ]));
    fill("upstreams", upstreams.map((one) => [
      cell(one.name), cell(one.kind), cell(one.at), cell(one.acks.join(", ")),
    ]));
    // It is a problem document while the outbox is being read after a start.
    outbox(sums, Array.isArray(dead) ? dead : []);
    fill("records", records.slice(-RECORDS_SHOWN).reverse().map(record));
    at("none").hidden = records.length > 0;
  } catch (error) {
    const needs = error instanceof NeedsToken;
    at("ask").hidden = !needs;
    at("state").textContent = needs ? "needs a token" : "no answer";
    at("state").className = "state bad";
  }
}

async function forever() {
  if (!document.hidden) await draw();
  setTimeout(forever, EVERY_MS);
}

forever();
