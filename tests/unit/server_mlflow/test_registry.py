import pytest
from tests.rest import new_token
from tests.unit.server_mlflow.conftest import Client

from thrive.domain.errors import Refused
from thrive.domain.release import RoutingTable, Variant
from thrive.flows.promote import start_release
from thrive.store import models, releases
from thrive.store.rows import insert
from thrive.store.tables.models import model_versions


@pytest.fixture
def model(client) -> str:
    client.post("registered-models/create", name="Iris Model", description="words")
    return "Iris Model"


def register(client, model, **more) -> str:
    source = "mlflow-artifacts:/1/x/artifacts/model"
    made = client.post("model-versions/create", name=model, source=source, **more)
    return made["model_version"]["version"]


def one(client, model):
    return client.get("registered-models/get", f"name={model.replace(' ', '%20')}")[
        "registered_model"
    ]


def version(client, model, number):
    name = model.replace(" ", "%20")
    return client.get("model-versions/get", f"name={name}&version={number}")["model_version"]


def test_versions_are_numbered_as_texts_and_no_number_is_given_twice(client, model):
    assert [register(client, model) for _ in range(3)] == ["1", "2", "3"]
    client.post("model-versions/delete", "DELETE", name=model, version="3")
    assert register(client, model) == "4"
    found = version(client, model, 4)
    assert (found["status"], found["current_stage"]) == ("READY", "None")


def test_names_that_are_taken_or_unknown_are_told_by_their_codes(client, model):
    for path, body, told in (
        ("registered-models/create", {"name": model}, (400, "RESOURCE_ALREADY_EXISTS")),
        ("registered-models/create", {"name": "a/b"}, (400, "INVALID_PARAMETER_VALUE")),
        (
            "model-versions/create",
            {"name": "no", "source": "s3://x"},
            (404, "RESOURCE_DOES_NOT_EXIST"),
        ),
        (
            "model-versions/create",
            {"name": model, "source": "/etc/passwd"},
            (400, "INVALID_PARAMETER_VALUE"),
        ),
        (
            "model-versions/create",
            {"name": model, "source": "file:///etc"},
            (400, "INVALID_PARAMETER_VALUE"),
        ),
        (
            "model-versions/create",
            {"name": model, "source": "s3://a/../b"},
            (400, "INVALID_PARAMETER_VALUE"),
        ),
    ):
        assert client.refused("POST", path, body)[:2] == told
    assert (
        client.refused("GET", "registered-models/get", query="name=no")[1]
        == "RESOURCE_DOES_NOT_EXIST"
    )


def test_quirk_17_a_version_of_a_logged_model_is_found_through_it(client, model):
    run = client.run()
    made = client.post("logged-models", experiment_id="1", name="m", source_run_id=run)
    model_id = made["model"]["info"]["model_id"]
    client.post("runs/log-metric", run_id=run, key="auc", value=0.5, timestamp=1)
    made = client.post(
        "model-versions/create", name=model, source=f"models:/{model_id}", model_id=model_id
    )["model_version"]
    assert (made["model_id"], made["run_id"]) == (model_id, run)
    uri = client.get("model-versions/get-download-uri", "name=Iris%20Model&version=1")
    assert uri == {"artifact_uri": f"mlflow-artifacts:/1/models/{model_id}/artifacts"}
    known = client.get(f"logged-models/{model_id}")["model"]["info"]["registrations"]
    assert known == [{"name": model, "version": "1"}]


def test_quirk_02_aliases_of_a_model_without_traffic_are_labels(client, model):
    register(client, model)
    register(client, model)
    for alias, number in (("champion", "1"), ("best", "1"), ("best", "2")):
        client.post("registered-models/alias", name=model, alias=alias, version=number)
    found = client.get("registered-models/alias", "name=Iris%20Model&alias=best")
    assert found["model_version"]["version"] == "2"
    assert one(client, model)["aliases"] == [
        {"alias": "best", "version": "2"},
        {"alias": "champion", "version": "1"},
    ]
    client.post("registered-models/alias", "DELETE", name=model, alias="best")
    told = client.refused("GET", "registered-models/alias", query="name=Iris%20Model&alias=best")
    assert told[1] == "INVALID_PARAMETER_VALUE"
    for alias in ("latest", "v12"):
        body = {"name": model, "alias": alias, "version": "1"}
        assert client.refused("POST", "registered-models/alias", body)[0] == 400


def test_stages_of_a_version_without_a_package_are_labels(client, model):
    register(client, model)
    register(client, model)
    for number in ("1", "2"):
        client.post(
            "model-versions/transition-stage",
            name=model,
            version=number,
            stage="production",
            archive_existing_versions=True,
        )
    assert version(client, model, 1)["current_stage"] == "Archived"
    latest = client.post("registered-models/get-latest-versions", name=model, stages=["Production"])
    assert [each["version"] for each in latest["model_versions"]] == ["2"]
    body = {"name": model, "version": "1", "stage": "Best"}
    assert client.refused("POST", "model-versions/transition-stage", body)[0] == 400


