"""Questions and answers made from the headings and first paragraphs of the documentation, as chat documents."""

import random
import re

SYSTEM = ["You answer questions about Rust.", "You are a helpful assistant.", "You are Rusty, a small model that knows Rust."]
MAX_ANSWER = 900
VAGUE = re.compile(
    r"^(examples?|notes?|see also|summary|panics|safety|errors|introduction|foreword|appendix.*|overview|conclusion|usage|details"
    r"|description|history|options|environment|exit status|name|synopsis|caveats|limitations|further reading|syntax|.*\bfeatures?$"
    r"|before|after|semantics|motivation|solution|migration|tracking issue|reference|testing|building.*)$", re.I)


# What people ask about first.
POPULAR = re.compile(
    r"^book/|/(struct\.(Vec|String|HashMap|HashSet|BTreeMap|Rc|Arc|Box|RefCell|Cell|Mutex|RwLock|File|Path|PathBuf|Duration)"
    r"|enum\.(Option|Result|Ordering|Cow)|trait\.(Iterator|Clone|Copy|Drop|Default|Debug|Display|From|Into|Deref|Read|Write|Send|Sync)"
    r"|primitive\.(slice|str|array|char|bool|tuple|reference)|keyword\.\w+|macro\.\w+)\.html$")


def chat(turns, system=None):
    text = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
    for question, answer in turns:
        text += f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n"
    return text


def opening(blocks, limit=MAX_ANSWER, with_code=True):
    """The paragraphs up to the first heading that fit the limit; None when the first of them is no sentence."""
    out, size, code = [], 0, False
    for block in blocks:
        if block.startswith("#") or size + len(block) > limit:
            break
        if block.startswith("```"):
            if not with_code or code or not out:
                break
            code = True
        out.append(block)
        size += len(block)
    while out and out[-1].endswith(":"):
        out.pop()
    if not out or out[0].startswith(("```", "-", "|", "1.", "[")) or len(out[0]) < 25 or out[0][-1] not in ".!)":
        return None
    return "\n\n".join(out)


def sentence_about(name, text):
    """Puts the item's name in front of a summary such as `Appends an element.` or `A growable array.`"""
    first, _, rest = text.partition(" ")
    if first in ("A", "An", "The"):
        return f"`{name}` is {first.lower()} {rest}"
    if re.fullmatch(r"[A-Z][a-z]+s", first) and first not in ("This", "Is", "As", "Its", "Does", "Unless", "Always", "Less", "Alias", "Types"):
        return f"`{name}` {first.lower()} {rest}"
    return text


def lower_title(title):
    """A title inside a sentence: first letters small, code and acronyms as they are."""
    words = [w if w.startswith("`") or (len(w) > 1 and w[1:] != w[1:].lower()) or w == "Rust" or w == "Cargo" else w.lower()
             for w in title.split()]
    return " ".join(words)


def book_questions(book):
    """(question, answer) for the headings of one chapter."""
    blocks = book["blocks"]
    if book["book"] == "error_codes":
        match = re.search(r"E\d{4}", blocks[0])
        answer = opening([b for b in blocks[1:] if "no longer emitted" not in b], 700)
        if match and answer:
            code = match.group(0)
            yield [f"What does error {code} mean?", f"What is {code}?", f"The compiler says error[{code}]. What is wrong?"], answer
        return
    for index, block in enumerate(blocks):
        if not block.startswith("#") or "\n" in block:
            continue
        title = block.lstrip("# ").strip().rstrip(".:")
        if VAGUE.match(title) or not 3 <= len(title) <= 70 or re.match(r"[\d(]", title):
            continue
        answer = opening(blocks[index + 1:])
        if not answer:
            continue
        if title.endswith("?"):
            yield [title[0] + lower_title(title)[1:]], answer
            continue
        inner = lower_title(title)
        if re.match(r"(using|writing|creating|defining|storing|handling|installing|reading|running|converting|updating|adding|removing"
                    r"|implementing|calling|controlling|working|separating|bringing|making|refactoring|publishing|declaring)\b", inner):
            yield [f"Tell me about {inner}.", f"Can you explain {inner}?", title], answer
        elif " " not in inner and inner.endswith("s") or re.search(r"s$", inner) and len(inner.split()) <= 3:
            yield [f"What are {inner}?", f"Explain {inner}.", f"What are {inner} in Rust?"], answer
        elif len(inner.split()) <= 4:
            yield [f"What is {inner}?", f"Explain {inner}.", f"Tell me about {inner}."], answer
        else:
            yield [title, f"Tell me about {inner}."], answer


