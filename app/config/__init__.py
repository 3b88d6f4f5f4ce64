"""Settings: the only place that reads a TOML file and the environment.

settings          the settings as classes, from file, environment and flags
section           the base of their sections, of which some stand in files of their own:
    answer_settings, cache_settings, limit_settings, media_settings, object_settings,
    server_settings, sight_settings, still_settings, weight_settings, worker_settings
settings_file     one key of `longwatch.toml` changed, comments kept
camera_secrets    variables that addresses of cameras may name
ray_variables     variables that Ray reads
engine_config     settings to what the engine takes; encoder_config to its encoders
index_choice      where vectors lie: in files, or in PostgreSQL
document          docs/settings.md, written from the classes
"""
