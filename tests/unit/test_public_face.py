"""The public face: sorted, complete, and each name found where it says."""

import pytest

import thrive


def test_all_is_sorted_and_every_name_loads():
    assert thrive.__all__ == sorted(thrive.__all__)
    for name in thrive.__all__:
        assert getattr(thrive, name) is not None


def test_dir_offers_exactly_the_public_names():
    assert dir(thrive) == thrive.__all__


def test_the_lazy_names_are_public():
    assert set(thrive._HOMES) < set(thrive.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="trian"):
        thrive.trian  # noqa: B018
