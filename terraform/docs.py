#!/usr/bin/env python3
"""README of each module and example, made from its own files: what `main.tf` says at its head, variables, outputs.

    terraform/docs.py            writes them
    terraform/docs.py --check    exits with 1 and names those that are not up to date

A variable or output without description, and a variable without type, is an error. The README of the root is written by
hand down to the line MARK and made from there on.
"""

import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
MARK = "<!-- made by terraform/docs.py from here on -->"
BLOCK = re.compile(r'^(variable|output) "([^"]+)" \{\n(.*?)^\}', re.M | re.S)


class Fault(Exception):
    """Something that a module lacks."""


def attribute(body, name):
    """The text of an attribute of a block, as far as its brackets go; None when it is not there."""
    found = re.search(rf"^  {name}\s+= ", body, re.M)
    if not found:
        return None
    text, depth, quoted = "", 0, False
    for place, char in enumerate(body[found.end() :], found.end()):
        if char == '"' and body[place - 1] != "\\":
            quoted = not quoted
        if not quoted:
            depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(char, 0)
            if char == "\n" and depth == 0:
                break
        text += char
    return text


def unquote(text):
    """A string of HCL without its quotes."""
    return text[1:-1].replace('\\"', '"')


def one_line(text):
    """An expression on one line, as short as it can be read."""
    text = re.sub(r"\s+", " ", re.sub(r"(\n\s*)", ", ", text))
    text = re.sub(r"([({\[]),", r"\1", text).replace(", }", " }").replace(", )", ")").replace(", ]", "]")
    return re.sub(r",( ,)+", ",", text)


def cell(text):
    """Text in a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def blocks(folder, file, kind):
    """(name, body) of the variables or outputs of a module, by name."""
    path = folder / file
    found = BLOCK.findall(path.read_text()) if path.exists() else []
    named = sorted((name, body) for what, name, body in found if what == kind)
    for name, body in named:
        missing = [key for key in (("description", "type") if kind == "variable" else ("description",)) if attribute(body, key) is None]
        if missing:
            raise Fault(f"{path.relative_to(HERE)}: {kind} {name} has no {missing[0]}")
    return named


def tables(folder):
    """The tables of variables and outputs."""
    lines = []
    variables = blocks(folder, "variables.tf", "variable")
    if variables:
        lines += ["## Variables", "", "| name | type | default | what |", "| --- | --- | --- | --- |"]
        for name, body in variables:
            default = attribute(body, "default")
            default = "needed" if default is None else f"`{cell(one_line(default))}`"
            kind = cell(one_line(attribute(body, "type")))
            lines.append(f"| `{name}` | `{kind}` | {default} | {cell(unquote(attribute(body, 'description')))} |")
        lines.append("")
    outputs = blocks(folder, "outputs.tf", "output")
    if outputs:
        lines += ["## Outputs", "", "| name | what |", "| --- | --- |"]
        lines += [f"| `{name}` | {cell(unquote(attribute(body, 'description')))} |" for name, body in outputs]
        lines.append("")
    return "\n".join(lines)


def head(folder):
    """The comment at the head of main.tf, as paragraphs."""
    lines = []
    for line in (folder / "main.tf").read_text().splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[2:])
    if not lines:
        raise Fault(f"{folder.relative_to(HERE)}/main.tf says nothing at its head")
    return "\n".join(lines)


def readme(folder):
    """The text of a folder's README."""
    if folder == HERE:
        path = folder / "README.md"
        by_hand = path.read_text().split(MARK)[0] if path.exists() else "# Terraform\n\n"
        return f"{by_hand}{MARK}\n\n{tables(folder)}"
    title = folder.name.capitalize()
    return f"# {title}\n\n{MARK}\n\n{head(folder)}\n\n{tables(folder)}".rstrip() + "\n"


def main():
    """See the module."""
    check = sys.argv[1:] == ["--check"]
    folders = [HERE, HERE / "local", *sorted((HERE / "modules").iterdir()), *sorted((HERE / "examples").iterdir())]
    stale = []
    for folder in folders:
        path, text = folder / "README.md", readme(folder)
        if not path.exists() or path.read_text() != text:
            stale.append(str(path.relative_to(HERE.parent)))
            if not check:
                path.write_text(text)
    if check and stale:
        sys.exit(f"not up to date: {', '.join(stale)}; run terraform/docs.py")
    print(f"{len(folders)} READMEs up to date" if not stale else f"written: {', '.join(stale)}")


if __name__ == "__main__":
    try:
        main()
    except Fault as fault:
        sys.exit(str(fault))
