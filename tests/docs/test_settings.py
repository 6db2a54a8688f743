"""Every setting is documented, and what is documented is a setting."""

import re
from pathlib import Path

import pytest
import tomllib
from pydantic import BaseModel

from moorage.config.settings import Settings, SettingsInvalid

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def settings(model: type[BaseModel], prefix: str = "") -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        inner = [
            argument
            for argument in (field.annotation, *getattr(field.annotation, "__args__", ()))
            if is_table(argument)
        ]
        if not inner:
            found.add(prefix + name)
        for table in inner:
            named = "<name>." if table is not field.annotation else ""
            found |= settings(table, f"{prefix}{name}.{named}")
    return found


def is_table(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def test_the_page_names_exactly_the_settings() -> None:
    documented = set(re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(), re.MULTILINE))

    assert documented == settings(Settings)


def test_the_example_is_valid(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "moorage.toml").write_text(example)

    loaded = Settings.load(tmp_path / "moorage.toml")

    assert loaded.state_dir == tmp_path / "state"
    assert loaded.kafka["main"].options == tomllib.loads(example)["kafka"]["main"]["options"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[sandbox]\ncgroup = "here"', "sandbox.cgroup: Input should be auto, off, or a folder with its whole path."),
        (
            '[audit]\notlp = "secret"',
            "audit.otlp: Input should be a URL with a path, such as http://127.0.0.1:4318/v1/logs.",
        ),
        ('[sql.main]\nurl = "sqlite://"\nmod = "managed"', "unknown setting 'sql.main.mod'; did you mean 'mode'?"),
        (
            "[installations.churn.policy]\nretrys = 2",
            "unknown setting 'installations.churn.policy.retrys'; did you mean 'retries'?",
        ),
        ("[sql.main]\nurl = 5", "sql.main.url: Input should be text, in quotes."),
    ],
)
def test_what_is_wrong_is_a_sentence_that_shows_no_value(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "moorage.toml").write_text(text)
    with pytest.raises(SettingsInvalid) as refused:
        Settings.load(tmp_path / "moorage.toml")
    assert str(refused.value) == f"{tmp_path / 'moorage.toml'}: {sentence}"
