"""A Feast repository's definitions as feature views, as far as they map; what does not is named.

The files are read, never run: a definition counts where its parts are written out. (Feast's classes
and their parameters: docs.feast.dev, "Concepts".)
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NoReturn

import msgspec

_VIEWS = ("FeatureView", "BatchFeatureView", "StreamFeatureView")
_KINDS = (*_VIEWS, "Entity", "FeatureService", "LabelView")
_NESTED = ("Map", "Json", "Struct", "Array", "Set", "Vector")
_PLAIN = (ast.BinOp, ast.UnaryOp, ast.Compare, ast.Constant, ast.Name, ast.operator, ast.unaryop)
_TAKEN = {
    "name",
    "source",
    "entities",
    "ttl",
    "schema",
    "owner",
    "description",
    "online",
    "offline",
}
_SPELLED = ((86400, "days"), (3600, "h"), (60, "min"), (1, "s"))


class Mapped(msgspec.Struct, frozen=True, kw_only=True):
    """One Feast definition: what became of it, and what to know or do about it.

    `became` is empty where it does not map; `note` then says why.
    """

    feast: str
    became: str
    note: str


class Translation(msgspec.Struct, frozen=True, kw_only=True):
    """The text of a `features.py`, and what became of each definition."""

    text: str
    mapped: list[Mapped]


class _Call(msgspec.Struct, frozen=True, kw_only=True):
    """A definition: the class that is called, and the words it is called with."""

    kind: str
    words: Mapping[str, ast.expr]

    def text(self, word: str) -> str:
        """Return a text that is written out; empty if it is not."""
        value = self.words.get(word)
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return value.value
        return ""

    @property
    def name(self) -> str:
        """What the definition is called in Feast."""
        return self.text("name") or "without a name"


class _Unmapped(Exception):
    """A definition that has no counterpart; says why."""


def translate(texts: Mapping[str, str]) -> Translation:
    """Translate the Python files of a Feast repository.

    Args:
        texts: path = text of each file.
    """
    return _Translator([ast.parse(text, filename=path) for path, text in texts.items()]).run()


class _Translator:
    """Reads the definitions of some modules, then writes each as what it becomes here."""

    def __init__(self, modules: Sequence[ast.Module]) -> None:
        self._modules = modules
        self._known: dict[str, _Call] = {}
        self._parts: dict[str, str] = {}
        self._mapped: list[Mapped] = []

    def run(self) -> Translation:
        """Return the translation."""
        nodes = [node for module in self._modules for node in module.body]
        for node in nodes:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                call = _call(node.value)
                for target in node.targets:
                    if call and isinstance(target, ast.Name):
                        self._known[target.id] = call
        for node in nodes:
            self._take(node)
        head = "import polars as pl\nfrom thrive import feature_view, on_demand\n"
        return Translation(text="\n\n".join([head, *self._parts.values()]), mapped=self._mapped)

    def _take(self, node: ast.stmt) -> None:
        if isinstance(node, ast.FunctionDef):
            names = [_called(each) for each in node.decorator_list]
            if "on_demand_feature_view" in names:
                self._say(f"on_demand_feature_view {node.name}", lambda: self._on_demand(node))
            elif any(name.endswith("feature_view") for name in names):
                self._say(f"feature view {node.name}", _transformed)
            return
        call = _call(node.value) if isinstance(node, ast.Assign | ast.Expr) else None
        if call is None:
            return
        label = f"{call.kind} {call.name}"
        if call.kind in _VIEWS:
            self._say(label, lambda: self._view(call))
        elif call.kind == "FeatureService":
            self._say(label, lambda: self._service(call))
        elif call.kind == "LabelView":
            self._say(label, lambda: _refuse("labels come as outcomes: thrive outcomes add"))

    def _say(self, label: str, make: Any) -> None:
        """Note what became of a definition, or why nothing did."""
        try:
            became, note = make()
        except _Unmapped as reason:
            became, note = "", str(reason)
        self._mapped.append(Mapped(feast=label, became=became, note=note))

    def _view(self, call: _Call) -> tuple[str, str]:
        notes: list[str] = []
        if "aggregations" in call.words:
            _refuse("its aggregations are windows: write them with thrive.features.windowed")
        if {"udf", "feature_transformation"} & call.words.keys():
            _transformed()
        source = self._source(call.words.get("source"), notes)
        keys = self._keys(call)
        time = source.text("timestamp_field") or source.text("event_timestamp_column")
        if not time:
            _refuse("its source names no timestamp_field")
        said: dict[str, Any] = {"entity": keys[0] if len(keys) == 1 else keys, "event_time": time}
        created = source.text("created_timestamp_column")
        if created:
            notes.append(
                f"of rows of one time that with the latest {created} holds, as in Feast; with "
                f'recorded_time="{created}" a row would count from then on, and not before'
            )
        dataset, adding = _dataset(source)
        notes.append(adding)
        said["source"] = dataset
        lasting = _ttl(call.words.get("ttl"), notes)
        if lasting:
            said["ttl"] = lasting
        if call.text("owner"):
            said["owner"] = call.text("owner")
        left = sorted(call.words.keys() - _TAKEN)
        if left:
            notes.append(f"not taken over: {', '.join(left)}")
        said["why"] = call.text("description") or f"{call.name} of the Feast repository."
        name = _identifier(call.name)
        self._parts[name] = _function(name, said, self._rows(call, source, said, notes))
        return f"@feature_view {name}", "; ".join(notes)

    def _rows(self, call: _Call, source: _Call, said: dict[str, Any], notes: list[str]) -> str:
        """Return what the function returns: the columns of the schema, or all."""
        renamed = _pairs(source.words.get("field_mapping"))
        rows = f"rows.rename({renamed!r})" if renamed else "rows"
        created = source.text("created_timestamp_column")
        if created:
            rows += f'.sort("{created}", maintain_order=True)'
        fields = list(_fields(call.words.get("schema")))
        nested = [name for name, kind in fields if kind in _NESTED]
        if nested:
            notes.append(f"left out, as no feature is nested: {', '.join(nested)}")
        keys = said["entity"] if isinstance(said["entity"], list) else [said["entity"]]
        fixed = [*keys, said["event_time"]]
        wanted = [name for name, _ in fields if name not in (*nested, *fixed)]
        if fields and not wanted:
            _refuse("none of its fields is a number, a text, a boolean or a time")
        if not wanted:
            return f'{rows}.drop("{created}")' if created else rows
        columns = "".join(f"        {name!r},\n" for name in (*fixed, *wanted))
        return f"{rows}.select(\n{columns}    )".replace("'", '"')

    def _source(self, value: ast.expr | None, notes: list[str]) -> _Call:
        call = self._resolved(value)
        if call is None:
            _refuse("its source is not written out")
        if call.kind in ("PushSource", "KafkaSource", "KinesisSource"):
            notes.append(f"{call.kind} {call.name}: thrive data add each batch, then materialize")
            return self._source(call.words.get("batch_source"), notes)
        if call.kind in _VIEWS:
            _refuse("it is made from another view: read that view's source in one function")
        return call

    def _keys(self, call: _Call) -> list[str]:
        listed = call.words.get("entities")
        found: list[str] = []
        for each in listed.elts if isinstance(listed, ast.List | ast.Tuple) else []:
            entity = self._resolved(each)
            if entity is None:
                _refuse("an entity is not written out")
            joined = _texts(entity.words.get("join_keys"))
            found += joined or [entity.text("join_key") or entity.name]
        if not found:
            _refuse("it has no entity: give its rows a key column")
        return found

    def _resolved(self, value: ast.expr | None) -> _Call | None:
        """Return the definition that a name or a call stands for."""
        if isinstance(value, ast.Name):
            return self._known.get(value.id)
        if isinstance(value, ast.Constant):
            return next((each for each in self._known.values() if each.name == value.value), None)
        return _call(value) if isinstance(value, ast.Call) else None

    def _service(self, call: _Call) -> tuple[str, str]:
        listed = call.words.get("features")
        names: list[str] = []
        notes: list[str] = []
        for each in listed.elts if isinstance(listed, ast.List | ast.Tuple) else []:
            whole = each.value if isinstance(each, ast.Subscript) else each
            view = self._resolved(whole)
            if isinstance(whole, ast.Name) and view is None:
                names += self._computed_by.get(whole.id, [])
            elif view is not None and _identifier(view.name) in self._parts:
                names.append(_identifier(view.name))
            if isinstance(each, ast.Subscript):
                notes.append(f"all features of {names[-1] if names else 'a view'} are joined")
        if not names:
            _refuse("none of its views maps")
        shown = ", ".join(f'"{name}"' for name in names)
        return f"features = [{shown}]", "; ".join(["under [model.NAME] in thrive.toml", *notes])

    @property
    def _computed_by(self) -> dict[str, list[str]]:
        """On-demand view = the features it became."""
        begin = "on_demand_feature_view "
        return {
            each.feast.removeprefix(begin): each.became.removeprefix("@on_demand ").split(", ")
            for each in self._mapped
            if each.feast.startswith(begin) and each.became
        }

    def _on_demand(self, node: ast.FunctionDef) -> tuple[str, str]:
        """Translate a function whose lines are `frame["feature"] = arithmetic of inputs`."""
        if len(node.args.args) != 1:
            _refuse("its function takes several inputs")
        given = node.args.args[0].arg
        made: dict[str, str] = {}
        for line in node.body:
            if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Subscript):
                name = _constant(line.targets[0].slice)
                made[_identifier(name)] = _computed(_identifier(name), line.value, given)
            elif not _harmless(line):
                _refuse("only lines like frame['x'] = inputs['a'] + 1 are translated: rewrite it")
        if not made:
            _refuse("it assigns no feature")
        twice = [name for name in made if self._parts.get(name, made[name]) != made[name]]
        if twice:
            _refuse(f"{twice[0]} is computed otherwise by another view: rename one")
        self._parts |= made
        return f"@on_demand {', '.join(made)}", ""


def _refuse(why: str) -> NoReturn:
    raise _Unmapped(why)


def _transformed() -> tuple[str, str]:
    return _refuse("its transformation is code of another engine: rewrite it over a pl.LazyFrame")


def _call(value: ast.expr) -> _Call | None:
    if not isinstance(value, ast.Call):
        return None
    kind = _called(value)
    if kind not in _KINDS and not kind.endswith("Source"):
        return None
    words = {word.arg: word.value for word in value.keywords if word.arg}
    if value.args and "name" not in words:
        words["name"] = value.args[0]
    return _Call(kind=kind, words=words)


def _called(value: ast.expr) -> str:
    """Return the last name of what is called, or of a decorator."""
    function = value.func if isinstance(value, ast.Call) else value
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _texts(value: ast.expr | None) -> list[str]:
    listed = value.elts if isinstance(value, ast.List | ast.Tuple) else []
    return [str(each.value) for each in listed if isinstance(each, ast.Constant)]


def _pairs(value: ast.expr | None) -> dict[str, str]:
    if not isinstance(value, ast.Dict):
        return {}
    both = zip(value.keys, value.values, strict=True)
    return {_constant(key): _constant(each) for key, each in both if key is not None}


def _constant(value: ast.expr) -> str:
    if not (isinstance(value, ast.Constant) and isinstance(value.value, str)):
        _refuse("a name is computed and not written out")
    return value.value


def _fields(value: ast.expr | None) -> Iterator[tuple[str, str]]:
    """Give the name and the type of each field of a schema."""
    for each in value.elts if isinstance(value, ast.List | ast.Tuple) else []:
        call = _words_of(each)
        kind = call.get("dtype")
        name = call.get("name")
        if isinstance(name, ast.Constant):
            yield str(name.value), _called(kind) if kind is not None else ""


def _words_of(value: ast.expr) -> dict[str, ast.expr]:
    if not isinstance(value, ast.Call):
        return {}
    placed = zip(("name", "dtype"), value.args, strict=False)
    return {**dict(placed), **{word.arg: word.value for word in value.keywords if word.arg}}


def _ttl(value: ast.expr | None, notes: list[str]) -> str:
    """Return a timedelta that is written out as a duration; empty for none or for ever."""
    if value is None or (isinstance(value, ast.Constant) and value.value is None):
        return ""
    seconds = _seconds(value)
    if seconds is None:
        notes.append("its ttl is computed: write it")
        return ""
    for size, unit in _SPELLED:
        if seconds and seconds % size == 0:
            return f"{int(seconds // size)} {unit}"
    return ""


def _seconds(value: ast.expr) -> float | None:
    if not isinstance(value, ast.Call) or _called(value) != "timedelta":
        return None
    given = dict(zip(("days", "seconds", "microseconds"), value.args, strict=False))
    given |= {word.arg: word.value for word in value.keywords if word.arg}
    try:
        parts = {unit: ast.literal_eval(each) for unit, each in given.items()}
        return timedelta(**parts).total_seconds()
    except (ValueError, TypeError):
        return None


def _dataset(source: _Call) -> tuple[str, str]:
    """Return the name of a source's dataset, and how to add it."""
    path = source.text("path") or source.text("query") or source.text("table")
    called = source.text("name") or re.split(r"[/\\]", path)[-1].partition(".")[0] or "source"
    name = re.sub(r"[^a-z0-9._-]+", "-", called.lower()).strip("._-")[:64] or "source"
    if source.kind == "FileSource" and path:
        return name, f"thrive data add {path} --name {name}"
    return name, f"bring the data of {source.kind} {called}: thrive data add ... --name {name}"


