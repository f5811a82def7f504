"""Write src/thrive/flows/commands.json, the command table, from the catalogue of operations.

usage: python scripts/generate_command_table.py [--check]
"""

import json
import sys
from pathlib import Path

from thrive.cli.describe import manual_page, options_of
from thrive.flows.catalogue import load_all

TABLE = Path(__file__).parents[1] / "src/thrive/flows/commands.json"


def generated() -> str:
    """Return the text of the table: what start-up needs to know of each command, and its help."""
    table = {
        name: {
            "module": operation.function.__module__,
            "kind": operation.kind.value,
            "summary": operation.summary,
            "options": options_of(operation),
            "manual": manual_page(operation),
            **({"alias": operation.alias} if operation.alias else {}),
        }
        for name, operation in sorted(load_all().items())
    }
    return json.dumps(table, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the table, or with --check say whether it is stale."""
    text = generated()
    fresh = TABLE.exists() and TABLE.read_text() == text
    if "--check" in sys.argv:
        print("fresh" if fresh else "stale: python scripts/generate_command_table.py")
        return int(not fresh)
    TABLE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
