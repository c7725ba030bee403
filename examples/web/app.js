// The page: what is shown when, and what its forms and buttons do. All that is about tokens is in
// session.js. Texts of users and of the server are only ever set as text, never as HTML.

import {
  ApiError,
  ISSUER,
  call,
  events,
  logIn,
  logOut,
  logOutEverywhere,
  register,
  restore,
  tokenState,
} from "./session.js";

const $ = (id) => document.getElementById(id);

const ENDED = {
  session_over: "Your session has ended. Log in again to go on.",
  logged_out: "You have logged out.",
  logged_out_everywhere: "You have logged out everywhere.",
};

// Why sessions end, by ended_because.
const REASONS = {
  logged_out: "logged out",
  revoked_by_client: "ended by the app",
  ended_by_user: "ended by you",
  logged_out_everywhere: "logged out everywhere",
  password_changed: "the password was changed",
  not_used: "not used for too long",
  expired: "reached its longest time",
  too_many_sessions: "too many sessions",
  refresh_reuse: "its token was used twice: perhaps stolen",
  refresh_impossible: "its token could not be real",
  taken_back_from_feed: "ended before a restart of the server",
  recovered: "ended while the server recovered",
  revoked_by_operator: "ended by the operator",
  client_revoked: "the app's operator ended all its sessions",
  user_disabled: "the account was disabled",
};

// ── Views ────────────────────────────────────────────────────────────────────────────────────────

function show(view) {
  for (const id of ["loading", "away", "signed-out", "signed-in"]) $(id).hidden = id !== view;
  $("log-out").hidden = view !== "signed-in";
}

/** Who listens to the page has to be told that it is another one now. */
const readOut = (element) => element.querySelector("h1, h2").focus();

function showSignedOut(why) {
  for (const form of document.forms) reset(form);
  $("why-out").textContent = ENDED[why] ?? "";
  $("why-out").hidden = !why;
  show("signed-out");
  showCard("login");
}

function showCard(card) {
  $("login").hidden = card !== "login";
  $("register").hidden = card !== "register";
  readOut($(card));
}

function showAway(error) {
  $("away-why").textContent = explain(error);
  show("away");
  readOut($("away"));
}

async function showAccount() {
  for (const form of document.forms) reset(form);
  $("account-alert").hidden = true;
  say("");
  try {
    const [me, { sessions }] = await Promise.all([
      call("GET", "/api/me"),
      call("GET", "/api/sessions"),
    ]);
    showPerson(me);
    showSessions(sessions);
  } catch (error) {
    if (tokenState()) showAway(error); // otherwise the session has ended, and that is shown already
    return;
  }
  show("signed-in");
  readOut($("signed-in"));
}

async function start() {
  show("loading");
  try {
    if (!(await restore())) showSignedOut();
  } catch (error) {
    showAway(error);
  }
}

function showPerson(me) {
  $("person-name").textContent = me.full_name;
  $("person-username").textContent = me.username;
  $("person-email").textContent = me.email;
  $("profile-full-name").value = me.full_name;
  $("password-username").value = me.username;
  const words = me.full_name.split(/\s+/);
  $("avatar").textContent = [...new Set([words[0], words.at(-1)])].map(([first]) => first).join("");
  if (!me.avatar_url) return;
  const image = new Image();
  image.alt = "";
  image.addEventListener("load", () => $("avatar").replaceChildren(image));
  image.src = me.avatar_url; // the server takes https alone, and the page's policy loads no other
}

// ── Sessions ─────────────────────────────────────────────────────────────────────────────────────

async function reloadSessions() {
  showSessions((await call("GET", "/api/sessions")).sessions);
}

function showSessions(sessions) {
  const ended = sessions.filter((session) => session.ended_because);
  const living = sessions.filter((session) => !session.ended_because);
  living.sort((one, other) => other.current - one.current);
  $("living").replaceChildren(...living.map(livingSession));
  $("ended").replaceChildren(...ended.map(endedSession));
  $("ended-count").textContent = ended.length;
  $("ended-box").hidden = ended.length === 0;
  $("sessions-alert").hidden = true;
}

function livingSession(session) {
  const { item, part, button } = sessionItem(session);
  part("current").hidden = !session.current;
  part("when").textContent = "Last used";
  setTime(part("time"), session.last_used_at);
  part("begun").textContent = `, begun ${ago(session.created_at)}`;
  button.hidden = session.current; // one logs out of this one
  button.ariaLabel = `End ${part("device").textContent}, begun ${ago(session.created_at)}`;
  onClick(button, "sessions-alert", async () => {
    await call("DELETE", `/api/sessions/${session.id}`);
    await reloadSessions();
    $("sessions-heading").focus(); // the button is gone
    say("The session has ended.");
  });
  return item;
}

function endedSession(session) {
  const { item, part } = sessionItem(session);
  const reason = REASONS[session.ended_because] ?? session.ended_because.replaceAll("_", " ");
  part("when").textContent = sentence(reason);
  if (session.ended_at) setTime(part("time"), session.ended_at);
  return item;
}

function sessionItem(session) {
  const item = $("session").content.firstElementChild.cloneNode(true);
  const part = (name) => item.querySelector(`[data-is="${name}"]`);
  part("device").textContent = session.device ?? session.client_id;
  return { item, part, button: item.querySelector("button") };
}

