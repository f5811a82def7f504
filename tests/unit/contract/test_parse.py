import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thrive.contract.checks import Between, Fresh, NotNull, Unique, Volume, parse_check
from thrive.contract.digest import canonical, digest_of, restore
from thrive.contract.lines import key_paths
from thrive.contract.parse import load, parse
from thrive.contract.phases import parse_phase, parse_road
from thrive.contract.schema import ACTION_DEFAULTS, Do, Risk, Where
from thrive.domain.clock import DAY, HOUR
from thrive.domain.errors import ContractError, InfrastructureError, NotFound, UsageError
from thrive.domain.monitoring import ActionKind, Cause
from thrive.domain.release import Phase, PhaseKind

WHOLE = (Path(__file__).parent / "whole.toml").read_text()


def test_the_whole_contract_is_read_as_written():
    parsed = parse(WHOLE)
    model = parsed.contract.model["flight-delay"]
    assert parsed.contract.project.name == "flight-delay"
    assert (model.where, model.risk) == (Where.HTTP, Risk.MINIMAL)
    assert (model.target.column, model.target.positive) == ("late", True)
    assert (model.sla.p99_ms, model.sla.max_age) == (25.0, "90 days")
    assert model.fallback == 0.2
    assert model.approvals == {"production": 1}
    assert model.gates.quality.slices == ["origin", "carrier"]
    assert model.gates.bias is not None
    assert model.gates.bias.limits() == {"equal_opportunity": 0.1}
    assert model.release.guard.error_rate == 0.01
    assert model.actions[Cause.OUTCOMES].do is Do.FIX_DATA
    assert model.actions[Cause.PERFORMANCE].default is ActionKind.ROLLBACK
    assert parsed.contract.data["flights"].personal == {"tailnum": "none"}
    assert parsed.contract.team["flights-ml"].channel == "https://hooks.example.org/flights"
    assert WHOLE.split("\n")[parsed.lines["model.flight-delay.sla.p99_ms"] - 1].startswith("sla")


def test_phases_and_checks_of_the_whole_contract_are_typed():
    contract = parse(WHOLE).contract
    assert contract.model["flight-delay"].release.parsed_phases() == [
        Phase(kind=PhaseKind.SHADOW, share=1.0, bake=HOUR),
        Phase(kind=PhaseKind.AB, share=0.5, bake=DAY),
        Phase(kind=PhaseKind.FULL, share=1.0, bake=0),
    ]
    assert contract.data["flights"].parsed_checks() == [
        Unique(columns=("flight_id",)),
        Fresh(within_us=2 * DAY),
        Between(column="dep_delay", low=-60, high=2000),
    ]


def test_what_is_not_said_has_a_default():
    model = parse('[model.m]\nowner = "us"\nsla = { p99_ms = 30 }').contract.model["m"]
    assert model.risk is Risk.UNDECIDED
    assert model.approvals == {"production": 1}
    assert set(model.actions) == set(ACTION_DEFAULTS) == set(Cause)
    assert {action.decide for action in model.actions.values()} == {"us"}
    assert model.actions[Cause.SERVICE].default is ActionKind.ROLLBACK
    assert [phase.kind for phase in model.release.parsed_phases()] == ["shadow", "full"]
    assert model.release.guard.p99_ms == 30
    assert model.gates.quality.metric == "auto"
    assert parse("").contract.model == {}


def test_an_answer_that_is_said_in_part_is_filled():
    text = """
    [model.m]
    owner = "us"
    approvals = { staging = 2 }
    actions = { service = { within = "2h" }, performance = { do = "review", decide = "them" } }
    """
    model = parse(text).contract.model["m"]
    assert model.approvals == {"production": 1, "staging": 2}
    service, performance = model.actions[Cause.SERVICE], model.actions[Cause.PERFORMANCE]
    assert (service.do, service.within, service.default) == ("rollback", "2h", "rollback")
    assert (performance.do, performance.decide, performance.within) == ("review", "them", "1 day")
    assert performance.default is None


def test_words_that_recommend_nothing_are_no_action():
    assert Do.NOTICE.action is None
    assert Do.PROPOSE.action is None
    assert Do.FIX_DATA.action is ActionKind.FIX_DATA
    assert set(Do) == {*ActionKind, "propose", "notice"}


