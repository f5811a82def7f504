"""The production contract: `thrive.toml` parsed with line numbers, gaps, defaults, its digest.

`parse` turns the text of a contract into typed terms, or raises one `ContractError` that names
the line; `gaps` lists what production still asks for; `loosened` tells in which ways one
contract asks less than another. Nothing here reads a store, evaluates a check or decides a
release: gates, release and governance do, with the terms they find here. Doors: `load`,
`parse`, `ParsedContract` (parse), the terms (schema), `Phase` (phases), `Check` (checks),
`gaps` and `gaps_for_model` (gaps), `loosened` (loosened), `canonical`, `digest_of` and
`restore` (digest), `new_contract` (template), `with_answer` (answer).
"""
