// How a program here talks with its test: one line of JSON at a time, each way.
import { webcrypto } from "node:crypto";
import { createInterface } from "node:readline";

globalThis.crypto ??= webcrypto; // Node 18 has it under this name alone

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export const settings = JSON.parse(process.env.SETTINGS);

export const say = (what) => console.log(JSON.stringify(what));

/** What the browser brought to the redirect URI: a URL, or a form that was posted there. */
export async function hear() {
  const { url, form } = JSON.parse((await lines.next()).value);
  if (form === undefined) return new URL(url);
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  return new Request(url, { method: "POST", body: form, headers });
}

/** The name that a library gives to what went wrong, and the OAuth error in it. */
export async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return `${error.constructor.name} ${error.error}`;
  }
  return "none";
}
