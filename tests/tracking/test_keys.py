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
lock.
"""
OTHERS = {
    "mlflow.parentRunId",
    "mlflow.note.content",
    "epoch_seconds",
    "best_epoch",
    "train_seconds",
    "parameter_count",
    "inherited_epochs",
    "test_gain",
    "gain_ci_low",
    "gain_ci_high",
    "p_value",
    "trials_completed",
    "trials_pruned",
    "trials_failed",
    "trials_reused",
    "epochs_trained",
    "epochs_saved_by_pruning",
    "epochs_saved_by_continuing",
    "epochs_saved_by_reuse",
    "data.json",
    "gate",
    "curves.png",
    "history.csv",
    "failure.txt",
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


def test_names_that_contain_others() -> None:
    assert keys.best_value("val_loss") == "best_val_loss"
    assert keys.baseline_metric("test_rmse") == "baseline_test_rmse"
    assert keys.best_metric("test_rmse") == "best_test_rmse"
    assert keys.best_so_far("optuna") == "best_so_far/optuna"


def test_the_names_of_a_test_metric_come_from_the_metric() -> None:
    for name, key in (("accuracy", "accuracy"), ("top_k(k=5)", "top_k_5"), ("rmse", "rmse")):
        metric = make_metric(name)
        assert keys.test_metric(metric.key) == f"test_{key}"
        assert keys.test_metric_tag(metric.key) == f"tuning.test_{key}"
