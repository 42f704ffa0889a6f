"""The pages of runs and comparisons: what they say, how they look, what they ask for: nothing."""

import builtins
import json
import re
import sys
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from browser import WIDTHS, Opened, needs_chromium, wait_until
from sklearn.metrics import confusion_matrix

from scratchnet import cli, load
from scratchnet.errors import ParameterError
from scratchnet.optimizers import OPTIMIZERS
from scratchnet.report import page
from scratchnet.report.page import figure_box, make_page, picture, style, table
from scratchnet.training.resuming import load_weights

BYTES = 6_000_000


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run and a comparison on the digits, with all that a page can have."""
    home = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(sys, "argv", ["train.py"])
        common = ["--epochs", "6", "--lr", "0.003", "-q"]
        more = ["--hidden", "30,20", "--batch-norm", "--schedule", "one-cycle"]
        assert cli.main([*common, *more, "--out", "run"]) == 0
        names = ["--optimizer", "sgd", "momentum", "adagrad", "adam", "--seeds", "3"]
        grid = ["--lr-grid", "0.01,0.1", "--epochs", "3", "--jobs", "1", "-q"]
        assert cli.main([*names, *grid, "--out", "comparison"]) == 0
        assert cli.main([*common, "--val-split", "0", "--hidden", "none", "--out", "plain"]) == 0
    return home


def read(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def inside(text, name):
    """What a page embeds as JSON under that id."""
    found = re.search(rf'<script type="application/json" id="page-{name}">(.*?)</script>', text)
    return json.loads(found[1])


def words(text):
    """What a reader sees of the page, without figures: its text."""
    body = re.sub(r"<(script|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    return unescape(re.sub(r"<[^>]+>", " ", body))


@pytest.mark.parametrize("name", ["run", "comparison", "plain"])
def test_a_page_is_one_file_of_less_than_6_megabytes_that_names_nothing_elsewhere(name, made):
    text = (made / name / "report.html").read_text(encoding="utf-8")
    assert len(text.encode()) <= BYTES
    ours = re.sub(r"<script>.*?</script>", "", text, count=1, flags=re.DOTALL)  # plotly.js
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", ours)
    assert "default-src 'none'" in text


def test_every_number_of_the_page_of_a_run_is_that_of_results_json(made):
    text = (made / "run" / "report.html").read_text(encoding="utf-8")
    results, history = read(made / "run/results.json"), read(made / "run/history.json")
    assert inside(text, "data") == {"results": results, "history": history}
    seen = words(text)
    for name in ("test_accuracy", "test_loss", "val_accuracy", "val_loss"):
        assert f"{results[name]:.4f}" in seen
    assert f"{results['test_accuracy']:.2%} of the 360 test samples were classified" in seen
    for end in results["test"]["interval"]:
        assert f"{end:.2%}" in seen
    for row in results["test"]["per_class"]:
        for what in ("precision", "recall", "f1"):
            assert f"{row[what]:.4f}" in seen
    for mistake in results["test"]["mistakes"]:
        told = f"{mistake['label']} predicted as {mistake['prediction']}"
        assert f"{told}, confidence {mistake['confidence']:.1%}" in seen
    figures = inside(text, "figures")
    assert figures["confusion"]["data"][0]["text"] == results["test"]["confusion"]
    bars = {each["name"]: each["y"] for each in figures["classes"]["data"]}
    for what in ("precision", "recall"):
        assert bars[what] == [row[what] for row in results["test"]["per_class"]]
    bins = results["test"]["calibration"]
    assert figures["calibration"]["data"][1]["x"] == [b["confidence"] for b in bins]
    assert figures["calibration"]["data"][1]["y"] == [b["accuracy"] for b in bins]
    for what in ("loss", "accuracy"):
        curves = {each["name"]: each["y"] for each in figures[what]["data"]}
        assert curves["training"] == [row[what] for row in history]
        assert curves["validation"] == [row[f"val_{what}"] for row in history]
    assert figures["time"]["data"][0]["y"] == [row["seconds"] for row in history]


def test_the_confusion_matrix_is_scikit_learns(made):
    network, test = load_weights(made / "run/weights.npz"), load("digits").test
    y = network.predict(test[:][0]).argmax(axis=1)
    results = read(made / "run/results.json")
    assert results["test"]["confusion"] == confusion_matrix(test.t, y).tolist()
    assert np.trace(results["test"]["confusion"]) / len(test) == results["test_accuracy"]


def test_every_number_of_the_page_of_a_comparison_is_that_of_results_json(made):
    text = (made / "comparison" / "report.html").read_text(encoding="utf-8")
    results = read(made / "comparison/results.json")
    assert inside(text, "data") == {"results": results}
    seen = words(text)
    for row in results["optimizers"]:
        assert f"{row['test_accuracy']:.4f} ± {row['interval']:.4f}" in seen
        assert f"{row['test_loss']:.4f}" in seen
    for row in results["differences"]:
        assert f"{row['difference']:+.4f} ± {row['interval']:.4f}" in seen
    figures = inside(text, "figures")
    means = figures["intervals"]["data"][1]
    assert means["x"] == [row["test_accuracy"] for row in results["optimizers"]]
    assert means["error_x"]["array"] == [row["interval"] for row in results["optimizers"]]
    rates = {each["name"]: (each["x"], each["y"]) for each in figures["rates"]["data"]}
    assert set(rates) == {row["optimizer"] for row in results["optimizers"]}
    for name, (x, y) in rates.items():
        tried = [t for t in results["tuning"] if t["optimizer"] == name]
        assert (x, y) == ([t["lr"] for t in tried], [t["val_accuracy"] for t in tried])
    assert set(figures) == {"steps", "seconds", "validation", "intervals", "rates"}


def test_a_run_has_every_figure_and_one_without_validation_or_layers_those_it_can(made):
    run = inside((made / "run/report.html").read_text(encoding="utf-8"), "figures")
    every = {"loss", "accuracy", "rate", "time", "confusion", "classes", "calibration"}
    assert set(run) == every | {"weights", "gradients", "dead", "flat"}
    plain = inside((made / "plain/report.html").read_text(encoding="utf-8"), "figures")
    assert set(plain) == every | {"weights", "gradients"}
    assert [each["name"] for each in plain["accuracy"]["data"]] == ["training"]


def test_a_page_says_how_it_was_made(made):
    seen = words((made / "run/report.html").read_text(encoding="utf-8"))
    config = read(made / "run/config.json")
    assert "python train.py --dataset digits --hidden 30,20 --seed 0 --batch-norm" in seen
    assert config["data"]["sha256"] in seen
    assert config["environment"]["numpy"] in seen
    assert config["environment"]["blas"][0]["architecture"] in seen
    for line in load_weights(made / "run/weights.npz").summary().splitlines():
        assert line in seen


def test_a_page_says_first_what_the_run_came_to_and_what_to_type_next(made):
    text = (made / "run/report.html").read_text(encoding="utf-8")
    found = read(made / "run/results.json")["verdict"]
    assert found["name"] == "improving"
    first = words(text[text.index("</h1>") : text.index("<nav")])
    said = f"{found['text'].capitalize()}. Next: {found['command']}"
    assert " ".join(first.split()).startswith(said)


def test_figures_are_what_plotly_takes(made):
    plotly = pytest.importorskip("plotly.graph_objects")
    for name in ("run", "comparison"):
        figures = inside((made / name / "report.html").read_text(encoding="utf-8"), "figures")
        for figure in figures.values():
            plotly.Figure(figure)  # raises ValueError for what it does not know


def test_a_finished_run_that_lacks_its_page_gets_the_same_one(made, monkeypatch):
    monkeypatch.chdir(made)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    before = (made / "run/report.html").read_bytes()
    (made / "run/report.html").unlink()
    assert cli.main(["--resume", "run", "-q"]) == 0
    assert (made / "run/report.html").read_bytes() == before


def test_without_plotly_a_run_works_and_says_how_to_get_its_page(here, small, monkeypatch, capsys):
    original = builtins.__import__

    def refuse(name, *rest, **options):
        if name.split(".")[0] == "plotly":
            raise ModuleNotFoundError("No module named 'plotly'", name="plotly")
        return original(name, *rest, **options)

    argv = ["--dataset", small, "--epochs", "1", "--out", "new"]
    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", refuse)
        assert cli.main(argv) == 0
    seen = capsys.readouterr()
    assert seen.out.endswith("; see new\n")
    assert seen.err == (
        "note: report.html needs plotly: pip install 'scratchnet[report]', "
        "then --resume new writes it\n"
    )
    assert not Path("new/report.html").exists()
    assert cli.main(["--resume", "new"]) == 0
    assert Path("new/report.html").exists()


def test_no_report_is_written_where_none_is_wanted(here, small, capsys):
    assert cli.main(["--dataset", small, "--epochs", "1", "--out", "new", "--no-report"]) == 0
    assert not Path("new/report.html").exists()
    assert capsys.readouterr().err == ""


def test_text_from_outside_is_never_html():
    evil = '</script><img src=x onerror="alert(1)">'
    text = make_page(
        evil,
        [table([evil], [[evil]], evil), figure_box("a", evil), picture(np.eye(2), evil)],
        {"a": {"data": [{"x": [1], "y": [1], "name": evil}], "layout": {}}},
        {"evil": evil},
    )
    assert "<img" not in re.sub(r"<script>.*?</script>", "", text, count=1, flags=re.DOTALL)
    assert inside(text, "data") == {"evil": evil}


def test_a_figure_without_a_place_is_refused():
    with pytest.raises(ParameterError, match="'b' has none"):
        make_page("t", [figure_box("a", "A")], {"b": {"data": [], "layout": {}}}, {})


def test_no_two_of_48_curves_look_alike():
    assert len({tuple(sorted(s.items())) for s in map(style, range(48))}) == 48


def test_curves_stand_out_from_both_backgrounds():
    def light(colour):
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(a, b):
        low, high = sorted((light(a), light(b)))
        return (high + 0.05) / (low + 0.05)

    backs = re.findall(r"--back: (#\w{6})", page.asset("page.css"))
    assert len(backs) == 2
    for back in backs:
        for colour in page.COLOURS:
            assert contrast(colour, back) >= 3  # WCAG 2.2, 1.4.11, of graphical objects
    for back, text in zip(backs, re.findall(r"--text: (#\w{6})", page.asset("page.css")), strict=1):
        assert contrast(text, back) >= 7
    for back, faint in zip(
        backs, re.findall(r"--faint: (#\w{6})", page.asset("page.css")), strict=True
    ):
        assert contrast(faint, back) >= 4.5


@needs_chromium
@pytest.mark.parametrize("name", ["run", "comparison", "plain"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_figure_is_drawn_without_a_request_or_a_word_on_the_console(
    name, width, scheme, made, chromium
):
    opened = Opened(chromium, made / name / "report.html", width, scheme)
    opened.require_drawn()
    opened.require_clean()
    opened.context.close()


@needs_chromium
def test_the_page_reads_and_moves_by_keyboard_and_holds_still_while_it_draws(made, chromium):
    opened = Opened(chromium, made / "run" / "report.html")
    found = opened.page.evaluate(
        """() => new Promise(done => {
          let shift = 0;
          new PerformanceObserver(list => {
            for (const entry of list.getEntries()) shift += entry.value;
          }).observe({type: "layout-shift", buffered: true});
          setTimeout(() => done(shift), 500);
        })"""
    )
    assert found < 0.01
    place = opened.page.locator("#loss")
    place.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        opened.page.keyboard.press(key)
    assert opened.page.locator("#loss .hoverlayer text").count() > 0
    reached = set()
    for _ in range(60):
        opened.page.keyboard.press("Tab")
        reached.add(opened.page.evaluate("document.activeElement.id"))
    assert {"accuracy", "rate", "confusion", "calibration"} <= reached
    opened.require_clean()
    opened.context.close()


@needs_chromium
def test_colours_follow_the_scheme_while_the_page_is_open(made, chromium):
    opened = Opened(chromium, made / "run" / "report.html")
    colour = "getComputedStyle(document.querySelector('#loss .xtick text')).fill"
    light = opened.page.evaluate(colour)
    opened.page.emulate_media(color_scheme="dark")
    wait_until(opened.page, f"{colour} !== '{light}'")
    opened.require_clean()
    opened.context.close()


@needs_chromium
def test_pictures_show_their_pixels(made, chromium):
    opened = Opened(chromium, made / "run" / "report.html")
    results = read(made / "run/results.json")
    row = results["test"]["mistakes"][0]["row"]
    image = load("digits").test.x[row].astype(float)
    expected = np.rint(255 * image / image.max())
    drawn = opened.page.evaluate(
        """() => {
          const canvas = document.querySelector("#mistakes canvas");
          const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return Array.from(pixels.data).filter((value, k) => k % 4 == 0);
        }"""
    )
    np.testing.assert_array_equal(drawn, expected)
    opened.context.close()


@needs_chromium
def test_a_run_of_one_epoch_and_a_comparison_of_all_optimizers_are_drawn(here, chromium):
    assert cli.main(["--epochs", "1", "-q", "--out", "one"]) == 0
    argv = ["--epochs", "1", "-q", "--jobs", "1", "--optimizer", *OPTIMIZERS, "--out", "all"]
    assert cli.main(argv) == 0
    for name in ("one", "all"):
        opened = Opened(chromium, here / name / "report.html", 390)
        opened.require_drawn()
        opened.require_clean()
        opened.context.close()
    figures = inside((here / "one/report.html").read_text(encoding="utf-8"), "figures")
    assert all("markers" in each["mode"] for each in figures["accuracy"]["data"])
