"""Ctrl-C while a module is being imported elsewhere: heard after it, and twice ends at once."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = """
import signal, sys, threading, time
main = threading.main_thread().ident
while not sys._current_frames()[main].f_code.co_filename.startswith("<frozen importlib"):
    time.sleep(0.01)
for _ in range(int(sys.argv[1])):
    signal.pthread_kill(main, signal.SIGINT)
    time.sleep(0.2)
done = True
"""
PROGRAM = """
import signal, sys, threading
from thrive.cli.interrupts import hear_interrupts
signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests may run where it is ignored
hear_interrupts()
begun = threading.Event()
def elsewhere():
    begun.set()
    import slow
threading.Thread(target=elsewhere, daemon=True).start()
begun.wait()
while "slow" not in sys.modules:
    pass
try:
    import slow
    while True:
        pass
except KeyboardInterrupt:
    print(sys.modules["slow"].done)
"""


@pytest.mark.parametrize(("times", "code", "said"), [(1, 0, "True\n"), (2, -signal.SIGINT, "")])
def test_an_import_is_not_broken_and_the_second_interrupt_ends(
    tmp_path: Path, times: int, code: int, said: str
) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py"), str(times)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (code, said), ended.stderr