MODEL = "contract = 1\n[model.m]\n"
WRONG = [
    # text, what the message says, what to write
    ("a = \n", "thrive.toml:1:5: not TOML: invalid value: a =", 'write key = "text"'),
    (
        'x = 1\nowner = "us\n',
        "thrive.toml:2:12: not TOML: illegal character '\\n': owner = \"us",
        "",
    ),
    ("a = 1\na = 2", "thrive.toml:2:6: not TOML: cannot overwrite a value: a = 2", ""),
    ("a = '''x\ny", "thrive.toml:2:2: not TOML: expected \"'''\": y", ""),
    ("a = " + "9" * 5000, "thrive.toml:1:5005: not TOML: exceeds the limit", ""),
    ("a = " + "[" * 9000, "thrive.toml:1: the values are nested too deeply.", ""),
    ("contract = 2", "thrive.toml:1: contract = 2 is a format this Thrive does not read", "newer"),
    ('contract = "1"', "thrive.toml:1: contract = '1' is a format", "write contract = 1"),
    ("contract = true", "contract = True is a format", "write contract = 1"),
    (
        "\n[modle.m]",
        "thrive.toml:2: modle: 'modle' is not a key of the contract.",
        "did you mean 'model'?",
    ),
    (
        MODEL + 'onwer = "a"',
        "thrive.toml:3: model.m.onwer: 'onwer' is not a key of model.m.",
        "did you mean 'owner'?",
    ),
    (MODEL + "zzz = 1", "'zzz' is not a key", "write one of: purpose, owner, deputy"),
    (
        MODEL + "owner = 5",
        "thrive.toml:3: model.m.owner: expected a text in quotes, found 5.",
        'write e.g. owner = "5"',
    ),
    (
        MODEL + 'users = "desk"',
        'model.m.users: expected a list, found "desk".',
        'write e.g. users = ["desk"]',
    ),
    (
        MODEL + "users = ['a',\n 3]",
        "thrive.toml:4: model.m.users[1]: expected a text in quotes, found 3.",
        "",
    ),
    (
        MODEL + 'target = "late"',
        'model.m.target: expected a table, found "late".',
        'write e.g. target = { column = "late" }',
    ),
    (
        MODEL + "approvals = 1",
        "model.m.approvals: expected a table, found 1.",
        "write e.g. approvals = { name = 1 }",
    ),
    (
        MODEL + "approvals = { production = 1.5 }",
        "expected a whole number, found 1.5.",
        "production = 1",
    ),
    (
        MODEL + "approvals = { prod = 1 }",
        "model.m.approvals.prod: 'prod' is not a stage",
        "approvals = { production = 1 }",
    ),
    (
        MODEL + 'where = "htp"',
        'model.m.where: "htp" is not one of http, batch, stream.',
        "did you mean 'http'?",
    ),
    (MODEL + 'risk = "low"', '"low" is not one of high, limited, minimal', "write one of: high"),
    (
        MODEL + "sla = { p99_ms = '25' }",
        'model.m.sla.p99_ms: expected a number above 0, found "25".',
        "write e.g. p99_ms = 25",
    ),
    (MODEL + "sla = { p99_ms = nan }", "finite and below 9e+15, found nan.", "p99_ms = 25"),
    (
        MODEL + "sla = { availability = 999 }",
        "expected a percentage up to 100, found 999.",
        "availability = 99.9",
    ),
    (
        MODEL + "sla = { max_age = '90 moons' }",
        "thrive.toml:3: model.m.sla.max_age: '90 moons' is not a duration.",
        '"90 days"',
    ),
    (
        MODEL + "sla = { max_age = 90 }",
        "model.m.sla.max_age: expected a text in quotes, found 90.",
        'max_age = "90 days"',
    ),
    (
        MODEL + "fallback = true",
        "model.m.fallback: expected a number or a text in quotes, found true.",
        "fallback = 0.5",
    ),
    (MODEL + "target = { positive = 1979-05-27 }", 'found "1979-05-27".', "positive = "),
    (
        MODEL + "monitor = { window = '' }",
        "model.m.monitor.window: '' is not the length of a window.",
        "",
    ),
    (
        MODEL + "monitor = { window = '0 days' }",
        "'0 days' is not the length of a window.",
        '"1000 rows"',
    ),
    (MODEL + "monitor = { false_alarms_per_year = 0 }", "expected a number above 0, found 0.", ""),
    (
        MODEL + "gates = { quality = { margin = inf } }",
        "expected a number not below 0, finite and below 9e+15, found inf.",
        "margin = 0.01",
    ),
    (
        MODEL + "[model.m.release]\nphases = [\n'shadow 1h',\n'ab 1d', 'full']",
        "thrive.toml:6: model.m.release.phases[1]: 'ab 1d' does not say its share",
        '"ab 10% 1d"',
    ),
    (
        MODEL + "release = { phases = ['shadow 1h'] }",
        "never reaches all users.",
        'end the phases with "full"',
    ),
    (
        MODEL + "actions = { drfit = {} }",
        '"drfit" is not one of service, data_quality',
        "did you mean 'drift'?",
    ),
    (
        MODEL + "actions = { drift = { do = 'retrian' } }",
        '"retrian" is not one of retrain',
        "did you mean 'retrain'?",
    ),
    (MODEL + "actions = { drift = { default = 'notice' } }", '"notice" is not one of retrain', ""),
    (
        MODEL + "gates = { bias = { equal_opportunity = 0 } }",
        "expected a gap above 0, at most 1, found 0.",
        "",
    ),
    (
        "[data.d]\nchecks = ['unique()']",
        "thrive.toml:2: data.d.checks[0]: 'unique()' is not a check.",
        '"unique(id)"',
    ),
    ("[data.d]\nchecks = ['unique(id, id)']", "'unique(id, id)' names 'id' twice.", '"unique(id)"'),
    ("[data.d]\nretention = 'long'", "data.d.retention: 'long' is not a duration.", ""),
    ("[data.'My Data']\n", "'My Data' cannot name a dataset.", "lower-case"),
    ("[model.'../x']\n", "'../x' cannot name a model.", ""),
    (
        "[team.a]\nchannel = 'me@example.org'",
        "'me@example.org' does not say by what means",
        'write "mailto:me@example.org"',
    ),
    ("project = { name = 'A b' }", "project.name: 'A b' cannot name a project.", ""),
    ("model = 3", "thrive.toml:1: model: expected a table, found 3.", ""),
    ("[model]\nm = 3", "model.m: expected a table, found 3.", "m = { purpose = 3 }"),
    (
        MODEL + "owner = 1\ndeputy = 2\nwhere = 3",
        "thrive.toml:3: model.m.owner: expected a text in quotes, found 1. (2 more after it)",
        "",
    ),
]


