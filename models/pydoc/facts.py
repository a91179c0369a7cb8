"""Collect the facts that the pydoc model learns: names of the standard library, first sentences, signatures.

Everything comes from the running interpreter's own documentation (docstrings, `inspect.signature`,
`pydoc_data.topics`), so the text varies with the Python version; the version is written into the file.

    python models/pydoc/facts.py            # rewrites facts.json
"""

from __future__ import annotations

import builtins
import importlib
import inspect
import json
import platform
import re
import types
import warnings
from pathlib import Path

from pydoc_data.topics import topics

HERE = Path(__file__).resolve().parent

WHOLE_MODULES = (
    "abc array ast asyncio atexit base64 binascii bisect calendar cmath collections collections.abc colorsys "
    "concurrent.futures configparser contextlib copy csv dataclasses datetime decimal difflib email enum errno "
    "filecmp fileinput fnmatch fractions functools gc getpass glob graphlib gzip hashlib heapq hmac html "
    "html.parser http http.client http.server importlib inspect io ipaddress itertools json keyword linecache "
    "locale logging lzma math mimetypes mmap multiprocessing numbers operator os os.path pathlib pdb pickle "
    "pkgutil platform plistlib pprint pstats queue random re resource runpy sched secrets select selectors shelve "
    "shlex shutil signal site smtplib socket socketserver sqlite3 ssl stat statistics string struct subprocess "
    "symtable sys sysconfig tarfile tempfile textwrap threading time timeit token tokenize tomllib trace "
    "traceback tracemalloc types typing unicodedata unittest unittest.mock urllib urllib.parse urllib.request "
    "uuid venv warnings wave weakref webbrowser xml xml.etree.ElementTree zipapp zipfile zipimport zlib zoneinfo"
).split()
MEMBERS_OF = (
    "base64 bisect collections contextlib copy csv datetime fnmatch functools glob gzip hashlib heapq html io itertools "
    "json math os os.path pathlib pickle pprint queue random re secrets shlex shutil socket sqlite3 statistics "
    "string subprocess sys tempfile textwrap threading time traceback urllib.parse uuid warnings weakref zipfile zlib"
).split()
METHODS_OF = ("str", "list", "dict", "set", "int", "float", "tuple", "pathlib.Path")
OBSCURE = re.compile(
    r"os\.(sched_|posix_|W[A-Z]|set|memfd|eventfd|copy_file|pidfd|ctermid|fd|f[cdpst]|get(?!cwd$|env$|pid$|ppid$|login$|uid$)"
    r"|l?chflags|lchown|major|minor|makedev|pread|pwrite|read[v]|write[v]|spawn|exec|tc|unset|ttyname|wait|dup|init|list?x|lockf"
    r"|login_tty|statvfs|openpty|path|register|removex|sendfile|splice|sys|device|killpg|terminal|pipe2)"
    r"|sys\.(_|set_|setd|setp|setsw|get_|getdl|getf|getp|getsw|call|exc|unr|add|audit|is_f|break)|os\.path\.(same|getc|lex|norm)"
    r"|socket\.(CMSG|get|set|if_|send|recv|inet|Add|Soc|has_|dup|close)|base64\.(b32|standard|encode$|decode$|a85|b16|decodeb|encodeb)"
    r"|BaseExceptionGroup|EnvironmentError|IOError|copyright|credits|license|re\.(RegexFlag|template)|sqlite3\.(Prep|ad|en|reg|comp)"
    r"|time\.(clock|pthread|tzset|get_|thread)|traceback\.(?!format_exc$|print_exc$|print_stack$|extract_tb$|format_tb$)"
    r"|threading\.(ExceptH|excepth|get|set|stack|local)|tempfile\.(gettempdirb|gettempp)|warnings\.(format|show|reset|warn_)"
    r"|shutil\.(get_[au]|reg|unreg|Exec|Same)|hashlib\.(sha3_(224|384)|sha224|sha384|shake)|io\.(Inc|open_c|text_e|BufferedRa|BufferedRW)"
    r"|(float|int)\.(conj|as_)|csv\.(field|unix|excel_|get_|unreg)|pathlib\.Path\.(lchmod|link_to|is_res|is_block|is_char|as_uri|lstat)"
    r"|random\.(vonm|weib|logn|gam|beta|setst|getst|Sys)|math\.(ulp|next|frexp|ldexp|lgamma|erfc?|expm1)$|contextlib\.(acl|AsyncE|Context)"
    r"|zlib\.(\w+obj)|pickle\.PickleB|str\.(istitle|isprintable|swapcase|maketrans|format_map)|uuid\.Safe|queue\.Simple"
    r"|statistics\.(linear|corr|median_g|pvar)|heapq\.heapreplace|weakref\.(get|WeakMethod)"
)
# keyword -> (topic of the language reference, how the sentence that says what the keyword is begins)
KEYWORDS = {
    "and": ("booleans", 'The expression "x and y"'),
    "assert": ("assert", "Assert statements"),
    "async": ("async", 'Functions defined with "async def"'),
    "await": ("await", "Suspend the execution"),
    "break": ("break", '"break" may only'),
    "class": ("class", "A class definition is"),
    "continue": ("continue", '"continue" may only'),
    "def": ("function", "A function definition is"),
    "del": ("del", "Deletion of a name"),
    "elif": ("if", "It selects exactly one"),
    "else": ("if", "If all expressions are false"),
    "except": ("try", 'The "except" clause(s)'),
    "finally": ("try", 'If "finally" is present'),
    "for": ("for", 'The "for" statement is'),
    "from": ("import", 'The "from" form'),
    "global": ("global", 'The "global" statement is'),
    "if": ("if", 'The "if" statement is'),
    "import": ("import", "The basic import statement"),
    "in": ("in", 'The operators "in" and'),
    "is": ("in", 'The operators "is" and'),
    "lambda": ("lambda", "Lambda expressions"),
    "nonlocal": ("nonlocal", 'The "nonlocal" statement'),
    "not": ("booleans", 'The operator "not"'),
    "or": ("booleans", 'The expression "x or y"'),
    "pass": ("pass", '"pass" is a null'),
    "raise": ("raise", "If no expressions are"),
    "return": ("return", '"return" leaves'),
    "try": ("try", 'The "try" statement specifies'),
    "while": ("while", 'The "while" statement is'),
    "with": ("with", 'The "with" statement is'),
    "yield": ("yield", 'A "yield" statement is'),
}

