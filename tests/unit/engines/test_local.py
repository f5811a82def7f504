import os
import signal
import time
from pathlib import Path

import pytest

from thrive.domain.errors import InfrastructureError, NotFound, NotRight, UsageError
from thrive.engines.failures import describe
from thrive.engines.local import AHEAD, Exit, LocalEngine, Message, Needs, Output

PROGRAM = """
import os, signal, sys, threading, time
from thrive.domain.errors import UsageError
from thrive.engines import channel

def prepare(arguments):
    print("importing")
    if arguments.get("refuse"):
        raise UsageError("no such thing", "write another")
    if arguments.get("break"):
        return {}["missing"]
    if arguments.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    return {"pid": os.getpid()}

def perform(work):
    link = channel.current()
    if work["do"] == "talk":
        print("out"); print("err", file=sys.stderr)
        link.send("said", value=work["value"])
        link.send("answer", value=link.request("ask", value=work["value"]))
    if work["do"] == "fail to ask":
        try:
            link.request("ask", value=0)
        except UsageError as error:
            link.send("refused", what=error.what, hint=error.hint)
    if work["do"] == "many":
        def one(n):
            link.send("answer", value=[n, link.request("ask", value=n)])
        threads = [threading.Thread(target=one, args=(n,)) for n in range(20)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    if work["do"] == "fork":
        pid = os.fork()
        if pid == 0:
            os._exit(0 if channel.current() is None else 1)
        link.send("child", code=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    if work["do"] == "sleep":
        pid = os.fork()
        link.send("pids", pids=[os.getpid(), pid or os.getpid()])
        time.sleep(60)
    if work["do"] == "name":
        link.send("pid", pid=os.getpid())
    if work["do"] == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
"""


