"""A process that judges pairs: a line of JSON in, a line of JSON out, until its input ends."""

from __future__ import annotations

import json
import os
import sys

import torch

from tests.sweep.verdict import judge_pair


def main() -> None:
    """Answers on the real standard output, which nothing else in this process writes to."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(1)
    for line in sys.stdin:
        name, kind, limit = json.loads(line)
        print(json.dumps(judge_pair(name, kind, limit).as_dict()), file=answers, flush=True)


if __name__ == "__main__":
    main()
