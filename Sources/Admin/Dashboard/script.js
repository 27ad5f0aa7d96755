"use strict";
// Figures come as sums from the node's start; what is shown is their difference over a few seconds.
// Everything from outside is put in as text.

const byId = id => document.getElementById(id);
const seen = [];            // samples, oldest first: the last five minutes
const figures = [];         // whole messages: the last few seconds
const kept = 300, averaged = 5;

// ---- Showing ---------------------------------------------------------------------------------

function element(name, text, ...classes) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  made.classList.add(...classes.filter(Boolean));
  return made;
}

function scaled(value, units, base) {
  let unit = 0;
  while (value >= base && unit < units.length - 1) { value /= base; unit += 1; }
  const digits = value === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toFixed(unit === 0 && Number.isInteger(value) ? 0 : digits) + units[unit];
}
const count = value => scaled(value, ["", " k", " M", " G", " T"], 1000);
const bytes = value => scaled(value, [" B", " KiB", " MiB", " GiB", " TiB"], 1024);
const percent = value => Number.isFinite(value) ? (100 * value).toFixed(value > 0.995 ? 2 : 1) + " %" : "–";
const time = us => us === undefined ? "–" : scaled(us, [" µs", " ms", " s"], 1000);

// Rows by name: made once, so that what somebody types into one is not lost.
function rows(body, list, make, fill) {
  const known = new Map([...body.rows].map(row => [row.dataset.name, row]));
  for (const item of list) {
    let row = known.get(item.key);
    known.delete(item.key);
    if (!row) {
      row = make(item);
      row.dataset.name = item.key;
    }
    body.append(row);
    fill(row, item);
  }
  for (const row of known.values()) row.remove();
}

function cells(number, classes = []) {
  const row = element("tr");
  for (let index = 0; index < number; index += 1) row.append(element("td", "", classes[index]));
  return row;
}
const setCells = (row, texts) => texts.forEach((text, index) => {
  if (text !== null && row.cells[index].textContent !== text) row.cells[index].textContent = text;
});

// ---- Charts ----------------------------------------------------------------------------------

