"""The table of forbidden claims, as data. UI.md holds its beginning; docs/claims.md says why each row stands.

A rule forbids `words` (a regular expression over whole words, see `words`) while `when` holds of the subject.
"""

from __future__ import annotations

import re
from typing import Final

from hallmark.apps.web.claims.facts import When
from hallmark.apps.web.claims.modes import MODES
from hallmark.apps.web.claims.rule import Rule
from hallmark.apps.web.flash import DONE
from hallmark.core.marks import NEGATIVE, State

NOT_REVIEWED: Final = (State.ABSENT.value, State.NOT_REQUIRED.value, *(state.value for state in NEGATIVE))
AGE: Final = r"(\d+ ?(ms|s|min|h|d|seconds?|minutes?|hours?|days?|weeks?|months?|years?) old|age unknown)"
# What a policy asks for is no claim about what ran.
OF_POLICY: Final = r"hardware (that|which) the policy (names|allows)|not one that the policy allows"
# Pictographs and ticks: a sign says "fine" before anyone has read a word.
ICONS: Final = (
    "[\u2600-\u27bf\u2b50\u2b1b\u2b1c\u221a\u2b24\u25cf\u25c9\u2705\u2714\U0001f000-\U0001faff\ufe0f]"
)

ALWAYS: Final = (
    Rule(
        "adjectives of trust",
        r"secure|securely|secured|safe|safely|safety|trusted|trustworthy|trustless|guaranteed?|"
        r"guarantees|certified|"
        r"tamper-?proof|unbreakable|bulletproof|unhackable|(bank|military)-grade|endorsed|legit|genuine",
        "They say how to feel, not who checked what and when.",
        scope="anywhere",
        wanted=False,
    ),
    Rule(
        "verified alone",
        r"verified",
        "Say who verified what, or say nothing.",
        scope="anywhere",
        unless=(
            r"(full nodes?|browser|verifier|explorer|desk|page|gateway|node|you|quorum)\b.{0,40}\bverified",
            r"verified\b.{0,20}\b(by|here|against|in this browser|offline)\b",
        ),
    ),
    Rule(
        "approved",
        r"approved|approves|approval",
        "Nothing here approves an answer; an authority approves measurements, and that is all.",
        scope="anywhere",
        unless=(r"(measurement|image)s?\b.{0,30}\bapprov", r"approv\w+\b.{0,20}\b(measurement|image)"),
    ),
    Rule(
        "overall",
        r"overall|scores?|ratings?|rated|grade[ds]?|badges?|100 ?%|fully (checked|proved|proven|"
        r"reviewed|valid)|all clear|"
        r"all (marks )?(good|green|fine|ok)|everything (is )?(ok|fine|good|checks out)|looks good|"
        r"no problems?( found)?|"
        r"passed",
        "There is no mark of marks.",
        scope="anywhere",
        unless=(r"hours? passed|time (has )?passed|passed (this |it )?on|passed through",),
    ),
    Rule(
        "the answer is right",
        r"(answer|response|result)s? (is|are|was|were) (right|correct|accurate|true|good|sound|valid|"
        r"reliable)|"
        r"(right|correct|accurate|reliable) (answer|response|result)s?",
        "No mark says so.",
        scope="anywhere",
    ),
    Rule(
        "signs of approval",
        ICONS,
        "A tick, a lock or a thumb is an overall badge.",
        scope="anywhere",
        literal=True,
    ),
    Rule(
        "the network is well",
        r"(network|system|service|everything)s? (is|are|runs?|works?) "
        r"(up|well|healthy|fine|live|online|operational|stable|running)|"
        r"all (systems|services|parties)|uptime|healthy|"
        r"always (available|on)|highly available|\d+ (of \d+ )?registered slots? can",
        "Say of whom it was heard, when and by whom; a registration answers nobody.",
        scope="anywhere",
    ),
    Rule(
        "paid means proved",
        r"(paid|settled|charged),? (and|so|therefore|means|=) (proved|proven|verified|witnessed|final)|"
        r"proof of payment|paid for and proved|"
        r"(proved|proven|verified|checked|witnessed) (by|because of|through|thanks to) "
        r"(the |a |its |this )?(payment|charge|settlement|price)|"
        r"(payment|charge|settlement|price)s? (proves?|verif(y|ies)|confirms?|vouch(es)?)|"
        r"(pays?|paid|charged?|buys?|bought) (for )?(a |the )?(proof|good answer|right answer|check)",
        "A payment proves nothing.",
        scope="anywhere",
    ),
    Rule(
        "acts that nobody did",
        "|".join(re.escape(told.split(". ")[0].rstrip(".")) for told in DONE.values()),
        "An act is told by its own answer to its own session; an address can be written by anybody.",
        When(undone=True),
        scope="anywhere",
        literal=True,
    ),
)

