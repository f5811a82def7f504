"""Data is kept only in regions that its contract allows."""

import pytest

from thrive.contract.schema import DataTerms
from thrive.data.operations import add
from thrive.data.places import refuse_place
from thrive.domain.errors import Refused
from thrive.store.blobs import ObjectOptions, open_blobs, place_of

TERMS = DataTerms(owner="people", regions=["eu-west-1", "eu-central-1"])


def bucket(region=""):
    return open_blobs(
        "s3://lake/data", ObjectOptions(region=region, access_key="a", secret_key="b")
    )


def test_a_bucket_elsewhere_or_nobody_knows_where_is_refused(monkeypatch):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    refuse_place(bucket("eu-west-1"), "trips", TERMS)
    refuse_place(bucket("us-east-1"), "trips", DataTerms())
    with pytest.raises(
        Refused, match=r"not in s3://lake/data \(region us-east-1\) \(owed by people"
    ):
        refuse_place(bucket("us-east-1"), "trips", TERMS)
    with pytest.raises(Refused, match="region not told") as refused:
        refuse_place(bucket(), "trips", TERMS)
    assert refused.value.hint.startswith("set AWS_REGION")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    refuse_place(bucket(), "trips", TERMS)
    assert place_of(bucket()) == "s3://lake/data (region eu-central-1)"


def test_nothing_is_added_to_a_bucket_that_the_contract_does_not_allow(
    project, tmp_path, monkeypatch
):
    contract = tmp_path / "thrive.toml"
    said = contract.read_text() if contract.exists() else "contract = 1\n"
    contract.write_text(said + '\n[data.towns]\nsource = "towns.csv"\nregions = ["eu-west-1"]\n')
    (tmp_path / "towns.csv").write_text("town\nRome\n")
    assert add(project, name="towns").rows == 1  # a folder has no region
    (tmp_path / "towns.csv").write_text("town\nOslo\n")
    monkeypatch.setattr(project.home, "blobs", bucket("us-east-1"))
    with pytest.raises(Refused, match="towns may be kept in eu-west-1"):
        add(project, name="towns")