const svgName = "http://www.w3.org/2000/svg";
function shape(name, attributes, parent) {
  const made = document.createElementNS(svgName, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

function chart(id, colours, show, { fixed, least = 0, logarithmic = false } = {}) {
  const figure = byId(id);
  const svg = document.createElementNS(svgName, "svg");
  svg.setAttribute("viewBox", "0 0 300 100");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  for (const y of [0, 50, 100]) shape("line", { class: "grid", x1: 0, x2: 300, y1: y, y2: y }, svg);
  const lines = colours.map(colour => shape("polyline", { class: colour, points: "" }, svg));
  const bounds = element("div", undefined, "bounds");
  const oldest = element("span"), most = element("span"), newest = element("span", "now");
  bounds.append(oldest, most, newest);
  figure.append(svg, bounds);
  return series => {
    const values = series.flat().filter(Number.isFinite);
    const top = fixed ?? Math.max(least, ...values) * 1.05;
    const low = logarithmic ? Math.max(1, Math.min(...values)) : 0;
    const place = value => logarithmic
      ? Math.log(Math.max(value, low) / low) / Math.max(1e-9, Math.log(top / low)) : value / top;
    series.forEach((points, index) => {
      const start = kept - points.length;
      lines[index].setAttribute("points", points
        .map((value, x) => Number.isFinite(value)
          ? `${start + x},${(100 - 100 * place(value)).toFixed(2)}` : "")
        .filter(Boolean).join(" "));
    });
    oldest.textContent = "5 min ago";
    most.textContent = values.length ? `top ${show(fixed ?? Math.max(...values))}` : "";
    const last = series.map(points => points.at(-1)).filter(Number.isFinite).map(show);
    svg.setAttribute("aria-label", last.length ? `now ${last.join(", ")}` : "nothing yet");
  };
}

const drawRate = chart("chart-rate", ["c1", "c2"], count, { least: 1 });
const drawRatio = chart("chart-ratio", ["c2"], percent, { fixed: 1 });
const drawLatency = chart("chart-latency", ["c2", "c3", "c4"], time, { logarithmic: true, least: 100 });
const drawSent = chart("chart-sent", ["c1"], bytes, { least: 1024 });

// ---- Figures ---------------------------------------------------------------------------------

const sum = list => list.reduce((total, value) => total + value, 0);
const minus = (after, before) => after.map((value, index) => value - before[index]);

// What happened between two samples.
function between(before, after, names) {
  const seconds = Math.max(0.001, after.time - before.time);
  const results = minus(after.results, before.results);
  const named = Object.fromEntries(names.map((name, index) => [name, results[index]]));
  const all = sum(results), asked = all - named.none;
  const fromStore = named.hit + named.stale;
  return {
    seconds, all: all / seconds, fromStore: fromStore / seconds,
    ratio: asked > 0 ? fromStore / asked : NaN,
    durations: minus(after.durations, before.durations),
    sent: (after.sent_bytes - before.sent_bytes) / seconds,
  };
}

// The time in µs below which a share of the requests stayed: within a bucket, in proportion.
function quantile(durations, bounds, share) {
  const all = sum(durations);
  if (all === 0) return undefined;
  let below = 0;
  for (let index = 0; index < durations.length; index += 1) {
    const here = durations[index];
    if (here > 0 && below + here >= share * all) {
      const low = index === 0 ? 0 : bounds[index - 1];
      const high = index < bounds.length ? bounds[index] : 2 * low;
      return low + (high - low) * (share * all - below) / here;
    }
    below += here;
  }
  return undefined;
}

function remember(sample) {
  const last = seen.at(-1);
  if (last && (sample.time <= last.time || sum(sample.results) < sum(last.results))) {
    if (sample.time <= last.time && sum(sample.results) >= sum(last.results)) return;
    seen.length = 0;        // Another process: it counts from 0.
    figures.length = 0;
  }
  seen.push(sample);
  if (seen.length > kept) seen.shift();
}

// A figure's rate over the last few messages.
function rate(read) {
  const before = figures[0], after = figures.at(-1);
  const seconds = after.sample.time - before.sample.time;
  if (!(seconds > 0)) return 0;
  const now = read(after), then = read(before);
  return Number.isFinite(now) && Number.isFinite(then) ? Math.max(0, now - then) / seconds : 0;
}

function show(now) {
  const names = now.result_names, bounds = now.duration_bounds_us;
  const steps = [];
  for (let index = 1; index < seen.length; index += 1) {
    steps.push(between(seen[index - 1], seen[index], names));
  }
  drawRate([steps.map(step => step.all), steps.map(step => step.fromStore)]);
  drawRatio([steps.map(step => step.ratio)]);
  drawLatency([0.5, 0.9, 0.99].map(share =>
    steps.map(step => quantile(step.durations, bounds, share) ?? NaN)));
  drawSent([steps.map(step => step.sent)]);

  const status = now.status;
  byId("node").textContent = status.node;
  document.title = `${status.node} – weir`;
  byId("about").textContent =
    `weir ${status.version}, ${status.workers} workers, up ${duration(status.uptime_seconds)}`;
  if (seen.length > 1) {
    const last = between(seen[Math.max(0, seen.length - 1 - averaged)], seen.at(-1), names);
    byId("rate").textContent = count(last.all);
    byId("ratio").textContent = percent(last.ratio);
    byId("p50").textContent = time(quantile(last.durations, bounds, 0.5));
    byId("p99").textContent = time(quantile(last.durations, bounds, 0.99));
    byId("sent").textContent = bytes(last.sent);
  }
  const errors = rate(message => message.classes["5xx"]);
  byId("errors").textContent = count(errors);
  byId("errors").className = errors > 0 ? "bad" : "";
  byId("connections").textContent = count(status.connections.open);

  shares("classes", now.classes, message => message.classes);
  shares("results", status.requests.by_result, message => message.status.requests.by_result);
  showRoutes(now);
  showLimits(now.limits);
  showOrigins(now.origins);
  showStore(status.store);
}

function duration(seconds) {
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
  if (minutes < 1) return `${Math.floor(seconds)} s`;
  if (hours < 1) return `${minutes} min`;
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

function shares(id, counts, read) {
  const all = sum(Object.values(counts));
  const list = Object.keys(counts).filter(key => counts[key] > 0).map(key => ({ key }));
  rows(byId(id), list, () => cells(4), (row, { key }) => setCells(row, [
    key, count(rate(message => read(message)[key])), count(counts[key]),
    percent(counts[key] / all),
  ]));
}

function showRoutes(now) {
  const of = (message, key) => message.routes.find(route => route.name === key);
  const list = now.routes.map(route => ({ ...route, key: route.name }));
  rows(byId("routes"), list, () => cells(6), (row, route) => {
    const asked = rate(message => of(message, route.key)?.requests);
    setCells(row, [
      route.name, count(asked),
      percent(rate(message => of(message, route.key)?.hits) / asked),
      count(rate(message => of(message, route.key)?.server_errors)),
      bytes(rate(message => of(message, route.key)?.sent_bytes)), count(route.requests),
    ]);
  });
}

// ---- Limits ----------------------------------------------------------------------------------

function showLimits(limits) {
  byId("limits-section").hidden = limits.length === 0;
  const of = (message, key) => message.limits.find(limit => limit.name === key);
  rows(byId("limits"), limits.map(limit => ({ ...limit, key: limit.name })), makeLimit,
    (row, limit) => {
      const each = name => count(rate(message => of(message, limit.key)?.[name]));
      const rejected = rate(message => of(message, limit.key)?.rejected);
      setCells(row, [
        limit.name, each("allowed"), each("delayed"), count(rejected), count(limit.keys),
        count(limit.waiting), null, null, null,
      ]);
      row.cells[3].className = rejected > 0 ? "warn" : "";
      const { value, shadow } = row.parts;
      if (value !== document.activeElement && !row.changed) {
        value.value = limit.rate ?? limit.limit ?? "";
        shadow.checked = limit.shadow;
      }
    });
}

function makeLimit(limit) {
  const row = cells(9);
  const value = element("input"), shadow = element("input"), button = element("button", "Set");
  value.setAttribute("aria-label", `${limit.name}: ${limit.rate === undefined ? "limit" : "rate"}`);
  shadow.type = "checkbox";
  shadow.setAttribute("aria-label", `${limit.name}: only count`);
  row.parts = { value, shadow };
  for (const input of [value, shadow]) {
    input.addEventListener("input", () => { row.changed = true; });
  }
  button.addEventListener("click", async () => {
    const change = { shadow: shadow.checked };
    if (limit.rate !== undefined) change.rate = value.value.trim();
    else if (limit.limit !== undefined) change.limit = Number(value.value);
    const answer = await ask("PATCH", `/v1/limits/${encodeURIComponent(limit.name)}`, change);
    say(button, answer);
    if (answer.ok) row.changed = false;
  });
  row.cells[6].append(value);
  row.cells[7].append(shadow);
  row.cells[8].append(button);
  return row;
}

// ---- Origins ---------------------------------------------------------------------------------

const moods = { up: "good", resting: "warn", half_open: "warn", draining: "warn", disabled: "warn" };

function showOrigins(origins) {
  const list = [];
  for (const origin of origins) {
    list.push({ key: `${origin.name}\n`, origin });
    for (const server of origin.servers) {
      list.push({ key: `${origin.name}\n${server.name}`, origin, server });
    }
  }
  byId("origins-section").hidden = list.length === 0;
  const find = (message, origin, server) => message.origins
    .find(other => other.name === origin)?.servers.find(other => other.name === server);
  rows(byId("origins"), list, makeServer, (row, { origin, server }) => {
    if (!server) {
      setCells(row, [
        origin.files ? `${origin.name}: files in ${origin.files}` : origin.name,
        origin.breaker === "closed" ? "" : `breaker ${origin.breaker}`, count(origin.in_flight), "",
        "", origin.waiting ? `${origin.waiting} wait` : "", "", "",
      ]);
      return;
    }
    setCells(row, [
      server.name, server.state, count(server.in_flight),
      time(server.mean_latency_ms * 1000),
      count(rate(message => find(message, origin.name, server.name)?.requests)),
      count(server.failures), count(server.ejections), null,
    ]);
    row.cells[1].className = moods[server.state] ?? "bad";
  });
}

function makeServer({ origin, server }) {
  const row = cells(8);
  if (!server) {
    row.classList.add("group");
    return row;
  }
  const path = `/v1/origins/${encodeURIComponent(origin.name)}/servers/`
    + encodeURIComponent(server.name);
  for (const action of ["drain", "enable"]) {
    const button = element("button", action);
    button.addEventListener("click", () => sure(button, async () => {
      say(button, await ask("POST", path, { action }));
    }));
    row.cells[7].append(button, " ");
  }
  return row;
}

// ---- Store -----------------------------------------------------------------------------------

function showStore(store) {
  byId("store-section").hidden = !store;
  if (!store) return;
  byId("store-meter").value = store.limit_bytes > 0 ? store.bytes / store.limit_bytes : 0;
  byId("store-fill").textContent = `${bytes(store.bytes)} of ${bytes(store.limit_bytes)}`;
  const each = name => `${count(rate(message => message.status.store?.[name]))} /s`;
  const list = {
    "Objects": count(store.objects), "Stored": each("stored"), "Evicted": each("evicted"),
    "Refused": each("refused"), "Waiting to be written": count(store.queue_length),
    "Purges": count(store.purges), "Purges pending": count(store.purges_pending),
    "Damaged": count(store.damaged), "Writing": store.writing_ended ? "has ended" : "goes on",
  };
  const parts = Object.entries(list).map(([name, value]) => {
    const part = element("div");
    part.append(element("dt", name), element("dd", value));
    return part;
  });
  byId("store").replaceChildren(...parts);
}

// ---- Purges ----------------------------------------------------------------------------------

byId("purge").addEventListener("submit", async event => {
  event.preventDefault();
  const form = event.target, outcome = form.querySelector("output");
  const words = form.what.value.split(/\s+/).filter(Boolean);
  const order = form.kind.value === "prefix" ? { prefix: words[0] } : { [form.kind.value]: words };
  if (form.soft.checked) order.soft = true;
  if (form.dry.checked) order.dry_run = true;
  outcome.textContent = "…";
  const answer = await ask("POST", "/v1/purge", order);
  outcome.className = answer.ok ? "good" : "bad";
  if (!answer.ok) outcome.textContent = answer.text;
  else {
    const reached = answer.json.objects ?? "an unknown number of";
    outcome.textContent = `${form.dry.checked ? "Would reach" : "Reached"} ${reached} objects`
      + (answer.json.id ? ` (purge ${answer.json.id})` : "");
  }
});

// ---- What is hit and missed most, where the node says so -------------------------------------

async function showTop() {
  const path = byId("top-of").value;
  const answer = await ask("GET", path, undefined, { quiet: true });
  if (path !== byId("top-of").value) return;      // Something else was chosen meanwhile.
  const list = answer.ok && Object.values(answer.json).find(Array.isArray);
  byId("top-section").hidden = !list;
  if (!list) return;
  const names = ["url", "tag", "name"], what = names.find(name => list[0]?.[name] !== undefined);
  const weight = path.startsWith("/v1/hits") ? "hits" : "misses";
  byId("top-head").replaceChildren(
    ...[what ?? "nothing yet", weight, "bytes", ...(weight === "misses" ? ["why"] : [])]
      .map(name => element("th", name)));
  byId("top").replaceChildren(...list.slice(0, 20).map(item => {
    const why = Object.entries(item.reasons ?? {}).sort((one, other) => other[1] - one[1])
      .map(([name]) => name).join(", ");
    const row = cells(weight === "misses" ? 4 : 3);
    // A tag may have no name: no origin has said it since the node's start.
    setCells(row, [item[what] ?? "–", count(item[weight]), bytes(item.bytes), weight === "misses" ? why : null]
      .slice(0, row.cells.length));
    return row;
  }));
}
byId("top-of").addEventListener("change", showTop);

// ---- The fleet, where the node has one -------------------------------------------------------

const fleetMoods = { in_step: "good", behind: "warn", out: "bad" };

// The metric's buckets: the seconds below which each lies, and what is in it alone.
function delayBuckets(text) {
  const found = [];
  for (const line of text.split("\n")) {
    const parts = /^weir_fleet_purge_delay_seconds_bucket\{le="([^"]+)"\} (\d+)/.exec(line);
    if (parts) found.push({ bound: parts[1] === "+Inf" ? Infinity : Number(parts[1]), below: Number(parts[2]) });
  }
  return found.map(({ bound, below }, index) =>
    ({ bound, count: below - (index > 0 ? found[index - 1].below : 0) }));
}

function drawDelays(buckets) {
  const first = buckets.findIndex(bucket => bucket.count > 0);
  const shown = first < 0 ? [] : buckets.slice(first, buckets.findLastIndex(bucket => bucket.count > 0) + 1);
  const figure = byId("fleet-delays"), most = Math.max(1, ...shown.map(bucket => bucket.count));
  const svg = document.createElementNS(svgName, "svg");
  svg.setAttribute("viewBox", "0 0 300 100");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  shape("line", { class: "grid", x1: 0, x2: 300, y1: 100, y2: 100 }, svg);
  const width = 300 / Math.max(8, shown.length);
  const limit = bucket => Number.isFinite(bucket.bound) ? `up to ${time(bucket.bound * 1e6)}` : "longer";
  shown.forEach((bucket, index) => {
    const height = 100 * bucket.count / most;
    const bar = shape("rect", {
      class: "c2", x: index * width, y: 100 - height, width: width * 0.9, height,
    }, svg);
    shape("title", {}, bar).textContent = `${limit(bucket)}: ${bucket.count}`;
  });
  const bounds = element("div", undefined, "bounds");
  bounds.append(
    element("span", shown.length ? limit(shown[0]) : "none yet"),
    element("span", shown.length ? `most ${count(most)}` : ""),
    element("span", shown.length > 1 ? limit(shown.at(-1)) : ""));
  svg.setAttribute("aria-label",
    shown.map(bucket => `${limit(bucket)}: ${bucket.count}`).join(", ") || "no purges yet");
  figure.querySelectorAll("svg, .bounds").forEach(part => part.remove());
  figure.append(svg, bounds);
}

// Whether there is a fleet.
async function showFleet() {
  let text = "";
  try {
    const response = await fetch("/metrics", { headers: authorization(), cache: "no-store" });
    if (response.ok) text = await response.text();
  } catch { /* The node does not answer, which the page says. */ }
  if (!/^weir_fleet_in_step /m.test(text)) return false;
  const answer = await ask("GET", "/v1/fleet", undefined, { quiet: true });
  if (!answer.ok) return true;
  const fleet = answer.json;
  byId("fleet-section").hidden = false;
  byId("fleet-name").textContent = fleet.fleet;
  byId("fleet-here").textContent = `${fleet.pop}, ${fleet.region}: `
    + (fleet.in_step ? "in step" : `${fleet.phase}, serves by ${fleet.mode}`)
    + (fleet.engine ? `; engine ${fleet.engine}` : "")
    + (fleet.failure ? `; ${fleet.failure}` : "");
  byId("fleet-here").className = fleet.in_step ? "" : "warn";
  const pops = (fleet.pops ?? []).map(pop => ({ ...pop, key: pop.id }));
  rows(byId("fleet"), pops, () => cells(8), (row, pop) => {
    setCells(row, [
      pop.name, pop.region, pop.state.replace("_", " "),
      pop.lag_purges === null ? "–" : count(pop.lag_purges), time(pop.lag_ms * 1000),
      count(pop.waiting), `${time(pop.seen_ms_ago * 1000)} ago`, pop.version,
    ]);
    row.cells[2].className = fleetMoods[pop.state] ?? "";
  });
  drawDelays(delayBuckets(text));
  return true;
}

// ---- Asking ----------------------------------------------------------------------------------

const token = () => sessionStorage.getItem("weir-token");
const authorization = () => token() ? { Authorization: `Bearer ${token()}` } : {};

async function ask(method, path, content, { quiet = false } = {}) {
  for (;;) {
    const headers = authorization();
    if (content !== undefined) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(path, {
        method, headers, cache: "no-store",
        body: content === undefined ? undefined : JSON.stringify(content),
      });
    } catch {
      return { ok: false, text: "The node does not answer." };
    }
    if (response.status === 401 && !quiet && await askToken()) continue;
    let json = {};
    try { json = await response.json(); } catch { /* not JSON */ }
    return { ok: response.ok, json, text: json.detail ?? `Status ${response.status}.` };
  }
}

function say(button, answer) {
  const text = button.dataset.text ??= button.textContent;
  button.textContent = answer.ok ? "done" : "refused";
  button.title = answer.ok ? "" : answer.text;
  button.className = answer.ok ? "good" : "bad";
  if (!answer.ok) byId("purge").querySelector("output").textContent = answer.text;
  setTimeout(() => { button.textContent = text; button.className = ""; }, 2500);
}

// The first click asks, the second acts.
function sure(button, action) {
  if (button.classList.contains("sure")) {
    button.textContent = button.dataset.text;
    button.classList.remove("sure");
    action();
    return;
  }
  button.dataset.text ??= button.textContent;
  button.textContent = `${button.dataset.text}?`;
  button.classList.add("sure");
  setTimeout(() => {
    if (!button.classList.contains("sure")) return;
    button.textContent = button.dataset.text;
    button.classList.remove("sure");
  }, 3000);
}

let asking = null;
function askToken() {
  asking ??= new Promise(resolve => {
    const dialog = byId("token-dialog");
    const end = given => {
      byId("token-form").reset();
      asking = null;
      resolve(given);
    };
    byId("token-form").onsubmit = event => {
      event.preventDefault();
      sessionStorage.setItem("weir-token", event.target.token.value.trim());
      dialog.onclose = null;
      dialog.close();
      end(true);
    };
    dialog.onclose = () => end(false);
    byId("token-cancel").onclick = () => dialog.close();
    dialog.showModal();
  });
  return asking;
}
byId("token-button").addEventListener("click", askToken);

// ---- The stream ------------------------------------------------------------------------------

const pause = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));

