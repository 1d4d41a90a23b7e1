"""The script that people write: Optuna, Keras (on TensorFlow by default), MLflow, one process."""

import os
import time

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import mlflow
import optuna

from benchmarks.speed.workload import BATCH_SIZE, CONFIGS, FIT_SECONDS, read_job

job = read_job(__doc__)
task = job.task()
data = task.load("search")
mlflow.set_tracking_uri(job.uri)
mlflow.set_experiment("plain")


class LogEpochs(keras.callbacks.Callback):  # type: ignore[misc]
    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        mlflow.log_metrics(dict(logs), step=epoch + 1)


def objective(trial: optuna.Trial) -> float:
    index = trial.suggest_int("config", 0, len(CONFIGS) - 1)
    params = CONFIGS[index]
    with mlflow.start_run(nested=True, run_name=f"trial-{trial.number}"):
        mlflow.log_params(params)
        keras.utils.set_random_seed(trial.number)
        keras.backend.clear_session()
        model = task.build(params)
        began = time.monotonic()
        history = model.fit(
            *data["train"],
            batch_size=BATCH_SIZE,
            epochs=job.epochs,
            validation_data=data["validation"],
            validation_batch_size=256,
            callbacks=[LogEpochs()],
            verbose=0,
        )
        mlflow.log_metric(FIT_SECONDS, time.monotonic() - began)
        mlflow.keras.log_model(model, name="model")
        return float(max(history.history["val_accuracy"]))


with mlflow.start_run(run_name="search"):
    study = optuna.create_study(direction="maximize")
    for index in range(len(CONFIGS)):
        study.enqueue_trial({"config": index})
    study.optimize(objective, n_trials=len(CONFIGS))
