"""Scripts are read as a shell reads them, in time that grows with their length alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.policy.rules.commands_run import calls, commands, run
from webhook.policy.rules.owner_changers import tool_of, words
from webhook.policy.rules.root_programs import done_as_root

PROGRAMS = {"chown", "sysctl"}


def _commands(script):
    return [(list(each.words), list(each.targets)) for each in commands(["-c", script], [""]) if any(each)]


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("a b; c", [(["a", "b"], []), (["c"], [])]),
        ("a 'b; c' \"d | e\"", [(["a", "b; c", "d | e"], [])]),
        ("a # b\nc", [(["a"], []), (["c"], [])]),
        ("a#b 'it''s' c\\ d", [(["a#b", "its", "c d"], [])]),
        ("a 2>/dev/null >> /x < /y b", [(["a", "b"], ["/dev/null", "/x"])]),
        ("a && (b || c)", [(["a"], []), (["b"], []), (["c"], [])]),
        ("a 'b", [(["a", "'b"], [])]),
        ("# it's a comment\na", [(["a"], [])]),
        ("cat <<EOF > /x\nit's b\nEOF\nc", [(["cat"], ["/x"]), (["c"], [])]),
        ("cat >/x <<-'END' && d\n\tb\n\tEND\n\nc", [(["cat"], ["/x"]), (["d"], []), (["c"], [])]),
        ("a << A <<B\nb\nA\nc\nB", [(["a"], [])]),
        ("a <<A\n\nA \nb\nA", [(["a"], [])]),
        ("a=$((1<<2))\nb", [(["a=$"], []), (["b"], [])]),
        ("a <<<A\nb", [(["a"], []), (["b"], [])]),
        ("a << A", [(["a"], [])]),
        ("/bin/sh -e <<A\nb\nA", [(["/bin/sh", "-e"], []), (["b"], []), (["A"], [])]),
        ("cat <<A | bash\nb\nA", [(["cat"], []), (["bash"], []), (["b"], []), (["A"], [])]),
    ],
)
def test_a_script_is_cut_into_commands(script, found):
    assert _commands(script) == found


@pytest.mark.parametrize(
    ("words", "programs"),
    [
        (["sysctl", "-w"], ["sysctl"]),
        (["A=1", "exec", "/sbin/sysctl"], ["sysctl"]),
        (["busybox", "sysctl"], ["sysctl"]),
        (["timeout", "60", "env", "A=b", "sysctl"], ["sysctl"]),
        (["nsenter", "-t", "1", "-m", "--", "sysctl"], ["sysctl"]),
        (["rclone", "sysctl"], []),
        (["mount=/x"], []),
        ([], []),
    ],
)
def test_a_program_is_the_first_word_or_run_by_another(words, programs):
    assert [each.program for each in run(tuple(words), PROGRAMS)] == programs


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (["find", "/x", "-exec", "chown", "1", "{}", "+"], [("chown", ("1", "{}", "+"))]),
        (["sh", "-c", "chown"], [("chown", ()), ("chown", ())]),
        (["sh", "-c", "chmod 600 key"], []),
        ([";chown"], []),
        (["rm -rf /x/chown", "y"], [("chown", ())]),
        (["echo", "chown", "x"], []),
    ],
)
def test_a_tool_is_found_in_any_place(line, found):
    assert [(each.program, each.arguments) for each in calls(line, PROGRAMS)] == found


@given(st.lists(st.text(" \n#'\"\\;&|<>$()`{}=achown/", max_size=60), max_size=4))
def test_no_text_is_an_error(line):
    for each in calls(line, PROGRAMS):
        assert each.program in PROGRAMS


@pytest.mark.parametrize("program", ["chroot", "nsenter", "chmod", "chown", "sysctl", "env"])
def test_a_program_named_again_and_again_costs_little_and_is_no_error(program):
    """Each call has arguments of its own, and some programs run the one that their arguments name."""
    mounts = [{"name": "m", "mountPath": f"/m{n}"} for n in range(10)]
    many = [program] * 100_000
    for container in ({"command": many}, {"command": ["sh", "-c", " ".join(many)]}):
        tool_of({**container, "volumeMounts": mounts})
        done_as_root(container)
        words({**container, "volumeMounts": mounts})


@pytest.mark.parametrize("text", [" #", "<<a\n", "'", '"', '"\\', "a=", "\\", "1", "$(", "' ", "#'"])
def test_a_long_script_takes_a_number_of_steps_that_grows_with_its_length(text):
    """A quadratic pattern would take minutes here."""
    list(commands(["-c", text * 10_000 + "'"], [""]))
