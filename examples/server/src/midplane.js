// A client of a midplane server for browsers: one file without dependencies, to be imported or copied.
//
//   import { Midplane } from "/midplane.js";
//   const plane = new Midplane("/ws?user=ada");
//   plane.addEventListener("event", ({ detail }) => show(detail.event));
//   plane.addEventListener("missed", ({ detail }) => fetchAgain(detail.targets));
//   await plane.join("news");
//
// It connects, and connects again when the connection ends: after a pause that doubles from PAUSES[0] to PAUSES[1], with
// jitter, or when the server asked for. It joins its topics and resumes its sessions again each time. What may have been
// missed meanwhile is said by `missed`, as what the server missed itself.

/** The first and the longest pause before connecting again, in milliseconds. */
const PAUSES = [250, 16_000];

/** Milliseconds in which nothing came, after which the server is asked for a sign of life; that may take half as long. */
const SILENCE = 20_000;

/**
 * What was published and did not come, and never will. State that is fetched now has all of it.
 * @typedef {object} Missed
 * @property {number} [events] how many events the server knows to be missing, for whatever target; absent after a reconnect
 * @property {boolean} exact whether no others are missing
 * @property {number} since_ms_ago they were published after this time before now, in milliseconds
 * @property {number} until_ms_ago and before this one
 * @property {string[]} [targets] the targets concerned, as "topic:news"; all that this connection is or was in, if absent
 */

/**
 * @typedef {object} State
 * @property {"connecting" | "open" | "waiting" | "closed"} state
 * @property {"everywhere" | "here"} [reach] while open: publishers on every node are heard, or on this one alone
 * @property {string} [connection] while open: the id of the connection
 * @property {number} [pause] while waiting: milliseconds until the next attempt
 * @property {string} [reason] while waiting: why the last connection ended
 */

/** @typedef {{ type: string, id: string }} Target */

/** An answer that is an error; its code is the server's, or `disconnected` where no answer came. */
export class MidplaneError extends Error {
  /** @param {string} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.name = "MidplaneError";
    this.code = code;
  }
}

/**
 * Dispatches, each as a CustomEvent with this `detail`:
 *  - `event`: `{ text, event }`, what was published, as text and parsed (undefined if it is not JSON);
 *  - `missed`: a {@link Missed};
 *  - `lost`: `{ count }`, events that were dropped because this client was too slow for them;
 *  - `state`: a {@link State};
 *  - `session`: `{ session, gone }`, a session that was resumed, or that the server does not know any more;
 *  - `message`: every message of the server's own, as it came.
 */
export class Midplane extends EventTarget {
  /** @type {URL} */ #url;
  /** @type {WebSocket | null} */ #socket = null;
  /** @type {State} */ #state = { state: "connecting" };
  /** @type {Map<number, { resolve: (answer: any) => void, reject: (error: Error) => void }>} */ #asked = new Map();
  /** @type {Map<string, Array<{ resolve: (answer: any) => void, reject: (error: Error) => void }>>} */ #joining = new Map();
  /** @type {Set<string>} */ #topics;
  /** @type {Map<string, string | null>} */ #sessions;
  /** @type {number} */ #silence;
  #nextId = 1;
  #attempts = 0;
  /** When something came last. */
  #heard = 0;
  /** When a sign of life was asked for last. */
  #asking = 0;
  /** @type {number | null} since when there was no connection, if there was one before */ #awaySince = null;
  /** @type {number | null} for how long the server asked to stay away, in milliseconds */ #hint = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** Ends what listens to the window, which would else keep this for as long as the page lives. */
  #listening = new AbortController();

