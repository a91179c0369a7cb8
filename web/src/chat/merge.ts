// Two windows on one conversation: what each of them added is kept, as branches of one tree. Pure.
import type { Conversation, Message } from "./tree.ts";

/**
 * The conversation that holds what both sides did since `base`, which both knew. What either added stands beside the other's as
 * a branch; what either deleted is deleted with everything that followed from it. Which branch is shown is this side's affair.
 * `known` says of a message that one side lacks whether both knew it once, so that it was deleted there.
 */
export function merged(
  base: Conversation | undefined,
  theirs: Conversation,
  mine: Conversation,
  known = (id: string): boolean => base !== undefined && id in base.messages,
): Conversation {
  const messages: Record<string, Message> = {};
  const walk = (ids: readonly string[], parent: string): string[] => {
    const kept = ids.filter((id) => {
      const sides = Number(id in theirs.messages) + Number(id in mine.messages);
      return sides === 2 || (sides === 1 && !known(id));
    });
    for (const id of kept) {
      const [their, own] = [theirs.messages[id], mine.messages[id]];
      const message = joinedMessage(their, own);
      if (message === undefined) continue;
      const below = walk(union(their?.children ?? [], own?.children ?? []), id);
      messages[id] = { ...message, parent, children: below, chosen: shown(below, own, their) };
    }
    return kept;
  };
  const roots = walk(union(theirs.roots, mine.roots), "");
  const pick = <K extends keyof Conversation>(name: K): Conversation[K] =>
    base === undefined || mine[name] !== base[name] ? mine[name] : theirs[name];
  const path = pick("path");
  return {
    id: mine.id,
    ...(path === undefined ? {} : { path }),
    title: pick("title"),
    named: pick("named"),
    created: mine.created,
    updated: Math.max(mine.updated, theirs.updated),
    model: pick("model"),
    mode: pick("mode"),
    policy: pick("policy"),
    system: pick("system"),
    temperature: pick("temperature"),
    maxTokens: pick("maxTokens"),
    roots,
    chosen: shown(
      roots,
      { children: mine.roots, chosen: mine.chosen },
      { children: theirs.roots, chosen: theirs.chosen },
    ),
    messages,
  };
}

function joinedMessage(theirs: Message | undefined, mine: Message | undefined): Message | undefined {
  if (theirs === undefined || mine === undefined) return mine ?? theirs;
  if (theirs.answer === null || mine.answer === null) return mine;
  if (isBetter(theirs, mine)) return theirs;
  if (theirs.answer.receipt !== mine.answer.receipt) return mine;
  const [one, other] = [mine.answer, theirs.answer];
  return {
    ...mine,
    answer: { ...one, arrivedAt: one.arrivedAt || other.arrivedAt, provedAt: one.provedAt || other.provedAt },
  };
}

/** An answer with a receipt is never replaced by one without, nor what came by what has not come yet. */
function isBetter(theirs: Message, mine: Message): boolean {
  const [their, own] = [theirs.answer?.receipt ?? "", mine.answer?.receipt ?? ""];
  if (their !== "" || own !== "") return own === "";
  return ended(theirs) && !ended(mine);
}

function ended({ text, answer }: Message): boolean {
  return text !== "" || answer?.outcome === "failed" || answer?.outcome === "held";
}

function union(one: readonly string[], other: readonly string[]): string[] {
  return [...one, ...other.filter((id) => !one.includes(id))];
}

type Branches = Pick<Message, "children" | "chosen">;

/** Where the child that this side shows stands among `children`; the other side's where this side shows none. */
function shown(children: readonly string[], mine: Branches | undefined, theirs: Branches | undefined): number {
  for (const side of [mine, theirs]) {
    const at = children.indexOf(side?.children[side.chosen] ?? "");
    if (at >= 0) return at;
  }
  return Math.max(0, children.length - 1);
}
