"""Settings: what is read, every fault at once, and never a secret in any text."""

import ipaddress
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.environment import _KUBERNETES, PREFIX, Secret, variable
from service.settings import Settings, SettingsError, is_secret, load_settings

PASSWORD = "hunter2-of-the-database"
NEEDED = {
    "WATCHWORD_ISSUER": "https://auth.example.com",
    "WATCHWORD_DATABASE_URL": f"postgresql://watchword:{PASSWORD}@db.example:5432/watchword",
    "WATCHWORD_REDIS_URL": f"redis://default:{PASSWORD}@redis.example:6379/0",
}
NAMES = [variable(field.name) for field in msgspec.structs.fields(Settings)]
OF_KUBERNETES = [
    "WATCHWORD_PORT",
    "WATCHWORD_PORT_8000_TCP",
    "WATCHWORD_PORT_8000_TCP_ADDR",
    "WATCHWORD_PORT_8000_TCP_PORT",
    "WATCHWORD_PORT_8000_TCP_PROTO",
    "WATCHWORD_PORT_53_UDP",
    "WATCHWORD_PORT_132_SCTP_ADDR",
    "WATCHWORD_SERVICE_HOST",
    "WATCHWORD_SERVICE_PORT",
    "WATCHWORD_SERVICE_PORT_HTTP",
    "WATCHWORD_REDIS_SERVICE_HOST",
    "WATCHWORD_REDIS_SERVICE_PORT_HTTP",
    "WATCHWORD_REDIS_PORT",
    "WATCHWORD_REDIS_PORT_6379_TCP_ADDR",
]


def load(**values: str) -> Settings:
    return load_settings({**NEEDED, **{PREFIX + name: value for name, value in values.items()}})


def faults(**values: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        load(**values)
    assert str(refused.value).splitlines() == refused.value.faults
    return refused.value.faults


def test_three_settings_are_needed() -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({})
    assert [fault.split(" is missing: ")[0] for fault in refused.value.faults] == list(NEEDED)
    settings = load_settings(NEEDED)
    assert settings.issuer == "https://auth.example.com"
    assert settings.database_url.reveal() == NEEDED["WATCHWORD_DATABASE_URL"]
    assert settings.listen == ("0.0.0.0:8000",)
    assert settings.migrate_database_url is None


def test_an_empty_variable_is_none() -> None:
    empty = load(LISTEN="", DRAIN=" ", MIGRATE_DATABASE_URL="", DATABASE_URL_FILE="")
    assert str(empty) == str(load())
    assert faults(ISSUER=" ")[0].startswith("WATCHWORD_ISSUER is missing: ")


def test_every_fault_is_named_at_once_in_a_line_of_its_own() -> None:
    wrong = {
        "ISSUER": "http://auth.example.com/",
        "DATABASE_URL": "mysql://db.example",
        "REDIS_URL": "",
        "LISTEN": " , ",
        "TRUSTED_PROXIES": "10.0.0.0/8, everybody",
        "TLS_CERTIFICATE": "/tls/chain.pem",
        "REDIS_PREFIX": "{ww}",
        "DATABASE_CONNECTIONS": "1",
        "MAX_CONNECTIONS": "many",
        "DRAIN": "soon",
        "GRACE": "-1s",
        "AUDIT_RETENTION": "999999d",
        "LOG_LEVEL": "loud",
        "LISTENN": "0.0.0.0:80",
    }
    found = faults(**wrong)
    assert len(found) == len(wrong) + 1  # the issuer has two
    for name in wrong.keys() - {"TLS_CERTIFICATE"}:
        assert [fault for fault in found if fault.startswith(f"WATCHWORD_{name}")], name
    assert "WATCHWORD_TLS_CERTIFICATE and WATCHWORD_TLS_PRIVATE_KEY go together" in found


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0", "Expected `int` >= 2"),
        ("201", "Expected `int` <= 200"),
        ("ten", "must be a whole number"),
        ("1e1", "must be a whole number"),
        ("9" * 5000, "must be a whole number"),
        ("\N{ARABIC-INDIC DIGIT ONE}", "must be a whole number"),
    ],
)
def test_a_number_is_a_whole_one_within_its_bounds(value: str, said: str) -> None:
    assert faults(DATABASE_CONNECTIONS=value) == [f"WATCHWORD_DATABASE_CONNECTIONS: {said}"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("45", 45), ("30s", 30), ("5 m", 300), ("12h", 43200)]
)
def test_a_duration_has_a_unit_or_is_in_seconds(text: str, seconds: int) -> None:
    assert load(DRAIN=text).drain == timedelta(seconds=seconds)
    assert load(AUDIT_RETENTION="36500d").audit_retention == timedelta(days=36500)


