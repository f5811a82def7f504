"""`thrive run FILE --help`: what the file's own pipeline asks for, without executing it."""

from pathlib import Path

from thrive.cli.usage import usage_of

FILE = '''
from thrive import pipeline
raise SystemExit("nothing of it is executed")

@pipeline
def train(until: str, trees: int = 60, *, leaf_rows: int = 5) -> None:
    """Train on what came until a day.

    Args:
        trees: how many.
    """
'''


def test_the_parameters_of_a_pipeline_are_read_from_its_text(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(FILE)
    (tmp_path / "explore.py").write_text("print(1)\n")
    assert usage_of("train.py", tmp_path).splitlines() == [
        "Parameters of train in train.py: Train on what came until a day.",
        "  --until str                   [required]",
        "  --trees int                   how many. [default: 60]",
        "  --leaf-rows int               [default: 5]",
    ]
    assert "no pipeline" in usage_of("explore.py", tmp_path)
