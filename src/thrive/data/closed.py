"""Which columns of a version are closed: those that hold personal data, whoever says so.

It stands apart from who may read them, so that those who only ask for names start fast.
"""

from collections.abc import Mapping

from thrive.data.questions import NONE
from thrive.domain.dataset import DatasetVersion
from thrive.store import column_labels
from thrive.store.database import Tx


def closed_columns(
    tx: Tx, project_id: str, version: DatasetVersion, declared: Mapping[str, str]
) -> list[str]:
    """Return the columns of a version that hold personal data, or seem to and nobody said no.

    Args:
        tx: a transaction.
        project_id: the project.
        version: the version.
        declared: what the contract says of the columns of its dataset.
    """
    labels = column_labels.find_labels(tx, project_id, version.dataset)
    said = {(each.name, each.dtype): each.kind for each in labels}
    found: list[str] = []
    for column in version.columns:
        kind = declared.get(column.name) or said.get((column.name, column.dtype))
        kind = kind or column.personal or column.proposed or NONE
        if kind != NONE:
            found.append(column.name)
    return found