@pytest.mark.parametrize(("text", "what", "fix"), WRONG, ids=[what[:50] for _, what, _ in WRONG])
def test_each_error_names_line_value_and_cure(text, what, fix):
    with pytest.raises(ContractError) as raised:
        parse(text)
    assert what in raised.value.what
    assert fix in raised.value.hint
    assert "\n" not in raised.value.what
    assert len(raised.value.what) < 300
    assert raised.value.what.startswith("thrive.toml:")


@given(
    st.integers(0, len(WHOLE)),
    st.integers(0, 30),
    st.text(st.sampled_from("[]{}=.,'\"#\\\n ax1-é"), max_size=6),
)
def test_a_damaged_contract_is_read_or_refused_with_its_line(at, cut, put):
    text = WHOLE[:at] + put + WHOLE[at + cut :]
    refusal, lines = None, {}
    try:
        lines = parse(text).lines
    except ContractError as error:
        refusal = error.what.split(":")
    if refusal:
        assert refusal[0] == "thrive.toml"
        assert 1 <= int(refusal[1]) <= text.count("\n") + 1
    else:
        assert set(lines) == set(key_paths(tomllib.loads(text)))


@pytest.mark.parametrize("depth", [50, 200, 300, 310, 320, 330, 400, 470])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a=", "}")])
def test_deep_values_are_refused_at_any_depth(depth, opening, closing):
    with pytest.raises(ContractError, match=r"thrive\.toml:1: "):
        parse(f"project.name = {opening * depth}1{closing * depth}")


def test_a_file_is_named_as_it_is_called():
    with pytest.raises(ContractError, match=r"^other\.toml:1: zz"):
        parse("zz = 1", "other.toml")


def test_a_folder_is_read(tmp_path):
    (tmp_path / "thrive.toml").write_bytes(b"\xef\xbb\xbf" + WHOLE.encode())
    assert load(tmp_path).digest == parse(WHOLE).digest


def test_a_folder_without_a_contract_says_how_to_make_one(tmp_path):
    with pytest.raises(NotFound, match="thrive init"):
        load(tmp_path)


def test_what_cannot_be_opened_is_the_machine_s_fault(tmp_path):
    (tmp_path / "thrive.toml").mkdir()
    with pytest.raises(InfrastructureError, match="cannot be read"):
        load(tmp_path)


