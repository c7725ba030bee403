// The session of this browser with a Watchword server. Copy this file; it knows nothing of the page
// around it, needs no library, and exports all that a page has to call.
//
// Two tokens. The refresh token is in a cookie that no script can read, this one included; the
// browser sends it to the server by itself. The access token is in the variable below and nowhere
// else. Not in localStorage, sessionStorage, IndexedDB or a readable cookie: a script that got into
// the page for a moment would find it there, also days later. A page that is loaded anew has lost
// it, and fetches another with the cookie.

const named = (name) => document.querySelector(`meta[name="${name}"]`).content;
export const ISSUER = named("watchword-issuer").replace(/\/$/, "");
const CLIENT_ID = named("watchword-client");

// A token is replaced this long before it expires, so that it lives until the server has read it.
const EARLY = 15_000;
// A request that hangs would hold the lock below, and every tab would wait for it.
const REQUEST_TIMEOUT = 15_000;
const HAND_OVER_TIMEOUT = 500;
const LONGEST_WAIT = 10_000;

/** The access token: {value, expiresAt, source}; null while nobody is known to be logged in. */
let token = null;
let stopAnnouncing = () => {};

/** Tells the page of `begun`, `ended` (its detail: why) and `token`. */
export const events = new EventTarget();
const tell = (name, detail) => events.dispatchEvent(new CustomEvent(name, { detail }));
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A refusal, or with status 0 no answer at all. `fields`: what is wrong, by the input's name. */
export class ApiError extends Error {
  constructor(status, members = {}, retryAfter = null) {
    super(members.error_description ?? `the server answered ${status}`);
    this.status = status;
    this.code = members.error ?? "";
    this.fields = members.fields ?? {};
    this.retryAfter = Number(retryAfter) || 0; // seconds
  }
}

// ── What a page calls ────────────────────────────────────────────────────────────────────────────

/**
 * Continue the session of the cookie, if there is one; whether there is.
 *
 * Only a refusal says that there is none. Any other failure is thrown: without an answer nobody is
 * logged out.
 */
export async function restore() {
  try {
    await refresh(null);
    return true;
  } catch (error) {
    if (error.code === "invalid_grant") return false;
    throw error;
  }
}

export const register = (person) =>
  send("POST", "/api/register", { client_id: CLIENT_ID, ...person });

export function logIn(username, password) {
  return alone(async () => {
    const body = { client_id: CLIENT_ID, username, password };
    await accept(await send("POST", "/api/login", body, { cookie: true }), "login");
    channel.postMessage({ type: "begun", token });
  });
}

export function logOut() {
  return alone(async () => {
    // The cookie says whose session ends, so that this works with an expired access token, too.
    await retried(() => send("POST", "/api/logout", { client_id: CLIENT_ID }, { cookie: true }));
    end("logged_out");
  });
}

/** Without the lock: `call` may need it to refresh, and what a refresh fetches now is void, too. */
export async function logOutEverywhere() {
  await call("DELETE", "/api/sessions", undefined, { cookie: true });
  end("logged_out_everywhere");
}

/** Ask the API as the user who is logged in. Refreshes where that is due, and once on a 401. */
export async function call(method, path, body, options) {
  let used = isFresh(token) ? token : await refresh(token);
  const ask = () => send(method, path, body, { ...options, bearer: used.value });
  try {
    return await ask();
  } catch (error) {
    // Expired by the server's clock, or taken back: a refresh tells whether the session lives.
    // Sending again is safe, as a 401 has done nothing. A second 401 is final.
    if (error.code !== "invalid_token") throw error;
    used = await refresh(used);
    return ask();
  }
}

/** For showing: when the access token expires, and who fetched it; never the token itself. */
export const tokenState = () => token && { expiresAt: token.expiresAt, source: token.source };

// ── One refresh for all tabs ─────────────────────────────────────────────────────────────────────
//
// The tabs of a browser share the cookie, and each refresh replaces it. So they take turns, by a
// lock of the browser, and the one that has refreshed hands the access token to the others. The
// server would bear with tabs that refresh at once (it knows a retry from a theft), but n tabs need
// not make n requests.
//
// There is no timer: an open page that nobody uses asks for nothing, so the session can become idle
// and expire as the client's registration says.

/** Do what replaces the cookie while no other tab does. */
const alone = (action) => navigator.locks.request("watchword-refresh", action);

