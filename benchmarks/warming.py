"""What workers do before they are measured: the first request, the first import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WARM_REPO = "bench/warm"
WARM_FILE = "warm.bin"


def import_pandas(job: Mapping[str, Any]) -> None:
    """Load what reading a Parquet file loads, with a small one."""
    import pandas as pd

    path = f"{job['out']}/warm.parquet"
    pd.DataFrame({"a": [1.0]}).to_parquet(path)
    pd.read_parquet(path)
