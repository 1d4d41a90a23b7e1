"""Contract tests for authors of searchers and executors; they need pytest.

A test module proves a searcher in five lines::

    from tuning.testing import SearcherContract

    class TestMySearcher(SearcherContract):
        def make_searcher(self, space, first, seed):
            return MySearcher(space, first=first, seed=seed)
"""

import pytest

pytest.register_assert_rewrite("tuning.testing.searchers", "tuning.testing.executors")

from tuning.testing.examples import make_measurement, make_result, make_trial  # noqa: E402
from tuning.testing.executors import ExecutorContract  # noqa: E402
from tuning.testing.searchers import SearcherContract  # noqa: E402

__all__ = ["ExecutorContract", "SearcherContract", "make_measurement", "make_result", "make_trial"]
