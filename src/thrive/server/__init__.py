"""The server: the same operations over REST, for a team with one address.

Every operation of kind call, job or stream is a route under `/api/`, made from the catalogue: the
signature validates it, the role guards it, and `/api/openapi.json` describes it. Beside them stand
`/health`, `/ready`, `/metrics` and the pages. It hosts the tick and one worker, and drains on
SIGTERM. Nothing is allowed by default: a route answers a token of the project, or nobody.

Doors: `app.create_app` (the ASGI application of a home) and the operation `server`.
This room holds no policy and loads no model; user code runs in the worker's own process.
"""
