import { Midplane } from "/midplane.js";
const $ = id => document.getElementById(id);
const LINES = 200;             // entries kept in the log

// What outlives a reload of this tab: sessions (with their agents) and topics.
const kept = (() => {
  try { return JSON.parse(sessionStorage.getItem("midplane")) ?? {}; } catch { return {}; }
})();
const keep = () => {
  try { sessionStorage.setItem("midplane", JSON.stringify({ sessions: plane.sessions, topics: plane.topics })); } catch {}
};

const identity = new URLSearchParams();
for (const name of ["user", "org"]) {
  const value = new URLSearchParams(location.search).get(name);
  if (value) identity.set(name, value);
  $(name + "-input").value = value ?? "";
}

let connection = null, welcome = {};
const counts = { received: 0, published: 0, lost: 0, missed: 0, reconnects: 0 };
const count = (name, by = 1) => { $("count-" + name).textContent = counts[name] += by; };

const plane = new Midplane("/ws" + (identity.size ? "?" + identity : ""), kept);
const on = (name, act) => plane.addEventListener(name, ({ detail }) => act(detail));
on("event", ({ text, event }) => {
  count("received");
  log("event", "event", text);
  if (typeof event?.flow === "string" && Number.isInteger(event.execution)) step(event);
});
on("lost", ({ count: by }) => didNotCome("lost", by));
on("missed", miss);
on("message", message => {
  const kind = message.midplane, here = message.reach === "here";
  log(kind === "error" || kind === "lost" ? "fault" : kind === "missed" || here ? "warn" : "own", kind, JSON.stringify(message));
  if (kind === "welcome") welcome = message;
});
on("session", ({ gone }) => { if (gone) changed(); });
on("state", ({ state, reach, connection: id = null, reason }) => {
  if (state === "waiting") {
    if (connection) log("own", "closed", reason);
    count("reconnects");
  }
  connection = id;
  reached(reach ?? "–");
  const away = reach === "here" ? "broker away" : "connected";
  status({ open: away, waiting: "reconnecting", closed: "closed" }[state] ?? (counts.reconnects ? "reconnecting" : "connecting"));
  show();
  askHealth();
});

// What a request came to, or what was wrong with it.
const ask = (answer, done) => answer.then(done, error => outcome(`${error.code}: ${error.message}`, true));

// Whether publishers on every node reach this connection in all that it is in, or only those on its own node.
function reached(reach) {
  $("reach").textContent = { everywhere: "every node", here: "this node only; what other nodes publish comes later or is missed" }[reach] ?? reach;
  $("reach").className = reach === "here" ? "here" : "";
}

function didNotCome(name, by) {
  count(name, by);
  $("count-" + name).parentElement.className = counts[name] ? "some" : "";
}

// Events that did not come and will not: of other nodes, or of any while there was no connection. What was missed before the message stays on the page until its
// state was fetched anew, which is all that a client can do; a message without targets is about all of them.
let missing = null;
function miss({ events = 0, exact, since_ms_ago, targets }) {
  didNotCome("missed", events);
  const since = Date.now() - since_ms_ago;
  missing ??= { events: 0, exact: true, since, targets: [] };
  missing.events += events;
  missing.exact &&= exact;
  missing.since = Math.min(missing.since, since);
  missing.targets = missing.targets && targets ? [...new Set([...missing.targets, ...targets])] : null;
  const from = new Date(missing.since).toTimeString().slice(0, 8);
  // Of a number that is exact, some may have been for others.
  const some = missing.exact ? `Up to ${missing.events} events are` : "Events may be";
  $("missed-what").textContent = `${some} missing since ${from}:`;
  const more = missing.targets?.length > 8 ? ` and ${missing.targets.length - 8} more` : "";
  const what = missing.targets?.length ? `of ${missing.targets.slice(0, 8).join(", ")}${more} ` : "";
  $("missed-do").textContent = `fetch the state ${what}again from where it is kept.`;
  $("missed").hidden = false;
}
function fetched() {
  missing = null;
  $("missed").hidden = true;
}

