"""The titanic tutorial: data, experiments and models of one repository, on branches.

    python examples/titanic.py [--root DIR]

It runs on a local endpoint embedded in this process, over a directory that is new unless ``--root`` names one. With
another endpoint the code would be the same: set XET_ENDPOINT, XET_USER_NAME and XET_USER_TOKEN, and leave out ``--root``.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import tempfile
from pathlib import Path

import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

import pyxet

REPO = "acme/titanic"
FEATURES = ["Pclass", "SibSp", "Parch"]
EXPERIMENTS = {
    "experiment-1": {"n_estimators": 100, "max_depth": 5},
    "experiment-2": {"n_estimators": 20, "max_depth": 2},
}


def make_repository(fs: pyxet.XetFS) -> None:
    """A repository with the passenger list on its main branch; that of an earlier run is reused."""
    fs.make_repo(REPO, exist_ok=True)
    fs.put(str(Path(__file__).parent / "data" / "titanic.csv"), f"{REPO}/main/titanic.csv")


def run_experiment(fs: pyxet.XetFS, branch: str, settings: dict[str, int]) -> None:
    """Train on the data of main, and write metrics and model to a branch of their own: one commit."""
    passengers = pd.read_csv(f"xet://{REPO}/main/titanic.csv")
    train_x, test_x, train_y, test_y = train_test_split(
        passengers[FEATURES], passengers["Survived"], test_size=0.2, random_state=42
    )
    model = RandomForestClassifier(**settings, random_state=42).fit(train_x, train_y)
    predicted = model.predict(test_x)
    results = pd.DataFrame({"Survived": test_y, "predicted": predicted})
    info = {"settings": settings, "accuracy": round(float(accuracy_score(test_y, predicted)), 4)}

    if not fs.branch_exists(REPO, branch):
        fs.make_branch(REPO, "main", branch)
    with fs.transaction as tr:
        tr.set_commit_message(f"Train with {settings}")
        results.to_csv(fs.open(f"{REPO}/{branch}/metrics/results.csv", "w"), index=False)
        pickle.dump(model, fs.open(f"{REPO}/{branch}/models/model.pickle", "wb"))
        json.dump(info, fs.open(f"{REPO}/{branch}/metrics/info.json", "w"))


def compare(fs: pyxet.XetFS) -> pd.DataFrame:
    """Compare the results of the branches; the models are loaded back to check that they still work."""
    passengers = pd.read_csv(f"xet://{REPO}/main/titanic.csv")
    rows = []
    for branch in EXPERIMENTS:
        with fs.open(f"{REPO}/{branch}/metrics/info.json", "r") as file:
            info = json.load(file)
        path = f"{REPO}/{branch}/models/model.pickle"
        with fs.open(path, "rb") as file:
            model = pickle.load(file)
        survivors = int(model.predict(passengers[FEATURES]).sum())
        details = fs.info(path)
        rows.append(
            {
                "branch": branch,
                **info["settings"],
                "accuracy": info["accuracy"],
                "predicted survivors": survivors,
                "model bytes": details["size"],
                "model hash": details["xet_hash"][:12],
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="directory of the local endpoint; kept afterwards")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.root or "XET_ENDPOINT" not in os.environ:
            os.environ["XET_ENDPOINT"] = (arguments.root or Path(scratch)).absolute().as_uri()
        fs = pyxet.XetFS()
        make_repository(fs)
        for branch, settings in EXPERIMENTS.items():
            run_experiment(fs, branch, settings)
        print(compare(fs).to_string(index=False))
        for branch in ("main", *EXPERIMENTS):
            for commit in fs.log(f"{REPO}/{branch}"):
                print(f"{branch:12} {commit.id[:10]} {commit.date:%Y-%m-%d %H:%M} {commit.title}")


if __name__ == "__main__":
    main()
