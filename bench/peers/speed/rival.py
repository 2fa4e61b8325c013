"""The other end of rival.ts: a line of JSON in, a line of JSON out, until there are no more."""

import json
import os
import sys
import traceback


def serve(answer):
    # A library that prints must not be taken for an answer.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            told = answer(json.loads(line))
        except Exception as error:  # the caller says what was asked
            traceback.print_exc()
            told = {"error": f"{type(error).__name__}: {error}"}
        out.write(json.dumps(told) + "\n")
        out.flush()
