"""The nouns of Thrive: frozen typed structs, enums, the error tree, the clock.

This layer imports nothing of ours and does no work of its own. It is not a place for logic:
what acts on a noun lives in the capability that owns it. Import from the module of the noun
(`from thrive.domain.run import Run`); there are no re-exports here.
"""
