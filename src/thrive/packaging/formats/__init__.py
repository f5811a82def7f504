"""The closed list of model formats, one module each.

Each module offers `NAME`, `FILES` (the exact file names), `save(model, signature)` giving the
bytes of those files or raising `DoesNotFit`, and `load(files, signature)` giving a `Predictor`.
`load` gets bytes whose digests are already verified, and still trusts none of them: digests say
who wrote the bytes, not that they are sane. `loader` holds the registry. Nothing is added here by
entry point: a format that could be plugged in is a format an attacker could bring.
"""
