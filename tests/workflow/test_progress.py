"""What people see while a study runs."""

import io
import json

import pytest
from rich.console import Console
from rich.text import Text

from tests.factories import make_measurement, make_result, make_trial
from tuning.core.trial import Phase, TrialResult, TrialState
from tuning.study.sections import Objective
from tuning.workflow.progress import make_progress
from tuning.workflow.progress.live import LiveProgress
from tuning.workflow.progress.printers import JsonProgress, Output, Progress, QuietProgress
from tuning.workflow.progress.status import Status, duration


def test_each_end_is_a_line_with_state_value_and_time_left() -> None:
    now, stream = [0.0], io.StringIO()
    progress = Progress(Status(Objective(), lambda: now[0]), stream)
    progress.phase("Search", 4)
    for number, (values, state) in enumerate(
        [((0.5,), TrialState.COMPLETED), ((0.9,), TrialState.PRUNED), ((), TrialState.FAILED)]
    ):
        now[0] += 10
        trial = make_trial(f"random-{number:03d}")
        progress.trial_started(trial)
        progress.trial_finished(trial, make_result(values, state))
    lines = stream.getvalue().splitlines()
    assert lines[1] == "Search"
    assert "1/4  random-000" in lines[2]
    assert "completed" in lines[2]
    assert lines[2].endswith("0:10 elapsed, about 0:30 left  best so far")
    assert "pruned at 1" in lines[3]
    assert "best so far" not in lines[3], "a pruned trial is no candidate"
    assert "failed" in lines[4]
    assert "it broke" in lines[5]


def test_what_runs_is_told_now_and_then() -> None:
    now, stream = [0.0], io.StringIO()
    progress = Progress(Status(Objective(), lambda: now[0]), stream)
    progress.phase("Search", 1)
    trial = make_trial(epochs=5)
    progress.trial_started(trial)
    for step in range(1, 5):
        now[0] += 16
        progress.measured(trial, make_measurement(step))
    said = [line for line in stream.getvalue().splitlines() if "running" in line]
    assert said == ["  …  running: random-000 epoch 2/5", "  …  running: random-000 epoch 4/5"]


def test_trials_of_an_earlier_run_count_but_do_not_hurry_the_clock() -> None:
    now, stream = [0.0], io.StringIO()
    progress = Progress(Status(Objective(), lambda: now[0]), stream)
    progress.phase("Search", 6, done=3)
    now[0] = 10
    progress.trial_started(make_trial())
    progress.trial_finished(make_trial(), make_result())
    assert "4/6" in stream.getvalue()
    assert "about 0:20 left" in stream.getvalue()


def test_trials_that_are_spared_are_not_waited_for() -> None:
    now, stream = [0.0], io.StringIO()
    progress = Progress(Status(Objective(), lambda: now[0]), stream)
    progress.phase("Search", 10)
    progress.status.expect(-7)
    now[0] = 10
    progress.trial_started(make_trial())
    progress.trial_finished(make_trial(), make_result())
    assert "1/3" in stream.getvalue()
    assert "about 0:20 left" in stream.getvalue()


def test_a_closed_terminal_ends_no_study() -> None:
    stream = io.StringIO()
    progress = Progress(Status(Objective()), stream)

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    progress._stream = Gone()
    progress.say("hello")


def test_durations_are_written_as_people_do() -> None:
    assert [duration(s) for s in (0, 65, 3600, 7325)] == ["0:00", "1:05", "1:00:00", "2:02:05"]


def play(progress: Progress) -> None:
    """A baseline of two seeds, a search of three trials, and one that still runs."""
    progress.phase("Baseline and search", 6)
    for number, value in ((1, 0.80), (2, 0.82)):
        trial = make_trial(f"baseline-seed{number}", phase=Phase.BASELINE, searcher="baseline")
        progress.trial_started(trial)
        progress.trial_finished(trial, make_result((value,)))
    ends = (
        make_result((0.83,)),
        make_result((0.7,), TrialState.PRUNED),
        TrialResult(state=TrialState.COMPLETED, value=0.83, reused_from="random-000"),
    )
    for number, result in enumerate(ends):
        trial = make_trial(f"random-{number:03d}")
        progress.trial_started(trial)
        progress.trial_finished(trial, result)
    trial = make_trial("random-003", epochs=5)
    progress.trial_started(trial)
    progress.measured(trial, make_measurement(2, 0.81))
    progress.measured(trial, make_measurement(3, float("nan")))


def test_the_live_view_shows_what_runs_and_the_best_against_the_baseline() -> None:
    now, stream = [0.0], io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100)
    progress = LiveProgress(Status(Objective(), lambda: now[0]), console)
    play(progress)
    now[0] = 65.0
    with console.capture() as capture:
        console.print(progress.draw())
    progress.close()
    drawn = Text.from_ansi(capture.get()).plain
    assert "5/6 trials" in drawn
    assert "1:05 elapsed, about 0:13 left" in drawn
    assert "random-003" in drawn
    assert "epoch 3/5" in drawn
    assert "best so far: baseline 0.8100 · random 0.8300 (+0.0200) by random-000" in drawn
    assert "3 completed · 1 pruned · 1 reused" in drawn
    scrolled = Text.from_ansi(stream.getvalue()).plain
    assert "random-001                       pruned at 1" in scrolled


def test_lines_can_be_printed_after_the_live_view() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100)
    progress = LiveProgress(Status(Objective()), console)
    play(progress)
    progress.close()
    progress.conclude("Verdict: [better] than nothing")
    assert "Verdict: [better] than nothing" in stream.getvalue()


def test_json_is_an_event_a_line() -> None:
    stream = io.StringIO()
    progress = JsonProgress(Status(Objective()), stream)
    play(progress)
    progress.say("a message\nof two lines")
    progress.conclude("a table")
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == [
        "phase",
        *["trial_started", "trial_finished"] * 5,
        "trial_started",
        "epoch",
        "epoch",
        "message",
    ]
    ends = [event for event in events if event["event"] == "trial_finished"]
    assert [event["best_so_far"] for event in ends] == [False, False, True, False, False]
    assert ends[4]["reused_from"] == "random-000"
    assert events[-2]["metrics"]["val_accuracy"] is None, "JSON knows no NaN"


def test_quiet_prints_only_what_was_found() -> None:
    stream = io.StringIO()
    progress = QuietProgress(Status(Objective()), stream)
    play(progress)
    progress.conclude("Verdict: better")
    assert stream.getvalue() == "Verdict: better\n"


@pytest.mark.parametrize(
    ("output", "kind"), [("auto", Progress), ("quiet", QuietProgress), ("json", JsonProgress)]
)
def test_what_is_no_terminal_gets_lines(output: Output, kind: type[Progress]) -> None:
    assert type(make_progress(output, Objective(), io.StringIO())) is kind
