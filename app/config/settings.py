"""The only reader of files and environment for configuration.

Later ones win: defaults, `longwatch.toml` in the home folder, `longwatch.toml` in the working
folder, environment (`LONGWATCH_MODEL`, `LONGWATCH_CACHE__DEVICE_BYTES`), flags. Sizes may be
written as `20GiB`. Where a value is `None`, the engine's own default holds: it stands beside the
code that reads it, and only there.
"""

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from platformdirs import user_data_path
from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as EnvironmentSettingsError

import engine.index
from app.config.answer_settings import AnswerSettings
from app.config.cache_settings import CacheSettings
from app.config.camera_secrets import SECRET_PREFIX
from app.config.limit_settings import LimitSettings, RetentionSettings
from app.config.media_settings import MediaSettings
from app.config.object_settings import ObjectSettings
from app.config.section import Section, refuse_bool
from app.config.server_settings import ServerSettings
from app.config.sight_settings import SightSettings
from app.config.still_settings import StillSettings
from app.config.weight_settings import WeightSettings
from app.config.worker_settings import WorkerSettings
from app.logging import LogFormat, LogLevel
from engine import plugins
from engine.errors import SettingsError
from storage.files import HomeFolder

FILE_NAME = "longwatch.toml"
_PREFIX = "LONGWATCH_"
_FOREIGN_PREFIXES = ("LONGWATCH_TEST_", SECRET_PREFIX)
"""Variables of the test suite and secrets of cameras; they configure nothing here."""
SECRETS = ("database_url", "objects__access_key_id", "objects__secret_access_key")
"""Settings whose value may lie in a file that a variable with `_FILE` behind its name names."""

ENVIRONMENT = "environment"
FLAGS = "flags"

Layer = tuple[str, dict[str, Any]]
"""The origin of values, a path or one of the two above, and the values."""


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class SamplingSettings(Section):
    """Choice of the frames that are read."""

    fps: float = Field(default=1.0, ge=0.001, le=240)
    """Frames sampled for each second of media time."""
    keyframe_s: float = Field(default=0.0, ge=0, le=60)
    """Where keyframes are at most so many seconds apart, they alone are decoded, which is several
    times faster: each keeps its own time, and stands for all that is shown up to the next. Where
    they are further apart, every frame is decoded; `videos show` says which. With 0, the frame that
    is shown when a sample is due is always taken."""
    thin_static: bool = True
    """Skip frames that show the same as the frame before."""
    static_threshold: float | None = Field(default=None, ge=0, le=1)
    """Mean difference of two frames, as a share of the grey scale, below which the second counts
    as static. A dark picture has less, down to twice its own noise."""
    heartbeat_s: float | None = Field(default=None, ge=0.1, le=86400)
    """Seconds after which static footage keeps a frame all the same."""


class StreamSettings(Section):
    """Compression of chunks of frames into latents."""

    compression_ratio: int | None = Field(default=None, ge=1)
    """Visual tokens per latent. Without a value, the ratio the model was trained for."""
    max_past_latents: NonNegativeInt | Literal["auto", "all"] = "auto"
    """Latents of earlier chunks that a chunk attends to: a number, `auto` for those of eight
    chunks, or `all`, as the papers do, at a cost that grows with the video."""
    latent_kind: Literal["tokens", "keys_values"] | None = None
    """What SmolVLM2 and Qwen3-VL keep of a chunk: `tokens`, which the decoder reads again for every
    answer, exactly; or `keys_values`, computed once, as if each chunk had been seen alone. Without
    a value, `tokens`."""
    latent_format: Literal["native", "int8", "int4", "int3"] | None = None
    """Form in which latents are stored: the model's own dtype, or integers of 8, 4 or 3 bits with
    a step and a zero point for each channel of a chunk."""


class RetrievalSettings(Section):
    """Choice of the chunks that answer a question."""

    index: str | None = None
    """The vector index: `segments` or `exact`, in files, or `pgvector`, in the PostgreSQL of
    `database_url`. Without a value, `pgvector` where that database has the extension, else
    `segments`. `faiss_flat` is an earlier name of `segments`."""

    @field_validator("index")
    @classmethod
    def _check_index(cls, name: str | None) -> str | None:
        known = plugins.names(engine.index)
        if name == "faiss_flat":
            return "segments"
        if name is not None and name not in known:
            raise ValueError(f"there are {', '.join(known)}")
        return name

    recall: Literal["auto", "top", "overview", "all"] = "auto"
    """The chunks that a question gets: the nearest, an even overview with the nearest, all of
    them, or `auto`, which decides by the wording of the question."""


