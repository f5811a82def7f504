"""The catalog: who uses a view, how much, what drifted, which columns are personal."""

from tests.contract import nouns

from thrive.data import operations as data
from thrive.domain.features import FeatureSpec
from thrive.flows.feature_catalog import list_views, show
from thrive.flows.features import materialize
from thrive.monitoring.findings import Column, Findings
from thrive.store import features, models, monitoring


def used_by_a_model(project, **changes):
    with project.write("test") as tx:
        view = features.get(tx, project.project_id, "weather")
        spec = FeatureSpec(views=[view.spec()])
        version = nouns.model_version(features=spec, importance={"temp": 0.75}, **changes)
        models.save(tx, project.project_id, nouns.model())
        models.insert_version(tx, project.project_id, version, [version.package])
        columns = [
            Column(name="temp", psi=0.4, p_value=0.001, usual=0.1, missing=0.0, drifted=True),
            Column(name="windy", psi=0.01, p_value=0.5, usual=0.1, missing=0.0, drifted=False),
        ]
        found = Findings(columns=columns).to_json()
        monitoring.insert_window(tx, project.project_id, nouns.window(findings=found))


def test_a_view_names_its_models_with_importance_and_drift(project):
    materialize(project)
    used_by_a_model(project)
    lines = {line.name: line for line in list_views(project)}
    assert (lines["weather"].used_by, lines["weather"].drifted) == ("delay@1", "temp")
    assert (lines["plane"].used_by, lines["plane"].drifted) == ("no model", "")
    uses = {use.feature: use for use in show(project, "weather").uses}
    assert (uses["temp"].importance, uses["temp"].drift, uses["temp"].usual) == (0.75, 0.4, 0.1)
    assert uses["temp"].drifted
    assert (uses["windy"].importance, uses["windy"].drifted) == (None, False)


def test_unused_views_are_named_and_a_retired_version_uses_none(project):
    materialize(project)
    used_by_a_model(project)
    assert [line.name for line in list_views(project, unused=True)] == ["plane"]
    with project.write("test") as tx:
        (version,) = models.versions(tx, project.project_id, "delay")
        retired = nouns.model_version(
            features=version.features, retired_at=1, importance=version.importance
        )
        models.replace_version(tx, project.project_id, retired)
    assert [line.name for line in list_views(project, unused=True)] == ["plane", "weather"]


def test_personal_columns_of_the_sources_are_labelled(project):
    (project.folder / "thrive.toml").write_text(
        'contract = 1\n[data.weather]\npersonal = { temp = "health", at = "none" }\n'
    )
    data.add(project, "weather.parquet", name="weather")
    materialize(project)
    assert show(project, "weather").labels == {"temp": "health"}
    assert show(project, "plane").labels == {}
