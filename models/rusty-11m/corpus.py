"""Extract the training text from the HTML documentation that ships with a Rust toolchain.

    python corpus.py [--docs DIR] [--without NAME]... --out DIR

Writes one JSON line a document to OUT/{prose,std,code,chat}.jsonl, each with its page and its split, and OUT/corpus.json
with sizes. One page in forty is held out for validation, the chapters of the Book excepted.
Boilerplate is dropped (trait, auto-trait and blanket implementations, navigation, source links, hidden lines), and
prose that was seen before is kept once: `i8` to `u128` share their documentation, and `core` repeats `std`.
"""

import argparse
import hashlib
import json
import pathlib
import random
import re
import subprocess

import docs_text
import questions

# Read first, so that these stand for the families of numeric types whose documentation differs in numbers only.
PREFERRED = [f"primitive.{name}.html" for name in ("i32", "u32", "f64", "usize", "u8")]
# Lists, logs and platform notes: kept, but drawn as seldom as signatures.
DRY = re.compile(r"cargo/CHANGELOG|rustc/(platform-support|lints/listing|symbol-mangling|target)|^unstable-book|cargo/reference/unstable")
BOOKS = [
    "book", "nomicon", "reference", "rust-by-example", "edition-guide", "cargo", "rustc", "rustdoc", "clippy",
    "style-guide", "unstable-book", "error_codes",
]
TRANSLATIONS = {"zh", "ko", "ja", "es"}
OLD_BOOKS = {"2018-edition", "first-edition", "second-edition"}
CRATES = ["std", "alloc", "core", "proc_macro", "test"]
# Vendor intrinsics: 39,000 pages of one-line descriptions of machine instructions.
SKIPPED_MODULES = {"arch", "core_arch", "core_simd", "intrinsics", "os"}
KINDS = {
    "struct": "Struct", "enum": "Enum", "trait": "Trait", "fn": "Function", "macro": "Macro", "primitive": "Primitive type",
    "keyword": "Keyword", "union": "Union", "constant": "Constant", "type": "Type alias", "derive": "Derive macro",
    "attr": "Attribute", "static": "Static",
}
MAX_DECLARATION = 700
# Pages by these names carry terms beyond MIT OR Apache-2.0, and are never read: CC-BY-SA-4.0, Unicode-3.0 and BSD-2-Clause.
OTHER_LICENCE = {"embedded-book", "unicode_data", "fuchsia"}


def default_docs():
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    return pathlib.Path(sysroot) / "share/doc/rust/html"


def held_out(page):
    return not page.startswith("book/") and hashlib.sha1(page.encode()).digest()[0] % 40 == 0


class Seen:
    """Remembers prose by a key in which numbers and numeric type names are equal."""

    def __init__(self):
        self.keys = set()

    def first(self, text):
        key = re.sub(r"\b[iu](8|16|32|64|128|size)\b|\bf(16|32|64|128)\b", "INT", text)
        key = re.sub(r"\bNonZero(<INT>|[IU]\w+)|\bAtomic[A-Z]\w+", "INT", key)
        key = hashlib.sha1(re.sub(r"[\d\W_]+", "", key).lower().encode()).digest()
        if key in self.keys:
            return False
        self.keys.add(key)
        return True


def pages(folder, without):
    """The pages below `folder` in order, without those that have a folder or a file name (to its first dot) in `without`."""
    return [p for p in sorted(folder.rglob("*.html")) if not without & {*p.parts, p.name.split(".")[0]}]


def prose_part(blocks):
    return " ".join(b for b in blocks if not b.startswith("```"))


def book_documents(docs, seen, without):
    for book in BOOKS:
        for path in pages(docs / book, without):
            parts = path.relative_to(docs).parts
            if path.name in ("print.html", "toc.html", "404.html", "SUMMARY.html") or OLD_BOOKS & set(parts):
                continue
            if book == "rust-by-example" and TRANSLATIONS & set(parts):
                continue
            main = docs_text.parse(path)
            if main is None:
                continue
            blocks = docs_text.markdown(main)
            prose = prose_part(blocks)
            floor = 400 if book == "unstable-book" else 150
            if len(prose) < floor or not seen.first(prose):
                continue
            yield {"page": "/".join(parts), "book": book, "blocks": blocks}


