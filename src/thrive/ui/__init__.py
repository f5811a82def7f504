"""The pages people read: the morning question answered on one page.

Each page is a loader that returns a typed page model, and a template that shows it; the same model
is the page's `.json`. What is done from a page is an operation (`acts`), asked once more by a form.
Every page works without JavaScript; small islands (`web/`, bundled when the wheel is built) add
zooming, live updates and keys. No other host is asked for anything.

Doors: `app.pages_app` (a whole application for one project), `routes.routes` (the same pages for
a server to mount), and the operation `ui`.
This room holds no policy: what counts as drift, a breach or a missing duty is decided below it.
"""