def test_bytes_that_are_no_text_name_their_line(tmp_path):
    (tmp_path / "thrive.toml").write_bytes(b"a = 1\nb = '\xe9'\n")
    with pytest.raises(ContractError, match=r"thrive\.toml:2: byte 0xe9 is not UTF-8"):
        load(tmp_path)


def test_the_digest_does_not_see_spelling():
    loose = "\n# hello\n" + WHOLE.replace("p99_ms = 25", "p99_ms    =   25.0 ")
    assert parse(loose).digest == parse(WHOLE).digest
    said = MODEL + 'owner = "us"\nmonitor = { window = "1 day" }'
    assert parse(said).digest == parse(MODEL + "owner = 'us'").digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.005", "0.006"),
        ('"flights-ml"', '"others"'),
        ("full", 'canary 10% 1h", "full'),
        ("= 1 ", "= 2 "),
    ],
)
def test_the_digest_sees_every_term(old, new):
    changed = WHOLE.replace("approvals = { production = 1 }", "approvals = { production = 1 }")
    changed = (
        changed.replace(old, new)
        if old != "= 1 "
        else changed.replace("production = 1", "production = 2")
    )
    assert changed != WHOLE
    assert parse(changed).digest != parse(WHOLE).digest


def test_a_stored_contract_comes_back_whole():
    contract = parse(WHOLE).contract
    stored = canonical(contract)
    assert restore(stored) == contract
    assert digest_of(restore(stored)) == digest_of(contract)
    assert restore(stored.replace(b'"project":{', b'"project":{"later":1,')) == contract


@pytest.mark.parametrize(
    ("text", "phase"),
    [
        ("shadow 1h", Phase(kind=PhaseKind.SHADOW, share=1.0, bake=HOUR)),
        ("shadow 25% 90 min", Phase(kind=PhaseKind.SHADOW, share=0.25, bake=HOUR * 3 // 2)),
        (" canary  0.5 %  2 days ", Phase(kind=PhaseKind.CANARY, share=0.005, bake=2 * DAY)),
        ("full", Phase(kind=PhaseKind.FULL, share=1.0, bake=0)),
    ],
)
def test_a_phase_is_read(text, phase):
    assert parse_phase(text) == phase


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is not a phase"),
        ("blue 1h", "is not a phase"),
        ("shadow", "how long"),
        ("ab 50%", "how long"),
        ("canary 2h", "share"),
        ("ab 0% 1d", "not a share"),
        ("ab 100% 1d", "not a share"),
        ("ab -5% 1d", "not a share"),
        ("ab nan% 1d", "not a share"),
        ("ab 50% 1 lightyear", "not a duration"),
        ("ab 50% 0s", "lasts no time"),
        ("full 1h", "no end"),
        ("full 50%", "no end"),
    ],
)
def test_a_wrong_phase_says_why(text, what):
    with pytest.raises(UsageError, match=what):
        parse_phase(text)


def test_a_road_ends_with_full():
    with pytest.raises(UsageError, match="goes on after full"):
        parse_road(["full", "shadow 1h"])
    with pytest.raises(UsageError, match="never reaches"):
        parse_road([])


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("unique(a, b c)", Unique(columns=("a", "b c"))),
        ("not_null( 'x' )", NotNull(columns=("x",))),
        ("fresh(seen_at, 90 min)", Fresh(within_us=HOUR * 3 // 2, column="seen_at")),
        ("volume(100, 1_000_000)", Volume(low=100, high=1_000_000)),
        ('"dep delay" between -1.5 and 2e3', Between(column="dep delay", low=-1.5, high=2000)),
        ("between between 0 and 0", Between(column="between", low=0, high=0)),
    ],
)
def test_a_check_is_read(text, check):
    assert parse_check(text) == check


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "not a check"),
        ("unique", "not a check"),
        ("unique(a,,b)", "not a check"),
        ("uniqe(a)", "not a check"),
        ("fresh(a, 1h, 2h)", "not a check"),
        ("fresh(soon)", "not a duration"),
        ("volume(1)", "not a check"),
        ("volume(5, 1)", "5 is above 1"),
        ("volume(few, many)", "'few' .* is not a number"),
        ("x between 1 and inf", "'inf' .* is not a number"),
        ("x between 3 and 1", "3 is above 1"),
    ],
)
def test_a_wrong_check_says_why(text, what):
    with pytest.raises(UsageError, match=what):
        parse_check(text)