MAX_SENTENCE = 150
MAX_KEYWORD_SENTENCE = 230
MAX_SIGNATURE = 64
SKIP = re.compile(r"^(alias for|see |this (class|method|function) is deprecated|internal|deprecated|\*)", re.IGNORECASE)
SIGNATURE_LINE = re.compile(r"^[\w.]+\(.*\)(\s*->.*)?\s*$")


def first_sentence(doc: str) -> str | None:
    """Return the first full sentence of a docstring in one line, or None where it has none fit to learn."""
    lines = inspect.cleandoc(doc).splitlines()
    if lines and (constructor := re.match(r"\w+\(\) -> (new empty \w+)$", lines[0])) and SIGNATURE_LINE.match(lines[1]):
        return constructor.group(1).capitalize() + "."
    while lines and (not lines[0].strip() or SIGNATURE_LINE.match(lines[0].strip())):
        lines.pop(0)
    paragraph = " ".join(" ".join(lines).split() if "" not in lines else " ".join(lines[: lines.index("")]).split())
    found = re.match(r"(.+?[.:])(?= [A-Z(]| *$)", paragraph)
    sentence = (found.group(1) if found else paragraph).rstrip(" :.;,") + "."
    sentence = re.sub(r"^[\w.]+\([^)]*\)\s*(->|--)\s*[\w .]*(--|:)?\s*", "", sentence)
    if not 14 <= len(sentence) <= MAX_SENTENCE or not sentence.isascii() or SKIP.match(sentence):
        return None
    sentence = re.sub(r"^\w+(\.py)?( module)? --? ", "", sentence)
    if re.search(r"====|^\w+(\(| = )|^An enumeration|Read \*|\. [a-z]|\w\(\) -> ", sentence):
        return None
    balanced = all(sentence.count(a) == sentence.count(b) for a, b in ("()", "[]", "{}")) and sentence.count("`") % 2 == 0
    return sentence[0].upper() + sentence[1:] if balanced and sentence[0] not in "<>*-=" else None


