"""The other script that people write: KerasTuner's own search, which tracks nothing."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_tuner

from benchmarks.speed.workload import BATCH_SIZE, CONFIGS, read_job, scratch

job = read_job(__doc__)
task = job.task()
data = task.load("search")


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    return task.build(CONFIGS[hp.Choice("config", list(range(len(CONFIGS))))])


tuner = keras_tuner.GridSearch(
    build, objective="val_accuracy", directory=scratch(), project_name="plain"
)
tuner.search(
    *data["train"],
    batch_size=BATCH_SIZE,
    epochs=job.epochs,
    validation_data=data["validation"],
    verbose=0,
)
