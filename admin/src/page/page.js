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

async function draw() {
  try {
    const [ready, config, routes, upstreams, functions, records] = await Promise.all([
      ask("/readyz"), ask("/api/v1/config"), ask("/api/v1/routes"), ask("/api/v1/upstreams"),
      ask("/api/v1/functions"), ask("/api/v1/records"),
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
