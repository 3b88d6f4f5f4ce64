"""Settings changed on a page: checked before they are written, and never what holds them fast."""

import logging
from pathlib import Path

import pytest

from app.config.settings import FILE_NAME, Settings, load_settings
from app.config.settings_file import apply_changes, current_values, saved
from engine.errors import InputRefusedError, LongwatchError, SettingsError
from tests.support.site import Site

COMMENTED = """\
# Our own notes stay.
model = "nano"  # the shipped one

[cache]
# half of the card
device_bytes = "4GiB"

[sampling]
fps = 2
"""


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LONGWATCH_HOME", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def load(home: Path, **flags: object) -> Settings:
    return load_settings(flags, home=home, folder=home)


def test_comments_and_order_stay(home: Path) -> None:
    (home / FILE_NAME).write_text(COMMENTED)
    _, lines = apply_changes(load(home), {"cache.device_bytes": "8GiB", "retention.days": 30})
    assert (home / FILE_NAME).read_text() == COMMENTED.replace("4GiB", "8GiB") + (
        "\n[retention]\ndays = 30\n"
    )
    assert lines == (
        f"cache.device_bytes: {4 * 2**30} -> {8 * 2**30}",
        "retention.days: None -> 30.0",
    )
    assert load(home).cache.device_bytes == 8 * 2**30


def test_top_level_setting_stays_above_the_sections(home: Path) -> None:
    (home / FILE_NAME).write_text("[sampling]\nfps = 2\n")
    apply_changes(load(home), {"model": "nano", "stream.compression_ratio": 16})
    again = load(home)
    assert (again.model, again.sampling.fps, again.stream.compression_ratio) == ("nano", 2, 16)


def test_default_comes_back_when_a_value_is_taken_out(home: Path) -> None:
    (home / FILE_NAME).write_text(COMMENTED)
    apply_changes(load(home), {"cache.device_bytes": None, "limits.disk_reserve_bytes": None})
    assert "# half of the card" in (home / FILE_NAME).read_text()
    assert load(home).cache.device_bytes is None


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("cache.device_bytes", "a lot", r"longwatch\.toml: cache\.device_bytes = 'a lot'"),
        ("cache.device_bytes", -1, r"cache\.device_bytes = -1"),
        ("stream.compression_ratio", 0, "greater than or equal to 1"),
        ("retention.days", "soon", r"retention\.days = 'soon'"),
        ("retention.days", "banana", r"retention\.days = 'banana'"),
        ("retention.days", 1e-9, "greater than or equal to 1"),
        ("retention.days", "inf", r"retention\.days"),
        ("model", "no-such-model", "no model 'no-such-model'"),
        ("model", "/etc", "no model lies in the folder /etc"),
        ("server.port", 80, "cannot be changed here"),
        ("model.x", 1, "cannot be changed here"),
    ],
)
def test_wrong_value_is_refused_and_nothing_is_written(
    home: Path, name: str, value: str | float, complaint: str
) -> None:
    (home / FILE_NAME).write_text(COMMENTED)
    with pytest.raises(LongwatchError, match=complaint):
        apply_changes(load(home), {"retention.days": 5, name: value})
    assert (home / FILE_NAME).read_text() == COMMENTED
    assert [path.name for path in home.iterdir()] == [FILE_NAME]


def test_what_the_environment_or_a_flag_holds_is_locked(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGWATCH_CACHE__HOST_BYTES", "1GiB")
    settings = load(home, model="nano")
    locked = {
        each.editable.setting: each.locked_by for each in current_values(settings) if each.locked_by
    }
    assert locked == {
        "model": "a flag of the command",
        "cache.host_bytes": "the environment (LONGWATCH_CACHE__HOST_BYTES)",
    }
    for name in locked:
        with pytest.raises(InputRefusedError, match=f"{name} is held by"):
            apply_changes(settings, {name: "nano"})
    assert not (home / FILE_NAME).exists()


def test_file_of_the_working_folder_wins_and_is_named(home: Path, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("[retention]\ndays = 9\n")
    settings = load_settings(home=home, folder=tmp_path)
    with pytest.raises(InputRefusedError, match=str(tmp_path / FILE_NAME)):
        apply_changes(settings, {"retention.days": 3})


def test_only_what_needs_no_restart_is_used_at_once(home: Path) -> None:
    settings = load(home)
    live, _ = apply_changes(
        settings, {"cache.host_bytes": "1GiB", "limits.disk_reserve_bytes": "2GiB"}
    )
    assert live.limits.disk_reserve_bytes == 2 * 2**30
    assert live.cache.host_bytes is None
    assert saved(live).cache.host_bytes == 2**30
    stands = {each.editable.setting: each for each in current_values(live)}
    assert (stands["cache.host_bytes"].value, stands["cache.host_bytes"].in_force) == ("1GiB", None)
    # A second change keeps the first, which still waits.
    apply_changes(live, {"retention.days": 3})
    assert load(home).cache.host_bytes == 2**30


def test_file_that_was_broken_by_hand_is_left_alone(home: Path) -> None:
    settings = load(home)
    (home / FILE_NAME).write_text("[cache\n")
    with pytest.raises(SettingsError, match="not valid TOML"):
        apply_changes(settings, {"retention.days": 3})
    assert (home / FILE_NAME).read_text() == "[cache\n"


def test_link_and_rights_of_the_file_stay(home: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.toml"
    kept.write_text("")
    kept.chmod(0o600)
    (home / FILE_NAME).symlink_to(kept)
    apply_changes(load(home), {"retention.days": 3})
    assert (home / FILE_NAME).is_symlink()
    assert "days = 3" in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_admin_changes_viewer_only_sees(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    path, body = "/api/v1/settings/values", {"changes": {"retention.days": 400}}
    assert site.viewer.patch(path, json=body).status_code == 403
    with caplog.at_level(logging.INFO, "app.api.audit"):
        answer = site.admin.patch(path, json=body)
    assert answer.status_code == 200, answer.text
    assert "user ada changed setting retention.days: None -> 400.0" in caplog.text
    shown = {one["setting"]: one for one in site.viewer.get(path).json()["settings"]}
    assert shown["retention.days"]["in_force"] == "400"
    assert not shown["retention.days"]["is_waiting"]
    assert shown["model"]["locked_by"] == "a flag of the command"
    wrong = site.admin.patch(path, json={"changes": {"cache.disk_bytes": "x"}})
    assert wrong.status_code == 422
    assert "cache.disk_bytes" in wrong.json()["error"]["message"]
    undone = site.admin.patch(path, json={"changes": {"retention.days": None}})
    assert undone.json()["settings"][-1]["in_force"] is None
