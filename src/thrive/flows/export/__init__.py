"""A recorded run as a workflow of another orchestrator: `graph` reads it, `forms` writes it.

Each step of the workflow is `thrive runs exec RUN STEP`: Thrive keeps the state, the results and
the reasons, the orchestrator the machines. Nothing here talks to an orchestrator.
"""
