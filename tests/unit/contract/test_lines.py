import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thrive.contract.lines import key_lines, key_paths, key_places, line_of, path_of
from thrive.contract.spelling import toml_value

GOLDEN = {
    "plain tables and comments": (
        '# a comment with [brackets] and key = 1\na = 1 # b = 2\n\n[t] # [u]\n  b.c = "x" # y\n',
        {"a": 2, "t": 4, "t.b": 5, "t.b.c": 5},
    ),
    "quoted keys and headers": (
        '[ "a.b" . \'c d\' ]\n"k\\"ey" = 1\n\'x.y\'."" = 2\n3.14 = "pi"\n',
        {
            '"a.b"': 1,
            '"a.b"."c d"': 1,
            '"a.b"."c d"."k\\"ey"': 2,
            '"a.b"."c d"."x.y"': 3,
            '"a.b"."c d"."x.y".""': 3,
            '"a.b"."c d".3': 4,
            '"a.b"."c d".3.14': 4,
        },
    ),
    "arrays of tables and their children": (
        "[[f]]\nn = 1\n[f.p]\nx = 1\n[[f.v]]\ny = 1\n[[f.v]]\n[[f]]\n[[f.v]]\nz = 1\n",
        {
            "f": 1,
            "f[0]": 1,
            "f[0].n": 2,
            "f[0].p": 3,
            "f[0].p.x": 4,
            "f[0].v": 5,
            "f[0].v[0]": 5,
            "f[0].v[0].y": 6,
            "f[0].v[1]": 7,
            "f[1]": 8,
            "f[1].v": 9,
            "f[1].v[0]": 9,
            "f[1].v[0].z": 10,
        },
    ),
    "strings of many lines that look like TOML": (
        'a = """\n[no]\nb = 1\n"" \\""" \\\n"""""\nc = \'\'\'\n[no]\n\\\'\'\'\'\'\nd = 1\n',
        {"a": 1, "c": 6, "d": 9},
    ),
    "arrays over many lines with comments": (
        'a = [ # ]\n  1, # 2,\n  [ "x]", \'#\' ],\n  { b = [\n3\n] , "c.d" = "}" },\n]\ne = []\n',
        {
            "a": 1,
            "a[0]": 2,
            "a[1]": 3,
            "a[1][0]": 3,
            "a[1][1]": 3,
            "a[2]": 4,
            "a[2].b": 4,
            "a[2].b[0]": 5,
            'a[2]."c.d"': 6,
            "e": 8,
        },
    ),
    "a table implied first and written later": (
        "[a.b]\nx = 1\n[a]\ny = { z.w = 1, v = {} }\n",
        {"a": 3, "a.b": 1, "a.b.x": 2, "a.y": 4, "a.y.z": 4, "a.y.z.w": 4, "a.y.v": 4},
    ),
    "scalars of every kind": (
        "a = 1979-05-27 07:32:00 # x\nb=inf\nc = -0x_f\n".replace("-0x_f", "0xf_f")
        + "d=[+1e3,true,07:32:00]\ne = \"\"\nf=''\n",
        {"a": 1, "b": 2, "c": 3, "d": 4, "d[0]": 4, "d[1]": 4, "d[2]": 4, "e": 5, "f": 6},
    ),
    "windows line ends and other separators inside strings": (
        'a = "\u2028\x85"\r\n[t]\r\nb = """\r\nx\r\n"""\r\nc = 1\r\n',
        {"a": 1, "t": 2, "t.b": 3, "t.c": 6},
    ),
    "no line end at the end, nothing at all": ("a = 1", {"a": 1}),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_each_key_has_its_line(name):
    text, expected = GOLDEN[name]
    assert key_lines(text) == expected


@pytest.mark.parametrize("name", GOLDEN)
def test_the_scan_and_tomllib_find_the_same_keys(name):
    text, _ = GOLDEN[name]
    assert set(key_paths(tomllib.loads(text))) == set(key_lines(text))


def test_an_empty_text_has_no_keys():
    assert key_lines("") == {}
    assert key_lines("\n# only a comment") == {}


scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
trees = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.\"'é"), inner),
        max_leaves=12,
    ),
    max_size=4,
)


@given(trees)
def test_any_written_tree_is_read_back_and_scanned_alike(tree):
    text = "".join(f"{path_of(key)} = {toml_value(value)}  # c\n" for key, value in tree.items())
    assert tomllib.loads(text) == tree
    assert set(key_paths(tree)) == set(key_lines(text))


@given(trees)
def test_the_place_of_a_value_holds_exactly_the_value(tree):
    text = "[t]\n" + "".join(f"{path_of(k)}={toml_value(v)} # c\n" for k, v in tree.items())
    places = key_places(text)
    for key, value in tree.items():
        place = places[path_of("t", key)]
        assert text[place.start : place.end] == toml_value(value)


def test_a_missing_key_points_to_its_nearest_table():
    lines = key_lines("\n[model.x]\nowner = 'a'\n")
    assert line_of(lines, "model", "x", "owner") == 3
    assert line_of(lines, "model", "x", "sla", "p99_ms") == 2
    assert line_of(lines, "data", "y") == 1