function state(text, kind) {
  byId("state").textContent = text;
  byId("state").className = kind;
}

function take(name, data) {
  const message = JSON.parse(data);
  if (name === "history") {
    seen.length = 0;
    message.samples.forEach(remember);
  } else if (name === "figures") {
    remember(message.sample);
    figures.push(message);
    if (figures.length > averaged + 1) figures.shift();
    state("live", "live");
    show(message);
  }
}

// By fetch and not by EventSource, which cannot carry a token.
async function watch() {
  const response = await fetch("/v1/events", { headers: authorization(), cache: "no-store" });
  if (response.status === 401 || response.status === 403) {
    state("needs a token", "lost");
    if (!await askToken()) await pause(10000);
    return;
  }
  if (!response.ok) throw new Error(`status ${response.status}`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error("the stream ended");
    text += value;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const lines = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const field = name => lines.find(line => line.startsWith(`${name}: `))?.slice(name.length + 2);
      if (field("data")) take(field("event"), field("data"));
    }
  }
}

(async () => {
  for (;;) {
    try { await watch(); } catch { state("no connection", "lost"); }
    await pause(2000);
  }
})();
(async () => {
  for (;;) {
    await showTop();
    await pause(10000);
  }
})();
(async () => {
  for (;;) await pause(await showFleet() ? 3000 : 30000);
})();
