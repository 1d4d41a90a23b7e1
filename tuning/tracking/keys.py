"""Names of the tags, metrics and files that make up the record of a study in MLflow."""

from tuning.core.trial import Phase, TrialState

PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"

PHASE = "tuning.phase"
SEARCHER = "tuning.searcher"
TRIAL = "tuning.trial"
NUMBER = "tuning.number"
STATE = "tuning.state"
SEED = "tuning.seed"
CONFIG = "tuning.config"
ATTEMPT = "tuning.attempt"
RESUME_FROM = "tuning.resume_from"
KEEP_CHECKPOINT = "tuning.keep_checkpoint"
MODEL = "tuning.model"
STOP_REASON = "tuning.stop_reason"
FAILURE = "tuning.failure"
WORKER = "tuning.worker"
REUSED_FROM = "tuning.reused_from"
CANDIDATE = "tuning.candidate"

STUDY = "tuning.study"
KIND = "tuning.kind"
DATASET = "tuning.dataset"
DATASET_DIGEST = "tuning.dataset_digest"
TEST_DIGEST = "tuning.test_digest"
LOOKS = "tuning.looks"
STAND_IN = "tuning.stand_in"
BACKEND = "tuning.backend"
VERSION = "tuning.version"
VERDICT = "tuning.verdict"
COMMAND = "tuning.command"
DATASET_OPTION = "tuning.dataset_option"
WORKSPACE = "tuning.workspace"
DRIVER = "tuning.driver"
SEARCH_END = "tuning.search_end"
CODE_CHANGES = "tuning.code_changes"
SHARED_ROWS = "tuning.shared_rows"

INHERITED = "inherited_epochs"

BASELINE = "baseline"
TUNE = "tune"
SEARCH = "search"

RUN_STATUS = {
    TrialState.COMPLETED: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAILED: "FAILED",
    TrialState.INTERRUPTED: "KILLED",
}

STUDY_FILE = "study.yaml"
WRITTEN_FILE = "study_file.yaml"
ENVIRONMENT_FILE = "environment.txt"
CODE_FILE = "code.json"
LOOKS_FILE = "evaluation/looks.json"
PREDICTIONS_FILE = "evaluation/predictions.npz"
# Of a trial whose task trains itself: its predictions of the test rows.
TEST_FOLDER = "test"
REGISTERED_FOLDER = "registry"
REPORT_FOLDER = "report"

CONFIRMED = (Phase.BASELINE, Phase.REFERENCE, Phase.CONFIRM)
TESTED = (*CONFIRMED, Phase.LONG_RUN)

CHALLENGER = "challenger"
CHAMPION = "champion"
GAIN = "tuning.gain"
GAIN_LOW = "tuning.gain_low"
INTERVAL = "tuning.gain_interval"
METRIC = "tuning.metric"
DIRECTION = "tuning.metric_direction"
BEHAVIOURS = "tuning.behaviour_regression"
SIZE = "tuning.size_mb"
LATENCY = "tuning.latency_ms"
FILES = "tuning.files_digest"
PARENT_RUN = "tuning.run"
TRIALS = "tuning.trials"
GATE = "tuning.gate"
GATE_REASONS = "tuning.gate_reasons"
REPLACES = "tuning.replaces"
# Of a registered model: the versions that were champion, oldest first.
CHAMPIONS = "tuning.champions"
# Of a version: its decisions, each under this prefix and its number.
DECISION = "tuning.decision."


def test_metric(metric: str) -> str:
    """Returns the name of a test metric in MLflow; ``metric`` is its ``Metric.key``."""
    return f"test_{metric}"


def test_metric_tag(metric: str) -> str:
    """Returns the tag of a registered version with its mean test metric."""
    return f"tuning.test_{metric}"
