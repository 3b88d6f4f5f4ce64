"""Settings: the only place that reads a TOML file and the environment.

settings        the settings as classes, from file, environment and flags
*_settings      sections of them that stand in files of their own
settings_file   one key of `longwatch.toml` changed, comments kept
engine_config   settings to what the engine takes
"""
