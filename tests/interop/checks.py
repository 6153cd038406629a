"""Running named checks and telling their outcome, one line each, to `cargo xtask interop`."""

import traceback


def run(checks):
    """Runs pairs of a name and a function. A check fails by raising. Returns an exit code."""
    failed = False
    for name, check in checks:
        try:
            check()
        except Exception as error:  # pylint: disable=broad-except
            failed = True
            traceback.print_exc()
            what = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"FAIL\t{name}\t{what[:400]}", flush=True)
        else:
            print(f"ok\t{name}", flush=True)
    return 1 if failed else 0


def equal(found, expected, what):
    """Fails unless both are the same."""
    if found != expected:
        raise AssertionError(f"{what}: {_short(found)} instead of {_short(expected)}")


def _short(value):
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:160]}... ({len(text)} characters)"
