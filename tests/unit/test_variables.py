"""What a process that runs a model is told by its environment."""

from thrive.variables import ONLINE_STORE, without_secrets

SECRETS = {
    "AWS_ACCESS_KEY_ID": "k",
    "AWS_SECRET_ACCESS_KEY": "s",
    "CI_JOB_TOKEN": "t",
    "DATABASE_URL": "postgresql://user:word@host/db",
    "GOOGLE_APPLICATION_CREDENTIALS": "/key.json",
    "PGPASSWORD": "p",
    "THRIVE_CHANNELS": "desk=slack://TokenA/TokenB",
    "THRIVE_CONNECTIONS": "warehouse=postgresql://user@host/db",
    "THRIVE_OIDC_SECRET": "s",
    "THRIVE_PSEUDONYM_KEY": "s",
    "THRIVE_SIGNING_KEY": "s",
    "THRIVE_SMTP_URL": "smtp://host",
    "THRIVE_TOKEN": "t",
    "openai_api_key": "s",
}
PLAIN = {
    "AWS_REGION": "eu-central-1",
    "HOME": "/home/thrive",
    "PATH": "/bin:/usr/bin",
    "THRIVE_ALLOW_PICKLES": "m=d",
    "THRIVE_MODEL_KEYS": "k",
    "http_proxy": "http://proxy:3128",
}


def test_it_is_told_no_key_and_no_password_but_what_it_needs():
    online = {ONLINE_STORE: "redis://:word@host:6379/0"}
    assert without_secrets(SECRETS | online | PLAIN) == PLAIN
    assert without_secrets(SECRETS | online | PLAIN, frozenset({ONLINE_STORE})) == PLAIN | online
