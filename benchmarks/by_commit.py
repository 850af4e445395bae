"""What each change to the code brought: the same run by several commits, in turn.

Usage: python -m benchmarks.by_commit [--clips N] [--rounds N] [--model NAME] COMMIT...
Each commit is checked out into a folder of its own and run with the packages of this
environment, with two workers; start-up counts. The best of all rounds is kept.
"""

import argparse
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from benchmarks.corpora import make_fsd50k_like
from benchmarks.machine import MODELS, ROOT, save


def git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@contextlib.contextmanager
def checked_out(commits: list[str], folder: pathlib.Path) -> Iterator[None]:
    """The files of every commit, in folders named after them."""
    try:
        for commit in commits:
            git("worktree", "add", "--detach", str(folder / commit), commit)
        yield
    finally:
        for commit in commits:
            git("worktree", "remove", "--force", str(folder / commit))


def run_s(code: pathlib.Path, model: pathlib.Path, corpus: pathlib.Path) -> float:
    """Wall time of a run by the code in a folder."""
    with tempfile.TemporaryDirectory() as output:
        options = ["--model", str(model), "--output", f"{output}/out", "--workers", "2"]
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "pipeline", "extract", str(corpus), *options]
            + ["--last-patch", "discard", "--fail-on-error"],
            check=True,
            cwd=code,
            env={**os.environ, "PYTHONPATH": str(code)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commits", nargs="+")
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--model", default="random-vgg41-tlpf")
    arguments = parser.parse_args()
    model = MODELS / f"{arguments.model}.pb"
    commits = [git("rev-parse", "--short", name) for name in arguments.commits]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        corpus = make_fsd50k_like(folder / "corpus", arguments.clips)
        one_clip = make_fsd50k_like(folder / "one", 1)
        best: dict[str, float] = {}
        with checked_out(commits, folder):
            for commit in commits:
                # Engines are compiled and compared once for a model.
                run_s(folder / commit, model, one_clip)
            for commit in commits * arguments.rounds:
                seconds = run_s(folder / commit, model, corpus)
                best[commit] = min(seconds, best.get(commit, seconds))
    changes = {
        f"{commit} {git('show', '--no-patch', '--format=%s', commit)}": seconds
        for commit, seconds in best.items()
    }
    content = {"model": arguments.model, "clips": arguments.clips, "wall_s": changes}
    save("by-commit", content)


if __name__ == "__main__":
    main()
