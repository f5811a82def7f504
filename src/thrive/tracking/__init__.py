"""Runs and experiments: what was executed, with what, and why two results differ.

`recorder.RunRecorder` writes a run as it happens, each fact durable when the call returns;
`code.record_code` reads git and bundles the project's files; `recovery` finds runs whose process
died. It executes nothing and reads no data: the flow `thrive.flows.train` drives it.
"""