  /**
   * @param {string | URL} url where the server upgrades, relative to the page
   * @param {{ topics?: Iterable<string>, sessions?: Iterable<[string, string | null]>, silence?: number }} [options] what an
   *   earlier page was in; after how many milliseconds of silence the server is asked for a sign of life
   */
  constructor(url = "/ws", { topics = [], sessions = [], silence = SILENCE } = {}) {
    super();
    this.#silence = silence;
    this.#url = new URL(url, location.href);
    this.#url.protocol = this.#url.protocol.replace(/^http/, "ws");
    this.#topics = new Set(topics);
    this.#sessions = new Map(sessions);
    // A page that is woken, or whose network is back, does not wait for the pause to end.
    const { signal } = this.#listening;
    addEventListener("online", () => this.#hurry(), { signal });
    addEventListener("offline", () => this.#end("the network is gone"), { signal });
    // Later, so that who made this hears the first state.
    queueMicrotask(() => this.#connect());
  }

  /** @returns {State} */
  get state() { return this.#state; }
  /** The topics that are joined, or will be. */
  get topics() { return [...this.#topics]; }
  /** The sessions, each with its agent or null. */
  get sessions() { return [...this.#sessions]; }

  /**
   * Joins a topic, now and after every reconnect. Resolves with the server's first answer.
   * @param {string} topic
   * @returns {Promise<{ topic: string, reach: string }>}
   */
  join(topic) {
    this.#topics.add(topic);
    return new Promise((resolve, reject) => {
      const waiting = this.#joining.get(topic) ?? [];
      this.#joining.set(topic, [...waiting, { resolve, reject }]);
      if (this.#state.state === "open") this.#join(topic);
    });
  }

  /** @param {string} topic */
  async leave(topic) {
    this.#topics.delete(topic);
    if (this.#state.state === "open") await this.request({ request: "leave", topic });
  }

  /**
   * Creates a session, which is resumed after every reconnect.
   * @param {string} [agent]
   * @returns {Promise<{ session: string, agent?: string }>}
   */
  async createSession(agent) {
    const answer = await this.request({ request: "create_session", ...(agent && { agent }) });
    this.#sessions.set(answer.session, answer.agent ?? null);
    return answer;
  }

  /**
   * Publishes to a target that this connection is in. Resolves with the receipt.
   * @param {Target} target
   * @param {unknown} event a value; or JSON as text, of which every byte is kept, in `{ json }` of the options
   * @param {{ excludeSelf?: boolean, key?: string, json?: string }} [options]
   */
  publish(target, event, { excludeSelf = false, key, json = JSON.stringify(event) } = {}) {
    const rest = JSON.stringify({ ...(excludeSelf && { exclude_self: true }), ...(key && { key }) }).slice(1, -1);
    const fields = `"request":"publish","target":${JSON.stringify(target)},"event":${json}`;
    return this.#ask(id => `{${fields}${rest && "," + rest},"id":${id}}`);
  }

  /**
   * Sends a request of the protocol and resolves with its answer. Not sent again: of one that rejects as `disconnected`
   * nobody knows whether it was carried out.
   * @param {object} request
   * @returns {Promise<any>}
   */
  request(request) { return this.#ask(id => JSON.stringify({ ...request, id })); }

  /** Closes for good. */
  close() {
    clearTimeout(this.#timer);
    this.#listening.abort();
    this.#drop(new MidplaneError("disconnected", "the client was closed"));
    for (const waiting of this.#joining.values()) {
      waiting.forEach(({ reject }) => reject(new MidplaneError("disconnected", "the client was closed")));
    }
    this.#joining.clear();
    this.#enter({ state: "closed" });
  }

  /** @param {(id: number) => string} text @returns {Promise<any>} */
  #ask(text) {
    if (this.#state.state !== "open" || !this.#socket) {
      return Promise.reject(new MidplaneError("disconnected", "not connected"));
    }
    const id = this.#nextId++;
    const answer = new Promise((resolve, reject) => this.#asked.set(id, { resolve, reject }));
    this.#socket.send(text(id));
    return answer;
  }

  #connect() {
    if (this.#state.state === "closed") return;
    this.#enter({ state: "connecting" });
    this.#hint = null;
    const socket = this.#socket = new WebSocket(this.#url);
    // What an old socket still says is of no interest.
    const current = act => heard => { if (socket === this.#socket) act(heard); };
    socket.onmessage = current(({ data }) => this.#hear(data));
    socket.onclose = current(({ code, reason }) => this.#end(`${code} ${reason}`.trim()));
    this.#heard = Date.now();
    this.#watch();
  }

  /** Asks a server that is silent for a sign of life, and gives up one that gives none. */
  #watch(late = false) {
    clearTimeout(this.#timer);
    const due = Date.now() + this.#silence / 4;
    this.#timer = setTimeout(() => {
      const now = Date.now();
      // A page that stood still itself hears first what came meanwhile; a browser may also wake a hidden one once a minute.
      if (!late && now - due > this.#silence / 4) return this.#watch(true);
      const asked = this.#asking > this.#heard;
      if (asked && now - this.#asking >= this.#silence / 2) return this.#end("the server is silent");
      if (!asked && now - this.#heard >= this.#silence) {
        this.#asking = now;
        this.request({ request: "ping" }).catch(() => {});
      }
      this.#watch();
    }, this.#silence / 4);
  }

  /** The connection is over; another comes after a pause. @param {string} reason */
  #end(reason) {
    if (this.#state.state === "closed" || this.#state.state === "waiting") return;
    if (this.#state.state === "open") this.#awaySince = this.#heard;
    this.#drop(new MidplaneError("disconnected", `the connection ended: ${reason}`));
    const pause = Math.min(PAUSES[0] * 2 ** this.#attempts++, PAUSES[1]);
    // Spread out, so that the clients of a server that is gone do not come to another in one instant.
    const wait = this.#hint ?? pause * (0.5 + Math.random() / 2);
    this.#enter({ state: "waiting", pause: wait, reason });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), wait);
  }

  /** @param {Error} error */
  #drop(error) {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    for (const { reject } of this.#asked.values()) reject(error);
    this.#asked.clear();
  }

  #hurry() {
    if (this.#state.state !== "waiting") return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  /** @param {State} state */
  #enter(state) {
    this.#state = state;
    this.#say("state", state);
  }

  /** @param {string} name @param {unknown} detail */
  #say(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }

  /** An event is whatever was published; an object with the key "midplane" is the server's own. @param {string | Blob} text */
  #hear(text) {
    this.#heard = Date.now();
    let message;
    try { message = JSON.parse(/** @type {string} */ (text)); } catch { /* an event may be any text */ }
    if (typeof message !== "object" || message === null || !Object.hasOwn(message, "midplane")) {
      return this.#say("event", { text, event: message });
    }
    this.#say("message", message);
    switch (message.midplane) {
      case "welcome": return this.#arrive(message);
      case "lost": return this.#say("lost", { count: message.count });
      case "missed": return this.#say("missed", message);
      case "closing":
        this.#hint = message.return_after_ms ?? null;
        return;
    }
    if (message.reach !== undefined && message.reach !== this.#state.reach && (message.midplane === "reach" || message.reach === "here")) {
      this.#enter({ ...this.#state, reach: message.reach });
    }
    const asked = this.#asked.get(message.id);
    if (!asked) return;
    this.#asked.delete(message.id);
    if (message.midplane === "error") asked.reject(new MidplaneError(message.code, message.message));
    else asked.resolve(message);
  }

  /** @param {{ connection: string, reach: "everywhere" | "here" }} welcome */
  #arrive({ connection, reach }) {
    this.#attempts = 0;
    this.#enter({ state: "open", connection, reach });
    const again = [...this.#sessions].map(([session, agent]) => this.#resume(session, agent));
    again.push(...[...this.#topics].map(topic => this.#join(topic)));
    if (this.#awaySince === null) return;
    const since = this.#awaySince;
    this.#awaySince = null;
    // What was published while there was no connection reached nobody here, and what is published now is heard once
    // all is joined again.
    Promise.allSettled(again).then(() => {
      this.#say("missed", { exact: false, since_ms_ago: Date.now() - since, until_ms_ago: 0 });
    });
  }

  /** @param {string} session @param {string | null} agent */
  async #resume(session, agent) {
    try {
      await this.request({ request: "resume_session", session, ...(agent && { agent }) });
      this.#say("session", { session, gone: false });
    } catch (error) {
      if (error.code !== "invalid") return;
      this.#sessions.delete(session);
      this.#say("session", { session, gone: true });
    }
  }

  /** @param {string} topic */
  async #join(topic) {
    const settle = (how, value) => {
      const waiting = this.#joining.get(topic) ?? [];
      this.#joining.delete(topic);
      waiting.forEach(each => each[how](value));
    };
    try {
      settle("resolve", await this.request({ request: "join", topic }));
    } catch (error) {
      // Where the connection is over, the next one joins.
      if (error.code === "disconnected" || error.code === "closing") return;
      this.#topics.delete(topic);
      settle("reject", error);
    }
  }
}
