import pytest

from thrive.domain.errors import UsageError
from thrive.flows.messages import send


def test_a_file_channel_makes_its_folder_and_keeps_what_was_there(tmp_path):
    send("file:messages/team.txt", "first", "one", tmp_path)
    send("file:messages/team.txt", "second", "two", tmp_path)
    text = (tmp_path / "messages" / "team.txt").read_text()
    assert text.index("first") < text.index("one") < text.index("second") < text.index("two")


@pytest.mark.parametrize("target", ["../outside.txt", "/tmp/outside.txt", "a/../../outside.txt"])
def test_a_file_channel_never_leaves_the_project(tmp_path, target):
    project = tmp_path / "project"
    project.mkdir()
    with pytest.raises(UsageError, match="leaves the project's folder"):
        send(f"file:{target}", "subject", "body", project)
    assert list(tmp_path.iterdir()) == [project]


def test_a_symlink_out_of_the_project_is_not_followed(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "out").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="leaves the project's folder"):
        send("file:out/secret.txt", "subject", "body", project)


@pytest.mark.parametrize("channel", ["mailto:", "https://", "gopher://host", "nobody", "file:"])
def test_a_channel_of_another_form_says_which_there_are(tmp_path, channel):
    with pytest.raises(UsageError, match="is not a channel"):
        send(channel, "subject", "body", tmp_path)


def test_a_file_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        send("file:folder", "subject", "body", tmp_path)