RAN: Final = (
    Rule(
        "ran below witnessed",
        r"attested|verified|proven|confidential|confidentially|confidentiality|measured enclave",
        "The node alone says what ran.",
        When("ran", below="witnessed"),
        unless=(r"(full nodes?|browser|verifier|explorer|desk|page|quorum|you)\b.{0,40}\bverified",),
    ),
    Rule(
        "ran simulated: hardware",
        r"hardware|secure enclaves?|TEEs?|trusted execution( environment)?|confidential computing|"
        r"nitro|tdx|sev(-snp)?",
        "Simulated hardware protects from nobody who runs the host.",
        When(assurance=("simulated",)),
        beside=(r"simulated|simulates|emulated|development",),
        unless=(OF_POLICY,),
    ),
    Rule(
        "ran simulated: attested",
        r"attested|confidential|confidentially|confidentiality|measured enclave",
        "The document comes from an emulated module, whatever its state.",
        When(assurance=("simulated",)),
        beside=(r"simulated|emulated|development",),
    ),
    Rule(
        "ran without hardware",
        r"hardware( evidence)?|secure enclaves?|trusted execution( environment)?|"
        r"confidential computing|attested",
        "No evidence of any hardware is there.",
        When(assurance=("none", "")),
        beside=(r"simulated",),
        unless=(OF_POLICY,),
    ),
    Rule(
        "ran simulated: who could read",
        r"(did|does|do|could|can|would)( not|n't) (see|read)|cannot (see|read)|never (saw|sees|reads?)|"
        r"(not|never) (been )?(seen|read)( in clear)?( by)?|(saw|sees|reads) nothing",
        "Who runs the host of simulated hardware could read what its enclave reads.",
        When(assurance=("simulated", "none")),
        about=("node", "host", "operator"),
    ),
    Rule(
        "ran of a provider: ran",
        r"ran (this|it|the (model|request|prompt|answer))",
        "The enclave passed a provider's answer on; what ran the model is out of sight.",
        When(asserted=True),
        unless=(r"what ran the model was not measured",),
    ),
    Rule(
        "ran of a provider: passed on",
        r"passed (this|it|the answer) on from an enclave|an enclave of node",
        "Beside the measured enclave stands what was not measured.",
        When(asserted=True),
        beside=(r"passed (this|it|the answer) on", r"what ran the model was not measured"),
        literal=True,
    ),
)

MODEL: Final = (
    Rule(
        "model asserted: artifact",
        r"{artifact}\S*",
        "A provider that asserts a name has shown no artifact.",
        When(asserted=True),
        literal=True,
    ),
    Rule(
        "model asserted: label",
        r"{label}",
        "A label without who asserts it reads like a measured model.",
        When(asserted=True),
        beside=(r"asserted by",),
        literal=True,
    ),
)

ROUTE: Final = (
    Rule(
        "route plain",
        r"private|privately|privacy|sealed|end-to-end|e2ee?|anonymous|anonymously|nobody (else )?(saw|"
        r"read)|only you",
        "On the plain path the gateway and the node's host saw the prompt.",
        When(path=("plain",)),
        unless=(r"private keys?",),
    ),
    Rule(
        "route direct",
        r"anonymous|anonymously|nobody (else )?(saw|read)|only you",
        "A direct path shows who is asking.",
        When(path=("direct",)),
    ),
    Rule(
        "route sealed: more than sealed",
        r"(you|yours|senders?|askers?|clients?|requests?|questions?) (is|are|was|were|stays?|"
        r"remains?) anonymous|anonymously|untraceable|unlinkable|(nobody|no one|no-one) (else )?(saw|"
        r"sees|read|reads|knows|can (see|read|know))|only you|end-to-end|e2ee?|zero[- ]knowledge|"
        r"(complete|completely|fully|total|totally) private",
        "Relay, enclave, upstream and everybody who reads the log saw what they saw.",
        When(path=("sealed",)),
    ),
    Rule(
        "route sealed: to what hardware",
        r"sealed to (a|an|the|its|this) (key|node|enclave|hardware)",
        "Who runs the host of simulated hardware could read what was sealed.",
        When(path=("sealed",), assurance=("simulated", "none")),
        beside=(r"simulated|no evidence|could read|vouches",),
    ),
    Rule(
        "sealed means good",
        r"(sealed|private),? (and|so|therefore|thus|means|=) (the answer is )?(right|correct|good|"
        r"proved|proven|verified|checked|witnessed|true)|"
        r"sealed (answers?|responses?|results?)|(answers?|responses?|results?) (is|are|was|were) sealed",
        "What was sealed is how a request travelled; it says nothing about what came back.",
        scope="anywhere",
    ),
)

INPUTS: Final = (
    Rule(
        "inputs preserved",
        r"context|knowledge|memory|memories|remembers|remembered|recalled|recalls",
        "What was kept is not what was validated.",
        When(preserved=True),
        beside=(AGE, r"not re-validated"),
        unless=(r"in this browser|on this device|model's memory|context (window|length)",),
    ),
)

