"""Packages: how a trained model is written down, verified and loaded.

A package is a manifest plus a few files named by their digests. This room owns the closed list of
model formats, the signature (what a request may hold and what is answered), the check that an
export answers as the trained model does, and THE one loader. It knows nothing of databases, routes
or versions: files go in and out as bytes or paths. It is not a place for training code, and
nothing here runs code that came inside a package.

Doors: `package.pack`, `loader.load`, `rows.RowReader`, `inference.infer_signature`,
`signature.Signature`, `manifest.read_manifest`. Import from the module that owns the noun; there
are no re-exports, so that a serving process pays only for `loader` and `rows`.
"""