def test_tags_and_words(client, model):
    register(client, model, tags=[{"key": "a", "value": "1"}])
    client.post("registered-models/set-tag", name=model, key="team", value="x")
    client.post("model-versions/set-tag", name=model, version="1", key="b", value="2")
    client.post("model-versions/delete-tag", "DELETE", name=model, version="1", key="a")
    client.post("model-versions/update", "PATCH", name=model, version="1", description="good")
    client.post("registered-models/update", "PATCH", name=model, description="flowers")
    found = one(client, model)
    assert (found["description"], found["tags"]) == ("flowers", [{"key": "team", "value": "x"}])
    found = version(client, model, 1)
    assert (found["description"], found["tags"]) == ("good", [{"key": "b", "value": "2"}])


def test_searches(client, model):
    for name in ("alpha", "beta"):
        client.post("registered-models/create", name=name, tags=[{"key": "t", "value": name}])
        register(client, name)
    register(client, "beta")

    def names(words):
        found = client.get("registered-models/search", f"filter={words}")
        return [each["name"] for each in found["registered_models"]]

    assert names("") == ["Iris Model", "alpha", "beta"]
    assert names("name%20LIKE%20'%25a'") == ["alpha", "beta"]
    assert names("tags.t%20=%20'beta'") == ["beta"]
    found = client.get("model-versions/search", "filter=name%3D'beta'&order_by=version_number")
    assert [each["version"] for each in found["model_versions"]] == ["1", "2"]


def test_quirk_14_a_missing_prompt_tag_differs_from_true_and_no_other_tag_does(client, model):
    prompt = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    client.post("registered-models/create", name="greeting", tags=prompt)

    def names(words):
        found = client.get("registered-models/search", f"filter={words}")
        return [each["name"] for each in found["registered_models"]]

    tag = "tag.%60mlflow.prompt.is_prompt%60"
    assert names(f"{tag}%20!=%20'true'") == [model]
    assert names(f"{tag}%20=%20'true'") == ["greeting"]
    assert names("tag.other%20!=%20'true'") == []


def test_a_renamed_model_keeps_its_versions_and_a_deleted_one_none(client, model):
    register(client, model)
    client.post("registered-models/rename", name=model, new_name="other")
    assert version(client, "other", 1)["name"] == "other"
    client.post("registered-models/delete", "DELETE", name="other")
    assert client.get("model-versions/search")["model_versions"] == []


@pytest.fixture
def packaged(client, model, home):
    """A version with a package beside one without, and traffic on the former."""
    register(client, model)
    register(client, model)
    with home.write() as tx:
        known = models.get_version(tx, home.project_id, model, 1)
        models.delete_version(tx, home.project_id, known)
        import msgspec

        insert(
            tx, home.project_id, model_versions, msgspec.structs.replace(known, package="a" * 64)
        )
        table = RoutingTable(
            model=model,
            revision=1,
            fallback=None,
            salt="s",
            at=1,
            reason="",
            actor="x",
            variants=[Variant(version=1, package="a" * 64, share=1.0)],
        )
        releases.move_routing(tx, home.project_id, table, 0)
    return model


def test_what_serves_is_champion_and_in_production(client, packaged):
    assert one(client, packaged)["aliases"] == [{"alias": "champion", "version": "1"}]
    assert version(client, packaged, 1)["current_stage"] == "Production"
    told = client.refused(
        "DELETE", "registered-models/alias", {"name": packaged, "alias": "champion"}
    )
    assert told[:2] == (403, "PERMISSION_DENIED")


def test_traffic_is_not_moved_by_an_alias_or_a_stage_but_by_a_promotion(client, packaged, context):
    alias = {"name": packaged, "alias": "champion", "version": "2"}
    status, code, words = client.refused("POST", "registered-models/alias", alias)
    assert (status, code) == (403, "PERMISSION_DENIED")
    assert "has no package" in words
    scientist = Client(client.app, new_token(context, "ada", "data-scientist"))
    status, code, words = scientist.refused("POST", "registered-models/alias", alias)
    assert (status, code) == (403, "PERMISSION_DENIED")
    assert "may not move the traffic" in words
    staging = {"name": packaged, "version": "1", "stage": "Staging"}
    assert client.refused("POST", "model-versions/transition-stage", staging)[0] == 403
    archived = {"name": packaged, "version": "1", "stage": "Archived"}
    assert (
        "answers requests" in client.refused("POST", "model-versions/transition-stage", archived)[2]
    )


def test_what_thrive_packaged_is_neither_deleted_nor_renamed(client, packaged):
    for method, path, body in (
        ("DELETE", "model-versions/delete", {"name": packaged, "version": "1"}),
        ("DELETE", "registered-models/delete", {"name": packaged}),
        ("POST", "registered-models/rename", {"name": packaged, "new_name": "other"}),
    ):
        assert client.refused(method, path, body)[:2] == (403, "PERMISSION_DENIED")


def test_a_version_without_a_package_is_not_released(client, model, context):
    register(client, model)
    with pytest.raises(Refused, match="no package"):
        start_release(context, model, 1)
