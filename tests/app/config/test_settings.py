"""Settings: who wins, what is refused, and how it is said."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel, ByteSize, SecretStr
from pydantic.fields import FieldInfo

from app.config.settings import FILE_NAME, Settings, load_settings
from engine.errors import SettingsError


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("LONGWATCH_HOME", "LONGWATCH_DATABASE_URL", "LONGWATCH_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def write(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / FILE_NAME).write_text(text)
    return folder


def test_defaults_are_those_of_the_contract(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    assert (settings.model, settings.sampling.fps) == ("nano", 1.0)
    limits = settings.limits
    assert (limits.upload_bytes, limits.duration_s) == (20 * 2**30, 86400)
    assert (limits.width_px, limits.height_px, limits.fps) == (8192, 8192, 240)
    assert (limits.concurrent_ingests, limits.queued_questions) == (4, 64)
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 7860)
    assert settings.catalog_url == f"sqlite:///{tmp_path}/longwatch.db"


def test_later_sources_win_key_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = write(
        tmp_path / "home", 'model = "a"\n[sampling]\nfps = 2\nheartbeat_s = 30\nthin_static = false'
    )
    folder = write(tmp_path / "folder", 'model = "b"\n[sampling]\nfps = 3')
    monkeypatch.setenv("LONGWATCH_SAMPLING__FPS", "4")
    settings = load_settings({"model": "flag", "device": None}, home=home, folder=folder)
    assert (settings.model, settings.device) == ("flag", "auto")
    assert (settings.sampling.fps, settings.sampling.heartbeat_s) == (4.0, 30.0)
    assert not settings.sampling.thin_static


def test_flag_wins_over_the_environment_over_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = write(tmp_path / "home", 'model = "from home"\n[sampling]\nfps = 2')
    folder = write(tmp_path / "folder", 'model = "from folder"')
    monkeypatch.setenv("LONGWATCH_SAMPLING__FPS", "3")
    monkeypatch.setenv("LONGWATCH_MODEL", "from environment")

    flags = {"model": "from flag", "sampling.fps": 4.0}
    both = load_settings(flags, home=home, folder=folder)
    assert (both.model, both.sampling.fps) == ("from flag", 4.0)

    environment = load_settings(home=home, folder=folder)
    assert (environment.model, environment.sampling.fps) == ("from environment", 3.0)

    monkeypatch.delenv("LONGWATCH_MODEL")
    assert load_settings(home=home, folder=folder).model == "from folder"


def test_home_comes_from_flag_then_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGWATCH_HOME", str(tmp_path / "from_env"))
    assert load_settings().home == tmp_path / "from_env"
    assert load_settings(home=tmp_path / "from_flag").home == tmp_path / "from_flag"
    monkeypatch.delenv("LONGWATCH_HOME")
    assert load_settings().home.name == "longwatch"


@pytest.mark.parametrize(
    ("written", "n_bytes"), [("20GiB", 20 * 2**30), ("1.5 GB", 1_500_000_000), ("4096", 4096)]
)
def test_sizes_are_written_as_people_write_them(
    written: str, n_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGWATCH_CACHE__DEVICE_BYTES", written)
    assert load_settings(home=tmp_path).cache.device_bytes == n_bytes


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[limits]\nallow_network = true",
            "'limits.allow_network'; did you mean 'allow_network'?",
        ),
        ('modle = "x"', "unknown setting 'modle'; did you mean 'model'?"),
        ("[cache]\ndevce_bytes = 1", "unknown setting 'cache.devce_bytes'; did you mean 'cache.de"),
        ("sampling = 3", "'sampling' is a section, not a value"),
        ("[sampling]\nfps = 0", "sampling.fps = 0: Input should be greater than or equal to"),
        ('[cache]\nhost_bytes = "much"', "cache.host_bytes = 'much': could not parse"),
        ("model = ", "is not valid TOML"),
        ('home = "/x"', "home cannot be set in a file"),
    ],
)
def test_mistake_in_a_file_is_one_sentence_naming_the_file(
    text: str, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(home=write(tmp_path, text))
    assert sentence in caught.value.message
    assert str(tmp_path / FILE_NAME) in caught.value.message


def test_unknown_variable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWATCH_LIMITS__UPLOAD_BYTE", "1GiB")
    with pytest.raises(SettingsError, match=r"environment: .* mean 'limits.upload_bytes'"):
        load_settings(home=tmp_path)


def test_variables_of_the_test_suite_are_no_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGWATCH_TEST_ANYTHING", "1")
    assert load_settings(home=tmp_path).model == "nano"


def test_folders_come_as_json_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGWATCH_PATHS__MEDIA_ROOTS", '["/srv/a", "/srv/b"]')
    assert load_settings(home=tmp_path).paths.media_roots == (Path("/srv/a"), Path("/srv/b"))


def test_list_that_is_no_json_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWATCH_PATHS__MEDIA_ROOTS", "/srv/a")
    with pytest.raises(SettingsError, match=r"environment: .*paths"):
        load_settings(home=tmp_path)


def test_password_of_the_database_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGWATCH_DATABASE_URL", "postgresql://me:hunter2@db/longwatch")
    settings = load_settings(home=tmp_path)
    assert settings.catalog_url == "postgresql://me:hunter2@db/longwatch"
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()


def test_every_secret_may_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        ".".join(path): field
        for path, field in every_field(Settings)
        if SecretStr in get_args(field.annotation)
    }
    assert secrets
    for name in secrets:
        variable = f"LONGWATCH_{name.replace('.', '__').upper()}"
        (tmp_path / name).write_text("postgresql://ada:hunter2@host/name\n")
        monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / name))
        value: object = load_settings(home=tmp_path, folder=tmp_path)
        for step in name.split("."):
            value = getattr(value, step)
        assert isinstance(value, SecretStr)
        assert value.get_secret_value() == "postgresql://ada:hunter2@host/name"
        monkeypatch.setenv(variable, "given twice")
        with pytest.raises(SettingsError, match=f"{variable} and {variable}_FILE"):
            load_settings(home=tmp_path, folder=tmp_path)
        monkeypatch.delenv(variable)
        (tmp_path / name).unlink()
        with pytest.raises(SettingsError, match=f"{variable}_FILE: .* cannot be read: No such"):
            load_settings(home=tmp_path, folder=tmp_path)
        monkeypatch.delenv(f"{variable}_FILE")


def every_field(
    section: type[BaseModel], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from every_field(field.annotation, (*path, name))
        else:
            yield (*path, name), field


def test_settings_never_change(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        settings.model = "other"
    with pytest.raises(ValueError, match="frozen"):
        settings.sampling.fps = 2.0


def test_settings_are_read_without_heavy_imports(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from app.config.settings import load_settings;"
        f"load_settings(home=Path({str(tmp_path)!r}));"
        "assert not {'torch', 'gradio', 'sqlalchemy', 'av'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("device", "banana"),
        ("retrieval.index", "banana"),
        ("sampling.fps", 1e-9),
        ("retention.days", 0.5),
        ("limits.duration_s", float("inf")),
        ("database_wait_s", 1e-9),
        ("server.trusted_proxies", ["banana"]),
    ],
)
def test_nonsense_is_refused_at_once(tmp_path: Path, setting: str, value: object) -> None:
    with pytest.raises(SettingsError, match=setting.rpartition(".")[2]):
        load_settings({setting: value}, home=tmp_path, folder=tmp_path)


def _numbers(section: type[BaseModel], path: str = "") -> Iterator[str]:
    """The names of settings that are numbers."""
    for name, field in section.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _numbers(annotation, f"{path}{name}.")
        elif {int, float, ByteSize} & {annotation, *get_args(annotation)}:
            yield path + name


@pytest.mark.parametrize("setting", [*_numbers(Settings)])
def test_number_that_nobody_means_is_refused_at_once(tmp_path: Path, setting: str) -> None:
    for value in ("banana", "", True, -1, 1e300, float("inf"), float("nan"), [], {}, "9e9TiB"):
        with pytest.raises(SettingsError):
            load_settings({setting: value}, home=tmp_path, folder=tmp_path)