const join = topic => ask(plane.join(topic), changed);
const leave = topic => ask(plane.leave(topic), changed);

function changed() { keep(); show(); }

function status(text) {
  $("status").textContent = text;
  $("status").className = text === "connected" ? "good" : "";
}

function element(name, classes, text) {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  if (text !== undefined) made.textContent = text;
  return made;
}

// An id of which the first digits are seen; all of it is copied.
function short(id) {
  const made = element("span", "id");
  const digits = element("span", "short", id);
  digits.title = id;
  const button = element("button", "", "Copy");
  button.type = "button";
  button.title = `Copy ${id}`;
  button.onclick = () => copy(button, digits);
  made.append(digits, " ", button);
  return made;
}

// Copies the text of an element; where the browser does not let a page, it is selected for who reads.
async function copy(button, from) {
  try {
    await navigator.clipboard.writeText(from.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(from);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function chips(id, items) {
  $(id).replaceChildren(...(items.length ? items : [element("span", "none", "none")]));
}

let shownConnection;
function show() {
  if (shownConnection !== connection) {
    shownConnection = connection;
    const id = connection ? short(connection) : element("span", "id none", "none");
    (id.querySelector(".short") ?? id).id = "connection-id";
    $("connection").replaceChildren(id);
  }
  for (const name of ["user", "org"]) $(name).textContent = welcome[name] ?? "none";
  chips("sessions", plane.sessions.map(([session, agent]) => {
    const chip = element("span", "chip");
    chip.append(short(session), agent ? ` agent ${agent}` : "");
    return chip;
  }));
  chips("topics", plane.topics.map(topic => {
    const chip = element("span", "chip", topic);
    const button = element("button", "", "×");
    button.type = "button";
    button.ariaLabel = button.title = `Leave ${topic}`;
    button.onclick = () => leave(topic);
    chip.append(button);
    return chip;
  }));
  const body = JSON.stringify({ target: { type: "connection", id: connection ?? "…" }, event: { hello: "from curl" } });
  $("curl").textContent = `curl ${location.origin}/publish -d '${body}'`;
  suggest();
}

// The targets this connection is in, by type.
const mine = type => ({
  connection: connection ? [connection] : [], session: plane.sessions.map(([session]) => session), topic: plane.topics,
  agent: [...new Set(plane.sessions.map(([, agent]) => agent).filter(Boolean))],
  user: welcome.user ? [welcome.user] : [], org: welcome.org ? [welcome.org] : [],
})[type];

function suggest() {
  const ids = mine($("publish-type").value);
  $("mine").replaceChildren(...ids.map(id => { const option = element("option"); option.value = id; return option; }));
  $("publish-id").placeholder = ids[0] ?? "id";
}

function outcome(text, bad) {
  $("outcome").textContent = text;
  $("outcome").className = bad ? "hint bad" : "hint";
}

const connections = count => `${count} ${count === 1 ? "connection" : "connections"}`;

// What came of an event, in words for all nodes: a receipt counts the connections of the node that took it, and who waited for
// the others knows theirs too.
function published({ error, message, accepted, full, relay, reason, confirmed }) {
  if (error) return outcome(`${error}: ${message}`, true);
  count("published");
  const lacking = full ? `, ${full} had no room` : "";
  if (confirmed) {
    const elsewhere = Object.values(confirmed.others).filter(Boolean).length;
    const others = elsewhere && `${elsewhere} other ${elsewhere === 1 ? "node" : "nodes"}`;
    const places = [confirmed.here && others && "this node", others].filter(Boolean);
    const where = places.length ? `, on ${places.join(" and ")}` : "";
    const silent = confirmed.silent.map(node => node.slice(0, 8)).join(", ");
    const unknown = silent ? ` No answer from ${silent}: there it is not known.` : " Other nodes may be missing.";
    const text = `${connections(confirmed.connections)} took it${where}${lacking}.`;
    return outcome(confirmed.complete ? text : text + unknown, !confirmed.complete);
  }
  const here = `${connections(accepted)} of this node took it${lacking}`;
  if (relay === "not_configured") return outcome(`${connections(accepted)} took it${lacking}. There is no other node.`);
  if (relay !== "queued") return outcome(`${here}; it does not go to other nodes: ${reason ?? relay}.`, true);
  const later = plane.state.reach === "here";
  outcome(`${here}. ${later ? "To other nodes it goes when the broker is back." : "It is on its way to the other nodes."}`, later);
}

async function publish() {
  const target = { type: $("publish-type").value, id: $("publish-id").value };
  const event = $("publish-event").value;
  try { JSON.parse(event); } catch (error) { return outcome(`The event is not JSON: ${error.message}`, true); }
  const exclude = $("exclude-self").checked;
  // A client publishes to what it is in; to anything else, like any other program on this machine, by HTTP. The text is
  // sent as it is, so that an event keeps every byte.
  if (mine(target.type).includes(target.id)) {
    const receipt = plane.publish(target, null, { excludeSelf: exclude, json: event });
    return ask(receipt, published);
  }
  try {
    const body = `{"target":${JSON.stringify(target)},"event":${event}}`;
    const response = await fetch("/publish?confirm=2000", { method: "POST", body });
    published(await response.json());
  } catch (error) { outcome(`Not published: ${error.message}`, true); }
}

// One flow is shown, the one that was heard of last.
let flow = null;
function step({ flow: name, execution, state, finished, of }) {
  if (flow !== name && Number.isInteger(of) && of > 0 && of <= 1000) {
    flow = name;
    $("flow-legend").hidden = false;
    $("flow-steps").replaceChildren(...Array.from({ length: of }, (_, number) => element("span", "", number)));
  }
  const cell = $("flow-steps").children[execution];
  // An execution starts once and ends once, in that order.
  if (cell && ["started", "success", "failure", "skipped"].includes(state)) { cell.className = state; cell.title = state; }
  $("flow-text").textContent = `${finished} of ${of} finished`;
  $("flow-why").textContent = why();
}
// Why there are red steps: what failed, and what was not run since it needed one that failed.
function why() {
  const numbers = state => [...$("flow-steps").querySelectorAll("." + state)].map(cell => cell.textContent);
  const [failed, skipped] = [numbers("failure"), numbers("skipped")];
  if (!failed.length) return "";
  const these = failed.length === 1 ? "Execution" : "Executions";
  const rest = skipped.length ? ` ${skipped.join(", ")} ${skipped.length === 1 ? "was" : "were"} skipped, for what they need failed.` : "";
  return `${these} ${failed.join(", ")} failed: some do on purpose, to show it. Nothing is wrong with the server.${rest}`;
}
async function runFlow() {
  if (!plane.sessions.length) {
    await ask(plane.createSession(), changed);
    if (!plane.sessions.length) return;
  }
  const [[session]] = plane.sessions;
  fetch("/flows", { method: "POST", body: JSON.stringify({ session }) })
    .then(response => response.json())
    .then(answer => { if (answer.error) $("flow-text").textContent = answer.message; })
    .catch(error => { $("flow-text").textContent = `Not started: ${error.message}`; });
}

const waiting = [];
function log(classes, tag, text) {
  const line = element("li", classes);
  line.append(element("time", "", new Date().toTimeString().slice(0, 8)), element("span", "tag", tag), element("code", "", text));
  waiting.push(line);
  if (waiting.length > LINES) waiting.shift();
  // A burst is drawn once. No animation frame: a tab in the background has none.
  if (waiting.length === 1) setTimeout(draw);
}
function draw() {
  $("log").querySelector(".none")?.remove();
  $("log").prepend(...waiting.splice(0).reverse());
  while ($("log").children.length > LINES) $("log").lastChild.remove();
}
function clear() {
  waiting.length = 0;
  $("log").replaceChildren(element("li", "none", "Nothing yet. Publish something, here or by curl."));
}

// How the server and its nodes are. Operators are told all; others whether it is ready.
let asking = false;
async function askHealth() {
  if (asking) return;
  asking = true;
  const get = async path => {
    const response = await fetch(path, { signal: AbortSignal.timeout(4000) });
    return { code: response.status, ...await response.json() };
  };
  const [ready, known, health] = await Promise.all(["/readyz", "/nodes", "/healthz"].map(path => get(path).catch(() => null)));
  asking = false;
  showNodes(ready, known?.code === 200 ? known : null);
  const counted = health?.connections !== undefined;
  $("of-the-server").hidden = health !== null && !counted;
  for (const name of ["connections", "published", "delivered", "lost", "missed"]) $("server-" + name).textContent = counted ? health[name] : "–";
  // What was asked before the state changed may be of before.
  const told = ready?.code === 200 ? "everywhere" : "here";
  if (plane.state.state === "open" && plane.state.reach !== told) setTimeout(askHealth, 250);
}

const minutes = seconds => seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;

let shownNodes = "";
function showNodes(ready, known) {
  const said = { 200: "ready", 503: "not ready" }[ready?.code] ?? "no answer";
  $("readiness").textContent = said;
  $("readiness").className = said === "ready" ? "state good" : "state";
  const draining = ready?.status === "draining";
  const broken = said !== "ready";
  $("broken").hidden = !broken;
  if (ready === null) {
    $("broken-what").textContent = "The server does not answer.";
    $("broken-means").textContent = "Nothing comes until it is back; this page connects again by itself.";
  } else if (draining) {
    $("broken-what").textContent = "The server is shutting down.";
    $("broken-means").textContent = "This page will connect to whichever node comes next.";
  } else if (broken) {
    $("broken-what").textContent = "The broker between the nodes is away.";
    const reason = known?.reason ? ` The last link ended: ${known.reason}.` : "";
    $("broken-means").textContent = `Events of this node still come; those of others come later or are said to be missed.${reason}`;
  }
  const node = (id, classes, state, what) => {
    const line = element("li", classes);
    line.append(id ? short(id) : element("span", "id", "this node"), element("span", "word", state));
    if (what) line.append(element("span", "what", what));
    return line;
  };
  const own = known ?? {};
  const since = own.state_seconds === undefined ? "" : `, for ${minutes(own.state_seconds)}`;
  const state = ready === null ? "no answer" : broken ? (draining ? "shutting down" : "alone") : "live";
  const lines = [node(own.node, broken ? "bad" : "good", state + since, `this page's node${own.bus ? `, bus: ${own.bus}` : ""}`)];
  for (const other of own.others ?? []) {
    const [classes, state] = {
      heard: ["good", "heard"], silent: ["bad", `silent for ${minutes(other.silent_seconds)}`], unknown: ["", "not heard now"],
    }[other.state];
    lines.push(node(other.node, classes, state, other.version && `version ${other.version}`));
  }
  // Copying from a list that is made anew would end; so it is made anew where it says something else.
  const text = lines.map(line => line.className + line.textContent).join();
  if (shownNodes !== text) $("nodes").replaceChildren(...lines);
  shownNodes = text;
  $("nodes-hint").textContent = ready === null ? "" : known === null ? "The names of other nodes are for operators."
    : own.bus === "none" ? "Events stay in this process: the server was started without --backplane."
    : own.others.length ? "" : "No other node is heard.";
}

const submits = (id, act) => $(id).addEventListener("submit", submit => { submit.preventDefault(); act(); });
submits("join-form", () => { join($("topic-input").value); $("publish-id").value ||= $("topic-input").value; $("topic-input").value = ""; });
submits("session-form", () => ask(plane.createSession($("agent-input").value || undefined), changed));
submits("publish-form", publish);
submits("identity-form", () => {
  const query = new URLSearchParams();
  for (const name of ["user", "org"]) if ($(name + "-input").value) query.set(name, $(name + "-input").value);
  location.search = query;
});
$("publish-type").addEventListener("change", () => { suggest(); $("publish-id").value = mine($("publish-type").value)[0] ?? ""; });
$("run-flow").addEventListener("click", runFlow);
$("clear").addEventListener("click", clear);
$("missed-done").addEventListener("click", fetched);
$("copy").addEventListener("click", () => copy($("copy"), $("curl")));
setInterval(() => { if (!document.hidden) askHealth(); }, 2000);
clear();
show();
