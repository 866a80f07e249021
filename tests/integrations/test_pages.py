"""The pages on other tools run as they are pasted."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.pages import blocks, name, needs_tools, pages, run_page

LOG = "[commit.title for commit in fs.log('acme/titanic/main')]"
# What pages leave behind, beyond what their own assertions say.
LEFT = {
    "howto/ingestion.md": (
        "assert report.files == 100\n"
        "assert fs.cat_file('acme/corpus/main/up/19.bin') == b'\\0\\x13'\n"
        "assert not fs.exists('acme/corpus/main/raw/2026/000.bin')\n"
        "assert fs.cat_file('acme/corpus/main/from-memory/a.bin') == b'\\0\\1'"
    ),
    "integrations/dask.md": "assert lines == 892",
    "integrations/fsspec.md": f"assert {LOG}[0] == 'a mirror of reports'",
    "integrations/pandas.md": "assert isinstance(df, pd.DataFrame)",
    "integrations/pathlib.md": (
        f"assert 'tables by class' in {LOG}\n"
        "import os; assert len(os.listdir('on-this-disk')) == 3\n"
        "assert not XetPath('acme/titanic/main/titanic.csv').match('*.csv')"
    ),
    "integrations/polars.md": "assert survivors.height == 3, survivors",
    "integrations/pyarrow.md": "assert women.num_rows > 0",
    "integrations/pytorch.md": f"assert {LOG}[0] == 'epoch 1'",
    "integrations/ray.md": "assert len(tr.commits) == 1",
    "integrations/scikit-learn.md": f"assert {LOG}[0] == '100 trees'",
    "integrations/zarr.md": (
        f"assert {LOG}[:4] == ['from a service', 'metadata in one place', 'pressure as well', 'a day of weather']"
    ),
}


# Ray and dask start processes, which takes long on a busy machine.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", [page for page in pages() if needs_tools(page)], ids=name)
def test_a_page_runs_as_it_is_pasted(page: Path, tmp_path: Path) -> None:
    if any(block.reason is None for block in blocks(page)):
        run_page(page, tmp_path, LEFT.get(name(page), ""))


def test_pages_that_are_looked_at_afterwards_are_there() -> None:
    assert LEFT.keys() <= {name(page) for page in pages()}