PAID: Final = (
    Rule(
        "paid: covered",
        r"covered|insured|refundable|warranty|warranted|backed|escrowed|settled",
        "A payment buys an attempt.",
        scope="mark",
        question="paid",
    ),
    Rule(
        "paid: promises",
        r"(payment|charge|price|amount|fee|cost)s? (is |are |was |were )?(covered|insured|backed|"
        r"settled|final)|"
        r"money[- ]back",
        "A payment buys an attempt.",
    ),
    Rule(
        "paid: untraceable",
        r"untraceable|cannot be traced|(can|will) never be (found|traced|known)|"
        r"(fully|perfectly|completely|truly) anonymous",
        "An issuer knows who bought tokens, and time and amounts can give a payer away.",
    ),
    Rule(
        "paid: words of others",
        r"attested|witnessed|anchored|checked( here)?|proved|proven|verified|final|settled|absent|"
        r"claimed|stale|"
        r"disputed|revoked|failed|not required",
        "A word that `ran` or `proved` uses lends them to money.",
        scope="word",
        question="paid",
        literal=True,
    ),
)

PROVED: Final = (
    Rule(
        "proved below witnessed",
        r"settled|settlement|finali[sz]ed|(?-i:final)|proven|on the ledger|immutable|irreversible|confirmed",
        "No quorum has checked it.",
        When("proved", below="witnessed"),
        # What a vault's contract did with money is its own fact, and named as its.
        unless=(r"\bvault\b.{0,80}\b(settled|settlement)", r"\b(settled|settlement)\b.{0,80}\bvault"),
    ),
    Rule(
        "proved below witnessed: its mark",
        r"(quorum|full nodes) (of full nodes )?(has |have )?(checked|cosigned|witnessed|verified|confirmed)",
        "No quorum has checked it, whatever full nodes checked about another mark.",
        When("proved", states=("absent", "not_required", "claimed", "checked")),
        scope="mark",
        question="proved",
    ),
    Rule(
        "proved below anchored",
        r"on-?chain|on the chain|on the blockchain|blockchain|anchored on",
        "No chain holds a checkpoint that covers it.",
        When("proved", below="anchored"),
    ),
    Rule(
        "nothing anchored",
        r"the chain holds",
        "No chain holds a checkpoint that covers it, or any other fact about it.",
        When(nothing="anchored"),
    ),
    Rule(
        "proved: objections",
        r"undisputed|uncontested|no objections?( stands?)?",
        "An objection stands.",
        When("proved", states=tuple(state.value for state in NEGATIVE)),
    ),
)

REVIEWED: Final = (
    Rule(
        "reviewed absent",
        r"approved|endorsed|vetted|peer-reviewed|(was|were|is|has been|have been|been) (reviewed|"
        r"vetted|accepted)|"
        r"reviewed (by|and)|judged (the answer )?fit|thumbs[- ]?up|signed off",
        "Nobody has judged the answer, or those who did do not say that it is fit.",
        When("reviewed", states=NOT_REVIEWED),
    ),
    Rule(
        "reviewed absent: its mark",
        r"checked|approved|safe|accepted|verified|reviewed by",
        "The mark itself may not borrow a word from a machine's check.",
        When("reviewed", states=(State.ABSENT.value, State.NOT_REQUIRED.value)),
        scope="mark",
        question="reviewed",
    ),
)

ITEM: Final = (
    Rule(
        "HOLD: controls",
        r"copy|copies|export|as JSON|share|download|forward|publish|print|pdf|use (it|this|the answer)|"
        r"proceed|continue|next step|"
        r"release|pay( out)?|settle|deliver|send (on|to|the answer)|accept",
        "What is handed on out of HOLD has to say so itself.",
        When(item=("HOLD",)),
        scope="control",
        beside=(r"HOLD",),
        literal=True,
    ),
    Rule(
        "HOLD: words",
        r"cleared|released|accepted|all set|ready to use|good to go|done|(?-i:is CLEAR|now CLEAR|"
        r"is FINAL|now FINAL)",
        "Only the evaluator clears, and it has not.",
        When(item=("HOLD",)),
        beside=(r"(?-i:HOLD)",),
        unless=(r"item\.(cleared|released|final)",),
    ),
    Rule(
        "HOLD: meets",
        r"meets|satisfies|fulfils|(policy|policies|terms|requirements?) (is|are|was|were) (met|satisfied|"
        r"fulfilled)",
        "Beside HOLD a policy that is met reads as if the item were let go.",
        When(item=("HOLD",)),
        # A row about an earlier decision says which it was.
        beside=(r"(?-i:CLEAR)",),
    ),
    Rule(
        "REJECTED: words",
        r"cleared|released|accepted|all set|ready to use|good to go|(?-i:is CLEAR|now CLEAR|is FINAL|"
        r"now FINAL)",
        "It ended without being cleared.",
        When(item=("REJECTED",)),
        beside=(r"(?-i:REJECTED)",),
        unless=(r"item\.(cleared|released|final)",),
    ),
)

RULES: Final[tuple[Rule, ...]] = (
    *ALWAYS,
    *RAN,
    *MODES,
    *MODEL,
    *ROUTE,
    *INPUTS,
    *PAID,
    *PROVED,
    *REVIEWED,
    *ITEM,
)
