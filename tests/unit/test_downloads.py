"""Names of files that responses are saved under."""

import pytest
from werkzeug.http import parse_options_header

from entrypoints.api.downloads import attachment


@pytest.mark.parametrize(
    ("name", "plain", "whole"),
    [
        ("Tides", "Tides.md", "Tides.md"),
        ("  Tides and\tthe Moon ", "Tides and the Moon.md", "Tides and the Moon.md"),
        ("चाँद ☾", "chat.md", "चाँद ☾.md"),
        ("Résumé", "R_sum_.md", "Résumé.md"),
        ("../../etc/passwd", "_.._etc_passwd.md", "_.._etc_passwd.md"),
        (".hidden.", "hidden.md", "hidden.md"),
        ('a"; filename="b', "a__ filename__b.md", "a__ filename=_b.md"),
        ("a\r\nSet-Cookie: b=c", "a Set-Cookie_ b_c.md", "a Set-Cookie_ b=c.md"),
        ("x\u202egnp.exe", "x gnp.exe.md", "x gnp.exe.md"),
        (" . ", "chat.md", "chat.md"),
        ("100% sure", "100_ sure.md", "100_ sure.md"),
        ("n" * 200, "n" * 100 + ".md", "n" * 100 + ".md"),
    ],
)
def test_a_name_in_both_forms(name: str, plain: str, whole: str):
    header = attachment(name, extension="md", fallback="chat")
    assert header.isascii()
    assert header.startswith(f'attachment; filename="{plain}"; filename*=')
    kind, options = parse_options_header(header)
    # The form that every client of today prefers.
    assert (kind, options["filename"]) == ("attachment", whole)