def signature_of(name: str, obj: object) -> str | None:
    """Return `name(parameters)` as `inspect` reports it, or None where there is none or it is unfit to learn."""
    try:
        text = str(inspect.signature(obj))  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return None
    text = text.split(" ->")[0]
    if " at 0x" in text or "<" in text or len(text) + len(name) > MAX_SIGNATURE or not text.isascii():
        return None
    return name + text


def kind_of(obj: object) -> str:
    """Name what an object is, in the word that people use in questions."""
    if isinstance(obj, types.ModuleType):
        return "module"
    if isinstance(obj, type):
        return "exception" if issubclass(obj, BaseException) else "class"
    return "function"


def fact(name: str, obj: object, *, kind: str | None = None) -> dict[str, str] | None:
    """Make one fact of an object, or None where its documentation is unfit."""
    doc = obj.__doc__
    if not isinstance(doc, str):
        return None
    sentence = first_sentence(doc)
    if sentence is None or sentence.rstrip(".").lower() == name.rpartition(".")[2].lower():
        return None
    made = {"name": name, "kind": kind or kind_of(obj), "text": sentence}
    signature = signature_of(name, obj) if made["kind"] in ("function", "method", "class") else None
    return made | ({"signature": signature} if signature else {})


def keyword_facts() -> list[dict[str, str]]:
    """Make facts of the keywords, each the sentence of the language reference that `KEYWORDS` points to."""
    facts = []
    for word, (topic, opening) in KEYWORDS.items():
        plain = " ".join(topics[topic].replace("\u2014", "-").replace("\u2019", "'").split())
        start = plain.find(opening)
        found = re.match(r'.+?(:(?= )|\.(?= [A-Z"(]|$))', plain[start:]) if start >= 0 else None
        sentence = found.group(0).rstrip(":.") + "." if found else ""
        if 30 <= len(sentence) <= MAX_KEYWORD_SENTENCE and sentence.isascii():
            facts.append({"name": word, "kind": "keyword", "text": sentence})
    return facts


def public_members(module: types.ModuleType) -> list[str]:
    """List a module's public names: `__all__`, or what carries documentation and no leading underscore."""
    names = getattr(module, "__all__", None) or [n for n in dir(module) if not n.startswith("_")]
    return sorted(set(names))


def belongs(obj: object, module: types.ModuleType) -> bool:
    """Tell whether a member is the module's own, not an import that leaked into its name space."""
    home = getattr(obj, "__module__", None) or module.__name__
    own = home.lstrip("_").split(".")[0] in (module.__name__.split(".")[0], "posix", "posixpath", "genericpath")
    return own or home.startswith("_") or (home in ("abc", "threading") and module.__name__ in ("contextlib", "queue"))


def collect() -> list[dict[str, str]]:
    """Collect every fact, sorted by name, one per name."""
    warnings.simplefilter("ignore")
    found: list[dict[str, str] | None] = list(keyword_facts())
    for name in sorted(n for n in dir(builtins) if not n.startswith("_")):
        if callable(getattr(builtins, name)) and not OBSCURE.match(name):
            found.append(fact(name, getattr(builtins, name)))
    for module_name in WHOLE_MODULES:
        module = importlib.import_module(module_name)
        found.append(fact(module_name, module))
        if module_name in MEMBERS_OF:
            for member in public_members(module):
                obj = getattr(module, member, None)
                if callable(obj) and belongs(obj, module) and not OBSCURE.match(f"{module_name}.{member}"):
                    found.append(fact(f"{module_name}.{member}", obj))
    for type_name in METHODS_OF:
        head, _, tail = type_name.rpartition(".")
        owner = getattr(importlib.import_module(head) if head else builtins, tail)
        for member in sorted(n for n in dir(owner) if not n.startswith("_")):
            if callable(getattr(owner, member)):
                found.append(fact(f"{type_name}.{member}", getattr(owner, member), kind="method"))
    unique: dict[str, dict[str, str]] = {}
    for item in found:
        if item is not None:
            unique.setdefault(item["name"], item)
    return [unique[name] for name in sorted(unique)]


def main() -> None:
    """Write facts.json beside this file."""
    facts = collect()
    table = {"python": platform.python_version(), "licence": "PSF-2.0", "facts": facts}
    (HERE / "facts.json").write_text(json.dumps(table, indent=0, ensure_ascii=True) + "\n", encoding="utf-8")
    print(len(facts), "facts;", sum("signature" in f for f in facts), "with a signature")


if __name__ == "__main__":
    main()
