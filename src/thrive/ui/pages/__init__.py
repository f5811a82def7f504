"""One module a page: `load(ctx, ...)` returns the page's model; templates and `.json` show it."""
