"""The names of tags, metrics and files are a contract: users filter by them."""

from enum import Enum

from tuning.metrics.catalogue import make_metric
from tuning.tracking import keys

TAGS = """
phase searcher trial number state seed config attempt resume_from keep_checkpoint model stop_reason
failure worker reused_from candidate study kind dataset dataset_digest backend version verdict
command dataset_option workspace driver search_end gain gain_low gain_interval metric
metric_direction behaviour_regression size_mb latency_ms run trials gate gate_reasons replaces
test_digest looks stand_in files_digest champions decision. code_changes shared_rows
"""
OTHERS = {
    "mlflow.parentRunId",
    "mlflow.note.content",
    "inherited_epochs",
    "baseline",
    "tune",
    "search",
    "test",
    "study.yaml",
    "study_file.yaml",
    "environment.txt",
    "code.json",
    "evaluation/predictions.npz",
    "evaluation/looks.json",
    "registry",
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


def test_the_names_of_a_test_metric_come_from_the_metric() -> None:
    for name, key in (("accuracy", "accuracy"), ("top_k(k=5)", "top_k_5"), ("rmse", "rmse")):
        metric = make_metric(name)
        assert keys.test_metric(metric.key) == f"test_{key}"
        assert keys.test_metric_tag(metric.key) == f"tuning.test_{key}"
