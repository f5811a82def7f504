"""The stylesheet: readable in light and dark (WCAG AA), and asking nobody for anything."""

import re

import pytest

from thrive.ui.gate_charts import _anchors
from thrive.ui.pages import kit
from thrive.ui.render import ICONS, STATIC, TEMPLATES

CSS = (STATIC / "thrive.css").read_text()
GROUNDS = ("ground", "surface", "sunken")


def tokens(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z0-9-]+):\s*(#[0-9a-f]{6})", block))


LIGHT = tokens(CSS[CSS.index(":root {") : CSS.index("@media (prefers-color-scheme: dark)")])
DARK = LIGHT | tokens(
    CSS[CSS.index("@media (prefers-color-scheme: dark)") : CSS.index("*, *::before")]
)


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb` (WCAG 2.2)."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_all_text_has_the_contrast_of_wcag_aa(scheme: dict[str, str]) -> None:
    pairs = [(text, ground) for text in ("text", "quiet", "accent") for ground in GROUNDS]
    states = ("ok", "watch", "bad", "unknown", "info")
    pairs += [(state, f"{state}-ground") for state in states]
    pairs += [(state, "surface") for state in states]
    pairs += [("heat-text", f"heat-{level}") for level in range(1, 6)]
    weak = {pair: contrast(scheme[pair[0]], scheme[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in weak.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_lines_and_the_focus_ring_can_be_seen(scheme: dict[str, str]) -> None:
    for line in ("estimated", "realised", "limit", "focus"):
        for ground in ("ground", "surface"):
            assert contrast(scheme[line], scheme[ground]) >= 3.0, (line, ground)


def test_nothing_is_asked_from_elsewhere() -> None:
    assert "url(" not in CSS
    assert "@import" not in CSS
    for template in TEMPLATES.glob("*.html"):
        text = template.read_text()
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), template.name
        script = '<script type="module" src="{{ script }}"></script>'
        assert text.replace(script, "").count("<script") == 0, template.name
        assert "style=" not in text
        assert "|safe" not in text.replace(" ", ""), template.name


def test_the_kit_shows_every_state() -> None:
    assert set(kit.STATES) == set(ICONS)


def test_labels_near_each_other_hang_side_by_side() -> None:
    assert _anchors([100, 110, 400], 6) == ["end", "start", "middle"]


def test_each_state_with_a_colour_has_a_sign() -> None:
    coloured = set(re.findall(r"\.b-([a-z-]+)", CSS))
    assert coloured <= {name.replace(" ", "-") for name in ICONS}
