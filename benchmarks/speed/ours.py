"""The same by us: start, train, log curves and models, end; no confirmation and no report."""

import os
from pathlib import Path

import yaml

from benchmarks.speed.workload import BATCH_SIZE, CONFIGS, WORKERS, read_job, scratch
from tuning.core.trial import Phase, Proposal
from tuning.driver.source import TrialSource
from tuning.search.fixed_searcher import FixedSearcher
from tuning.workflow.plan import Options, make_plan
from tuning.workflow.study_run import open_study_run

STUDY = Path(__file__).parents[2] / "pipelines/imdb/study.yaml"


def main() -> None:
    job = read_job(__doc__)
    os.environ["MLFLOW_TRACKING_URI"] = job.uri
    study = yaml.safe_load(STUDY.read_text("utf-8"))
    study["training"]["batch_size"] = BATCH_SIZE
    folder = scratch()
    (folder / "study.yaml").write_text(yaml.safe_dump(study), "utf-8")
    plan = make_plan(
        Options(
            study=folder / "study.yaml",
            dataset=job.dataset,
            # The prepared arrays are there.
            cache_dir=Path(job.prepared).parent,
            settings=(f"resources.workers_per_gpu={job.workers_per_gpu}",),
        )
    )
    searcher = FixedSearcher("fixed", [Proposal(params=params) for params in CONFIGS])
    with open_study_run(plan) as study_run:
        study_run.driver.run([TrialSource(searcher, Phase.SEARCH, job.epochs)])
        study_run.tracker.flush()
        study_run.client.set_tag(study_run.parent.run_id, WORKERS, str(study_run.workers))


if __name__ == "__main__":
    main()
