"""The form of the pages: whom each is for, how long it is, and that links lead somewhere."""

import importlib
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
KINDS = ("guide", "reference", "explanation", "lab")
PAGES = [page for kind in KINDS for page in sorted((DOCS / kind).rglob("*.md"))]
OTHERS = [ROOT / "README.md", DOCS / "README.md", ROOT / "findings" / "README.md"]
GENERATORS = sorted((DOCS / "generators").glob("*.md"))
EVERYTHING = PAGES + OTHERS + GENERATORS
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^    .*$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@cache
def prose(page: Path) -> str:
    """The text of a page without its code."""
    return INDENTED.sub("", FENCED.sub("", page.read_text(encoding="utf-8")))


def links(page: Path) -> list[tuple[Path, str]]:
    """Targets of relative links: file and heading, each may be the page's own or none."""
    found = [target for target in LINK.findall(prose(page)) if not re.match(r"[a-z]+:", target)]
    parts = [target.partition("#") for target in found]
    return [((page.parent / path).resolve() if path else page, heading) for path, _, heading in parts]


def anchors(page: Path) -> set[str]:
    """What headings of a page are called in links."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_there_are_pages_of_every_kind():
    assert {page.parent.name for page in PAGES} == set(KINDS)
    assert not [name(page) for page in DOCS.glob("*.md") if page.name != "README.md"]


@pytest.mark.parametrize("page", [*PAGES, *OTHERS, DOCS / "generators" / "README.md"], ids=name)
def test_the_first_line_says_whom_a_page_is_for(page):
    title, empty, first = page.read_text(encoding="utf-8").splitlines()[:3]
    assert re.fullmatch(r"# \S.*", title)
    assert empty == ""
    assert re.match(r"For (people|programmers|everyone)\b", first)


@pytest.mark.parametrize("page", sorted((DOCS / "guide").glob("*.md")), ids=name)
def test_a_page_of_the_guide_is_short(page):
    if page.name == "python.md":  # written from the docstrings: as long as there are public names
        return
    assert len(page.read_text(encoding="utf-8").splitlines()) <= 120


def test_the_readme_fits_on_a_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 125


def test_the_results_are_short():
    """In words, those of tables and commands too; the dashes and lines of tables are none."""
    text = (DOCS / "lab" / "results.md").read_text(encoding="utf-8")
    words = [word for word in text.split() if re.search(r"\w", word)]
    assert 500 < len(words) <= 1500


@pytest.mark.parametrize("page", EVERYTHING, ids=name)
def test_links_lead_somewhere(page):
    for target, heading in links(page):
        assert target.exists(), target
        assert target.is_relative_to(ROOT), target
        assert not heading or heading in anchors(target), f"{target.name}#{heading}"


def test_every_page_is_reachable_from_the_index():
    seen, todo = set[Path](), [DOCS / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        todo += [target for target, _ in links(page)]
    missing = {page.resolve() for page in PAGES + GENERATORS} - {page.resolve() for page in seen}
    assert not missing


def test_every_picture_is_shown():
    shown = {target for page in EVERYTHING for target, _ in links(page) if target.suffix == ".png"}
    assert shown == {path.resolve() for path in (DOCS / "images").glob("*.png")}


SOURCES = sorted((ROOT / "htgen").rglob("*.py"))
CHANGELOG = ROOT / "CHANGELOG.md"
NAMING = [*(page for page in EVERYTHING if page.name != "config.md"), CHANGELOG, *SOURCES]
"""Files that name others. What earlier releases are said to have may be gone."""


def text_that_names(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    return text.split("\n## [0.")[0] if page == CHANGELOG else text


@pytest.mark.parametrize("page", NAMING, ids=name)
def test_files_that_are_named_exist(page):
    """Paths in backquotes or commands that begin in a folder of this project."""
    folders = "htgen|docs|tests|examples|benchmarks"
    for path in re.findall(rf"(?<![\w/.])((?:{folders})/[\w./-]+\.(?:py|md|png))", text_that_names(page)):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", NAMING, ids=name)
def test_python_names_in_backquotes_exist(page):
    for dotted in re.findall(r"`(htgen(?:\.\w+)+)[`(]", text_that_names(page)):
        assert exists(dotted), dotted


@cache
def exists(dotted: str) -> bool:
    """Whether there is such a module, or such a name in one."""
    parts = dotted.split(".")
    found: object = importlib.import_module(parts[0])
    for count, part in enumerate(parts[1:], start=2):
        file = ROOT.joinpath(*parts[:count])
        if file.is_dir() or file.with_suffix(".py").exists():
            found = importlib.import_module(".".join(parts[:count]))
        elif hasattr(found, part):
            found = getattr(found, part)
        else:  # a field without a default
            return count == len(parts) and part in getattr(found, "__dataclass_fields__", {})
    return True


@pytest.mark.parametrize("page", EVERYTHING, ids=name)
def test_commits_stand_in_tables_only(page):
    text = "\n".join(line for line in prose(page).splitlines() if not line.startswith("|"))
    assert not re.findall(r"\b(?=\d*[a-f])(?=[a-f]*\d)[0-9a-f]{7}\b", text)
