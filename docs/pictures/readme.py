"""Makes the picture of the README: what a study prints, and the head of its report.

Run from the repository's root, with the packages of requirements-dev.txt and Chromium::

    python -m docs.pictures.readme --uri sqlite:////abs/mlflow.db --run-id last
"""

import argparse
import base64
import html
import tempfile
import textwrap
from pathlib import Path

import tuning
from docs.pictures.browser import chromium

HERE = Path(__file__).parent
WIDTH = 92  # of the terminal
PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 28px; background: {back}; display: flex; gap: 28px;
  font: 16px system-ui, sans-serif; width: 1784px; box-sizing: border-box; }}
.window {{ border: 1px solid {line}; border-radius: 10px; overflow: hidden; background: {back}; }}
.bar {{ padding: 8px 14px; border-bottom: 1px solid {line}; color: {soft}; font-size: 14px; }}
pre {{ margin: 0; padding: 16px; color: {ink};
  font: 13.5px/1.42 ui-monospace, "DejaVu Sans Mono", monospace; }}
img {{ display: block; width: 100%; }}
</style>
<div class="window" style="flex: 0 0 auto">
<div class="bar">$ mlflow run . -e tune -P study=pipelines/nyse/study.yaml</div>
<pre>{text}</pre></div>
<div class="window" style="flex: 1"><div class="bar">report.html, in the run's artifacts</div>
<img src="data:image/png;base64,{report}"></div>
"""
COLOURS = {
    "light": {"back": "#ffffff", "line": "#d0d7de", "soft": "#57606a", "ink": "#1f2328"},
    "dark": {"back": "#0d1117", "line": "#3d444d", "soft": "#9da7b3", "ink": "#e6edf3"},
}


def main() -> None:
    """Takes the pictures in both colour schemes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uri", required=True, help="MLflow's store")
    parser.add_argument("--run-id", default="last", help="the study's run")
    options = parser.parse_args()
    result = tuning.load_study(options.run_id, tracking_uri=options.uri)
    text = repr(result).rpartition("\n\nRun ")[0]
    with tempfile.TemporaryDirectory() as folder:
        report = result.report(Path(folder))
        for scheme in COLOURS:
            _take(scheme, text, report, HERE / f"study-{scheme}.png")


def _take(scheme: str, text: str, report: Path, target: Path) -> None:
    with chromium() as browser:
        size = {"width": 860, "height": 560}
        context = browser.new_context(viewport=size, color_scheme=scheme)
        page = context.new_page()
        page.goto(report.as_uri())
        head = base64.b64encode(page.screenshot()).decode()
        lines = [part for line in text.splitlines() for part in _wrapped(line)]
        shown = html.escape("\n".join(lines))
        content = PAGE.format(text=shown, report=head, **COLOURS[scheme])
        page.set_viewport_size({"width": 1784, "height": 100})
        page.set_content(content)
        page.locator("body").screenshot(path=str(target))


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, WIDTH) if line.startswith("Verdict") else [line]


if __name__ == "__main__":
    main()