def _identifier(name: str) -> str:
    plain = re.sub(r"\W+", "_", name.lower()).strip("_") or "view"
    return f"view_{plain}" if plain[0].isdigit() else plain


def _function(name: str, said: dict[str, Any], rows: str) -> str:
    words = "".join(
        f"    {word}={msgspec.json.encode(value).decode()},\n" for word, value in said.items()
    )
    return (
        f"@feature_view(\n{words})\n"
        f"def {name}(rows: pl.LazyFrame) -> pl.LazyFrame:\n    return {rows}\n"
    )


class _Inputs(ast.NodeTransformer):
    """Makes `inputs["a"]` the parameter `a`, and gathers the parameters."""

    def __init__(self, given: str) -> None:
        self._given = given
        self.names: list[str] = []

    def visit_Subscript(self, node: ast.Subscript) -> ast.Name:
        """Replace one."""
        if not (isinstance(node.value, ast.Name) and node.value.id == self._given):
            _refuse("it reads more than its inputs: rewrite it")
        name = _constant(node.slice)
        if not name.isidentifier():
            _refuse(f"its input {name!r} is no name of a parameter")
        self.names.append(name)
        return ast.Name(name)


def _computed(name: str, value: ast.expr, given: str) -> str:
    inputs = _Inputs(given)
    expression: ast.expr = inputs.visit(value)
    allowed = (*_PLAIN, ast.cmpop, ast.expr_context)
    used = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
    whole = all(isinstance(node, allowed) for node in ast.walk(expression))
    if not whole or not inputs.names or used - set(inputs.names):
        _refuse("only arithmetic of its inputs is translated: rewrite it")
    parameters = ", ".join(f"{each}: pl.Expr" for each in dict.fromkeys(inputs.names))
    return (
        f"@on_demand\ndef {name}({parameters}) -> pl.Expr:\n    return {ast.unparse(expression)}\n"
    )


def _harmless(line: ast.stmt) -> bool:
    """Tell whether a line computes nothing: a docstring, an empty frame, `return frame`."""
    if isinstance(line, ast.Return):
        return isinstance(line.value, ast.Name)
    if isinstance(line, ast.Expr):
        return isinstance(line.value, ast.Constant)
    made = line.value if isinstance(line, ast.Assign | ast.AnnAssign) else None
    return isinstance(made, ast.Call) and _called(made) == "DataFrame" and not made.args
