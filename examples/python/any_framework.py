"""A model of scikit-learn, trained step by step in parallel, pruned, and judged."""

from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import tuning

x, y = load_breast_cancer(return_X_y=True)
x, x_test, y, y_test = train_test_split(x, y, test_size=0.3, random_state=0)
x, x_val, y, y_val = train_test_split(x, y, test_size=0.3, random_state=0)
scaler = StandardScaler().fit(x)


def train(params, seed, report):
    """Trains with one pass over the data per step; a pruner may end it after a step."""
    model = SGDClassifier(loss="log_loss", random_state=seed, **params)
    for _ in range(10):
        model.partial_fit(scaler.transform(x), y, classes=[0, 1])
        report(model.score(scaler.transform(x_val), y_val))
    return {
        "validation": (y_val, model.predict_proba(scaler.transform(x_val))),
        "test": (y_test, model.predict_proba(scaler.transform(x_test))),
    }


result = tuning.tune(
    train=train,
    space={
        "alpha": tuning.Float(1e-6, 1.0, log=True, default=1e-4),
        "penalty": tuning.Choice(["l2", "l1", "elasticnet"], default="l2"),
    },
    metric="accuracy",
    epochs=10,
    trials=8,
    name="cells",
)
print(result)
