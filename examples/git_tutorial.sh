#!/usr/bin/env bash
# The titanic tutorial with git: one repository, in which git and pyxet work side by side.
#
#     examples/git_tutorial.sh [DIR]
#
# It runs by itself in a directory that is new unless DIR names one, against an endpoint of its own (xet serve). It needs
# git, the packages of titanic.py, and pyxet with the extra "local". Git LFS is used where it is installed.
set -eu

examples=$(cd "$(dirname "$0")" && pwd)
work=${1:-$(mktemp -d)}
mkdir -p "$work"
cd "$work"
python=${PYTHON:-python}

# Nothing of this reaches your own settings, logins and repositories.
export HOME=$work/home GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0
unset XET_USER_NAME XET_USER_TOKEN HF_TOKEN HF_ENDPOINT XDG_CONFIG_HOME
mkdir -p "$HOME"
git config --global user.name acme
git config --global user.email acme@example.org
git config --global init.defaultBranch main
git config --global advice.detachedHead false

say() { printf '\n== %s\n' "$*"; }

say "An endpoint, and who we are there"
export XET_USER_NAME=acme XET_USER_TOKEN=xet_tutorial
"$python" -m pyxet serve --root "$work/store" --port 0 --json >"$work/endpoint.json" &
endpoint=$!
trap 'kill "$endpoint" 2>/dev/null; wait "$endpoint" 2>/dev/null || true' EXIT
until [ -s "$work/endpoint.json" ]; do
    kill -0 "$endpoint"
    sleep 0.1
done
XET_ENDPOINT=$("$python" -c 'import json, sys; print(json.load(sys.stdin)["url"])' <"$work/endpoint.json")
export XET_ENDPOINT
# Git keeps the token, as it keeps the passwords of other servers.
git config --global credential.helper store
printf 'url=%s\nusername=acme\npassword=%s\n\n' "$XET_ENDPOINT" "$XET_USER_TOKEN" | git credential approve

# One step of titanic.py: the experiments themselves are the same.
step() {
    PYTHONPATH=$examples "$python" -c "import pyxet, titanic; fs = pyxet.XetFS(); $1"
}

say "Make the repository, with the data on main"
step 'titanic.make_repository(fs)'

say "Clone it, and begin experiment-1"
git clone "$XET_ENDPOINT/acme/titanic"
cd titanic
git checkout -b experiment-1
mkdir -p notes
echo "A forest of 100 trees, 5 deep." >notes/experiment-1.md
git add notes
git commit -m "What experiment-1 is about"
git push -u origin experiment-1

say "Train, and write metrics and model to the branch: one transaction, one commit"
step 'titanic.run_experiment(fs, "experiment-1", titanic.EXPERIMENTS["experiment-1"])'

say "Pull what was trained"
git pull
git log --oneline
cat metrics/info.json
echo
if git lfs version >/dev/null 2>&1; then
    git lfs install --local
    git lfs pull
    "$python" -c 'import pickle; print(pickle.load(open("models/model.pickle", "rb")))'
fi

say "Experiment-2, and how they compare"
step 'titanic.run_experiment(fs, "experiment-2", titanic.EXPERIMENTS["experiment-2"])'
git fetch
git diff --stat origin/experiment-1 origin/experiment-2
for branch in experiment-1 experiment-2; do
    printf '%s ' "$branch"
    git show "origin/$branch:metrics/info.json"
    echo
done

say "Use it as a submodule of a plain git repository, and clone that"
git init "$work/paper"
cd "$work/paper"
git submodule add -b experiment-1 "$XET_ENDPOINT/acme/titanic" titanic
git commit -m "The experiments that the paper is about"
git clone --recurse-submodules "$work/paper" "$work/copy"
cat "$work/copy/titanic/notes/experiment-1.md"
git -C "$work/copy" submodule status

say "All of it is sound"
git -C "$work/titanic" fsck --full --strict
git -c safe.directory='*' -C "$work/store/repos/models/acme/titanic.git" fsck --full --strict
echo "done: $work"
