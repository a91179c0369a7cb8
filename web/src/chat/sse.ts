// Server-sent events as the answer API writes them: "data: <payload>" and an empty line. Nothing else is read.

/** Takes a stream's bytes apart into payloads as they arrive; keeps every byte, because the receipt covers bytes. */
export class EventSplitter {
  private readonly decoder = new TextDecoder("utf-8", { fatal: true });
  private readonly chunks: Uint8Array[] = [];
  private rest = "";

  /** The payloads that `chunk` completes. Throws TypeError on bytes that are not UTF-8. */
  feed(chunk: Uint8Array): string[] {
    this.chunks.push(chunk);
    this.rest += this.decoder.decode(chunk, { stream: true });
    const found: string[] = [];
    let start = 0;
    for (let end = this.rest.indexOf("\n\n"); end >= 0; end = this.rest.indexOf("\n\n", start)) {
      const payload = payloadOf(this.rest.slice(start, end));
      if (payload !== undefined) found.push(payload);
      start = end + 2;
    }
    this.rest = this.rest.slice(start);
    return found;
  }

  /** Every byte that came, in one piece. */
  bytes(): Uint8Array<ArrayBuffer> {
    const whole = new Uint8Array(this.chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    let at = 0;
    for (const chunk of this.chunks) {
      whole.set(chunk, at);
      at += chunk.length;
    }
    return whole;
  }
}

/** What one event adds to an answer. */
export type Piece =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "receipt" }
  | { readonly kind: "done" }
  | { readonly kind: "error"; readonly error: unknown }
  | { readonly kind: "other" };

/** Reads one payload: text to show, the receipt's event (which can hold no text), an error, or the end. */
export function readPiece(payload: string): Piece {
  if (payload === "[DONE]") return { kind: "done" };
  let value: unknown;
  try {
    value = JSON.parse(payload);
  } catch {
    return { kind: "other" };
  }
  if (!isRecord(value)) return { kind: "other" };
  if ("error" in value) return { kind: "error", error: value };
  // What stands in the receipt's own event is covered by nothing, so it is never shown.
  if ("hallmark" in value) return { kind: "receipt" };
  const choices = value["choices"];
  const first: unknown = Array.isArray(choices) ? choices[0] : undefined;
  const delta = isRecord(first) && isRecord(first["delta"]) ? first["delta"] : undefined;
  const text = delta?.["content"];
  return typeof text === "string" && text !== "" ? { kind: "text", text } : { kind: "other" };
}

/** The whole text of an answer from its covered bytes: what was signed for, and nothing beside it. */
export function textOf(covered: Uint8Array): string {
  return new EventSplitter()
    .feed(covered)
    .map(readPiece)
    .map((piece) => (piece.kind === "text" ? piece.text : ""))
    .join("");
}

/** Whether an answer says in its covered bytes why it ended; one that was stopped does not. */
export function isFinished(covered: Uint8Array): boolean {
  return new EventSplitter().feed(covered).some((payload) => {
    if (payload === "[DONE]" || !payload.includes('"finish_reason":"')) return false;
    const value: unknown = JSON.parse(payload);
    const choices = isRecord(value) ? value["choices"] : undefined;
    return Array.isArray(choices) && choices.some((one) => isRecord(one) && typeof one["finish_reason"] === "string");
  });
}

/** True for a JSON object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function payloadOf(event: string): string | undefined {
  const lines = event.split("\n").filter((line) => line.startsWith("data:"));
  return lines.length === 0 ? undefined : lines.map((line) => line.slice(line.startsWith("data: ") ? 6 : 5)).join("\n");
}
