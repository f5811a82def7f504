import pytest
from tests.rest import ask, make_app

from thrive.client.wire import is_local
from thrive.flows.catalogue import load_all
from thrive.operations import Kind


@pytest.fixture
def document(home):
    app = make_app(home)
    yield ask(app, "GET", "/api/openapi.json").json()
    app.close()


def test_every_operation_with_a_door_here_stands_in_the_document_with_its_roles(document):
    described = {
        (item["operationId"], tuple(item["x-thrive-roles"]), item["x-thrive-kind"])
        for path, methods in document["paths"].items()
        if not path.startswith("/api/blobs/")
        for item in methods.values()
    }
    expected = {
        (name.replace(" ", "."), tuple(sorted(each.role)), each.kind.value)
        for name, each in load_all().items()
        if each.kind is not Kind.CLIENT
    }
    assert described == expected
    bytes_go = {path: set(document["paths"][path]) for path in document["paths"] if "blobs" in path}
    assert bytes_go == {
        "/api/blobs/missing": {"post"},
        "/api/blobs/small": {"put"},
        "/api/blobs/{digest}": {"get", "put", "parameters"},
    }


def test_each_reference_leads_somewhere_and_each_parameter_is_described(document):
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(_references(document)) <= known
    for name, operation in load_all().items():
        if operation.kind is Kind.CLIENT:
            continue
        item = next(iter(document["paths"]["/api/" + name.replace(" ", "/")].values()))
        names = {each.name for each in operation.parameters if not is_local(each)}
        if "requestBody" in item:
            schema = item["requestBody"]["content"]["application/json"]["schema"]
            body = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
            assert set(body["properties"]) == names
            assert body["additionalProperties"] is False
        else:
            assert {each["name"] for each in item["parameters"]} == names


def test_a_read_has_no_default_that_a_query_cannot_say():
    for operation in load_all().values():
        if operation.kind is Kind.CLIENT or operation.writes:
            continue
        for parameter in operation.parameters:
            if "None" in str(parameter.annotation):
                assert parameter.default is None, f"{operation.name}: {parameter.name}"


def test_the_document_needs_a_token(home):
    app = make_app(home)
    assert ask(app, "GET", "/api/openapi.json", token=None).status == 401
    app.close()


def _references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _references(each)