/** A token that is newer than `stale`: another tab's if one has it, else the server's. */
function refresh(stale) {
  return alone(async () => {
    if (!isNewer(token, stale)) await takeFromAnotherTab(stale);
    if (isNewer(token, stale)) return token;
    try {
      // Safe to send again: to the same cookie the server gives the same successor once more, so an
      // answer that was lost on its way costs nothing. That is why this is retried and a login not.
      // (But for clients with a grace period of 0.)
      const ask = () => send("POST", "/api/refresh", { client_id: CLIENT_ID }, { cookie: true });
      const next = await accept(await retried(ask), "refresh");
      if (token === next) channel.postMessage({ type: "token", token });
      return next;
    } catch (error) {
      if (error.code === "invalid_grant" && token) end("session_over");
      throw error;
    }
  });
}

/** Repeat once what found the server busy or away, or whose answer was lost, when it says so. */
async function retried(action) {
  try {
    return await action();
  } catch (error) {
    const wait = Math.max(1000, error.retryAfter * 1000);
    if (![0, 502, 503, 504].includes(error.status) || wait > LONGEST_WAIT) throw error;
    await sleep(wait);
    return action();
  }
}

const isFresh = (candidate) => candidate !== null && Date.now() < candidate.expiresAt - EARLY;
const isNewer = (candidate, stale) =>
  isFresh(candidate) && (stale === null || candidate.expiresAt > stale.expiresAt);

async function accept(answer, source) {
  const expiresAt = Date.now() + answer.expires_in * 1000;
  const next = { value: answer.access_token, expiresAt, source };
  await keep(next);
  return next;
}

async function keep(next, isNews = token === null) {
  token = next;
  stopAnnouncing();
  await announce(next.expiresAt);
  if (token !== next) return; // logged out meanwhile, by another tab
  tell("token");
  if (isNews) tell("begun");
}

/** Forget the token, here and in the other tabs. */
function end(why) {
  forget(why);
  channel.postMessage({ type: "ended", why });
}

function forget(why) {
  token = null;
  stopAnnouncing();
  tell("ended", why);
}

// A tab that has a token holds a lock named after its expiry. So another tab sees whether there is
// anybody to wait for: a message alone might arrive after the lock above has been passed on.
const ANNOUNCED = "watchword-token-";

function announce(expiresAt) {
  return new Promise((announced) => {
    navigator.locks.request(`${ANNOUNCED}${expiresAt}`, { mode: "shared" }, () => {
      announced();
      return new Promise((stop) => (stopAnnouncing = stop));
    });
  });
}

async function takeFromAnotherTab(stale) {
  const newerThan = Math.max(stale?.expiresAt ?? 0, Date.now() + EARLY);
  const { held } = await navigator.locks.query();
  const announced = held.map(({ name }) => name).filter((name) => name.startsWith(ANNOUNCED));
  const expiries = announced.map((name) => Number(name.slice(ANNOUNCED.length)));
  if (!expiries.some((expiresAt) => expiresAt > newerThan)) return;
  const handedOver = new Promise((resolve) =>
    events.addEventListener("token", resolve, { once: true }),
  );
  channel.postMessage({ type: "wanted", newerThan });
  await Promise.race([handedOver, sleep(HAND_OVER_TIMEOUT)]); // a frozen tab never answers
}

// Heard by pages of this origin only. A hostile script among them could ask the API by itself.
const channel = new BroadcastChannel("watchword");
channel.addEventListener("message", async ({ data }) => {
  if (data.type === "wanted" && token && token.expiresAt > data.newerThan) {
    channel.postMessage({ type: "token", token });
  }
  if (data.type === "ended" && token) forget(data.why);
  const fromThere = { ...data.token, source: "another tab" };
  if (data.type === "token" && isNewer(data.token, token)) await keep(fromThere);
  if (data.type === "begun") await keep(fromThere, true); // perhaps as somebody else
});

// ── One request ──────────────────────────────────────────────────────────────────────────────────

async function send(method, path, body, { bearer, cookie = false } = {}) {
  const headers = {};
  if (bearer) headers.Authorization = `Bearer ${bearer}`;
  if (method !== "GET") {
    headers["Content-Type"] = "application/json";
    // No form of a foreign site can send this header, and a foreign script has to ask the server
    // first whether it may (CORS). So the cookie alone lets nobody act for the user (CSRF).
    headers["X-Requested-With"] = "fetch";
  }
  let response, text;
  try {
    response = await fetch(ISSUER + path, {
      method,
      headers,
      body: body && JSON.stringify(body),
      credentials: cookie ? "include" : "omit", // the cookie goes only where it is needed
      cache: "no-store",
      redirect: "error", // an API that suddenly answers from elsewhere is not ours
      referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout(REQUEST_TIMEOUT),
    });
    text = await response.text();
  } catch {
    throw new ApiError(0);
  }
  const members = parse(text);
  if (response.ok) return members;
  throw new ApiError(response.status, members, response.headers.get("Retry-After"));
}

/** An answer without a body is an empty one; so is a proxy's error page. */
function parse(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}