@pytest.fixture
def engine(tmp_path):
    made = []

    def make(ahead=0, **arguments):
        (tmp_path / "program_of_test.py").write_text(PROGRAM)
        environment = {"PYTHONPATH": str(tmp_path)}
        program = "program_of_test"
        made.append(
            LocalEngine(program, arguments, folder=tmp_path, environment=environment, ahead=ahead)
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


def ready(engine):
    waiting, output = engine.ready(), b""
    try:
        while True:
            output += next(waiting).data
    except StopIteration as end:
        return end.value, output


def until_exit(engine, answer=lambda message: message.body["value"] * 2):
    """Return all events up to the first exit; requests are answered."""
    events = []
    while not any(isinstance(event, Exit) for event in events):
        for event in engine.events(10):
            events.append(event)
            if isinstance(event, Message) and event.number:
                engine.reply(event, answer(event))
    return events


def bodies(events, kind):
    return [event.body for event in events if isinstance(event, Message) and event.kind == kind]


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_a_task_talks_asks_and_ends(engine):
    engine = engine()
    answer, _ = ready(engine)
    engine.fork("t", {"do": "talk", "value": 21}, {})
    events = until_exit(engine)
    assert bodies(events, "said") == [{"value": 21}]
    assert bodies(events, "answer") == [{"value": 42}]
    text = b"".join(event.data for event in events if isinstance(event, Output) and event.task)
    assert sorted(text.split()) == [b"err", b"out"]
    assert events[-1].code == 0
    assert not events[-1].timed_out
    assert answer["pid"] != os.getpid()


def test_an_error_of_a_request_is_raised_in_the_task(engine):
    engine = engine()
    ready(engine)
    engine.fork("t", {"do": "fail to ask"}, {})
    events = []
    while not bodies(events, "refused"):
        for event in engine.events(10):
            events.append(event)
            if isinstance(event, Message) and event.number:
                engine.reply(event, failure=describe(UsageError("wrong", "right")))
    assert bodies(events, "refused") == [{"what": "wrong", "hint": "right"}]


def test_many_threads_of_a_task_ask_at_once(engine):
    engine = engine()
    ready(engine)
    engine.fork("t", {"do": "many"}, {})
    answers = bodies(until_exit(engine), "answer")
    assert sorted(body["value"] for body in answers) == [[n, 2 * n] for n in range(20)]


def test_a_process_that_a_task_forks_has_no_channel(engine):
    engine = engine()
    ready(engine)
    engine.fork("t", {"do": "fork"}, {})
    assert bodies(until_exit(engine), "child") == [{"code": 0}]


def test_what_the_program_refuses_is_raised_here(engine):
    with pytest.raises(UsageError, match="no such thing"):
        ready(engine(refuse=True))
    with pytest.raises(NotRight, match=r"KeyError: 'missing'\n  program_of_test\.py:11 in"):
        ready(engine(**{"break": True}))
    with pytest.raises(InfrastructureError, match="SIGKILL"):
        ready(engine(die=True))


def test_a_crash_is_an_exit_with_its_signal_and_the_next_task_runs(engine):
    engine = engine()
    ready(engine)
    engine.fork("t", {"do": "crash"}, {})
    assert until_exit(engine)[-1].code == -signal.SIGSEGV
    engine.fork("u", {"do": "talk", "value": 1}, {})
    assert until_exit(engine)[-1].code == 0


def test_a_process_forked_ahead_does_the_next_task_and_nobody_waits_for_a_dead_one(engine):
    engine = engine(ahead=AHEAD)
    zygote = ready(engine)[0]["pid"]

    def forks():
        engine.events(0.05)
        return set(Path(f"/proc/{zygote}/task/{zygote}/children").read_text().split())

    wait_until(lambda: len(forks()) == AHEAD)
    spares = forks()
    engine.fork("t", {"do": "name"}, {})
    assert {str(body["pid"]) for body in bodies(until_exit(engine), "pid")} < spares

    wait_until(lambda: len(forks()) == AHEAD)
    spares = forks()
    for spare in spares:
        os.kill(int(spare), signal.SIGKILL)
    wait_until(lambda: not any(is_alive(int(spare)) for spare in spares))
    engine.fork("u", {"do": "name"}, {})
    (found,) = bodies(until_exit(engine), "pid")
    assert str(found["pid"]) not in spares
    wait_until(lambda: len(forks()) == AHEAD)
    spares = forks()
    engine.close()
    wait_until(lambda: not any(is_alive(int(spare)) for spare in spares))


def test_a_late_task_is_killed_with_all_it_started(engine):
    engine = engine()
    ready(engine)
    engine.fork("t", {"do": "sleep"}, {}, Needs(timeout=0.3))
    began = time.monotonic()
    events = until_exit(engine)
    assert events[-1].timed_out
    assert time.monotonic() - began < 5
    pids = {pid for body in bodies(events, "pids") for pid in body["pids"]}
    assert len(pids) == 2
    wait_until(lambda: not any(is_alive(pid) for pid in pids))


@pytest.mark.parametrize("way", ["close", "zygote killed"])
def test_nothing_is_left_behind(engine, way):
    engine = engine()
    answer, _ = ready(engine)
    engine.fork("t", {"do": "sleep"}, {})
    events = []
    while len(bodies(events, "pids")) < 2:
        events += engine.events(10)
    pids = {pid for body in bodies(events, "pids") for pid in body["pids"]}
    if way == "close":
        engine.close()
    else:
        os.kill(answer["pid"], signal.SIGKILL)
        with pytest.raises(InfrastructureError, match="SIGKILL"):
            list(iter(lambda: engine.events(10), None))
        engine.close()
    wait_until(lambda: not any(is_alive(pid) for pid in (*pids, answer["pid"])))


def test_describe_keeps_our_errors_and_names_the_users_line():
    failure = describe(NotFound("no flights", "add them"))
    assert (failure.code, failure.what, failure.hint) == ("NotFound", "no flights", "add them")

    class Special(UsageError):
        pass

    assert describe(Special("x")).code == "UsageError"
    assert describe(ValueError("bad")).sentence() == "ValueError: bad"
