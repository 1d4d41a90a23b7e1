"""A study of PyTorch, where no backend of Keras is installed but that one."""

import os
from pathlib import Path

import pytest

from tests.release.test_installation import make_environment, run, wheel

__all__ = ["wheel"]
pytestmark = [pytest.mark.full, pytest.mark.timeout(3000)]

SCRIPT = """
import torch
import tuning

torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
x = torch.randn(400, 5, generator=generator)
y = (x @ torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0]) > 0).long()

def train(params, seed, report):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(
        torch.nn.Linear(5, params["units"]), torch.nn.ReLU(), torch.nn.Linear(params["units"], 2)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=params["lr"])
    for epoch in range(5):
        loss = torch.nn.functional.cross_entropy(model(x[:200]), y[:200])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            answer = model(x).softmax(1)
        report((answer[200:300].argmax(1) == y[200:300]).float().mean().item())
    return {
        "validation": (y[200:300].numpy(), answer[200:300].numpy()),
        "test": (y[300:].numpy(), answer[300:].numpy()),
    }

result = tuning.tune(
    train=train,
    space={
        "units": tuning.Int(2, 32, default=2),
        "lr": tuning.Float(1e-4, 1e-1, log=True, default=1e-4),
    },
    metric="accuracy",
    trials=6,
    epochs=5,
    name="torch",
)
print("FOUND", result.verdict, result.curves()["epoch"].max())
"""


def test_a_model_of_pytorch_is_searched_and_judged(wheel: Path, tmp_path: Path) -> None:
    # A local wheel without CUDA is a tenth of what the index has.
    links = os.environ.get("PIP_FIND_LINKS", "")
    local = sorted(Path(links).glob("torch-*cpu*.whl")) if links else []
    programs = make_environment(
        tmp_path / "venv", str(wheel), str(local[-1] if local else "torch")
    )
    (tmp_path / "study.py").write_text(SCRIPT)
    output = run(programs / "python", "study.py", cwd=tmp_path, HOME=os.environ["HOME"])
    assert "FOUND better 5" in output
