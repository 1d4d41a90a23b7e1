"""The names of tags, metrics and files are a contract: users filter by them."""

from enum import Enum

from tuning.tracking import keys

TAGS = """
phase searcher trial number state seed config attempt resume_from keep_checkpoint model stop_reason
failure worker reused_from candidate study kind dataset dataset_digest backend version verdict
command dataset_option workspace driver search_end gain gain_low test_accuracy gain_interval metric
behaviour_regression size_mb latency_ms run trials gate gate_reasons replaces
"""
OTHERS = {
    "mlflow.parentRunId",
    "mlflow.note.content",
    "inherited_epochs",
    "baseline",
    "tune",
    "study.yaml",
    "study_file.yaml",
    "environment.txt",
    "evaluation/predictions.npz",
    "report",
    "challenger",
    "champion",
}


def test_every_name_stays_as_it_was() -> None:
    names = {
        value
        for name, value in vars(keys).items()
        if name.isupper() and isinstance(value, str) and not isinstance(value, Enum)
    }
    assert names == {f"tuning.{tag}" for tag in TAGS.split()} | OTHERS
