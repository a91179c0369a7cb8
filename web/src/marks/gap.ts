// Time as the gap from the answer's last byte.

const LONGEST_MS = 253_402_300_799_000; // the end of the year 9999, where calendars end in Python

/** A gap in words of figures: "+18 ms", "+1.2 s", "+3 min"; a minus sign when clocks differ. */
export function gapText(ms: number): string {
  const sign = ms < 0 ? "\u2212" : "+";
  const size = Math.abs(Math.round(ms));
  if (size < 1000) return `${sign}${size} ms`;
  if (size < 10_000) return `${sign}${(size / 1000).toFixed(1)} s`;
  if (size < 120_000) return `${sign}${Math.round(size / 1000)} s`;
  if (size < 7_200_000) return `${sign}${Math.round(size / 60_000)} min`;
  if (size < 172_800_000) return `${sign}${Math.round(size / 3_600_000)} h`;
  return `${sign}${Math.round(size / 86_400_000)} days`;
}

/** What stands under a mark: the gap, or "< 1 s" for a cosignature's whole second that began before the last byte. */
export function gapOf(since: number, answerAt: number): { text: string; title: string } {
  const gap = since - answerAt;
  const when = calendar(since);
  if (gap >= 0 || gap <= -1000 || since % 1000 !== 0 || when === undefined) {
    return { text: gapText(gap), title: fullTime(since, gap) };
  }
  return { text: "< 1 s", title: `in the second of ${when.slice(0, 19)} UTC, within which the last byte came` };
}

/** Date and time to the millisecond in UTC; undefined before 1970 and after the year 9999, as in Python. */
function calendar(at: number): string | undefined {
  return at >= 0 && at <= LONGEST_MS ? new Date(at).toISOString().slice(0, 23).replace("T", " ") : undefined;
}

/** The full time behind a gap: "2025-11-20 16:30:12.123 UTC, 18 ms after the last byte". */
export function fullTime(at: number, gap: number): string {
  const when = calendar(at);
  return `${when === undefined ? String(at) : `${when} UTC`}, ${Math.abs(Math.round(gap))} ms ${gap < 0 ? "before" : "after"} the last byte`;
}
