"""The outbox: messages to teams wait as jobs, so that they survive a kill and block no tick."""

from thrive.contract.schema import Contract
from thrive.domain.clock import machine_now
from thrive.domain.identifiers import new_id
from thrive.domain.project import Job, JobState
from thrive.store import jobs
from thrive.store.database import Tx

OPERATION = jobs.MESSAGES


def enqueue(
    tx: Tx,
    project_id: str,
    contract: Contract,
    *,
    team: str,
    subject: str,
    body: str,
    picture: str = "",
) -> bool:
    """Put a message to a team into the outbox, in the transaction that makes it worth telling.

    Args:
        tx: the open transaction.
        project_id: the project.
        contract: which names the team's channel.
        team: who is told.
        subject: one line.
        body: plain text.
        picture: SVG that a mail shows below it.

    Returns:
        Whether the team has a channel.
    """
    channel = contract.team[team].channel if team in contract.team else ""
    if not channel:
        return False
    job = Job(
        job_id=new_id(),
        operation=OPERATION,
        arguments={"channel": channel, "subject": subject, "body": body, "picture": picture},
        state=JobState.WAITING,
        actor="thrive-controller",
        run_at=machine_now(),
        created_at=machine_now(),
        max_attempts=8,
    )
    jobs.add(tx, project_id, job)
    return True
