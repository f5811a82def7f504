"""The story of one model, told while it happens: `make demo`.

Every step is a command a user can type; the story only chooses which comes next, from what the
last one answered. Nothing is scripted to win: other data makes another story.
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from world import World, day

if TYPE_CHECKING:
    from team import Team

HERE = Path(__file__).parent
MODEL = "flight-delay"


class Story:
    """Runs commands in the project's folder and shows them as they would be typed."""

    def __init__(self, folder: Path, port: int, team: "Team | None" = None) -> None:
        self.folder = folder
        self.port = port
        self.team = team
        self.started = time.monotonic()
        self.serving: subprocess.Popen[bytes] | None = None

    def chapter(self, title: str, *lines: str) -> None:
        """Begin a chapter."""
        clock = f"{time.monotonic() - self.started:4.0f} s"
        print(f"\n{bold(f'== {title} ')}{dim(clock)}")
        for line in lines:
            print(line)

    def thrive(self, *words: str, fine: tuple[int, ...] = (0,), token: str = "") -> int:
        """Run a command, with a token of another person if one is given; stop when it fails."""
        print(f"\n{dim('$')} {bold('thrive ' + ' '.join(quoted(word) for word in words))}")
        sys.stdout.flush()
        env = {**os.environ, "THRIVE_TOKEN": token} if token else None
        code = subprocess.run(command(*words), cwd=self.folder, env=env, check=False).returncode
        if code not in fine:
            raise SystemExit(f"`thrive {' '.join(words)}` ended with {code}: the story stops here.")
        return code

    def ask(self, *words: str) -> Any:
        """Run a command for its JSON answer."""
        asked = subprocess.run(
            command(*words, "--json"), cwd=self.folder, check=False, stdout=subprocess.PIPE
        )
        if asked.returncode:
            said = asked.stdout.decode(errors="replace")
            ended = f"`thrive {' '.join(words)}` ended with {asked.returncode}"
            raise SystemExit(f"{said}{ended}: the story stops here.")
        return json.loads(asked.stdout)

    def then(self, words: list[str]) -> None:
        """Run somebody's command in the project's folder while its stores are there."""
        code = subprocess.run(words, cwd=self.folder, check=False).returncode
        if code:
            raise SystemExit(f"{shlex.join(words)} ended with {code}.")

    def replay(self, until: str, traffic: Path, fault: str) -> dict[str, Any]:
        """Replay traffic until a day, or until an alert wants a decision."""
        words = [
            "replays", "start", MODEL, str(traffic), "--until", until, "--outcome", "late",
            "--singles", "1000", "--url", f"http://127.0.0.1:{self.port}", "--fault", fault,
        ]  # fmt: skip
        shown = ["replays", "start", MODEL, "traffic.parquet", "--until", until, "--fault", fault]
        print(f"\n{dim('$')} {bold('thrive ' + ' '.join(quoted(word) for word in shown))}")
        sys.stdout.flush()
        return self.ask(*words)

    def serve(self) -> None:
        """Start the serving host in the background and wait for its first answer."""
        print(f"\n{dim('$')} {bold(f'thrive serve --port {self.port} &')}")
        log = (self.folder / "serve.log").open("ab")
        self.serving = subprocess.Popen(
            command("serve", "--port", str(self.port)), cwd=self.folder, stdout=log, stderr=log
        )
        self.wait_for(f"http://127.0.0.1:{self.port}/health")

    def wait_for(self, url: str) -> None:
        """Wait until an address answers."""
        for _ in range(300):
            try:
                with urllib.request.urlopen(url, timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"{url} does not answer; see {self.folder}/serve.log")

    def stop(self) -> None:
        """Stop the serving host."""
        if self.serving is not None:
            self.serving.send_signal(signal.SIGTERM)
            self.serving.wait(timeout=20)


def command(*words: str) -> list[str]:
    """Return the command line of a Thrive command."""
    return [sys.executable, "-m", "thrive", *words]


def quoted(word: str) -> str:
    """Return a word as it would be typed."""
    return f'"{word}"' if " " in word or "," in word else word


def bold(text: str) -> str:
    """Return text in bold where the terminal shows it."""
    return f"\033[1m{text}\033[0m" if colours() else text


def dim(text: str) -> str:
    """Return quiet text where the terminal shows it."""
    return f"\033[2m{text}\033[0m" if colours() else text


