"""A verdict as the tools around a CI read it: JUnit, Markdown, OpenMetrics, SARIF.

Each module is one pure function from a `GateFile` to text. No network, no token, no image host.
"""