def release_notes(docs):
    text = (docs / "releases.md").read_text().translate(docs_text.PUNCTUATION)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"^\[[^\]]*\]: .*\n?", "", text, flags=re.M)
    text = re.sub(r"\[([^\]]*)\]\[[^\]]*\]", r"\1", text)
    text = re.sub(r"<a id=.*?</a>", "", text)
    for part in re.split(r"\n(?=Version [\d.]+)", text):
        match = re.match(r"Version ([\d.]+)[^\n]*\n=+\n", part)
        if match:
            body = re.sub(r"\n([^\n]+)\n-+\n", r"\n## \1\n", part[match.end():])
            title = part.split("\n", 1)[0]
            yield {"page": f"releases.md#{match.group(1)}", "book": "releases",
                   "blocks": [f"# Rust {title[0].lower() + title[1:]}", re.sub(r"\n{3,}", "\n\n", body).strip()]}


def methods(main, seen):
    """Documented methods, variants and fields of an item page, trait implementations excluded."""
    out = []
    for section in main.xpath('.//section[starts-with(@class, "method") or @class="variant" or @class="associatedconstant"]'):
        if section.xpath('ancestor::*[@id="trait-implementations-list" or @id="synthetic-implementations-list"'
                         ' or @id="blanket-implementations-list" or @id="implementors-list"'
                         ' or starts-with(@id, "deref-methods")]'):
            continue
        holder = section.getparent() if section.getparent().tag == "summary" else section
        docblock = holder.getnext()
        header = section.xpath('.//*[contains(@class, "code-header")]')
        if docblock is None or "docblock" not in (docblock.get("class") or "") or not header:
            continue
        blocks = docs_text.markdown(docblock)
        if blocks and seen.first(prose_part(blocks)):
            name = re.sub(r"^(method|tymethod|variant|associatedconstant)\.|-\d+$", "", section.get("id") or "")
            out.append({"name": name, "kind": section.get("id").split(".")[0],
                        "signature": docs_text.code_text(header[0]), "blocks": blocks})
    return out


def std_documents(docs, seen):
    for crate in CRATES:
        for path in sorted((docs / crate).rglob("*.html"), key=lambda p: (p.name not in PREFERRED, p)):
            parts = path.relative_to(docs).parts
            inner = parts[1:]
            if SKIPPED_MODULES & set(inner[:-1]) or "!" in path.name:
                continue
            if crate in ("core", "alloc") and (docs / "std").joinpath(*inner).exists():
                continue
            stem = path.name.removesuffix(".html").split(".")
            if stem[0] != "index" and stem[0] not in KINDS:
                continue
            main = docs_text.parse(path)
            if main is None or not main.xpath('.//div[@class="main-heading"]'):
                continue
            module = "::".join(parts[:-1])
            if stem[0] == "index":
                name, title = module, f"Module {module}"
            elif stem[0] in ("keyword", "primitive"):
                name, title = stem[1], f"{KINDS[stem[0]]} {stem[1]}"
            else:
                mark = "!" if stem[0] == "macro" else ""
                name, title = f"{module}::{stem[1]}{mark}", f"{KINDS[stem[0]]} {module}::{stem[1]}{mark}"
            blocks = []
            for decl in main.xpath('./pre[contains(@class, "item-decl")]'):
                text = docs_text.code_text(decl)
                if len(text) <= MAX_DECLARATION:
                    blocks.append(f"```rust\n{text}\n```")
            top = main.xpath('./details[contains(@class, "top-doc")]/div[@class="docblock"]')
            intro = docs_text.markdown(top[0]) if top else []
            if intro and not seen.first(prose_part(intro)):
                intro = []
            items = [docs_text.definitions(dl) for dl in main.xpath('./dl[contains(@class, "item-table")]')]
            items = [text for text in items if len(text) > 80 and seen.first(text)]
            found = methods(main, seen)
            if not intro and not found:
                continue
            yield {"page": "/".join(parts), "kind": stem[0], "name": name, "title": title, "decl": blocks,
                   "intro": intro, "items": items, "methods": found}


