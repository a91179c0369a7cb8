// The exact text of a request. It is written once, sent, kept and hashed as it is.
import { wasSealed, type Conversation, type Message, type Path } from "./tree.ts";

/** Path of the answer API that the chat uses. */
export const PATH = "/v1/chat/completions";

/**
 * The request's body for the messages that lead to an answer. Failed and withheld answers are no part of what was said. What was
 * said sealed is no part of a plain request, so that it never is sent plain.
 */
export function requestText(conversation: Conversation, messages: readonly Message[], path: Path = "plain"): string {
  const system = conversation.system.trim() === "" ? [] : [{ role: "system", content: conversation.system }];
  const said = messages
    .filter((message) => path === "sealed" || !wasSealed(message))
    .filter(
      (message) =>
        message.role === "user" ||
        (message.text !== "" && message.answer?.outcome !== "failed" && message.answer?.outcome !== "held"),
    )
    .map((message) => ({ role: message.role, content: message.text.replaceAll("\u0000", "") }));
  return JSON.stringify({
    model: conversation.model,
    messages: [...system, ...said],
    stream: true,
    ...(conversation.temperature > 0 ? { temperature: conversation.temperature } : {}),
    ...(conversation.maxTokens > 0 ? { max_tokens: conversation.maxTokens } : {}),
  });
}

/** The request's headers; `policy` asks the gateway to hold the response until it is met. */
export function requestHeaders(nonce: string, policy: string, mode: string): Record<string, string> {
  return {
    "content-type": "application/json",
    "hallmark-nonce": nonce,
    ...(policy === "" ? {} : { "hallmark-policy": policy }),
    ...(mode === "" ? {} : { "hallmark-mode": mode }),
  };
}

/** 64 hexadecimal digits of `random` (32 bytes). */
export function hexOf(random: Uint8Array): string {
  return Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