@pytest.mark.parametrize(
    "text",
    ["-1s", "1.5s", "1w", "s", "1 d 2 h", "\N{ARABIC-INDIC DIGIT ONE}s", "P1D", "9999999999"],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    assert faults(GRACE=text) == ["WATCHWORD_GRACE: must be a duration such as 30s, 5m, 12h or 90d"]


def test_a_duration_beyond_what_postgresql_can_reckon_is_refused() -> None:
    assert faults(AUDIT_RETENTION="36501d") == ["WATCHWORD_AUDIT_RETENTION: must be at most 36500d"]


def test_networks_and_names_have_commas_between() -> None:
    settings = load(TRUSTED_PROXIES=" 10.0.0.0/8,fd00::/8 , 192.0.2.7 ", ALLOWED_HOSTS="a,b.c")
    networks = [ipaddress.ip_network(n) for n in ("10.0.0.0/8", "fd00::/8", "192.0.2.7/32")]
    assert list(settings.trusted_proxies) == networks
    assert settings.allowed_hosts == ("a", "b.c")
    assert load(TRUSTED_PROXIES=",").trusted_proxies == ()


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "localhost", "::/129", "a\nb"])
def test_what_is_no_network_is_refused(text: str) -> None:
    (fault,) = faults(TRUSTED_PROXIES=f"10.0.0.0/8,{text}")
    assert fault.endswith("write networks such as 10.0.0.0/8, with commas")


@pytest.mark.parametrize("name", OF_KUBERNETES)
def test_what_kubernetes_says_of_a_service_is_ignored(name: str) -> None:
    assert str(load_settings({**NEEDED, name: "tcp://10.0.0.1:8000"})) == str(load())


def test_no_setting_of_ours_has_a_name_that_kubernetes_makes() -> None:
    names = [*NAMES, *(name + "_FILE" for name in NAMES)]
    assert [name for name in names if _KUBERNETES.fullmatch(name)] == []
    assert [name for name in OF_KUBERNETES if not _KUBERNETES.fullmatch(name)] == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("WATCHWORD_LISTN", "WATCHWORD_LISTEN"),
        ("WATCHWORD_DATABASE_UR", "WATCHWORD_DATABASE_URL"),
        ("WATCHWORD_REDIS_URL_FIL", "WATCHWORD_REDIS_URL_FILE"),
        ("WATCHWORD_listen", "WATCHWORD_LISTEN"),
    ],
)
def test_an_unknown_name_is_a_fault_with_the_nearest_that_is_one(name: str, meant: str) -> None:
    assert faults(**{name.removeprefix(PREFIX): "x"}) == [
        f"{name} is no setting; did you mean {meant}?"
    ]


def test_a_name_like_none_of_ours_is_a_fault_on_one_line() -> None:
    assert faults(QQQQQ="1") == ["WATCHWORD_QQQQQ is no setting"]
    assert faults(**{"Q\n\x1b[31mQ": "1"}) == ["'WATCHWORD_Q\\n\\x1b[31mQ' is no setting"]
    strangers = {"WATCHWORD": "1", "watchword_x": "1", "MY_WATCHWORD_X": "1", "PATH": "/bin"}
    assert str(load_settings({**NEEDED, **strangers})) == str(load())


