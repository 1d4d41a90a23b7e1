"""Runs the examples, and writes docs/gallery.md: what each found, and a figure of its report.

Run from the repository's root, with the packages of requirements-dev.txt and Chromium::

    python -m docs.pictures.gallery              # all of them, half an hour
    python -m docs.pictures.gallery digits wine
"""

import base64
import re
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from benchmarks.machine import describe
from docs import marks
from docs.pictures.browser import chromium, keep
from docs.run import Reader

HERE = Path(__file__).parent
PAGE = HERE.parent / "gallery.md"


@dataclass(frozen=True)
class Example:
    """An example of the repository.

    Attributes:
        title: What it is.
        folder: Where its command runs.
        command: Its command.
        file: What a reader should look at.
        figure: Title of the figure of its report to show.
    """

    title: str
    folder: str
    command: str
    file: str
    figure: str


SEEDS = "Test metric by seed"
EXAMPLES = {
    "regression": Example(
        "A table and a number to predict",
        "examples/python",
        "python regression.py",
        "regression.py",
        "Predicted and true numbers on the test split, first seed",
    ),
    "digits": Example(
        "Images in ten classes, by macro-F1",
        "examples",
        "tuning tune digits.yaml",
        "digits.py",
        "Confusion matrices on the test split, first seed",
    ),
    "wine": Example(
        "A table in three classes, by log loss",
        "examples",
        "tuning tune wine.yaml",
        "wine.py",
        SEEDS,
    ),
    "diabetes": Example(
        "Regression with two inputs", "examples", "tuning tune diabetes.yaml", "diabetes.py", SEEDS
    ),
    "bikeshare": Example(
        "Counts, with a Poisson loss",
        "examples",
        "tuning tune bikeshare.yaml",
        "bikeshare.py",
        "Errors on the test split, first seed",
    ),
    "labels": Example(
        "Texts with several labels",
        "examples/python",
        "python labels.py",
        "labels.py",
        "Validation by epoch",
    ),
    "forecast": Example(
        "The next hour of a series, by an LSTM",
        "examples/python",
        "python forecast.py",
        "forecast.py",
        "Forecast and truth on the test split, first seed",
    ),
    "hypermodel": Example(
        "A script of KerasTuner",
        "examples/python",
        "python from_keras_tuner.py",
        "from_keras_tuner.py",
        SEEDS,
    ),
    "any-framework": Example(
        "A model of scikit-learn",
        "examples/python",
        "python any_framework.py",
        "any_framework.py",
        "Objective by hyperparameter",
    ),
    "nyse": Example(
        "Trading volume of the New York Stock Exchange: a textbook's network, beaten",
        ".",
        "tuning tune pipelines/nyse/study.yaml",
        "../pipelines/nyse/study.yaml",
        SEEDS,
    ),
}


def main() -> None:
    """Runs the chosen examples, and writes each as soon as it is there."""
    for name in sys.argv[1:] or EXAMPLES:
        example = EXAMPLES[name]
        print(f"{name}: {example.command}", flush=True)
        with Reader() as reader:
            began = time.monotonic()
            reader.shell(f"cd {example.folder} && {example.command}")
            seconds = time.monotonic() - began
            verdict = reader.python(
                "import tuning; study = tuning.load_study(); print(repr(study).strip()"
                ".rpartition('Verdict: ')[2].partition('\\n')[0])"
            )
            figure = reader.python(f"print(study.figures[{example.figure!r}])").strip()
            _photograph(Path(figure), HERE / "gallery" / f"{name}.png")
        _write(name, example, verdict.strip(), seconds)


def _photograph(figure: Path, target: Path) -> None:
    data = base64.b64encode(figure.read_bytes()).decode()
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 720, "height": 400})
        page.set_content(
            f'<body style="margin:0;background:#fff"><div style="padding:8px">'
            f'<img width=704 src="data:image/svg+xml;base64,{data}"></div>'
        )
        keep(page.locator("div").screenshot(), target)


def _write(name: str, example: Example, verdict: str, seconds: float) -> None:
    """Writes the part of the page between the marks of an example."""
    short = re.sub(r": (the whole interval|the interval),.*$", "", verdict)
    folder = "../examples/python" if "python" in example.folder else "../examples"
    link = f"[{example.file.rpartition('../')[2]}]({folder}/{example.file})"
    machine = describe().partition(",")[0]
    content = f"""## {example.title}

{link}, on {date.today()}: {seconds:.0f} s on two cores of an {machine}.
*{short}*

![{example.figure} of {name}](pictures/gallery/{name}.png)"""
    PAGE.write_text(marks.replaced(PAGE.read_text("utf-8"), name, content), "utf-8")


if __name__ == "__main__":
    main()
