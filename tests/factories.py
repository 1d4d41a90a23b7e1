"""Makers of small valid objects; each argument that a test does not name has a sane value."""

from typing import Any

import yaml

from tuning.study.file import Study, parse_study
from tuning.testing.examples import make_measurement, make_result, make_trial

__all__ = ["make_measurement", "make_result", "make_study", "make_trial"]

STUDY = """
name: toy
task: tests.toy_task:ToyTask
space:
  units: {type: int, low: 2, high: 8, step: 2}
  rate: {type: float, low: 0.0, high: 0.3, step: 0.1}
fixed: {batch_size: 16}
training: {batch_size: batch_size}
baseline: {units: 2, rate: 0.0}
references:
  hand-tuned: {units: 8, rate: 0.3}
budget: {trials: 3, epochs: 2}
confirm: {seeds: 2, top_k: 1}
registered_model: toy
"""


def make_study(**changes: Any) -> Study:
    return parse_study({**yaml.safe_load(STUDY), **changes}, "study.yaml")
