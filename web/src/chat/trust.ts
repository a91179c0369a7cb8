// The trust file, pinned on first use: whoever can change it can change what this page believes, so a change is shown.
import type { Records } from "./database.ts";
import { isRecord } from "./sse.ts";

/** A trust file: exact JSON text, SHA-256 of its bytes (64 hexadecimal digits), and when it was pinned (unix ms). */
export interface Pin {
  readonly text: string;
  readonly sha256: string;
  readonly at: number;
}

/** What is believed, and what the server offers now if that differs. */
export interface TrustState {
  readonly pin: Pin;
  readonly offered: Pin | undefined;
  readonly first: boolean;
}

const NAME = "trust-pin";

/** Compares what the server offers with the pin; pins it if there is none. */
export async function settleTrust(records: Records, offered: Pin): Promise<TrustState> {
  const found = await records.get("keys", NAME);
  if (!isPin(found)) {
    await records.write([{ store: "keys", name: NAME, value: offered }]);
    return { pin: offered, offered: undefined, first: true };
  }
  return { pin: found, offered: found.sha256 === offered.sha256 ? undefined : offered, first: false };
}

/** Accepts another trust file, by a person's click. */
export async function acceptTrust(records: Records, pin: Pin): Promise<TrustState> {
  await records.write([{ store: "keys", name: NAME, value: pin }]);
  return { pin, offered: undefined, first: false };
}

/** A trust file's text as it would be pinned at `at`. */
export async function pinOf(text: string, at: number): Promise<Pin> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  const sha256 = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { text, sha256, at };
}

/** The names of the members in which two trust files differ, in words that a person can compare. */
export function differences(before: string, after: string): string[] {
  const [one, other] = [members(before), members(after)];
  const names = [...new Set([...Object.keys(one), ...Object.keys(other)])].sort();
  return names.filter((name) => JSON.stringify(one[name]) !== JSON.stringify(other[name]));
}

/** The names of the clearing policies that a trust file holds. */
export function policyNames(text: string): string[] {
  const policies = members(text)["policy"];
  return Array.isArray(policies)
    ? policies
        .filter(isRecord)
        .map((policy) => String(policy["name"] ?? ""))
        .filter((name) => name !== "")
    : [];
}

/** The questions that a policy of the trust file waives. */
export function waiverOf(text: string, name: string): { name: string; not_required: string[] } | undefined {
  const policies = members(text)["policy"];
  const found = Array.isArray(policies)
    ? policies.filter(isRecord).find((policy) => policy["name"] === name)
    : undefined;
  const waived = found?.["not_required"];
  return found === undefined ? undefined : { name, not_required: Array.isArray(waived) ? waived.map(String) : [] };
}

function members(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : {};
  } catch {
    return {};
  }
}

function isPin(value: unknown): value is Pin {
  return isRecord(value) && typeof value["text"] === "string" && typeof value["sha256"] === "string";
}