def item_questions(item):
    """(question, answer) for a standard library page and its methods."""
    name, kind = item["name"], item["kind"]
    short = name.rsplit("::", 1)[-1]
    answer = opening(item["intro"])
    if answer:
        if kind == "keyword":
            yield [f"What does the `{name}` keyword do?", f"What is the keyword `{name}` for?", f"Explain `{name}`."], answer
        elif kind == "primitive":
            yield [f"What is the type `{name}`?", f"What is {name} in Rust?"], answer
        elif kind in ("fn", "macro", "derive", "attr"):
            about = sentence_about(short, answer)
            yield [f"What does `{short}` do?", f"What is {name}?", f"How do I use `{name}`?"], about
        elif kind == "index":
            yield [f"What is the module {name}?", f"What is in `{name}`?", f"What is {name} for?"], answer
        else:
            about = sentence_about(short, answer)
            yield [f"What is {name}?", f"What is `{short}`?", f"What is a {short} in Rust?", f"Explain {short}."], about
    for method in item["methods"]:
        owner = f"{short}::{method['name']}"
        answer = opening(method["blocks"], 600)
        if not answer or method["kind"] not in ("method", "tymethod"):
            continue
        example = next((b for b in method["blocks"] if b.startswith("```rust")), None)
        if example and example not in answer and len(example) <= 350:
            answer += f"\n\nFor example:\n\n{example}"
        about = sentence_about(owner, answer)
        yield [f"What does `{owner}` do?", f"What does {owner} do?", f"How does `{method['name']}` work on {short}?"], about


def plain(question):
    return question.replace("`", "").rstrip("?.").lower()


def derived(books, items):
    """(page, question, answer) from the documentation: all forms of a question about popular pages, one of the others."""
    rng = random.Random(2)
    sources = [(book, book_questions(book)) for book in books] + [(item, item_questions(item)) for item in items]
    return [(source["page"], question, answer)
            for source, pairs in sources for forms, answer in pairs
            for question in rng.sample(forms, len(forms) if POPULAR.search(source["page"]) else 1)]


def written(text, repeat=6):
    """(page, question, answer) of the hand-written file, where `Q:` lines share the `A:` text that follows them."""
    rng = random.Random(3)
    out, forms, answer = [], [], None
    for line in text.split("\n---\n", 1)[1].split("\n") + ["Q: end"]:
        if line.startswith("Q: "):
            if answer is not None:
                for form in forms:
                    variants = [form, form, form.replace("`", ""), plain(form), form.rstrip("?.")]
                    out += [("questions.md", rng.choice(variants), "\n".join(answer).strip()) for _ in range(repeat)]
                forms, answer = [], None
            forms.append(line[3:])
        elif line.startswith("A: "):
            answer = [line[3:]]
        elif answer is not None:
            answer.append(line)
    return out


def dialogues(pairs, rng):
    """Chat documents of one to three turns in random order, some with a system message."""
    pairs = list(pairs)
    rng.shuffle(pairs)
    index = 0
    while index < len(pairs):
        count = rng.choices([1, 2, 3], [6, 3, 1])[0]
        turns = pairs[index:index + count]
        index += count
        system = rng.choice(SYSTEM) if rng.random() < 0.15 else None
        yield turns[0][0], chat([(question, answer) for _, question, answer in turns], system)