def colours() -> bool:
    """Tell whether to colour."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def main() -> None:
    """Tell the story."""
    options = parsed()
    folder = options.folder.resolve()
    with ExitStack() as running:
        parts = running.enter_context(stores()) if options.home == "team" else None
        story = Story(folder / "project", options.port, parts)
        running.callback(story.stop)
        tell(story, options, folder / "world" / "traffic.parquet")
        if options.then:
            story.then(shlex.split(options.then))


def stores() -> "AbstractContextManager[Team]":
    """Return the team's stores: its parts are imported only when they are asked for."""
    from team import team

    return team()


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".demo/flights"))
    parser.add_argument("--start", default="2013-05-01", help="the day the model goes live")
    parser.add_argument("--until", default="2013-09-01", help="the day the story ends")
    parser.add_argument("--fault", default="2013-08-20..2013-08-22", help="the weather is missing")
    parser.add_argument("--port", type=int, default=8100)
    parser.add_argument("--then", default="", help="a command to run before the stores are stopped")
    parser.add_argument("--home", default="embedded", choices=["embedded", "team"])
    return parser.parse_args()


def tell(story: Story, options: argparse.Namespace, traffic: Path) -> None:
    """Tell it from the beginning."""
    world = begin(story, options, traffic)
    train_and_gate(story, 1, options.start)
    story.chapter(
        "Release: nothing is live yet",
        "Production is empty, so the contract's fallback answers while version 1 runs in the",
        "shadow; then it takes all traffic.",
    )
    story.thrive("duties", "answer", MODEL)
    approve_and_release(story, 1)
    story.serve()
    live(story, options, world, traffic)
    end(story)


def begin(story: Story, options: argparse.Namespace, traffic: Path) -> World:
    """Make the project and its data."""
    story.chapter(
        "Will it arrive late?",
        "The question, two hours before a flight leaves New York: will it arrive more than 15",
        "minutes late? Real departures of 2013; a model sees only what was known when asked.",
    )
    shutil.rmtree(story.folder.parent, ignore_errors=True)
    story.folder.mkdir(parents=True)
    for name in ("thrive.toml", "governance.toml", "features.py", "train.py"):
        shutil.copy(HERE / name, story.folder / name)
    world = World()
    world.deliver(story.folder / "data", day(options.start))
    world.deliver_weather(story.folder / "data", day(options.until))
    asked = world.write_traffic(traffic, day(options.start), day(options.until))
    print(f"{world.flights.height:,} departures in the year; {asked:,} will be asked about live.")
    (story.folder / ".gitignore").write_text("data/\nmessages/\n*.log\n__pycache__/\n")
    subprocess.run(["git", "init", "-q"], cwd=story.folder, check=True)
    git(story.folder, "The flight-delay model")
    begin_home(story, options.start)
    for team in ("data-platform", "flights-ml"):
        story.thrive("teams", "test", team)
    story.chapter("Data: three datasets, each with an owner, a why and labels")
    for name in ("flights", "weather", "planes"):
        story.thrive("data", "add", f"data/{name}", "--name", name)
    git(story.folder, "Data")
    story.thrive("check")
    story.chapter(
        "Features: weather by airport and hour, planes by tail number",
        "One function each, for training and for serving. The newest values go online; from now on",
        "the replay brings each hour's observation when it was published, and nothing earlier.",
    )
    story.thrive("features", "materialize")
    story.thrive("features", "get", "weather", "--key", "origin=JFK")
    return world


def begin_home(story: Story, start: str) -> None:
    """Make the home: a folder, or a team's PostgreSQL and bucket with two servers on them."""
    words = ["init", "--clock", "replay", "--now", start]
    if story.team is None:
        story.thrive(*words)
        return
    story.thrive(*words, "--database", story.team.database, "--objects", story.team.objects)
    for number in (1, 2):
        address = story.team.start_server(story.folder.parent / f"server-{number}", "flights")
        print(f"\n{dim('$')} {bold('thrive server &')}   {address}")
        story.team.address = address
    made = story.ask("tokens", "create", "data-platform", "--role", "data-engineer")
    story.team.deputy = made["secret"]


def git(folder: Path, message: str) -> None:
    """Commit, as a team would: a version made from files that nobody committed stays in dev."""
    print(f"\n{dim('$')} {bold(f'git commit -am {quoted(message)}')}")
    who = ["-c", "user.name=flights-ml", "-c", "user.email=flights-ml@example.org"]
    for words in (["add", "-A"], ["commit", "-qm", message]):
        subprocess.run(["git", *who, *words], cwd=folder, check=True)


def train_and_gate(story: Story, version: int, until: str) -> int:
    """Train, and let the gate judge; return the gate's exit code."""
    story.chapter(f"Train version {version}, and judge it")
    story.thrive("run", "train.py", "--until", until)
    return story.thrive("gates", "run", f"{MODEL}@{version}", fine=(0, 1, 3))


def approve_and_release(story: Story, version: int) -> None:
    """Give the approval the contract asks for, and start the release.

    In a team nobody approves their own work: the deputy does, through a server.
    """
    label = f"{MODEL}@{version}"
    words = ["approvals", "give", label, "--reason", "the gate passed; the evidence was read"]
    if story.team is None:
        story.thrive(*words)
    else:
        print(f"\n{dim('The one who trained it may not approve it. By data-platform:')}")
        story.thrive(*words, "--home", story.team.address, token=story.team.deputy)
    story.thrive("releases", "start", label)


