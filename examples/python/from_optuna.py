"""A script of Optuna with one argument more, and the half that Optuna has not."""

import optuna
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.model_selection import train_test_split

import tuning
from tuning.integrations.optuna import MlflowCallback

x, y = load_diabetes(return_X_y=True)
x, x_test, y, y_test = train_test_split(x, y, test_size=0.25, random_state=0)
x, x_val, y, y_val = train_test_split(x, y, test_size=0.25, random_state=0)


def evaluate(params, seed):
    """Trains a model; returns truth and predictions of validation and test rows."""
    model = GradientBoostingRegressor(random_state=seed, subsample=0.8, **params).fit(x, y)
    return {"validation": (y_val, model.predict(x_val)), "test": (y_test, model.predict(x_test))}


def objective(trial):
    """Suggests hyperparameters; returns the mean squared error on validation rows."""
    params = {
        "learning_rate": trial.suggest_float("learning_rate", 1e-3, 1.0, log=True),
        "max_depth": trial.suggest_int("max_depth", 1, 6),
    }
    truth, predicted = evaluate(params, seed=0)["validation"]
    return ((truth - predicted) ** 2).mean()


study = optuna.create_study(study_name="boosting")
study.optimize(objective, n_trials=10, callbacks=[MlflowCallback(metric_name="val_mse")])
print(
    tuning.confirm(
        study,
        evaluate,
        baseline={"learning_rate": 0.1, "max_depth": 3},
        metric="rmse",
        top_k=2,
        seeds=5,
    )
)