class TestSecrets:
    """Secrets: from a variable or a file, and shown nowhere."""

    SECRETS = ("DATABASE_URL", "MIGRATE_DATABASE_URL", "REDIS_URL")  # of those, with a scheme

    def test_these_are_secrets(self) -> None:
        assert [name for name in NAMES if is_secret(name.removeprefix(PREFIX).lower())] == [
            "WATCHWORD_DATABASE_URL",
            "WATCHWORD_REDIS_URL",
            "WATCHWORD_MIGRATE_DATABASE_URL",
            "WATCHWORD_PKCS11_PIN",
        ]
        for field in msgspec.structs.fields(Settings):
            assert is_secret(field.name) == ("Secret" in str(field.type)), field.name

    def test_a_file_gives_the_value_without_its_last_newline(self, tmp_path: Path) -> None:
        file = tmp_path / "url"
        for end in ("", "\n", "\r\n", " \n\n"):
            file.write_text(NEEDED["WATCHWORD_REDIS_URL"] + end)
            settings = load(REDIS_URL="", REDIS_URL_FILE=str(file))
            assert settings.redis_url.reveal() == NEEDED["WATCHWORD_REDIS_URL"]
        assert load(ISSUER="https://auth.example.com\n").issuer == "https://auth.example.com"

    def test_a_file_that_gives_nothing_is_a_fault(self, tmp_path: Path) -> None:
        (tmp_path / "empty").write_text(" \n")
        (tmp_path / "binary").write_bytes(b"\xff\xfe")
        for name, said in (
            ("absent", "can't be read: No such file or directory"),
            ("", "can't be read: Is a directory"),
            ("binary", "can't be read: not a file of UTF-8 text"),
            ("a\0b", "can't be read: not a file of UTF-8 text"),
            ("empty", "is empty"),
        ):
            (fault,) = faults(DATABASE_URL="", DATABASE_URL_FILE=f"{tmp_path}/{name}")
            begins = "WATCHWORD_DATABASE_URL: the file that WATCHWORD_DATABASE_URL_FILE names "
            assert fault == begins + said

    def test_variable_and_file_together_are_a_fault(self, tmp_path: Path) -> None:
        (tmp_path / "url").write_text(PASSWORD)
        (fault,) = faults(REDIS_URL_FILE=str(tmp_path / "url"))
        assert fault == "WATCHWORD_REDIS_URL: set either it or WATCHWORD_REDIS_URL_FILE, not both"

    def test_no_text_of_the_settings_shows_one(self) -> None:
        settings = load(MIGRATE_DATABASE_URL=NEEDED["WATCHWORD_DATABASE_URL"])
        for text in (repr(settings), str(settings), f"{settings}", f"{settings.redis_url!s:>60}"):
            assert PASSWORD not in text
            assert "Secret(…)" in text
        assert not hasattr(Secret(PASSWORD), "__dict__")
        with pytest.raises(TypeError):
            msgspec.json.encode(settings)

    @pytest.mark.parametrize("name", SECRETS)
    @pytest.mark.parametrize(
        "url",
        [
            PASSWORD,
            f"mysql://watchword:{PASSWORD}@db.example/watchword",
            f"POSTGRESQL://watchword:{PASSWORD}@db.example/watchword",
            # Taken apart by a driver, a piece of each password would be a port, which it prints.
            f"%s://watchword:{PASSWORD}/more@db.example/watchword",
            f"%s://watchword:more?{PASSWORD}@db.example/watchword",
            f"%s://watchword:more#{PASSWORD}@db.example/watchword",
            f"%s://watchword:{PASSWORD}@db.example:port/watchword",
            f"%s://watchword:{PASSWORD}@db.example:70000/watchword",
            f"%s://watchword:{PASSWORD}@db example/watchword",
            f"%s://watchword:{PASSWORD}@[::g]:5432/watchword",
        ],
    )
    def test_no_fault_shows_one(self, name: str, url: str) -> None:
        scheme = "redis" if name == "REDIS_URL" else "postgresql"
        (fault,) = faults(**{name: url.replace("%s", scheme)})
        assert PASSWORD not in fault
        assert "more" not in fault
        assert fault.startswith(f"WATCHWORD_{name} ")

    @pytest.mark.parametrize(
        "url",
        [
            "postgres://db.example",
            "postgresql:///watchword?host=/run/postgresql",
            "postgresql://u:p%2F%40@[2001:db8::1]:5432/watchword?sslmode=verify-full",
            "postgresql://u:p@a:5432,b:5433,c/watchword?target_session_attrs=read-write",
            "postgresql://u:p:p@p@db.example/watchword",
        ],
    )
    def test_addresses_that_postgresql_has_are_taken(self, url: str) -> None:
        assert load(DATABASE_URL=url).database_url.reveal() == url


# Names near ours, and values near what they want, so that the search gets past the first check.
_names = st.sampled_from([*NAMES, *(f"{n}_FILE" for n in NAMES)]) | st.text().map(PREFIX.__add__)
_values = st.text() | st.sampled_from(
    ["http://[", "https://a:99999", "postgresql://", "redis://h:x", "9999999999d", "-0", "1" * 99]
)


@given(st.dictionaries(_names, _values) | st.dictionaries(st.text(), st.text()))
def test_whatever_the_environment_is_nothing_but_faults_come_of_it(
    environment: dict[str, str],
) -> None:
    for found in (judged(environment), judged({**NEEDED, **environment})):
        assert [fault for fault in found if len(fault.splitlines()) != 1] == []
        assert [fault for fault in found if PASSWORD in fault] == []


def judged(environment: dict[str, str]) -> list[str]:
    try:
        load_settings(environment)
    except SettingsError as error:
        return error.faults
    return []
