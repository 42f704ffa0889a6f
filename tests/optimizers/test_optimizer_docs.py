"""docs/optimizers.md is what its generator makes of the docstrings, and says all about everyone."""

import importlib.util
import re
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from scratchnet import cli
from scratchnet.optimizers import OPTIMIZERS, Optimizer
from scratchnet.schedules import SCHEDULES

DOCS = Path(__file__).parents[2] / "docs"


def load_generator():
    """The generator as a module: docs/ is no package."""
    spec = importlib.util.spec_from_file_location("make_optimizers", DOCS / "make_optimizers.py")
    module = sys.modules["make_optimizers"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generator = load_generator()


@pytest.fixture(scope="module")
def page():
    return generator.page()


def rows(page, heading):
    """The rows of the first table after a heading, as lists of cells; the first is the head."""
    after = page.split(f"\n## {heading}\n")[1]
    lines = re.search(r"(?:^\|.*\n)+", after, re.M)[0].splitlines()
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[cell.strip() for cell in row] for row in (cells[0], *cells[2:])]


def test_the_page_is_up_to_date(page):
    generator.main(["--check"])
    assert (DOCS / "optimizers.md").read_text("utf-8") == page


def test_a_page_that_is_out_of_date_is_told_in_one_line_and_mended(tmp_path, monkeypatch):
    monkeypatch.setattr(generator, "PAGE", tmp_path / "optimizers.md")
    for text in (None, "", generator.page() + "\n"):
        if text is not None:
            generator.PAGE.write_text(text, "utf-8")
        with pytest.raises(SystemExit) as end:
            generator.main(["--check"])
        assert end.value.code == (
            "docs/optimizers.md is out of date; run python docs/make_optimizers.py"
        )
    generator.main([])
    generator.main(["--check"])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_there_with_formula_year_memory_lr_options_use_and_paper(name, page):
    head, *body = rows(page, "Overview")
    row = next(row for row in body if row[1].startswith(f"[{name}](#{name})"))
    year, title, update, memory, lr, options, use, paper = row
    kind = OPTIMIZERS[name]
    assert len(row) == len(head)
    assert 1950 < int(year) < 2030
    assert year in paper
    assert f"`{kind.__name__}`" in title
    assert re.search(r"`[^`]* <- [^`]*`", update)
    assert lr == ("inner's" if hasattr(kind(), "inner") else f"{kind().lr:g}")
    assert memory
    assert use
    own = {field.name for field in fields(kind)} - {field.name for field in fields(Optimizer)}
    assert own <= set(re.findall(r"`(\w+)`", options))
    section = page.split(f"\n### {name}\n")[1].split("\n###")[0]
    assert re.search(r"```text\n.* <- ", section, re.S)
    assert "\nUse it " in section


def test_the_years_rise_and_nobody_comes_twice(page):
    _, *body = rows(page, "Overview")
    years = [int(row[0]) for row in body]
    assert years == sorted(years)
    assert len({row[1] for row in body}) == len(body) == len(OPTIMIZERS)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_there_with_its_formula_or_words_and_all_options(name, page):
    head, *body = rows(page, "Schedules")
    (row,) = (row for row in body if row[0] == f"`{name}`")
    assert len(row) == len(head)
    assert row[1] or row[2]
    assert "warmup" not in row[3]


KNOWN = {
    "sgd": "0",
    "momentum": "1",
    "adam": "2",
    "amsgrad": "3",
    "adafactor": "rows + columns",
    "lookahead": "1 + inner's",
    "sam": "0 + inner's",
}


@pytest.mark.parametrize(("name", "expected"), KNOWN.items())
def test_memory_is_measured(name, expected):
    assert generator.memory(OPTIMIZERS[name]) == expected


@dataclass(repr=False)
class Half(Optimizer):
    slots = ("m",)

    def slot_shapes(self, w):
        return {"m": (w.size // 2,)}

    def rule(self, w, g, m):
        """Nothing."""

    whole = True


def test_memory_that_has_no_name_is_refused():
    with pytest.raises(ValueError, match="Half keeps 14 numbers"):
        generator.memory(Half)


@pytest.mark.parametrize(
    "text",
    [
        "Half.",
        "Half: w is changed. Use it never. Nobody 2020.",
        "Half: w <- w. Nobody 2020.",
        "Half: w <- w. Use it never. Nobody.",
        "w <- w. Use it never. Nobody 2020.",
    ],
    ids=["empty", "no formula", "no use", "no year", "no name"],
)
def test_a_docstring_without_the_form_is_named(text, monkeypatch):
    monkeypatch.setattr(Half, "__doc__", text)
    with pytest.raises(ValueError, match="the docstring of Half is not"):
        generator.entry("half", Half)


def test_a_docstring_is_taken_apart(monkeypatch):
    text = """Half Step: goes `half` of the way.

    d = |g| ... 2;  w <- w - d [x]. eps is outside. Use it as X,
    with care. Doe et al. 1999, eq. 2, after Roe 1988.
    """
    monkeypatch.setattr(Half, "__doc__", text)
    entry = generator.entry("half", Half)
    assert (entry.what, entry.year) == ("goes `half` of the way", 1999)
    assert entry.formulas == ["d = |g| ... 2", "w <- w - d [x]"]
    assert entry.updates == ["w <- w - d [x]"]
    assert entry.remarks == ["eps is outside."]
    assert entry.use == "as X, with care"
    assert entry.paper == "Doe et al. 1999, eq. 2, after Roe 1988."


SCHEDULE_DOCSTRINGS = {
    "end^p: falls (Doe et al. 1999).": ("end^p", "falls", "", "Doe et al. 1999"),
    "(1 - p) / 2 (Doe 1999, eq. 5).": ("(1 - p) / 2", "", "", "Doe 1999, eq. 5"),
    "`cosine` anew.\n\nDoe 1999,\neq. 5.": ("", "`cosine` anew", "", "Doe 1999, eq. 5"),
    "1. Use it where lr is known.": ("1", "", "where lr is known", ""),
    "Waits.\n\nFor long.": ("", "Waits", "", ""),
}


@pytest.mark.parametrize(("text", "expected"), SCHEDULE_DOCSTRINGS.items())
def test_the_docstring_of_a_schedule_is_taken_apart(text, expected):
    assert generator.schedule_words(text) == expected


def test_what_markdown_would_take_for_its_own_is_escaped():
    assert generator.prose("a_b *c* <d> [e] `f_g`") == r"a\_b \*c\* \<d> \[e\] `f_g`"
    assert generator.cell("`|w|` x") == r"`\|w\|` x"
    assert generator.code("`k` <- 1") == "`k <- 1`"


def test_every_row_of_every_table_has_as_many_cells_as_its_head(page):
    outside = re.sub(r"```.*?```", "", page, flags=re.S)
    for block in re.findall(r"(?:^\|.*\n)+", outside, re.M):
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_links_within_the_page_lead_to_a_heading(page):
    headings = {re.sub(r" ", "-", line.lower()) for line in re.findall(r"^#+ (.*)$", page, re.M)}
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= headings


COMMANDS = [
    line.split()[2:]
    for block in re.findall(r"```sh\n(.*?)```", generator.PAGE_TEXT, re.S)
    for line in block.splitlines()
]


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_a_command_of_the_page_is_one_that_the_program_takes(argv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main([*argv, "--dry-run", "-q"]) == 0
