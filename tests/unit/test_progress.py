"""What people see while a study runs."""

import io

from tests.factories import make_measurement, make_result, make_trial
from tuning.progress import Progress, duration
from tuning.study import Objective
from tuning.trial import TrialState


def test_each_end_is_a_line_with_state_value_and_time_left() -> None:
    now, stream = [0.0], io.StringIO()
    progress = Progress(Objective(), stream, clock=lambda: now[0])
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
    assert lines[2].endswith("0:10 gone, about 0:30 left  best so far")
    assert "pruned at 1" in lines[3]
    assert "best so far" not in lines[3], "a pruned trial is no candidate"
    assert "failed" in lines[4]
    assert "it broke" in lines[5]


def test_what_runs_is_told_now_and_then() -> None:
    now, stream = [0.0], io.StringIO()
    progress = Progress(Objective(), stream, clock=lambda: now[0])
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
    progress = Progress(Objective(), stream, clock=lambda: now[0])
    progress.phase("Search", 6, done=3)
    now[0] = 10
    progress.trial_started(make_trial())
    progress.trial_finished(make_trial(), make_result())
    assert "4/6" in stream.getvalue()
    assert "about 0:20 left" in stream.getvalue()


def test_a_closed_terminal_ends_no_study() -> None:
    stream = io.StringIO()
    progress = Progress(Objective(), stream)

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    progress._stream = Gone()
    progress.say("hello")


def test_durations_are_written_as_people_do() -> None:
    assert [duration(s) for s in (0, 65, 3600, 7325)] == ["0:00", "1:05", "1:00:00", "2:02:05"]