def std_text(doc):
    blocks = [f"# {doc['title']}", *doc["decl"], *doc["intro"], *doc["items"]]
    for method in doc["methods"]:
        blocks += [f"## {method['name']}", f"```rust\n{method['signature']}\n```"]
        blocks += ["#" + b if b.startswith("#") and not b.startswith("####") else b for b in method["blocks"]]
    return docs_text.joined(blocks)


def source_documents(docs, seen, without):
    """Library source without its doc comments, which the item pages already hold."""
    for path in pages(docs / "src", without):
        parts = path.relative_to(docs).parts
        if {"core_arch", "tests", "benches", "stdarch", "std_detect", "test"} & set(parts) or "tests" in path.name:
            continue
        main = docs_text.parse(path)
        code = main.xpath(".//pre//code") if main is not None else []
        if not code:
            continue
        for number in code[0].xpath(".//a[@data-nosnippet]"):
            number.drop_tree()
        lines = code[0].text_content().translate(docs_text.PUNCTUATION).split("\n")
        lines = [l.rstrip() for l in lines if not re.match(r"\s*(///|//!|#!?\[(stable|unstable|rustc_|doc|must_use|cfg_attr|lang))", l)]
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
        if 500 <= len(text) and len(text) / (len(lines) + 1) < 120 and seen.first(text):
            name = "/".join(parts[1:]).removesuffix(".html")
            yield {"page": "/".join(parts), "text": f"// {name}\n\n{text[:60_000]}"}


def write(path, rows):
    """Writes the rows, each with its split; returns the sizes."""
    sizes = {"documents": 0, "characters": 0, "held_out": 0}
    with path.open("w") as file:
        for row in rows:
            row.setdefault("split", "val" if held_out(row["page"]) else "train")
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            sizes["documents"] += 1
            sizes["characters"] += len(row["text"])
            sizes["held_out"] += row["split"] == "val"
    return sizes


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--docs", type=pathlib.Path, default=None, help="the toolchain's share/doc/rust/html")
    args.add_argument("--without", action="append", default=[], metavar="NAME", help="leave out a book or a source file")
    args.add_argument("--out", type=pathlib.Path, required=True)
    args = args.parse_args()
    docs = args.docs or default_docs()
    args.out.mkdir(parents=True, exist_ok=True)
    seen, without = Seen(), OTHER_LICENCE | set(args.without)

    books = list(book_documents(docs, seen, without))
    releases = list(release_notes(docs))
    items = list(std_documents(docs, seen))
    sizes = {"toolchain": subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.strip()}
    dry = [d for d in books if DRY.search(d["page"])]
    read = [d for d in books if not DRY.search(d["page"])]
    sizes["prose"] = write(args.out / "prose.jsonl", [
        {"page": d["page"], "text": docs_text.joined(d["blocks"])} for d in read])
    sizes["std"] = write(args.out / "std.jsonl", [
        *({"page": d["page"], "text": std_text(d)} for d in items),
        *({"page": d["page"], "text": docs_text.joined(d["blocks"])} for d in dry + releases)])
    sizes["code"] = write(args.out / "code.jsonl", source_documents(docs, seen, without))
    written = (pathlib.Path(__file__).parent / "questions.md").read_text()
    rng = random.Random(1)
    dialogues = []
    for split in ("train", "val"):
        groups = [[d for d in group if held_out(d["page"]) == (split == "val")] for group in (read, items)]
        pairs = questions.derived(*groups)
        pairs += questions.written(written) if split == "train" else []
        dialogues += [{"page": page, "text": text, "split": split} for page, text in questions.dialogues(pairs, rng)]
    sizes["chat"] = write(args.out / "chat.jsonl", dialogues)
    (args.out / "corpus.json").write_text(json.dumps(sizes, indent=2) + "\n")
    print(json.dumps(sizes, indent=2))


if __name__ == "__main__":
    main()
