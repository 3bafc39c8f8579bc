"""Commands in a report stand on lines of their own, to be copied."""

from htgen.report.page import commands


def test_each_command_has_its_line() -> None:
    assert (
        commands("htgen generate a<b", "htgen predict x")
        == "<pre>htgen generate a&lt;b\nhtgen predict x</pre>"
    )
