/** What the `model` of a request names: a label, or a label pinned to one artifact (core/model_names.py). */
import { hex0x, readBase64 } from "./bytes.ts";

const HEX = /^0x[0-9a-f]{64}$/;

/** The artifact (0x-hex of its blob ID) behind the last `@`; empty when none is named there. */
export function pinOf(model: string): string {
  const at = model.lastIndexOf("@");
  if (at < 1) return "";
  const pin = model.slice(at + 1);
  if (HEX.test(pin)) return pin;
  if (!/^[A-Za-z0-9_-]{43}$/.test(pin)) return "";
  const id = readBase64(`${pin.replaceAll("-", "+").replaceAll("_", "/")}=`);
  return id?.length === 32 ? hex0x(id) : "";
}
