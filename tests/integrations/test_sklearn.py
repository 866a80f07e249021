"""scikit-learn with `xet://`: models as pickles and by joblib, and joblib's workers."""

from __future__ import annotations

import pickle
import warnings

import joblib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

import pyxet
from pyxet.errors import NotFoundError

X = np.random.default_rng(1).random((200, 6))
Y = (X.sum(axis=1) > 3).astype(int)


def test_pickles_in_a_commit(xet: pyxet.XetFS, main: str) -> None:
    model = LogisticRegression().fit(X, Y)
    with xet.transaction(message="a model"):
        with xet.open(f"{main}/model.pkl", "wb") as file:
            pickle.dump(model, file)
        with xet.open(f"{main}/model.joblib", "wb") as file:
            joblib.dump(model, file)
    assert [commit.message for commit in xet.log(main)] == ["a model", "initial commit"]
    with xet.open(f"{main}/model.pkl") as file:
        np.testing.assert_array_equal(pickle.load(file).predict(X), model.predict(X))
    with xet.open(f"{main}/model.joblib") as file:
        np.testing.assert_array_equal(joblib.load(file).predict(X), model.predict(X))


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("lzma", 1)])
def test_large_models(xet: pyxet.XetFS, main: str, compress: int | tuple[str, int]) -> None:
    model = RandomForestClassifier(30, random_state=0).fit(X, Y)
    model.extra_ = np.random.default_rng(2).random(400_000)
    with xet.open(f"{main}/model.joblib", "wb") as file:
        joblib.dump(model, file, compress=compress)
    with xet.open(f"{main}/model.joblib") as file:
        again = joblib.load(file)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(again.extra_, model.extra_)


def test_what_cannot_be_pickled_is_not_published(xet: pyxet.XetFS, main: str) -> None:
    model = LogisticRegression().fit(X, Y)
    model.callback_ = lambda: None
    for dump in (pickle.dump, joblib.dump):
        with pytest.raises((pickle.PicklingError, AttributeError)), xet.open(f"{main}/model", "wb") as file:
            dump(model, file)
    assert not xet.exists(f"{main}/model")


def row(fs: pyxet.XetFS, path: str) -> int:
    with fs.open(path, "r") as file:
        return int(file.read())


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_workers_of_joblib(xet: pyxet.XetFS, main: str, backend: str) -> None:
    xet.pipe({f"{main}/{number}": str(number).encode() for number in range(8)})
    paths = xet.find(main)
    with warnings.catch_warnings():
        # Where memory is short joblib replaces workers, and says so.
        warnings.filterwarnings("ignore", "A worker stopped", UserWarning)
        found = joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(row)(xet, path) for path in paths)
        assert found == list(range(8))
        with pytest.raises(NotFoundError):
            joblib.Parallel(n_jobs=2, backend=backend)([joblib.delayed(row)(xet, f"{main}/nope")])
