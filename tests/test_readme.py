"""The README is one screen, its links lead somewhere, and its code is what it says."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text("utf-8")


def test_it_is_one_screen() -> None:
    lines = TEXT.splitlines()
    assert len(lines) <= 100
    assert all(len(line) <= 300 for line in lines)


def test_its_code_is_short_and_complete() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    tree = ast.parse(code)
    statements = [line for line in code.splitlines() if line.strip()]
    assert len(statements) <= 14
    assert {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} == {"build"}


def test_pages_link_only_to_files_that_exist() -> None:
    """Also all documents: a link that leads nowhere costs a reader more than a missing one."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "examples/README.md"]
    broken = []
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
        targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(
            r'(?:src|srcset)="([^"]+)"', text
        )
        for target in targets:
            path = target.partition("#")[0]
            if path and "://" not in path and not (page.parent / path).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken


def test_every_page_is_listed_in_the_index() -> None:
    folder = ROOT / "docs"
    index = (folder / "index.md").read_text("utf-8")
    pages = {str(page.relative_to(folder)) for page in folder.rglob("*.md")} - {"index.md"}
    assert not [page for page in sorted(pages) if f"({page})" not in index and "/team" not in page]


def test_the_errors_of_the_questions_are_those_of_the_code() -> None:
    questions = (ROOT / "docs/faq.md").read_text("utf-8")
    code = " ".join(path.read_text("utf-8") for path in (ROOT / "tuning").rglob("*.py"))
    code = re.sub(r'"\s*f?"', "", code)  # texts that go on in the next line
    errors = re.findall(r"^\*\*`(.+?)`\*\*", questions, re.MULTILINE)
    assert len(errors) >= 7
    filled = {"jax, tensorflow, torch": "{', '.join(BACKENDS)}", "train": "{first}"}
    for error in errors:
        for part in error.split("…"):
            text = part.strip()
            for word, name in filled.items():
                text = text if text in code else text.replace(word, name)
            assert text in code, error
