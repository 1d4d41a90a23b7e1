"""Seeds as functions of what they are for: order, parallelism and resumes cannot change them."""

import hashlib

LARGEST_SEED = 2_147_483_647


def derive_seed(study_seed: int, *purpose: str | int) -> int:
    """Derives the seed for one purpose from the study's seed.

    Hashing keeps the seeds of neighbouring numbers far apart: KerasTuner draws from seed + 1,
    seed + 2, …, so that neighbouring seeds would share most of their random trials.

    Args:
        study_seed: The study's seed.
        *purpose: What the seed is for, for example ``("search", 7)``.

    Returns:
        An integer from 1 to 2**31 - 1. Never 0, which some libraries take for "no seed".
    """
    text = "/".join([str(study_seed), *map(str, purpose)])
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") % LARGEST_SEED + 1
