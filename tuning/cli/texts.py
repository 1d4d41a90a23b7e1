"""Longer texts of the pages that ``--help`` prints."""

HELP = """Tune Keras models, with MLflow as the memory. A study searches hyperparameters, trains
the baseline and the best again with fresh seeds, compares them once on test rows, and
promotes the best in MLflow's registry only if it is better."""

MORE = """examples:
  tuning init churn                    a new project, with a study that runs
  tuning check study.py                can the study run? trains one batch
  tuning tune study.py --trials 20     the whole study
  tuning tune study.py --resume last   goes on after a stop
  tuning ui                            MLflow, with the links to the leaderboards
  tuning promote study.py              asks the gate again

A study file is YAML or Python. Runs go to MLFLOW_TRACKING_URI, or to mlflow.db in the current
folder. `tuning COMMAND --help` explains a command. An option that is given an empty text counts
as not given.

exit codes: 0 done, 2 bad input, 3 promotion refused, 130 interrupted, 1 anything else"""

TUNE = """examples:
  tuning tune wine.py
  tuning tune wine.py --trials 20 --set compare.metric=rmse
  tuning tune --study study.yaml
  tuning tune --study study.yaml --trials 20 --epochs 8 --seeds 5
  tuning tune --study study.yaml --searchers optuna:tpe+hyperband,keras_tuner:bayesian,random
  tuning tune --study study.yaml --searchers 'optuna:tpe(n_startup_trials=8)+asha'
  tuning tune --study study.yaml --set confirm.top_k=3 --set space.units.high=256
  tuning tune --study study.yaml --dataset synthetic --timeout 600 --promote never
  tuning tune --study study.yaml --executor ray --ray-address auto --set resources.trial_gpus=0.5
  tuning tune --study study.yaml --resume last

exit codes: 0 done, also if the gate refuses; 2 bad input, 130 interrupted, 1 anything else"""

CHECK = """The baseline's model goes the whole way on a few rows: one batch of training, the
objective, the prediction, the test metric, saving and loading, and serving if the task serves.
Nothing is left in MLflow. `tuning tune` does the same at its start.

examples:
  tuning check --study study.yaml
  tuning check --study study.yaml --set compare.metric=roc_auc

exit codes: 0 the study can be run, 2 it cannot"""

JUDGE = """examples:
  tuning judge "tags.model = 'old'" "tags.model = 'new'" --metric test_rmse
  tuning judge 0f…a1,7c…9d 33…0b,e2…41 --metric accuracy --predictions test/predictions.npz

exit codes: 0 done, 2 bad input"""