class LogSettings(Section):
    """Level and form of the log; every record is one line on stderr."""

    level: Annotated[LogLevel, BeforeValidator(_lower)] = "info"
    """Least level of Longwatch's own records: `debug`, `info`, `warning` or `error`."""
    format: Annotated[LogFormat, BeforeValidator(_lower)] = "auto"
    """`human`, `json`, or `auto`: human on a terminal, JSON everywhere else."""


class PathSettings(Section):
    """Folders of this machine that may be read."""

    media_roots: tuple[Path, ...] = ()
    """Folders whose files may be added in the web app."""
    models: Path | None = None
    """Folder of pulled checkpoints. Without a value, `models` below the home folder."""


class Settings(BaseSettings):
    """Every setting, checked. A value of this class never changes; `SettingsStore` replaces it."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
    )

    home: Path
    """Folder of everything that outlives the process. Set by `--home` or `LONGWATCH_HOME` only."""
    model: str = Field(default="nano", min_length=1)
    """The model that answers: `nano`, a checkpoint folder, or `org/name[@revision]` once pulled."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|(cuda|xpu)(:\d{1,2})?)$")
    """Where the model runs: `cpu`, `cuda`, `cuda:1`, or `auto`: an accelerator if there is one."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights; `auto` takes `bfloat16` on an accelerator, and on a CPU that
    multiplies it (AMX, AVX512-BF16) for all but small models; else `float32`."""
    adapter_alpha: float | None = Field(default=None, ge=0, le=1024)
    """Strength of a checkpoint's adapters. Without a value, the released one (PLLaVA: 4 of 32)."""
    database_url: SecretStr | None = None
    """PostgreSQL, as `postgresql://user:password@host/name`, for several machines. Without a value,
    SQLite in the home folder."""
    database_wait_s: float = Field(default=10.0, ge=0.1, le=3600)
    """Seconds that a statement waits while another process holds the database."""
    allow_network: bool = False
    """Whether sources may be HTTP(S) streams. Cameras (`rtsp://`) may always be read."""
    weights: WeightSettings = WeightSettings()
    media: MediaSettings = MediaSettings()
    sampling: SamplingSettings = SamplingSettings()
    stream: StreamSettings = StreamSettings()
    cache: CacheSettings = CacheSettings()
    objects: ObjectSettings = ObjectSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    stills: StillSettings = StillSettings()
    sight: SightSettings = SightSettings()
    limits: LimitSettings = LimitSettings()
    workers: WorkerSettings = WorkerSettings()
    server: ServerSettings = ServerSettings()
    retention: RetentionSettings = RetentionSettings()
    paths: PathSettings = PathSettings()
    log: LogSettings = LogSettings()
    answer: AnswerSettings = AnswerSettings()

    _refuse_bool = field_validator("*", mode="before")(refuse_bool)
    _layers: tuple[Layer, ...] = PrivateAttr(default=())

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Sources that were read, with their values; the last one that holds a value wins."""
        return self._layers

    @property
    def catalog_url(self) -> str:
        """Address of the database, password included: not to be shown."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{HomeFolder(self.home).database}"

    @property
    def database_is_file(self) -> bool:
        """Whether rows lie in SQLite, which processes of one machine alone can share."""
        return self.catalog_url.startswith("sqlite:")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` hands over, which knows where each value came from."""
        return (init_settings,)


def load_settings(
    flags: Mapping[str, object] | None = None,
    *,
    home: Path | None = None,
    folder: Path | None = None,
) -> Settings:
    """Read files and environment, and put flags on top.

    Args:
        flags: Dotted keys, as `{"sampling.fps": 2.0}`; `None` values are flags not given.
        home: The `--home` flag; else `LONGWATCH_HOME`, else the platform's user data folder.
        folder: The working folder; the process's own when `None`.
    Raises:
        SettingsError: An unknown key, named with the nearest known one, or a value not allowed.
    """
    home = home or Path(os.environ.get(f"{_PREFIX}HOME") or user_data_path("longwatch"))
    home = home.expanduser().absolute()
    files = dict.fromkeys(at / FILE_NAME for at in (home, (folder or Path.cwd()).absolute()))
    layers = [(str(file), read_file(file)) for file in files]
    layers.append((ENVIRONMENT, _read_environment()))
    layers.append((FLAGS, _nested((flags or {}).items(), ".")))
    return _build(home, layers)


def with_file_values(settings: Settings, file: Path, values: dict[str, Any]) -> Settings:
    """Return the settings that would hold if a file of theirs had these values.

    Raises:
        SettingsError: As `load_settings`.
    """
    layers = [(name, values if name == str(file) else kept) for name, kept in settings.layers]
    return _build(settings.home, layers)


def source_of(settings: Settings, setting: str) -> str | None:
    """Return the last layer that gave a dotted setting its value; `None` for a default."""
    path = setting.split(".")
    layers = reversed(settings.layers)
    return next((name for name, values in layers if _holds(values, path)), None)


def _build(home: Path, layers: list[Layer]) -> Settings:
    merged: dict[str, Any] = {}
    for source, values in layers:
        _refuse_unknown(source, Settings, values)
        _merge(merged, values)
    try:
        settings = Settings(**{**merged, "home": home})
    except ValidationError as error:
        raise _not_allowed(error, layers) from error
    settings._layers = tuple(layers)
    return settings


def read_file(file: Path) -> dict[str, Any]:
    """Return what a settings file says; nothing where there is none.

    Raises:
        SettingsError: It is no TOML, or cannot be read.
    """
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}") from error
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}") from error
    if "home" in values:
        raise SettingsError(f"{file}: home cannot be set in a file", hint="set LONGWATCH_HOME")
    return values


def _read_environment() -> dict[str, Any]:
    named = {
        name.removeprefix(_PREFIX).lower(): value
        for name, value in os.environ.items()
        if name.startswith(_PREFIX) and not name.startswith(_FOREIGN_PREFIXES)
    }
    for secret in SECRETS:
        if (file := named.pop(f"{secret}_file", None)) is not None:
            named[secret] = _secret_in(Path(file), f"{_PREFIX}{secret.upper()}", secret in named)
    _refuse_unknown("environment", Settings, _nested(named.items(), "__"))
    source = EnvSettingsSource(Settings)
    source.env_vars = {f"{_PREFIX.lower()}{name}": value for name, value in named.items()}
    try:
        return source()
    except EnvironmentSettingsError as error:
        raise SettingsError(f"environment: {error}", hint="lists are written as JSON") from error


def _secret_in(file: Path, variable: str, is_given_too: bool) -> str:
    """Return the secret that a file holds, without the end of its line."""
    if is_given_too:
        raise SettingsError(f"environment: {variable} and {variable}_FILE are one too many")
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise SettingsError(
            f"environment: {variable}_FILE: {file} cannot be read: {reason}"
        ) from error


def _nested(items: Iterable[tuple[str, object]], delimiter: str) -> dict[str, Any]:
    """Sort dotted names into sections; values that were not given are left out."""
    sections: dict[str, Any] = {}
    for name, value in items:
        *path, key = name.split(delimiter)
        section = sections
        for step in path:
            section = section.setdefault(step, {})
        if value is not None:
            section[key] = value
    return sections


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def _refuse_unknown(
    source: str, section: type[BaseModel], values: Mapping[str, Any], path: str = ""
) -> None:
    known = section.model_fields
    for key, value in values.items():
        if key not in known:
            # difflib's own cutoff: a suggestion that shares little with the word misleads.
            near = [path + name for name in get_close_matches(key, known, n=1, cutoff=0.6)]
            near = near or [name for name in _names(Settings) if name.split(".")[-1] == key]
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise SettingsError(
                f"{source}: unknown setting {path + key!r}{meant}",
                hint=f"known here: {', '.join(known)}",
            )
        inner = known[key].annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            if not isinstance(value, Mapping):
                raise SettingsError(f"{source}: {path + key!r} is a section, not a value")
            _refuse_unknown(source, inner, value, f"{path}{key}.")


def _names(section: type[BaseModel], path: str = "") -> Iterator[str]:
    """Yield the full names of all settings."""
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _names(inner, f"{path}{name}.")
        else:
            yield path + name


def _not_allowed(
    error: ValidationError, layers: Iterable[tuple[str, Mapping[str, Any]]]
) -> SettingsError:
    """Return one sentence for the first value that is not allowed, with its origin."""
    first = error.errors(include_url=False, include_context=False)[0]
    path = [str(step) for step in first["loc"]]
    held_by = [source for source, values in layers if _holds(values, path)]
    where = f"{held_by[-1]}: " if held_by else ""
    return SettingsError(f"{where}{'.'.join(path)} = {first['input']!r}: {first['msg']}")


def _holds(values: object, path: Iterable[str]) -> bool:
    for step in path:
        if not isinstance(values, Mapping) or step not in values:
            return False
        values = values[step]
    return True
