"""Seeds that depend only on their purpose, not on order, parallelism or resumes."""

import hashlib

LARGEST_SEED = 2_147_483_647


def derive_seed(study_seed: int, *purpose: str | int) -> int:
    """Derives the seed for one purpose from the study's seed.

    Hashing keeps the seeds of neighbouring numbers far apart. KerasTuner draws from seed + 1,
    seed + 2, …, so two neighbouring seeds would give mostly the same random trials.

    Args:
        study_seed: Seed of the study.
        *purpose: Purpose of the seed, for example ``("search", 7)``.

    Returns:
        An integer from 1 to 2**31 - 1. It is never 0, because some libraries read 0 as "no seed".
    """
    text = "/".join([str(study_seed), *map(str, purpose)])
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") % LARGEST_SEED + 1
