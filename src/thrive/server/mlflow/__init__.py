"""MLflow's protocol over the same store: an unmodified client logs, searches and registers here.

`/api/2.0/mlflow/...` (and `/ajax-api/2.0/mlflow/...`, the same handlers), the proxy of artifacts
under `/api/2.0/mlflow-artifacts/`, `/version`, and `/api/3.0/mlflow/server-info`. A run that a
client logs is a run like any other: `thrive runs list` shows it, and the other way round.

Doors: `door.MlflowDoor` answers requests; `routes.ROUTES` lists what is offered, with its role.
The room keeps nothing of its own and imports nothing of MLflow's; live traffic moves through
`thrive.flows.promote` alone, whatever an alias is called. A path in an artifact's name is a name.
"""
