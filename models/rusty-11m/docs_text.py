"""Turn the HTML of mdBook chapters, rustdoc items and rustdoc source views into markdown-like text."""

import re

import lxml.html

PUNCTUATION = str.maketrans({
    "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2026": "...",
    "\u00a0": " ", "\u200b": None, "\u00ad": None, "\u2011": "-", "\u2212": "-",
})
DROPPED_CLASSES = {
    "boring", "rule", "doc-anchor", "anchor", "test-arrow", "tooltip", "rightside", "since", "src",
    "item-info", "stab", "buttons", "footnote-reference", "rule-link", "railroad-production",
    "sub-heading", "rustdoc-breadcrumbs", "portability", "grammar-container", "grammar-link",
}
HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 4, "h6": 4}
CONTAINERS = {
    "div", "section", "main", "details", "blockquote", "article", "figure", "body", "center", "span", "header",
}
SKIPPED = {"script", "style", "nav", "button", "rustdoc-toolbar", "svg", "img", "iframe", "footer", "hr", "summary", "form"}


def parse(path):
    """The element that holds a page's text, or None for redirect stubs."""
    tree = lxml.html.fromstring(path.read_bytes().decode("utf-8", "replace"))
    found = tree.xpath('//section[@id="main-content"]') or tree.xpath("//main")
    return found[0] if found else None


def dropped(el):
    if not isinstance(el.tag, str) or el.tag in SKIPPED:
        return True
    return not DROPPED_CLASSES.isdisjoint((el.get("class") or "").split())


def inline(el):
    """The text inside `el` on one line, code spans in backticks."""
    parts = []

    def walk(node, in_code):
        if node.text:
            parts.append(node.text)
        for child in node:
            if not dropped(child) and child.tag not in ("ul", "ol", "pre", "table"):
                if child.tag == "code" and not in_code:
                    start = len(parts)
                    walk(child, True)
                    code = "".join(parts[start:]).strip()
                    del parts[start:]
                    parts.append(f"`{code}`" if code else "")
                elif child.tag == "br":
                    parts.append(" ")
                elif child.tag == "sup":
                    walk(child, in_code)
                else:
                    walk(child, in_code)
            if child.tail:
                parts.append(child.tail)

    walk(el, el.tag == "code")
    return re.sub(r"\s+", " ", "".join(parts)).translate(PUNCTUATION).strip()


def code_text(el):
    """Verbatim text of a code block without the lines that the book hides."""
    parts = []

    def walk(node):
        if node.text:
            parts.append(node.text)
        for child in node:
            if not dropped(child):
                if child.tag == "div":
                    parts.append("\n")
                walk(child)
            if child.tail:
                parts.append(child.tail)

    walk(el)
    lines = [line.rstrip() for line in "".join(parts).translate(PUNCTUATION).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def fence(el):
    body = code_text(el)
    if not body:
        return []
    classes = " ".join(filter(None, [el.get("class"), *(c.get("class") for c in el.iter("code"))]))
    language = re.search(r"language-(\w+)", classes)
    name = language.group(1) if language else ("rust" if "rust" in classes.split() else "text")
    return [f"```{name}\n{body}\n```"]


def list_items(el, depth):
    out = []
    for number, item in enumerate((c for c in el if c.tag == "li"), 1):
        mark = f"{number}." if el.tag == "ol" else "-"
        # Loose lists wrap their text in paragraphs, and every block after the first is indented below it.
        blocks = markdown(item, depth + 1)
        if not blocks:
            continue
        lines = "\n".join(blocks).split("\n")
        pad = "  "
        out.append("\n".join([f"{mark} {lines[0]}"] + [pad + line if line else line for line in lines[1:]]))
    return "\n".join(out)


def table(el):
    rows = []
    for row in el.iter("tr"):
        cells = [inline(c) for c in row if c.tag in ("td", "th")]
        if any(cells):
            rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def definitions(el):
    """`dt`/`dd` pairs, which is how rustdoc lists the items of a module."""
    out, term = [], None
    for child in el:
        if child.tag == "dt":
            term = inline(child)
        elif child.tag == "dd" and term:
            text = inline(child)
            if text:
                out.append(f"- `{term.strip('`')}`: {text}")
            term = None
    return "\n".join(out)


def markdown(el, depth=0):
    """The blocks of text inside `el`, each a string without surrounding blank lines."""
    blocks, run = [], []

    def flush():
        text = re.sub(r"\s+", " ", "".join(run)).translate(PUNCTUATION).strip()
        run.clear()
        if text:
            blocks.append(text)

    if el.text:
        run.append(el.text)
    for child in el:
        if not dropped(child):
            tag = child.tag
            if tag in HEADINGS:
                flush()
                text = inline(child).removeprefix("§").strip()
                if text:
                    blocks.append("#" * HEADINGS[tag] + " " + text)
            elif tag == "p":
                flush()
                text = inline(child)
                if text:
                    blocks.append(text)
            elif tag == "pre":
                flush()
                blocks += fence(child)
            elif tag in ("ul", "ol"):
                flush()
                text = list_items(child, depth)
                if text:
                    blocks.append(text)
            elif tag == "table":
                flush()
                text = table(child)
                if text:
                    blocks.append(text)
            elif tag == "dl":
                flush()
                text = definitions(child)
                if text:
                    blocks.append(text)
            elif tag in CONTAINERS and tag != "span":
                flush()
                blocks += markdown(child, depth)
            else:
                text = inline(child)
                run.append(f"`{text.strip('`')}`" if tag == "code" and text else text)
        if child.tail:
            run.append(child.tail)
    flush()
    return blocks


def joined(blocks):
    return "\n\n".join(blocks)