function setTime(element, at) {
  element.dateTime = at;
  element.title = new Date(at).toLocaleString();
  element.textContent = ago(at);
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

function ago(at) {
  const minutes = Math.min(0, Math.round((Date.parse(at) - Date.now()) / 60_000));
  if (minutes === 0) return "just now";
  if (minutes > -60) return relative.format(minutes, "minute");
  if (minutes > -60 * 24) return relative.format(Math.round(minutes / 60), "hour");
  return relative.format(Math.round(minutes / 60 / 24), "day");
}

// ── What went wrong, in words ────────────────────────────────────────────────────────────────────

function explain(error) {
  if (!(error instanceof ApiError)) throw error; // a fault of this page's
  const wait = duration(error.retryAfter);
  if (error.status === 0) return "The server can't be reached. Are you online? Try again.";
  if (error.status === 429) return `Too many attempts. Try again in ${wait}.`;
  if (error.status === 503) return `The server is busy. Try again in ${wait}.`;
  if (error.code === "invalid_credentials") return "Wrong username or password.";
  return `${sentence(error.message)}.`;
}

function duration(seconds) {
  if (seconds < 90) return `${seconds} second${seconds === 1 ? "" : "s"}`;
  return `${Math.ceil(seconds / 60)} minutes`;
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Short message after a deed that went well; read out, as it is in a live region. */
const say = (text) => ($("done").textContent = text);

// ── Forms and buttons ────────────────────────────────────────────────────────────────────────────

function onSubmit(form, action) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.ariaBusy === "true") return; // a disabled button would lose the focus
    clearFaults(form);
    say("");
    const values = Object.fromEntries(new FormData(form));
    const empty = Object.keys(values).filter((name) => values[name] === "");
    if (empty.length) {
      showFaults(form, Object.fromEntries(empty.map((name) => [name, "is missing"])));
      return;
    }
    form.ariaBusy = "true";
    try {
      await action(values);
    } catch (error) {
      showRefusal(form, error);
    } finally {
      form.ariaBusy = "false";
    }
  });
}

function onClick(button, alertId, action) {
  button.addEventListener("click", async () => {
    if (button.ariaBusy === "true") return;
    button.ariaBusy = "true";
    try {
      await action();
    } catch (error) {
      if (tokenState()) warn($(alertId), explain(error));
    } finally {
      button.ariaBusy = "false";
    }
  });
}

function reset(form) {
  form.reset();
  clearFaults(form);
}

function clearFaults(form) {
  form.querySelector(".alert").hidden = true;
  for (const input of form.querySelectorAll("input[name]")) {
    input.removeAttribute("aria-invalid");
    $(`${input.id}-error`).textContent = "";
  }
}

function showRefusal(form, error) {
  const others = showFaults(form, error.fields ?? {});
  const said = others.length || form.querySelector("[aria-invalid]");
  const text = said ? others.join(" ") : explain(error);
  if (text) warn(form.querySelector(".alert"), text);
}

/** Each fault under its input, the first of which is focused and so read out; the other faults. */
function showFaults(form, faults) {
  const others = [];
  for (const [name, fault] of Object.entries(faults)) {
    const input = form.elements[name];
    // Some are sentences, some go on after the name: "is taken".
    const label = input?.labels[0].textContent ?? sentence(name.replaceAll("_", " "));
    const text = /^(is|can't|must)\b/.test(fault) ? `${label} ${fault}.` : sentence(fault);
    if (!input) others.push(text);
    else {
      input.ariaInvalid = "true";
      $(`${input.id}-error`).textContent = text;
    }
  }
  form.querySelector("[aria-invalid]")?.focus();
  return others;
}

/** Set after it is visible: only a change in a live region is read out. */
function warn(element, text) {
  element.textContent = "";
  element.hidden = false;
  element.textContent = text;
}

onSubmit($("login-form"), ({ username, password }) => logIn(username, password));

onSubmit($("register-form"), async (person) => {
  await register(person);
  await logIn(person.username, person.password);
});

onSubmit($("profile-form"), async (changes) => {
  showPerson(await call("PATCH", "/api/me", changes));
  say("Your profile is saved.");
});

onSubmit($("password-form"), async (passwords) => {
  try {
    await call("POST", "/api/password", passwords);
  } catch (error) {
    if (error.code === "invalid_credentials") error.fields = { current_password: "is wrong" };
    throw error;
  }
  reset($("password-form"));
  await reloadSessions();
  say("Your password is changed; your other sessions have ended.");
});

onClick($("log-out"), "account-alert", logOut);
onClick($("log-out-everywhere"), "sessions-alert", logOutEverywhere);
onClick($("try-again"), "away-why", start);
$("to-register").addEventListener("click", () => showCard("register"));
$("to-login").addEventListener("click", () => showCard("login"));

events.addEventListener("begun", showAccount);
events.addEventListener("ended", ({ detail: why }) => showSignedOut(why));
events.addEventListener("token", () => {
  const { expiresAt, source } = tokenState();
  $("token-source").textContent = source === "another tab" ? `from ${source}` : `from a ${source}`;
  $("token-expiry").textContent = new Date(expiresAt).toLocaleTimeString();
});

// The cookie is SameSite=Strict, and to a browser 127.0.0.1 and localhost are two sites.
const ownName = new URL(ISSUER).hostname;
if (ownName === "localhost" && ["127.0.0.1", "[::1]"].includes(location.hostname)) {
  location.hostname = ownName;
} else {
  start();
}
