"""What a group of settings is: a part of `Settings` by itself, whose texts are its documentation."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class SettingGroup(BaseSettings):
    """Base of the groups. They are never made by themselves, only together, as `Settings`."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)