def live(story: Story, options: argparse.Namespace, world: World, traffic: Path) -> None:
    """Replay the months, and decide what each alert asks for."""
    story.chapter(
        "Live: the months are replayed, hour by hour",
        "One request an hour with its flights, a thousand single rows: each carries the airport,",
        "the tail number and the schedule, and serving looks the rest up. Outcomes come hours",
        "later, and never for a cancelled flight. One fault is injected, and labelled as such: the",
        f"weather gets no new rows {options.fault}.",
    )
    retrained = False
    while True:
        report = story.replay(options.until, traffic, f"weather@{options.fault}")
        print(
            f"{report['now'][:10]}: {report['requests']:,} requests, "
            f"{report['predictions']:,} predictions, {report['outcomes']:,} outcomes"
        )
        for alert_id in report["new_alerts"]:
            retrained = decide(story, world, alert_id, report["now"], retrained)
        if report["finished"]:
            break


def decide(story: Story, world: World, alert_id: str, now: str, retrained: bool) -> bool:
    """Answer one alert; return whether the model has been retrained by now."""
    alert = story.ask("alerts", "show", alert_id)
    alert = alert.get("alert", alert)
    cause = alert["cause"]
    story.chapter(f"{now[:10]}: an alert ({cause})")
    story.thrive("alerts", "show", alert_id)
    if cause == "age" and not retrained:
        print(
            "\nNo performance alert has fired: history explains what the model did. Its age opens\n"
            "the decision, as the contract says (max_age)."
        )
    if cause in {"performance", "age"} and not retrained:
        objects = "retrain" in alert["evidence"].get("against", {})
        retrain(story, world, alert_id, now, objects=objects)
        return True
    action = "accept" if alert["recommended"] in {"", "retrain"} else alert["recommended"]
    successor = "version 2 is being measured beside version 1, on the same flights"
    reason = {
        "data_quality": "the weather feed is missing: retraining would learn the fault",
        "performance": successor,
        "age": successor,
    }.get(cause, "as recommended")
    story.thrive("alerts", "decide", alert_id, action, "--reason", reason)
    return retrained


def retrain(story: Story, world: World, alert_id: str, now: str, *, objects: bool) -> None:
    """Answer an alert with a new version on newer data, judged against the old one.

    Where the evidence objects, it is meant all the same: the gate will tell who was right.
    """
    reason = "the season has changed"
    if objects:
        reason = "the training data ends in spring; the gate compares both on the same rows"
    print("\nThe feeds have delivered data up to today; it becomes the next dataset versions.")
    world.deliver(story.folder / "data", day(now))
    story.thrive("data", "add", "data/flights", "--name", "flights")
    git(story.folder, "Data up to today")
    story.thrive(
        "alerts", "decide", alert_id, "retrain", "--reason", reason,
        "--param", f"until={now[:10]}", *(["--yes"] if objects else []),
    )  # fmt: skip
    story.thrive("worker", "--once")
    wait_for_training(story)
    story.chapter("Judge version 2 against version 1, paired on the same rows")
    code = story.thrive("gates", "run", f"{MODEL}@2", fine=(0, 1, 3))
    if code == 0:
        approve_and_release(story, 2)
    else:
        print("\nThe gate did not pass it: version 1 stays in production.")


def wait_for_training(story: Story) -> None:
    """Wait for the job, which the worker of a team's server may have taken first."""
    while True:
        job = next(
            item
            for item in story.ask("jobs", "list")["items"]
            if item["operation"] == "models retrain"
        )
        if job["state"] not in {"waiting", "running"}:
            break
        time.sleep(1)
    if job["state"] != "done":
        raise SystemExit(f"The retraining {job['state']}: {job['error']}")


def end(story: Story) -> None:
    """Show where it all stands."""
    story.chapter(
        "Did training and serving see the same?",
        "The last week's predictions are looked up again in the history, at the moment of each.",
    )
    live = any(each["live"] for each in story.ask("status")["models"])
    if live:
        story.thrive("features", "check", MODEL)
    else:  # where requests took too long, the guards and the alerts took the versions back
        print("\nNo version is live: the contract's fallback answered, which looks nothing up.")
    story.chapter("The worker sends what waits: messages to the teams, papers for the auditor")
    story.thrive("worker", "--once")
    story.chapter("Where it stands")
    story.thrive("status")
    story.thrive("releases", "list")
    if live:
        story.thrive("drills", "stop", MODEL)
    story.thrive("duties", "list", MODEL)
    story.thrive("documents", "render", "technical-file", MODEL, "--to", "audit")
    story.thrive("models", "card", MODEL, "--to", "card")
    print(f"\nThe pages: cd {story.folder} && thrive ui")


if __name__ == "__main__":
    main()
