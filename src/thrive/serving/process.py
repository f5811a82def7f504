"""The program of a worker's process.

Nothing that is imported or loaded at the start is garbage: looking for cycles among it took a
tenth of the time until the first answer. The worker collects again once it answers.
"""

import gc
from importlib import import_module


def main() -> None:
    """Run a worker from the settings in the first argument."""
    gc.disable()
    import_module("thrive.serving.worker").main()


if __name__ == "__main__":
    main()
