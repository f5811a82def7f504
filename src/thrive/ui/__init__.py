"""The pages people read: the morning question answered on one page.

Each page is a loader that returns a typed page model, and a template that shows it; the same model
is the page's `.json`. Pages read and never write: where something must be done they show the
command to type. There is no JavaScript and no other host is asked for anything.

Doors: `app.pages_app` (a whole application for one project), `routes.routes` (the same pages for
a server to mount), and the operation `ui`.
This room holds no policy: what counts as drift, a breach or a missing duty is decided below it.
"""
